#include "properties/judged/beside.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "oracle/judged/block_beside.h"
#include "oracle/judged/block_quant.h"
#include "properties/judged/judge.h"
#include "properties/judging/report_text.h"

namespace normproof::judging {
namespace {

using oracle::BesideVerdict;

[[noreturn]] void refuse(const std::string& reason) { throw std::invalid_argument(reason); }

void require_same_tensor(std::string_view name, std::span<const std::byte> fused,
                         std::span<const std::byte> unfused) {
  if (!std::ranges::equal(fused, unfused))
    refuse(fmt::format("its {} is another one, so the two are not of one input", name));
}

std::string shape_text(std::int64_t rows, std::int64_t hidden_size, DType dtype) {
  return fmt::format("{} x {} {}", rows, hidden_size, name_of(dtype));
}
std::string shape_text(const Case& test_case) {
  return shape_text(test_case.rows(), test_case.hidden_size(), test_case.dtype);
}
std::string shape_text(const Call& call) { return shape_text(call.rows(), call.hidden_size(), call.dtype()); }
void require_same_size(const std::string& fused, const std::string& unfused) {
  if (fused != unfused) refuse(fmt::format("x is {}, that of the fused call {}", unfused, fused));
}

// By their names in dumps.
constexpr std::array kInputs = {std::pair(Role::input, "x"), std::pair(Role::residual, "residual"),
                                std::pair(Role::weight, "weight")};

void require_norm(const Case& unfused, std::optional<Operation> norm, std::string_view fused) {
  if (!norm) refuse(fmt::format("{} does not quantize, so there are no codes to compare", fused));
  if (unfused.operation != norm)
    refuse(fmt::format("is of {}; beside {} belongs {}, or {} itself", name_of(unfused.operation), fused,
                       name_of(*norm), fused));
  if (unfused.fp32_output)
    refuse(fmt::format("its out is fp32; the unfused output must be in {}, which is then quantized",
                       name_of(unfused.dtype)));
}

void require_same_input(const CaseSide& fused, const CaseSide& unfused) {
  const Case &one = fused.given.test_case, &other = unfused.given.test_case;
  require_same_size(shape_text(one), shape_text(other));
  if (one.weight_dtype != other.weight_dtype) refuse("its weight has another dtype");
  if (one.dtype_of(Role::residual) != other.dtype_of(Role::residual))
    refuse("its residual has another dtype");
  if (one.bits_of(Parameter::epsilon) != other.bits_of(Parameter::epsilon))
    refuse("its epsilon is another one");
  for (const auto& [role, name] : kInputs)
    require_same_tensor(name, fused.given.tensors[role], unfused.given.tensors[role]);
  if (!other.has_codes()) return;
  if (one.output_dtype() != other.output_dtype()) refuse("its codes have another dtype");
  if (has(one.operation, NormStep::quantize) &&
      one.bits_of(Parameter::scale) != other.bits_of(Parameter::scale))
    refuse("its scale is another one");
}

void require_same_input(const Call& fused, const Call& unfused) {
  require_same_size(shape_text(fused), shape_text(unfused));
  if (fused.epsilon != unfused.epsilon) refuse("its epsilon is another one");
  for (const std::string_view name : {"x", "residual", "weight", "scale_ub", "global_scale"}) {
    const oracle::judged::Tensor *one = fused.find(name), *other = unfused.find(name);
    if ((one == nullptr) != (other == nullptr) || (one != nullptr && one->dtype != other->dtype))
      refuse(fmt::format("its {} is missing, or has another dtype", name));
    if (one != nullptr) require_same_tensor(name, one->bytes, other->bytes);
  }
  for (const std::string_view name : {"out", "scales"})
    if (fused.at(name).dtype != unfused.at(name).dtype) refuse(fmt::format("its {} has another dtype", name));
}

void require_same_input(const Call& fused, const RowSlice& unfused) {
  const Case& other = unfused.test_case;
  require_same_size(shape_text(fused), shape_text(other));
  if (fused.epsilon != other.bits_of(Parameter::epsilon)) refuse("its epsilon is another one");
  const oracle::judged::Tensor* weight = fused.find("weight");
  if (other.weight_dtype != (weight == nullptr ? std::optional<DType>() : weight->dtype))
    refuse("its weight is missing, or has another dtype");
  for (const auto& [role, name] : kInputs)
    if (fused.has(name)) require_same_tensor(name, fused.at(name).bytes, unfused.tensors[role]);
}

BesideSide judged(const CaseSide& side, int threads) {
  JudgeRowsOptions how;
  how.threads = threads;
  const RowSlice& given = side.given;
  const oracle::WitnessVerdict verdict =
      judge_witness_rows(given.test_case, given.tensors, given.outputs, side.policy, how);
  return {subject_of(given.test_case),    std::string(name_of(given.test_case.operation)),
          oracle::to_string(side.policy), verdict.rows,
          verdict.conforming_rows(),      verdict.conforms()};
}

BesideSide judged(const CallSide& side, int threads) {
  JudgeOptions how;
  how.threads = threads;
  how.doubts = false;
  const Judgement judgement = judge(side.call, side.policy, how);
  const PartVerdict& rows = judgement.parts.front();
  return {subject_of(side.call),  std::string(side.call.operation->name),
          to_string(side.policy), rows.units,
          rows.conforming,        judgement.conforms()};
}

// Both sides' verdicts, and how bits of blocks are written down.
template <typename Unfused>
BesideComparison of_blocks(const CallSide& fused, const Unfused& unfused, int threads) {
  BesideComparison result;
  result.fused = judged(fused, threads);
  result.unfused = judged(unfused, threads);
  const oracle::BlockSetup setup = block_setup_of(fused.call, fused.policy);
  result.codes = &oracle::BlockCodes(setup.quantized, setup.formula.policy).format();
  result.scale_text = [rule = oracle::BlockScaleRule(setup.scale)](std::uint32_t bits) {
    return rule.text_of(bits);
  };
  return result;
}

std::string code_text(const oracle::Format& format, std::uint32_t code) {
  return fmt::format("{} ({})", oracle::value_text(format, code), oracle::hex_bits(format, code));
}

}  // namespace

const std::string_view kNotLookedAtBeside =
    "how many codes of one row may differ at once; each is compared alone";

std::optional<Operation> norm_beside(Operation fused) { return spec_of(fused).without_last_step; }
std::optional<Operation> norm_beside(const oracle::judged::JudgedOperation& fused) {
  if (fused.slice_blocks == nullptr) return std::nullopt;
  using enum NormStep;
  return find_tensor(fused, "residual") != nullptr ? operation_of({add_residual, normalize})
                                                   : operation_of({normalize});
}

oracle::Policy policy_beside(oracle::Policy fused) {
  fused.inverse_root.order.reset();  // it is the fused kernel's
  return fused;
}
oracle::Policy policy_beside(const CallSide& fused) {
  return policy_beside(oracle::judged::policy_of_norm(fused.call, fused.policy));
}

BesideComparison compare_beside(const CaseSide& fused, const CaseSide& unfused, int threads) {
  const Case& test_case = fused.given.test_case;
  BesideComparison result;
  result.unfused_is_quantized = unfused.given.test_case.operation == test_case.operation;
  const std::optional<Operation> norm = norm_beside(test_case.operation);
  if (!norm || !result.unfused_is_quantized)
    require_norm(unfused.given.test_case, norm, name_of(test_case.operation));
  require_same_input(fused, unfused);
  result.fused = judged(fused, threads);
  result.unfused = judged(unfused, threads);
  result.verdict = oracle::compare_beside(test_case, fused.given.tensors, fused.given.outputs,
                                          unfused.given.outputs, result.unfused_is_quantized, fused.policy);
  result.codes = &oracle::format_of(test_case.output_dtype());
  result.scale_text = [](std::uint32_t bits) {
    return fmt::format("{} ({})", oracle::value_text(DType::fp32, bits), oracle::hex_bits(DType::fp32, bits));
  };
  return result;
}

BesideComparison compare_beside(const CallSide& fused, const CallSide& unfused, int threads) {
  if (unfused.call.operation != fused.call.operation)
    refuse(fmt::format("is of {}, not of {}", unfused.call.operation->name, fused.call.operation->name));
  require_same_input(fused.call, unfused.call);
  BesideComparison result = of_blocks(fused, unfused, threads);
  result.unfused_is_quantized = true;
  result.verdict =
      oracle::judged::compare_beside(fused.call, fused.policy, {}, &unfused.call, unfused.policy);
  return result;
}

BesideComparison compare_beside(const CallSide& fused, const CaseSide& unfused, int threads) {
  require_norm(unfused.given.test_case, norm_beside(*fused.call.operation), fused.call.operation->name);
  require_same_input(fused.call, unfused.given);
  BesideComparison result = of_blocks(fused, unfused, threads);
  result.verdict = oracle::judged::compare_beside(fused.call, fused.policy, unfused.given.outputs[Role::out],
                                                  nullptr, fused.policy);
  return result;
}

std::vector<std::uint32_t> listed(const oracle::CodeSet& codes) {
  std::vector<std::uint32_t> result;
  for (std::uint32_t code = 0; code < codes.size(); ++code)
    if (codes.test(code)) result.push_back(code);
  return result;
}

std::string line_of(const BesideComparison& compared, const oracle::CodeBeside& code) {
  std::string reachable;
  for (const std::uint32_t each : listed(code.reachable))
    reachable += (reachable.empty() ? "" : ", ") + code_text(*compared.codes, each);
  return fmt::format("row {}, column {}: fused {}, unfused {}, reachable {}", code.row, code.column,
                     code_text(*compared.codes, code.fused), code_text(*compared.codes, code.unfused),
                     reachable);
}

std::string line_of(const BesideComparison& compared, const oracle::ScaleDifference& difference) {
  const oracle::ScaleBeside& scale = difference.scale;
  return fmt::format("row {}, columns {} to {}: fused {}, unfused {}", difference.row, scale.begin,
                     scale.end - 1, compared.scale_text(scale.fused), compared.scale_text(scale.unfused));
}

std::string counts_text(const BesideComparison& compared) {
  const BesideVerdict& found = compared.verdict;
  std::string text =
      fmt::format("  codes: {}; may legally differ {}; differ {}, legal {}, illegal {}\n", found.codes,
                  found.codes_that_may_differ, found.codes_that_differ, found.legal_codes_that_differ(),
                  found.codes_that_differ - found.legal_codes_that_differ());
  if (found.illegal_codes_equal > 0)
    text += fmt::format("  codes that are equal, and that no admissible r gives: {}\n",
                        found.illegal_codes_equal);
  for (const oracle::CodeBeside& code : found.first_illegal_codes)
    text += fmt::format("    illegal: {}\n", line_of(compared, code));
  if (found.illegal_codes > static_cast<std::int64_t>(found.first_illegal_codes.size()))
    text += fmt::format("    more illegal codes: {}\n", found.illegal_codes - BesideVerdict::kListed);
  for (const oracle::CodeBeside& code : found.first_legal_codes)
    text += fmt::format("    legal: {}\n", line_of(compared, code));
  if (found.scales > 0) {
    text += fmt::format("  scales: {}; may legally differ {}; differ {}, illegal {}\n", found.scales,
                        found.scales_that_may_differ, found.scales_that_differ, found.illegal_scales);
    for (const oracle::ScaleDifference& scale : found.first_illegal_scales)
      text += fmt::format("    illegal: {}\n", line_of(compared, scale));
  }
  if (found.codes_not_judged > 0)
    text += fmt::format("  codes made with an illegal scale, not compared: {}\n", found.codes_not_judged);
  return text + fmt::format("  not looked at: {}\n", kNotLookedAtBeside);
}

std::string diagnosis_of(const BesideComparison& compared) {
  const BesideVerdict& found = compared.verdict;
  if (found.illegal_scales > 0)
    return fmt::format("{} of {} scales are not legal", found.illegal_scales, found.scales);
  if (found.illegal_codes > 0) return fmt::format("{} codes are not legal", found.illegal_codes);
  if (!compared.fused.conforms)
    return "each code is legal alone, but no one r explains all of a row, or a stored sum is wrong";
  return compared.unfused.conforms ? "" : "the unfused outputs violate their policy";
}

}  // namespace normproof::judging
