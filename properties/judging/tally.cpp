#include "properties/judging/tally.h"

#include <fmt/format.h>

#include <algorithm>

#include "corpus/generate.h"

namespace normproof {
namespace {

constexpr std::size_t kDTypes = 8;
constexpr std::size_t kNothing = kDTypes;  // stands for "no weight", "not quantized"
constexpr std::size_t kPaths = 3;
constexpr std::uint32_t kAnyUpperBound = 0x3f800000;

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  cases += other.cases;
  rows += other.rows;
  elements += other.elements;
  special_rows += other.special_rows;
  mismatches += other.mismatches;
  violations += other.violations;
  refusals += other.refusals;
  not_taken += other.not_taken;
  return *this;
}

std::string to_string(const Combination& combination) {
  std::string text =
      fmt::format("{} {} weight {}", name_of(combination.operation), name_of(combination.dtype),
                  combination.weight_dtype ? name_of(*combination.weight_dtype) : "none");
  if (combination.has_codes()) text += fmt::format(" -> {}", name_of(combination.output_dtype()));
  switch (combination.path) {
    case KernelPath::vectorized:
      return text + " vectorized";
    case KernelPath::scalar:
      return text + " scalar";
    case KernelPath::automatic:
      break;
  }
  return text;
}

std::vector<Combination> all_combinations(std::optional<Operation> operation, std::optional<DType> dtype) {
  std::vector<Combination> all;
  for (const Operation each_operation : all_operations()) {
    if (operation && *operation != each_operation) continue;
    for (const DType activation : kActivationDTypes) {
      if (dtype && *dtype != activation) continue;
      for (const WeightKind weight : kWeightKinds) {
        if (weight == WeightKind::fp32 && activation == DType::fp32) continue;
        std::vector<DType> all_codes = code_dtypes(each_operation);
        if (all_codes.empty()) all_codes = {activation};  // it makes none
        for (const DType codes : all_codes) {
          const CallKind kind =
              call_kind(each_operation, activation, weight_dtype(weight, activation), codes);
          for (const KernelPath path : {KernelPath::vectorized, KernelPath::scalar})
            all.push_back({kind, path, {}, has(each_operation, Parameter::scale_ub)});
        }
      }
    }
  }
  return all;
}

std::vector<Combination> combinations_of(const Target& target, std::optional<Operation> operation,
                                         std::optional<DType> dtype) {
  std::vector<Combination> combinations = all_combinations(operation, dtype);
  std::erase_if(combinations, [&](const Combination& combination) {
    Case test_case;
    test_case.kind() = combination;
    return !target.takes(test_case) || (target.is_foreign() && combination.path != KernelPath::vectorized);
  });
  for (Combination& combination : combinations) {
    combination.limits = target.limits_of(combination.operation);
    if (target.is_foreign()) combination.path = KernelPath::automatic;
    if (!combination.scale_ub) continue;
    Case bounded;
    bounded.kind() = combination;
    bounded.bits_of(Parameter::scale_ub) = kAnyUpperBound;
    combination.scale_ub = target.takes(bounded);
  }
  return combinations;
}

Tally::Tally() : counts_(all_operations().size() * kDTypes * (kDTypes + 1) * (kDTypes + 1) * kPaths) {}

std::size_t Tally::index_of(const Combination& combination) {
  std::size_t index = static_cast<std::size_t>(combination.operation);
  index = index * kDTypes + static_cast<std::size_t>(combination.dtype);
  for (const OptionalDType& field : kOptionalDTypes) {
    const std::optional<DType>& dtype = combination.*field.of;
    index = index * (kDTypes + 1) + (dtype ? static_cast<std::size_t>(*dtype) : kNothing);
  }
  return index * kPaths + static_cast<std::size_t>(combination.path);
}

void Tally::add(const Case& test_case, const Evaluation& evaluation) {
  Counts& counts = counts_[index_of({test_case.kind(), evaluation.run.path})];
  if (evaluation.outcome == Evaluation::Outcome::not_taken) {
    counts.not_taken += 1;
    return;
  }
  counts.cases += 1;
  if (evaluation.verdict.rows == test_case.rows() && evaluation.verdict.rows > 0) {
    if (const auto cell = size_cell(test_case)) sizes_.add(*cell);
  }
  counts.rows += evaluation.verdict.rows;
  counts.elements += evaluation.verdict.elements;
  counts.special_rows += evaluation.verdict.special_rows;
  counts.mismatches += evaluation.verdict.mismatches;
  counts.violations += evaluation.violates() ? 1 : 0;
  counts.refusals += evaluation.outcome == Evaluation::Outcome::refused_as_demanded ? 1 : 0;
}

void Tally::add(const Combination& combination, const Counts& counts) {
  counts_[index_of(combination)] += counts;
}

Tally& Tally::operator+=(const Tally& other) {
  for (std::size_t index = 0; index < counts_.size(); ++index) counts_[index] += other.counts_[index];
  sizes_ += other.sizes_;
  return *this;
}

Counts Tally::total() const {
  Counts sum;
  for (const Counts& counts : counts_) sum += counts;
  return sum;
}

Counts Tally::of(Operation operation, DType dtype) const {
  // One operation and activation dtype is a contiguous range of indices.
  const std::size_t cells = (kDTypes + 1) * (kDTypes + 1) * kPaths;
  const std::size_t begin =
      (static_cast<std::size_t>(operation) * kDTypes + static_cast<std::size_t>(dtype)) * cells;
  Counts sum;
  for (std::size_t index = begin; index < begin + cells; ++index) sum += counts_[index];
  return sum;
}

Counts Tally::of(const Combination& combination) const { return counts_[index_of(combination)]; }

std::vector<Combination> Tally::uncovered(const std::vector<Combination>& wanted) const {
  std::vector<Combination> missing;
  std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(missing),
               [&](const Combination& combination) { return of(combination).rows == 0; });
  return missing;
}

}  // namespace normproof
