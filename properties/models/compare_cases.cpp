// Two calls of an operation of cases: what differs is told by `identify` and the witness judge.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "oracle/formats.h"
#include "properties/detective/identification_text.h"
#include "properties/detective/identify.h"
#include "properties/detective/policy_class.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"
#include "properties/models/norm_comparison.h"

namespace normproof {
namespace {

using Sides = std::array<RowSlice, 2>;

std::string epsilon_text(const Case& test_case) {
  return fmt::format("{}", test_case.value_of(Parameter::epsilon));
}

// A fused add as the norm of the sum that it stored.
RowSlice norm_of_stored_sum(const RowSlice& fused) {
  RowSlice norm = fused;
  const Role sum = normalized_tensor(fused.test_case.operation);
  norm.test_case.operation = *spec_of(fused.test_case.operation).without_first_step;
  norm.tensors[Role::input] = fused.outputs[sum];
  norm.tensors[Role::residual].clear();
  norm.outputs[sum].clear();
  return norm;
}

bool is_plain_beside_fused(const Case& plain, const Case& fused) {
  return smallest_part(plain.operation) == plain.operation &&
         spec_of(fused.operation).without_first_step == plain.operation && !fused.fp32_residual;
}

class CaseComparison : public NormComparison {
 public:
  CaseComparison(const ModuleCall& one, const ModuleCall& other) : NormComparison(one, other) {
    result_.subject = subject_of(one.dump()->test_case);
    result_.unknowns = "an r";
  }

 private:
  void select(std::size_t side, const std::vector<std::int64_t>& rows) override {
    Case test_case = call(side).dump()->test_case;
    const Outputs outputs = std::move(*test_case.outputs);
    test_case.outputs.reset();
    const CaseTensors tensors = take_data(test_case);
    sides_[side] = select_rows(test_case, tensors, outputs, rows);
  }

  void adapt() override {
    const Case one = sides_[0].test_case, other = sides_[1].test_case;
    if (is_plain_beside_fused(one, other)) as_norm_of_stored_sum(1);
    if (is_plain_beside_fused(other, one)) as_norm_of_stored_sum(0);
  }
  void as_norm_of_stored_sum(std::size_t side) {
    fused_ = sides_[side];
    sides_[side] = norm_of_stored_sum(sides_[side]);
  }
  bool digests_agree() const override { return !fused_; }

  std::string call_text(std::size_t side) const override {
    const Case& test_case = sides_[side].test_case;
    const std::string weight(test_case.weight_dtype ? "a weight" : "no weight");
    const std::string residual =
        test_case.fp32_residual ? fmt::format(", residual {}", name_of(DType::fp32)) : "";
    return fmt::format("{} {}{}, {}, H {}, out {}", name_of(test_case.operation), name_of(test_case.dtype),
                       residual, weight, test_case.hidden_size(), name_of(test_case.output_dtype()));
  }

  std::optional<OtherParameter> other_parameter() const override {
    const Case &one = sides_[0].test_case, &other = sides_[1].test_case;
    if (one.weight_dtype != other.weight_dtype ||
        sides_[0].tensors[Role::weight] != sides_[1].tensors[Role::weight])
      return OtherParameter{NormDifference::weight, weight_text(0), weight_text(1)};
    if (one.bits_of(Parameter::epsilon) != other.bits_of(Parameter::epsilon))
      return OtherParameter{NormDifference::epsilon, epsilon_text(one), epsilon_text(other)};
    return std::nullopt;
  }

  std::string weight_text(std::size_t side) const {
    const Case& test_case = sides_[side].test_case;
    if (!test_case.weight_dtype) return "none";
    const DType dtype = *test_case.weight_dtype;
    const auto& data = sides_[side].tensors[Role::weight];
    const auto value = [&](std::int64_t column) { return load_bits(data, dtype, column); };
    if (test_case.weight_dtype != sides_[1 - side].test_case.weight_dtype) return std::string(name_of(dtype));
    std::int64_t column = 0;
    while (value(column) == load_bits(sides_[1 - side].tensors[Role::weight], dtype, column)) ++column;
    return fmt::format("{} in column {}", oracle::value_text(dtype, value(column)), column);
  }

  bool same_row(std::int64_t row, Direction direction) const override {
    const Case& test_case = sides_[0].test_case;
    const bool input = direction == Direction::in;
    if (input && has(test_case.operation, Parameter::scale) &&
        test_case.bits_of(Parameter::scale) != sides_[1].test_case.bits_of(Parameter::scale))
      return false;
    return std::ranges::all_of(kRoles, [&](Role role) {
      if (!test_case.has_rows(role) || !(input ? test_case.has_data(role) : test_case.has_output(role)))
        return true;
      const auto& one = input ? sides_[0].tensors[role] : sides_[0].outputs[role];
      const auto& other = input ? sides_[1].tensors[role] : sides_[1].outputs[role];
      const auto bytes =
          test_case.columns_of(role) * static_cast<std::int64_t>(size_of(test_case.dtype_of(role)));
      return std::equal(one.begin() + row * bytes, one.begin() + (row + 1) * bytes,
                        other.begin() + row * bytes);
    });
  }

  std::optional<DifferingElement> differing_element(std::int64_t row) const override {
    const Case& test_case = sides_[0].test_case;
    for (const Role role : kRoles) {
      if (!test_case.has_output(role)) continue;
      const auto found = differing_column(test_case.dtype_of(role), sides_[0].outputs[role],
                                          sides_[1].outputs[role], row, test_case.columns_of(role));
      if (found)
        return DifferingElement{{}, std::string(name_of(role)), found->dtype, found->column, found->bits};
    }
    return std::nullopt;
  }

  static Identification identified(const RowSlice& slice) {
    return identify(slice.test_case, slice.tensors, slice.outputs);
  }

  oracle::WitnessVerdict judged(std::size_t side, const oracle::Policy& policy) const {
    const RowSlice& slice = sides_[side];
    return judge_witness_rows(slice.test_case, slice.tensors, slice.outputs, policy);
  }
  bool conforms(std::size_t side, const oracle::Policy& policy) const {
    return judged(side, policy).conforms();
  }

  RootShift shift_of_roots(const oracle::Policy& policy) const {
    const std::array verdicts = {judged(0, policy), judged(1, policy)};
    RootShift shift;
    for (std::int64_t row = 0; row < result_.rows; ++row) {
      if (!same_row(row, Direction::in) || same_row(row, Direction::out)) continue;
      const std::int64_t one = verdicts[0].row_witnesses[static_cast<std::size_t>(row)].witness;
      const std::int64_t other = verdicts[1].row_witnesses[static_cast<std::size_t>(row)].witness;
      shift.larger += other > one;
      shift.smaller += other < one;
      shift.greatest = std::max(shift.greatest, static_cast<std::uint64_t>(std::abs(other - one)));
    }
    return shift;
  }

  // A policy that explains all rows of both. One that is not named, since it explains much else, too, does
  // not accuse, and so counts.
  std::optional<oracle::Policy> common_policy(const std::array<Identification, 2>& found) const {
    for (std::size_t side : {0, 1}) {
      const bool all = found[side].identified() || found[side].best_rows == found[side].rows;
      if (!all) continue;
      std::vector<oracle::Policy> policies = found[side].survivors;
      if (policies.empty()) policies = {found[side].best};
      for (const oracle::Policy& policy : policies)
        if (conforms(1 - side, policy)) return policy;
    }
    return std::nullopt;
  }

  void explain() override {
    const std::array<Identification, 2> found = {identified(sides_[0]), identified(sides_[1])};
    for (std::size_t side : {0, 1}) describe(side, found[side]);
    const auto common = common_policy(found);
    if (common) {
      if (result_.different > 0) result_.shift = shift_of_roots(*common);
      for (NormSide& side : result_.sides)
        side = {true, axes_text(*common), known_as(*common, sides_[0].test_case), {}};
    }
    conclude(common.has_value());
  }

  void describe(std::size_t side, const Identification& found) {
    NormSide& said = result_.sides[side];
    said.asked = true;
    if (found.identified()) {
      said.policy = axes_text(found.best);
      said.names = known_as(found.best, sides_[side].test_case);
      return;
    }
    said.why_none = to_text(found, sides_[side].test_case);
    // A fused add that normalizes another sum than the one it stores.
    if (!fused_ || fused_->outputs[Role::out] != sides_[side].outputs[Role::out]) return;
    const Identification fused = identified(*fused_);
    if (!fused.identified()) return;
    said.policy = axes_text(fused.best);
    said.names = known_as(fused.best, fused_->test_case);
    said.why_none.clear();
  }

  Sides sides_;
  std::optional<RowSlice> fused_;  // before it was taken for the norm of its sum
};

}  // namespace

std::unique_ptr<NormComparison> comparison_of_cases(const ModuleCall& one, const ModuleCall& other) {
  return std::make_unique<CaseComparison>(one, other);
}

}  // namespace normproof
