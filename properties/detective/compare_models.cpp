// Comparing two dumps of a model: rows are matched by their places, and what differs is told by `identify`
// and the witness judge.
#include "properties/detective/compare_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "oracle/formats.h"
#include "properties/detective/identification_text.h"
#include "properties/detective/identify.h"
#include "properties/detective/policy_class.h"
#include "properties/judging/in_parallel.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

using Sides = std::array<RowSlice, 2>;

std::string epsilon_text(const Case& test_case) {
  return fmt::format("{}", test_case.value_of(Parameter::epsilon));
}

// What the two calls would have to have in common to be compared row by row.
std::string call_text(const Case& test_case) {
  const std::string weight(test_case.weight_dtype ? "a weight" : "no weight");
  const std::string residual =
      test_case.fp32_residual ? fmt::format(", residual {}", name_of(DType::fp32)) : "";
  return fmt::format("{} {}{}, {}, H {}, out {}", name_of(test_case.operation), name_of(test_case.dtype),
                     residual, weight, test_case.hidden_size(), name_of(test_case.output_dtype()));
}

// A fused add as the norm of the sum that it stored.
RowSlice norm_of_stored_sum(const RowSlice& fused) {
  RowSlice norm = fused;
  norm.test_case.operation = Operation::rms_norm;
  norm.tensors[Role::input] = fused.outputs[Role::residual_out];
  norm.tensors[Role::residual].clear();
  norm.outputs[Role::residual_out].clear();
  return norm;
}

bool is_plain_beside_fused(const Case& plain, const Case& fused) {
  return plain.operation == Operation::rms_norm && fused.operation == Operation::fused_add_rms_norm &&
         !fused.fp32_residual;
}

class NormComparison {
 public:
  NormComparison(const ModuleCall& one, const ModuleCall& other) : calls_{&one, &other} {
    result_.module = one.module;
    result_.subject = subject_of(one.dump.test_case);
  }

  // Nothing where no row is in both.
  std::optional<ComparedNorm> run() {
    match_rows();
    if (result_.rows == 0) return std::nullopt;
    const Case &one = sides_[0].test_case, &other = sides_[1].test_case;
    if (is_plain_beside_fused(one, other)) as_norm_of_stored_sum(1);
    if (is_plain_beside_fused(other, one)) as_norm_of_stored_sum(0);
    if (call_text(one) != call_text(other))
      return differs_by(NormDifference::call, call_text(one), call_text(other));
    compare_bits();
    compare_digests();
    if (!same_weight()) return differs_by(NormDifference::weight, weight_text(0), weight_text(1));
    if (one.bits_of(Parameter::epsilon) != other.bits_of(Parameter::epsilon))
      return differs_by(NormDifference::epsilon, epsilon_text(one), epsilon_text(other));
    if (result_.different > 0 || result_.same_inputs < result_.rows) explain();
    if (!is_arithmetic(result_.difference) && unseen_) {
      result_.difference = NormDifference::unseen;
      result_.text = fmt::format("all inputs of call {} are the same bits, its outputs are not", *unseen_);
    }
    return std::move(result_);
  }

 private:
  void match_rows() {
    std::map<RowPlace, std::int64_t> places;
    for (std::size_t row = 0; row < calls_[1]->places.size(); ++row)
      places[calls_[1]->places[row]] = static_cast<std::int64_t>(row);
    std::array<std::vector<std::int64_t>, 2> rows;
    for (std::size_t row = 0; row < calls_[0]->places.size(); ++row) {
      const auto found = places.find(calls_[0]->places[row]);
      if (found == places.end()) continue;
      rows[0].push_back(static_cast<std::int64_t>(row));
      rows[1].push_back(found->second);
      places_.push_back(found->first);
    }
    result_.rows = static_cast<std::int64_t>(places_.size());
    for (std::size_t side : {0, 1}) {
      Case test_case = calls_[side]->dump.test_case;
      const Outputs outputs = std::move(*test_case.outputs);
      test_case.outputs.reset();
      const CaseTensors tensors = take_data(test_case);
      sides_[side] = select_rows(test_case, tensors, outputs, rows[side]);
    }
  }

  void as_norm_of_stored_sum(std::size_t side) {
    fused_ = sides_[side];
    sides_[side] = norm_of_stored_sum(sides_[side]);
  }

  bool same_weight() const {
    const Case &one = sides_[0].test_case, &other = sides_[1].test_case;
    return one.weight_dtype == other.weight_dtype &&
           sides_[0].tensors[Role::weight] == sides_[1].tensors[Role::weight];
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

  // Whether the bytes of the row are the same in all tensors of that direction.
  bool same_row(std::int64_t row, Direction direction) const {
    const Case& test_case = sides_[0].test_case;
    return std::ranges::all_of(kRoles, [&](Role role) {
      const bool input = direction == Direction::in;
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

  void compare_bits() {
    const Case& test_case = sides_[0].test_case;
    const bool same_scale =
        !has(test_case.operation, Parameter::scale) ||
        test_case.bits_of(Parameter::scale) == sides_[1].test_case.bits_of(Parameter::scale);
    for (std::int64_t row = 0; row < result_.rows; ++row) {
      if (!same_scale || !same_row(row, Direction::in)) continue;
      ++result_.same_inputs;
      if (same_row(row, Direction::out)) continue;
      note_element(row);
    }
  }

  // The row's first element that differs. Two NaNs are one value.
  void note_element(std::int64_t row) {
    const Case& test_case = sides_[0].test_case;
    for (const Role role : kRoles) {
      if (!test_case.has_output(role)) continue;
      const DType dtype = test_case.dtype_of(role);
      const std::int64_t columns = test_case.columns_of(role);
      for (std::int64_t column = 0; column < columns; ++column) {
        const std::int64_t index = row * columns + column;
        const std::array bits = {load_bits(sides_[0].outputs[role], dtype, index),
                                 load_bits(sides_[1].outputs[role], dtype, index)};
        if (bits[0] == bits[1] || (oracle::is_nan(dtype, bits[0]) && oracle::is_nan(dtype, bits[1])))
          continue;
        if (!result_.element)
          result_.element = {places_[static_cast<std::size_t>(row)], role, dtype, column, bits};
        ++result_.different;
        return;
      }
    }
  }

  void compare_digests() {
    const auto &one = calls_[0]->digests, &other = calls_[1]->digests;
    result_.other_inputs = result_.same_inputs < result_.rows;
    if (fused_ || one.empty() || other.empty()) return;
    result_.whole = true;
    for (std::size_t call = 0; call < std::min(one.size(), other.size()); ++call) {
      const bool same_inputs = one[call].inputs == other[call].inputs;
      result_.other_inputs |= !same_inputs;
      if (same_inputs && one[call].outputs != other[call].outputs && !unseen_) unseen_ = call;
    }
  }

  ComparedNorm differs_by(NormDifference difference, const std::string& one, const std::string& other) {
    result_.difference = difference;
    result_.text = fmt::format("{} and {}", one, other);
    return std::move(result_);
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

  void explain() {
    std::array<Identification, 2> found = {identified(sides_[0]), identified(sides_[1])};
    for (std::size_t side : {0, 1}) describe(side, found[side]);
    const bool differ = result_.different > 0;
    if (const auto common = common_policy(found)) {
      result_.difference = differ ? NormDifference::order : NormDifference::passed_on;
      if (differ) result_.shift = shift_of_roots(*common);
      for (NormSide& side : result_.sides) {
        side.policy = common;
        side.why_none.clear();
        side.names = known_as(*common, sides_[0].test_case);
      }
    } else if (result_.sides[0].policy && result_.sides[1].policy) {
      result_.difference = NormDifference::policy;
    } else if (result_.sides[0].policy || result_.sides[1].policy) {
      result_.difference = NormDifference::bug;
    } else if (differ) {
      result_.difference = NormDifference::unknown;
    } else {
      // Rows with the same inputs gave the same bits.
      result_.difference = result_.same_inputs > 0 ? NormDifference::passed_on : NormDifference::undecided;
    }
  }

  void describe(std::size_t side, const Identification& found) {
    NormSide& said = result_.sides[side];
    said.asked = true;
    if (found.identified()) {
      said.policy = found.best;
      said.names = known_as(found.best, sides_[side].test_case);
      return;
    }
    said.why_none = to_text(found, sides_[side].test_case);
    // A fused add that normalizes another sum than the one it stores.
    if (!fused_ || fused_->outputs[Role::out] != sides_[side].outputs[Role::out]) return;
    const Identification fused = identified(*fused_);
    if (!fused.identified()) return;
    said.policy = fused.best;
    said.names = known_as(fused.best, fused_->test_case);
    said.why_none.clear();
  }

  std::array<const ModuleCall*, 2> calls_;
  std::vector<RowPlace> places_;
  Sides sides_;
  std::optional<std::size_t>
      unseen_;  // the first call whose inputs have the same digest, and its outputs have not
  std::optional<RowSlice> fused_;  // before it was taken for the norm of its sum
  ComparedNorm result_;
};

const ModuleCall* find(const ModelDump& dump, const std::string& module) {
  const auto found = std::ranges::find(dump, module, &ModuleCall::module);
  return found == dump.end() ? nullptr : &*found;
}

void conclude(ModelComparison& comparison) {
  std::optional<std::size_t> any;
  for (std::size_t i = 0; i < comparison.norms.size(); ++i) {
    const ComparedNorm& norm = comparison.norms[i];
    comparison.rows += norm.rows;
    comparison.same_inputs += norm.same_inputs;
    if (!comparison.first_other_inputs && norm.other_inputs) comparison.first_other_inputs = i;
    if (!is_arithmetic(norm.difference)) continue;
    if (!any) any = i;
    if (!comparison.first && norm.same_inputs > 0) comparison.first = i;
  }
  if (!comparison.first) comparison.first = any;
}

}  // namespace

std::string_view name_of(NormDifference difference) {
  constexpr std::array<std::string_view, 11> kNames = {"same bits", "passes on", "not told", "call",
                                                       "weight",    "epsilon",   "policy",   "order",
                                                       "bug",       "unknown",   "unseen"};
  return kNames[static_cast<std::size_t>(difference)];
}

bool is_arithmetic(NormDifference difference) { return difference > NormDifference::undecided; }

ModelComparison compare_models(const ModelDump& one, const ModelDump& other, int threads) {
  ModelComparison comparison;
  std::vector<std::pair<const ModuleCall*, const ModuleCall*>> pairs;
  for (const ModuleCall& call : one) {
    if (const ModuleCall* partner = find(other, call.module)) {
      pairs.emplace_back(&call, partner);
    } else {
      comparison.not_compared.push_back(call.module + ": in the first dump only");
    }
  }
  for (const ModuleCall& call : other)
    if (find(one, call.module) == nullptr)
      comparison.not_compared.push_back(call.module + ": in the second dump only");
  std::vector<std::optional<ComparedNorm>> norms(pairs.size());
  in_parallel(static_cast<std::int64_t>(pairs.size()), threads, [&](std::int64_t index) {
    const auto& [first, second] = pairs[static_cast<std::size_t>(index)];
    norms[static_cast<std::size_t>(index)] = NormComparison(*first, *second).run();
  });
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (norms[i]) {
      comparison.norms.push_back(std::move(*norms[i]));
    } else {
      comparison.not_compared.push_back(pairs[i].first->module + ": no row is in both dumps");
    }
  }
  conclude(comparison);
  return comparison;
}

}  // namespace normproof
