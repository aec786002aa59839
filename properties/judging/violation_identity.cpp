#include "properties/judging/violation_identity.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace normproof {

// "byte -4 ... with 0xcd" and "byte -128 ... with 0x00" are the same; the sign stays.
std::string without_numbers(const std::string& message) {
  const auto is = [&](int (*kind)(int), std::size_t at) {
    return at < message.size() && kind(static_cast<unsigned char>(message[at])) != 0;
  };
  std::string result;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const bool in_word = i > 0 && is(std::isalnum, i - 1);
    if (!is(std::isdigit, i) || in_word) {
      result += message[i];
      continue;
    }
    const bool says_what =
        result.ends_with("signal ") || (result.ends_with('+') && message.substr(i, 2) == "0x");
    const std::size_t begin = i;
    while (is(std::isalnum, i + 1)) ++i;
    result += says_what ? message.substr(begin, i + 1 - begin) : "#";
  }
  return result;
}

namespace {

// A rounding moves an output by an ulp or two, anything else by more.
constexpr std::uint64_t kFarthestRounding = 2;

std::string wrong_bits(const Evaluation& evaluation) {
  if (!evaluation.certificates.empty()) return std::string(name_of(evaluation.certificates.front().kind));
  const auto& mismatches = evaluation.verdict.first_mismatches;
  if (mismatches.empty()) return {};
  const Role tensor = mismatches.front().tensor;
  std::uint64_t farthest = 0;
  for (const oracle::Mismatch& mismatch : mismatches)
    if (mismatch.tensor == tensor) farthest = std::max(farthest, mismatch.ulp_distance);
  return std::string(name_of(tensor)) + (farthest == UINT64_MAX          ? ", NaN on one side"
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
