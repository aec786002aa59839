#include "properties/run/minimize_outputs.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "oracle/witness_judge.h"
#include "properties/run/judge_rows.h"

namespace normproof {
namespace {

// The chosen columns of one row as a case of their own.
Case extract(const Case& whole, std::int64_t row, const std::vector<std::int64_t>& columns) {
  Case part = whole;
  part.name = "minimized";
  part.shape = {1, static_cast<std::int64_t>(columns.size())};
  const auto pick = [&](std::vector<std::byte>& data, DType dtype, std::int64_t first) {
    if (data.empty()) return;
    std::vector<std::byte> picked(columns.size() * size_of(dtype));
    for (std::size_t index = 0; index < columns.size(); ++index) {
      store_bits(picked, dtype, static_cast<std::int64_t>(index),
                 load_bits(data, dtype, first + columns[index]));
    }
    data = std::move(picked);
  };
  const std::int64_t first = row * whole.hidden_size();
  pick(part.input.bytes, part.dtype, first);
  pick(part.residual.bytes, part.dtype, first);
  if (part.weight_dtype) pick(part.weight.bytes, *part.weight_dtype, 0);
  pick(part.outputs->out, part.output_dtype(), first);
  pick(part.outputs->residual_out, part.dtype, first);
  make_plain(part);
  return part;
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
    violation.text = mismatch_line(mismatch) + "\n";
    return violation;
  }
  const oracle::Certificate& certificate = verdict.first_violations.front();
  violation.row = certificate.row;
  for (const auto& element : certificate.elements) violation.columns.push_back(element.column);
  violation.scale = certificate.kind == oracle::ViolationKind::scale;
  violation.text = oracle::to_text(certificate, oracle::formula_of(test_case, policy));
  return violation;
}

std::optional<MinimizedOutputs> minimize_outputs(const Case& whole, const oracle::Policy& policy) {
  auto violation = first_violation(whole, policy);
  if (!violation) return std::nullopt;
  MinimizedOutputs result;
  result.test_case = extract(whole, violation->row, violation->columns);
  result.proves_alone = !violation->scale && first_violation(result.test_case, policy).has_value();
  if (!result.proves_alone) {
    std::vector<std::int64_t> columns(static_cast<std::size_t>(whole.hidden_size()));
    std::iota(columns.begin(), columns.end(), std::int64_t{0});
    result.test_case = extract(whole, violation->row, columns);
  }
  std::string& description = result.test_case.description;
  description = fmt::format("Outputs that violate policy {}: row {} of a larger run, column{} {}",
                            oracle::to_string(policy), violation->row,
                            violation->columns.size() == 1 ? "" : "s", violation->columns.front());
  description +=
      violation->columns.size() == 2 ? fmt::format(" and {}.", violation->columns[1]) : std::string(".");
  result.violation = *std::move(violation);
  return result;
}

}  // namespace normproof
