#include "properties/detective/minimize_outputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "oracle/fast_row.h"
#include "oracle/witness_judge.h"
#include "properties/detective/identify.h"
#include "properties/detective/row_part.h"
#include "properties/judging/difference_histogram.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

// The chosen columns of one row as a case of their own.
Case extract(const Case& whole, std::int64_t row, const std::vector<std::int64_t>& columns) {
  Case part = whole;
  part.name = "minimized";
  part.shape = {1, static_cast<std::int64_t>(columns.size())};
  const auto pick = [&](Role role, std::vector<std::byte>& data) {
    if (data.empty()) return;
    const DType dtype = part.dtype_of(role);
    const std::int64_t first = whole.has_rows(role) ? row * whole.columns_of(role) : 0;
    std::vector<std::byte> picked(part.bytes_of(role));
    for (std::int64_t index = 0; index < part.elements_of(role); ++index) {
      const std::int64_t column = whole.columns_of(role) == 1 ? 0 : columns[static_cast<std::size_t>(index)];
      store_bits(picked, dtype, index, load_bits(data, dtype, first + column));
    }
    data = std::move(picked);
  };
  for (const Role role : kRoles) {
    if (part.has_data(role)) pick(role, part[role].data.bytes);
    if (part.has_output(role)) pick(role, (*part.outputs)[role]);
  }
  make_plain(part);
  return part;
}

// What `check` and `identify` say of one row: whatever is cut off it must say the same.
struct Story {
  OutputsViolation::Kind kind = OutputsViolation::Kind::rounding;
  bool identified = false;
  std::string policy;        // that explains the row, or comes nearest
  std::size_t farthest = 0;  // bin of the histogram of differences
  std::string hint;          // of a wrong scale: what is wrong with r
  friend bool operator==(const Story&, const Story&) = default;
};

std::optional<Story> story_of(const Case& row, const oracle::Policy& policy) {
  const auto violation = first_violation(row, policy);
  if (!violation) return std::nullopt;
  Story story;
  story.kind = violation->kind;
  if (story.kind == OutputsViolation::Kind::residual) return story;  // each element speaks for itself
  const CaseTensors tensors = materialize(row);
  const Identification found = identify(row, tensors, *row.outputs, policy.inverse_root);
  story.identified = found.identified();
  // Of an r that is wrong the hint says more than the policy that happens to come nearest.
  if (story.kind == OutputsViolation::Kind::scale && !found.hints.empty()) story.hint = found.hints.front();
  if (story.identified || story.hint.empty()) story.policy = axes_text(found.best);
  const DifferenceHistogram histogram = difference_histogram(row, tensors, *row.outputs, policy, {0});
  for (std::size_t bin = 0; bin < histogram.elements.size(); ++bin)
    if (histogram.elements[bin] > 0) story.farthest = bin;
  if (histogram.nan_mismatches > 0) story.farthest = histogram.elements.size();
  return story;
}

// The squares that are summed up, of a case of one row.
std::vector<double> squares_of(const Case& row, const oracle::Policy& policy) {
  const oracle::StandardFloatEnvironment environment;
  const CaseTensors tensors = materialize(row);
  oracle::FastRow fast(oracle::formula_of(row, policy), tensors[Role::weight]);
  fast.load_row(tensors, 0);
  std::vector<double> squares;
  for (const float operand : fast.variance_operands())
    squares.push_back(static_cast<double>(operand) * static_cast<double>(operand));
  return squares;
}

}  // namespace

std::optional<OutputsViolation> first_violation(const Case& test_case, const oracle::Policy& policy) {
  oracle::WitnessOptions witness_options;
  witness_options.stop_after = 1;
  const auto verdict =
      oracle::judge_witness(test_case, materialize(test_case), *test_case.outputs, policy, witness_options);
  if (verdict.conforms()) return std::nullopt;
  OutputsViolation violation;
  if (verdict.first_violations.empty()) {
    const oracle::Mismatch& mismatch = verdict.first_residual_mismatches.front();
    violation.row = mismatch.row;
    violation.columns = {mismatch.column};
    violation.kind = OutputsViolation::Kind::residual;
    violation.text = mismatch_line(mismatch) + "\n";
    return violation;
  }
  const oracle::Certificate& certificate = verdict.first_violations.front();
  violation.row = certificate.row;
  for (const auto& element : certificate.elements) violation.columns.push_back(element.column);
  violation.kind = certificate.kind == oracle::ViolationKind::scale ? OutputsViolation::Kind::scale
                                                                    : OutputsViolation::Kind::rounding;
  violation.text = oracle::to_text(certificate, oracle::formula_of(test_case, policy));
  return violation;
}

std::optional<MinimizedOutputs> minimize_outputs(const Case& whole, const oracle::Policy& policy) {
  auto violation = first_violation(whole, policy);
  if (!violation) return std::nullopt;
  std::vector<std::int64_t> columns(static_cast<std::size_t>(whole.hidden_size()));
  std::iota(columns.begin(), columns.end(), std::int64_t{0});
  MinimizedOutputs result;
  result.test_case = extract(whole, violation->row, columns);
  result.columns = columns;
  const auto story = story_of(result.test_case, policy);
  const auto tells_the_same = [&](const std::vector<std::int64_t>& part) {
    Case candidate = extract(whole, violation->row, part);
    if (story_of(candidate, policy) != story) return false;
    result.test_case = std::move(candidate);
    result.columns = part;
    return true;
  };
  if (violation->kind == OutputsViolation::Kind::residual) {
    tells_the_same(violation->columns);
  } else {
    const std::vector<double> squares = squares_of(result.test_case, policy);
    // Without a finite mean square there is no r to keep.
    if (std::ranges::all_of(squares, [](double square) { return std::isfinite(square); })) {
      part_of_same_root(squares, static_cast<double>(whole.value_of(Parameter::epsilon)), violation->columns,
                        tells_the_same);
    } else {
      tells_the_same(violation->columns);
    }
  }
  result.test_case.description =
      fmt::format("Outputs that violate policy {}: row {} of a larger run, ", oracle::to_string(policy),
                  violation->row) +
      (result.columns.size() == columns.size()
           ? "whole."
           : fmt::format("column{} {} of {}.", result.columns.size() == 1 ? "" : "s",
                         fmt::join(result.columns, ", "), columns.size()));
  result.violation = *std::move(violation);
  return result;
}

}  // namespace normproof
