// Replays one element on the exact path, step by step, and then once more for every single deviation.
#include "oracle/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "oracle/canonical.h"
#include "oracle/code_factor.h"
#include "oracle/inverse_root.h"
#include "oracle/root_hint.h"
#include "oracle/row_roots.h"

namespace normproof::oracle {
namespace {

struct ElementBits {
  std::uint64_t out = 0;
  std::uint64_t residual_out = 0;
  std::uint64_t row_scale = 0;  // where rows have scales of their own
};

// One element computed with a policy and at most one altered step.
class Element {
 public:
  Element(const Case& test_case, const CaseTensors& tensors, std::int64_t row, std::int64_t column)
      : test_case_(test_case), tensors_(tensors), row_(row), column_(column) {}

  // `factor`: which of the factors that the scale leaves, the nearest inverse being the first.
  ElementBits compute(const Policy& policy, std::optional<AlteredStep> altered,
                      std::vector<StepRecord>* record = nullptr, RowScale* scale_out = nullptr,
                      std::size_t factor = 0) const {
    const Formula formula = formula_of(test_case_, policy);
    Arithmetic silent(nullptr, altered);
    Arithmetic arithmetic(record, altered);
    ExactRow row{row_, {}};
    for (std::int64_t j = 0; j < formula.hidden_size; ++j) row.sums.push_back(sum(formula, silent, j));
    const SumParts own_sums = sum(formula, arithmetic, column_);
    const RowScale scale = exact_row_scale(arithmetic, formula, row.variance_operands());
    if (scale_out != nullptr) *scale_out = scale;
    RowQuantization own;
    Formula of_row = formula;
    if (formula.has(NormStep::quantize_by_row)) {
      own = exact_row_quantization(arithmetic, formula, row, tensors_, scale.inverse_root, altered);
      of_row = formula.with_scale(own.scale, own.factor);
    }
    if (factor > 0) {
      const auto factors = exact_code_factors(formula, of_row.bits_of(Parameter::scale));
      of_row = of_row.with_factor(factors[std::min(factor, factors.size() - 1)]);
    }
    return {exact_output(arithmetic, of_row,
                         operands_at(formula, tensors_, row_, column_, own_sums.output_operand),
                         scale.inverse_root),
            round_bits(format_of(formula.formats.residual()), own_sums.residual_out), own.scale};
  }

 private:
  SumParts sum(const Formula& formula, Arithmetic& arithmetic, std::int64_t column) const {
    return sum_at(arithmetic, formula, tensors_, row_ * formula.hidden_size + column);
  }

  const Case& test_case_;
  const CaseTensors& tensors_;
  std::int64_t row_;
  std::int64_t column_;
};

ExplainedStep explain_step(const StepRecord& record) {
  const Format& format = *record.format;
  ExplainedStep step;
  step.record = record;
  step.rounded_bits = round_bits(format, record.rounded);
  step.below_bits = round_bits(format, record.exact, Rounding::down);
  step.above_bits = round_bits(format, record.exact, Rounding::up);
  const Value below = decode(format, step.below_bits);
  const Value above = decode(format, step.above_bits);
  if (!below.is_finite() || !above.is_finite() || below == above) return step;
  const Value above_below = record.exact + -below;
  const Value spacing = above + -below;
  step.fraction = to_double(quotient(above_below, spacing));
  step.is_tie = above_below * Value::integer(2) == spacing;
  return step;
}

std::string bits_and_value(const Format& format, std::uint64_t bits) {
  return fmt::format("{} ({})", value_text(format, bits), hex_bits(format, bits));
}
std::string bits_and_value(DType dtype, std::uint64_t bits) { return bits_and_value(format_of(dtype), bits); }

std::string subject_of(const Case& test_case, const Policy& policy) {
  std::string text = fmt::format("{}, T = {}", name_of(test_case.operation), format_of(test_case.dtype).name);
  text += test_case.weight_dtype ? fmt::format(", W = {}", format_of(*test_case.weight_dtype).name)
                                 : ", no weight";
  if (test_case.quantized_dtype) text += fmt::format(", Q = {}", format_of(*test_case.quantized_dtype).name);
  return text + fmt::format(", H = {}, policy {}", test_case.shape.back(), to_string(policy));
}

// Every way of changing one axis of the policy or one step, with its name.
struct Change {
  std::string name;
  Policy policy;
  std::optional<AlteredStep> altered;
  std::size_t factor = 0;  // which of those that the scale leaves
};
std::vector<Change> single_changes(const Case& test_case, const Policy& policy,
                                   const std::vector<StepRecord>& record) {
  std::vector<Change> changes;
  for (std::size_t axis = 0; axis < policy_axes().size(); ++axis) {
    if (!axis_applies(axis, test_case)) continue;
    const PolicyAxis& description = policy_axes()[axis];
    for (std::size_t value = 0; value < description.values.size(); ++value) {
      if (value == axis_value(policy, axis)) continue;
      changes.push_back({fmt::format("policy {}={}: {}", description.name, description.values[value].name,
                                     description.values[value].formula),
                         with_axis_value(policy, axis, value),
                         {}});
    }
  }
  if (test_case.quantized_dtype && row_of(policy.scaling).approximate)
    changes.push_back({"the other number next to 1/scale", policy, {}, 1});
  std::vector<Step> steps = {Step::accumulate};
  for (const StepRecord& entry : record) {
    if (std::ranges::find(steps, entry.step) == steps.end()) steps.push_back(entry.step);
  }
  for (const Step step : steps) {
    for (const Alteration alteration :
         {Alteration::skip, Alteration::truncate, Alteration::round_to_bf16, Alteration::ties_away}) {
      changes.push_back({fmt::format("step \"{}\" {}", name_of(step), name_of(alteration)), policy,
                         AlteredStep{step, alteration}});
    }
  }
  return changes;
}

void require_element(const Case& test_case, const CaseTensors& tensors, std::int64_t row,
                     std::int64_t column) {
  const std::int64_t hidden_size = test_case.shape.back();
  const auto row_bytes =
      static_cast<std::size_t>(hidden_size) * static_cast<std::size_t>(format_of(test_case.dtype).bits / 8);
  const auto rows = static_cast<std::int64_t>(tensors[Role::input].size() / row_bytes);
  if (row < 0 || row >= rows) {
    throw std::invalid_argument(fmt::format("row: {} is not in 0 .. {}", row, rows - 1));
  }
  if (column < 0 || column >= hidden_size) {
    throw std::invalid_argument(fmt::format("column: {} is not in 0 .. {}", column, hidden_size - 1));
  }
}

// Why the row as a whole may have the r that it shows.
std::vector<std::string> causes_of_root(const Case& test_case, const CaseTensors& tensors,
                                        const Outputs& outputs, std::int64_t row, const Policy& policy) {
  constexpr std::size_t kMostCauses = 3;
  // A lone short row leaves much to luck; here the element is known to be wrong, and causes are all it lacks.
  constexpr double kChance = 1;
  Case one = test_case;
  one.shape = {1, test_case.shape.back()};
  const auto own = [&](const TensorBytes& all, Role role) {
    const auto bytes = static_cast<std::ptrdiff_t>(one.bytes_of(role));
    const auto begin = all[role].begin() + (all[role].size() == one.bytes_of(role) ? 0 : row * bytes);
    return std::vector<std::byte>(begin, begin + bytes);
  };
  CaseTensors operands;
  Outputs results;
  for (const Role role : kRoles) {
    if (one.has_data(role)) operands[role] = own(tensors, role);
    if (one.has_output(role)) results[role] = own(outputs, role);
  }
  const std::vector<ShownRow> shown = shown_rows(one, operands, results, policy);
  const double epsilon = to_double(decode(DType::fp32, test_case.bits_of(Parameter::epsilon)));
  return root_hints({shown, epsilon, &format_of(test_case.dtype)}, kMostCauses, kChance);
}

std::string step_text(const ExplainedStep& step) {
  const Format& format = *step.record.format;
  std::string text = fmt::format("  {:<24} {:<26} = {}\n", name_of(step.record.step), step.record.formula,
                                 to_decimal(step.record.exact));
  text += fmt::format("  {:<24} rounded to {:<15} = {}", "", format.name,
                      bits_and_value(format, step.rounded_bits));
  if (step.below_bits == step.above_bits) return text + ", exact\n";
  const std::string below = bits_and_value(format, step.below_bits);
  const std::string above = bits_and_value(format, step.above_bits);
  return text + fmt::format("\n  {:<24} between {} and {}, {}\n", "", below, above,
                            step.is_tie ? "a tie" : fmt::format("{:.6f} ulp above the lower", step.fraction));
}

}  // namespace

Explanation explain(const Case& test_case, const CaseTensors& tensors, const std::optional<Outputs>& outputs,
                    std::int64_t row, std::int64_t column, const Policy& policy) {
  require_input_sizes(test_case, tensors);
  if (outputs) require_output_sizes(test_case, *outputs);
  require_element(test_case, tensors, row, column);
  const Formula formula = formula_of(test_case, policy);
  const DType activation = formula.formats.activation;
  const std::int64_t index = row * formula.hidden_size + column;

  Explanation explanation;
  explanation.subject = subject_of(test_case, policy);
  explanation.row = row;
  explanation.column = column;
  const auto operand = [&](const char* name, DType dtype, const std::vector<std::byte>& data,
                           std::int64_t i) {
    explanation.operands.push_back(
        fmt::format("{} = {}", name, bits_and_value(dtype, load_bits(data, dtype, i))));
  };
  operand("x", activation, tensors[Role::input], index);
  if (formula.has(Role::residual))
    operand("residual", formula.formats.residual(), tensors[Role::residual], index);
  if (formula.formats.weight) operand("w", *formula.formats.weight, tensors[Role::weight], column);
  explanation.operands.push_back("epsilon = " +
                                 bits_and_value(DType::fp32, formula.bits_of(Parameter::epsilon)));
  if (formula.formats.quantized && !formula.has(NormStep::quantize_by_row)) {
    explanation.operands.push_back("scale = " +
                                   bits_and_value(DType::fp32, formula.bits_of(Parameter::scale)));
  }
  if (test_case.has_scale_ub())
    explanation.operands.push_back("scale_ub = " +
                                   bits_and_value(DType::fp32, formula.bits_of(Parameter::scale_ub)));

  std::vector<StepRecord> record;
  RowScale scale;
  const Element element(test_case, tensors, row, column);
  const ElementBits wanted = element.compute(policy, {}, &record, &scale);
  for (const StepRecord& entry : record) explanation.steps.push_back(explain_step(entry));

  Value sum;
  for (const Value& x : decode_row(formula, tensors, row).variance_operands()) sum = sum + x * x;
  const Value count = Value::integer(formula.hidden_size);
  explanation.exact_sum_of_squares = sum;
  explanation.canonical_sum_of_squares = scale.sum;
  explanation.correctly_rounded_inverse_root = decode(
      DType::fp32,
      inverse_root_bits(sum + count * decode(DType::fp32, formula.bits_of(Parameter::epsilon)), count));

  ExplainedOutput out{"out", formula.output_dtype(), static_cast<std::uint32_t>(wanted.out), {}, {}};
  ExplainedOutput residual_out{
      "residual_out", formula.formats.residual(), static_cast<std::uint32_t>(wanted.residual_out), {}, {}};
  ExplainedOutput row_scale{"scales", DType::fp32, static_cast<std::uint32_t>(wanted.row_scale), {}, {}};
  if (outputs) {
    if (formula.has(NormStep::quantize_by_row)) row_scale.got = row_scale_bits(formula, *outputs, row);
    out.got = load_bits((*outputs)[Role::out], out.dtype, index);
    if (formula.has(Role::residual_out))
      residual_out.got = load_bits((*outputs)[Role::residual_out], residual_out.dtype, index);
  }
  const auto differs = [](const ExplainedOutput& o) { return o.got && !same(o.dtype, *o.got, o.wanted); };
  if (differs(out) || differs(residual_out) || differs(row_scale)) {
    for (const Change& change : single_changes(test_case, policy, record)) {
      const ElementBits changed =
          element.compute(change.policy, change.altered, nullptr, nullptr, change.factor);
      if (differs(out) && same(out.dtype, *out.got, changed.out)) out.reproduced_by.push_back(change.name);
      if (differs(residual_out) && same(residual_out.dtype, *residual_out.got, changed.residual_out)) {
        residual_out.reproduced_by.push_back(change.name);
      }
      if (differs(row_scale) && same(DType::fp32, *row_scale.got, changed.row_scale))
        row_scale.reproduced_by.push_back(change.name);
    }
    if (differs(out)) {
      for (const std::string& cause : causes_of_root(test_case, tensors, *outputs, row, policy))
        out.reproduced_by.push_back("another r in the whole row: " + cause);
    }
  }
  explanation.outputs.push_back(std::move(out));
  if (formula.has(Role::residual_out)) explanation.outputs.push_back(std::move(residual_out));
  if (formula.has(NormStep::quantize_by_row)) explanation.outputs.push_back(std::move(row_scale));
  return explanation;
}

std::string to_text(const Explanation& explanation) {
  std::string text = fmt::format("{}\nelement [row {}, column {}]:", explanation.subject, explanation.row,
                                 explanation.column);
  for (const std::string& operand : explanation.operands) text += "  " + operand;
  text += "\n";
  text += fmt::format("  {:<24} exact {}, canonical order {}\n", "sum of squares",
                      to_decimal(explanation.exact_sum_of_squares),
                      to_decimal(explanation.canonical_sum_of_squares));
  for (const ExplainedStep& step : explanation.steps) text += step_text(step);
  text += fmt::format("  {:<24} from the exact sum, rounded once: {}\n", "inverse root",
                      to_decimal(explanation.correctly_rounded_inverse_root));
  for (const ExplainedOutput& output : explanation.outputs) {
    text += fmt::format("{}: the contract says {}", output.name, bits_and_value(output.dtype, output.wanted));
    if (!output.got) {
      text += "\n";
      continue;
    }
    const std::uint64_t distance = ulp_distance(output.dtype, *output.got, output.wanted);
    text += fmt::format(", got {}", bits_and_value(output.dtype, *output.got));
    if (same(output.dtype, *output.got, output.wanted)) {
      text += ": equal\n";
      continue;
    }
    text += is_nan(output.dtype, *output.got) || is_nan(output.dtype, output.wanted)
                ? ": one of them is NaN\n"
                : fmt::format(": {} ulp apart\n", distance);
    if (output.reproduced_by.empty())
      text += "  no single change of policy or rounding gives the bits that were got\n";
    for (const std::string& change : output.reproduced_by)
      text += fmt::format("  these bits come from {}\n", change);
  }
  return text;
}

}  // namespace normproof::oracle
