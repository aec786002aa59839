#include "properties/run/violation_identity.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace normproof {
namespace {

bool is_digit(char character) { return std::isdigit(static_cast<unsigned char>(character)) != 0; }

// "byte -4 ... with 0xcd" and "byte -128 ... with 0x00" are the same: numbers become '#', their sign stays.
std::string without_numbers(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool in_word = i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0;
    if (!is_digit(text[i]) || in_word) {
      result += text[i];
      continue;
    }
    while (i + 1 < text.size() && std::isalnum(static_cast<unsigned char>(text[i + 1])) != 0) ++i;
    result += '#';
  }
  return result;
}

// A rounding moves an output by an ulp or two, anything else by more.
constexpr std::uint64_t kFarthestRounding = 2;

std::string wrong_bits(const Evaluation& evaluation) {
  if (!evaluation.certificates.empty()) return std::string(name_of(evaluation.certificates.front().kind));
  const auto& mismatches = evaluation.verdict.first_mismatches;
  if (mismatches.empty()) return {};
  const oracle::OutputTensor tensor = mismatches.front().tensor;
  std::uint64_t farthest = 0;
  for (const oracle::Mismatch& mismatch : mismatches)
    if (mismatch.tensor == tensor) farthest = std::max(farthest, mismatch.ulp_distance);
  std::string text = tensor == oracle::OutputTensor::out ? "out" : "residual_out";
  return text + (farthest == UINT64_MAX          ? ", NaN on one side"
                 : farthest <= kFarthestRounding ? ", a rounding"
                                                 : ", far off");
}

}  // namespace

ViolationIdentity identity_of(const Case& test_case, const Evaluation& evaluation) {
  using Outcome = Evaluation::Outcome;
  ViolationIdentity identity;
  identity.outcome = evaluation.outcome;
  identity.path = evaluation.run.path;
  identity.without_rows = test_case.rows() == 0;
  switch (evaluation.outcome) {
    case Outcome::wrong_bits:
      identity.fault = wrong_bits(evaluation);
      break;
    case Outcome::memory:
      identity.fault = without_numbers(evaluation.run.memory_violations.front());
      break;
    case Outcome::disagrees:
      identity.fault = without_numbers(evaluation.run.disagreement);
      break;
    default:
      identity.fault = without_numbers(evaluation.run.message);
  }
  return identity;
}

}  // namespace normproof
