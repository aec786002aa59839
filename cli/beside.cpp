#include "cli/beside.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "cli/commands.h"
#include "cli/given_calls.h"
#include "oracle/beside.h"
#include "oracle/formats.h"
#include "oracle/judged/block_beside.h"
#include "oracle/judged/block_quant.h"
#include "properties/judged/judge.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using oracle::BesideVerdict;
using oracle::judged::Call;
using oracle::judged::StoredCall;

// What both sides' judges say of their rows, and how bits are written down.
struct Side {
  std::string file, subject, operation, policy;
  std::int64_t rows = 0, conforming = 0;
  bool conforms = false;
};
struct Compared {
  Side fused, unfused;
  bool unfused_is_quantized = false;
  BesideVerdict verdict;
  const oracle::Format* codes = nullptr;
  std::function<std::string(std::uint32_t)> scale_text;
  std::string dtype;
  std::int64_t hidden_size = 0;
};

[[noreturn]] void refuse(const BesideOptions& options, std::string_view reason) {
  throw UsageError(fmt::format("--beside {}: {}", options.file, reason));
}

void require_same_tensor(const BesideOptions& options, std::string_view name,
                         std::span<const std::byte> fused, std::span<const std::byte> unfused) {
  if (std::ranges::equal(fused, unfused)) return;
  refuse(options, fmt::format("its {} is another one, so the two are not of one input", name));
}

std::string shape_text(std::int64_t rows, std::int64_t hidden_size, DType dtype) {
  return fmt::format("{} x {} {}", rows, hidden_size, name_of(dtype));
}

// By their names in dumps.
constexpr std::array kInputs = {std::pair(Role::input, "x"), std::pair(Role::residual, "residual"),
                                std::pair(Role::weight, "weight")};

void require_same_size(const BesideOptions& options, const std::string& fused, const std::string& unfused) {
  if (fused != unfused) refuse(options, fmt::format("x is {}, that of the fused dump {}", unfused, fused));
}

JudgingOptions of_unfused(const BesideOptions& options) {
  JudgingOptions result = options.judging;
  result.operation.clear();
  result.policy = options.policy;
  result.order.clear();  // it is the fused kernel's
  return result;
}

// The unfused dump, of which the policy is the fused one's where nothing says another.
GivenOutputs read_unfused(const BesideOptions& options, oracle::Policy of_fused) {
  GivenOutputs given = read_given_outputs(options.file, of_unfused(options));
  if (!given.policy_of_file && options.policy.empty()) {
    of_fused.inverse_root.order.reset();
    given.policy = std::move(of_fused);
  }
  return given;
}

void keep_rows(GivenOutputs& given, const std::optional<std::int64_t>& rows) {
  if (!rows || *rows >= given.test_case.rows()) return;
  RowSlice slice = slice_rows(given.test_case, given.tensors, given.outputs, 0, *rows);
  given.test_case = std::move(slice.test_case);
  given.tensors = std::move(slice.tensors);
  given.outputs = std::move(slice.outputs);
}

Side judged(const std::string& file, const GivenOutputs& given, int threads) {
  JudgeRowsOptions how;
  how.threads = threads;
  const oracle::WitnessVerdict verdict =
      judge_witness_rows(given.test_case, given.tensors, given.outputs, given.policy, how);
  return {file,
          subject_of(given.test_case),
          std::string(name_of(given.test_case.operation)),
          oracle::to_string(given.policy),
          verdict.rows,
          verdict.conforming_rows(),
          verdict.conforms()};
}

Side judged(const std::string& file, const Call& call, const oracle::judged::Policy& policy, int threads) {
  judging::JudgeOptions how;
  how.threads = threads;
  how.doubts = false;
  const judging::Judgement judgement = judging::judge(call, policy, how);
  Side side{file, subject_of(call), std::string(call.operation->name), to_string(policy)};
  side.rows = judgement.parts.front().units;
  side.conforming = judgement.parts.front().conforming;
  side.conforms = judgement.conforms();
  return side;
}

// The norm that the unfused dump must be of; nothing where an operation does not quantize.
std::optional<Operation> norm_of(const OperationSpec& fused) {
  return quantizes(fused.operation) ? fused.without_last_step : std::nullopt;
}

void require_norm(const BesideOptions& options, const GivenOutputs& unfused, Operation norm,
                  std::string_view fused) {
  const Case& test_case = unfused.test_case;
  if (test_case.operation != norm)
    refuse(options, fmt::format("is of {}; beside {} belongs {}, or {} itself", name_of(test_case.operation),
                                fused, name_of(norm), fused));
  if (test_case.fp32_output)
    refuse(options, fmt::format("its out is fp32; the unfused output must be in {}, which is then quantized",
                                name_of(test_case.dtype)));
}

void require_same_input(const BesideOptions& options, const GivenOutputs& fused,
                        const GivenOutputs& unfused) {
  const Case &one = fused.test_case, &other = unfused.test_case;
  require_same_size(options, shape_text(one.rows(), one.hidden_size(), one.dtype),
                    shape_text(other.rows(), other.hidden_size(), other.dtype));
  if (one.weight_dtype != other.weight_dtype) refuse(options, "its weight has another dtype");
  if (one.dtype_of(Role::residual) != other.dtype_of(Role::residual))
    refuse(options, "its residual has another dtype");
  if (one.bits_of(Parameter::epsilon) != other.bits_of(Parameter::epsilon))
    refuse(options, "its epsilon is another one");
  for (const auto& [role, name] : kInputs)
    require_same_tensor(options, name, fused.tensors[role], unfused.tensors[role]);
  if (!quantizes(other.operation)) return;
  if (one.quantized_dtype != other.quantized_dtype) refuse(options, "its codes have another dtype");
  if (has(one.operation, NormStep::quantize) &&
      one.bits_of(Parameter::scale) != other.bits_of(Parameter::scale))
    refuse(options, "its scale is another one");
}

Compared compare_cases(const std::string& file, const BesideOptions& options) {
  GivenOutputs fused = read_given_outputs(file, options.judging);
  const Case& test_case = fused.test_case;
  const std::optional<Operation> norm = norm_of(spec_of(test_case.operation));
  if (!norm)
    throw UsageError(fmt::format("{}: {} does not quantize, so --beside has no codes to compare", file,
                                 name_of(test_case.operation)));
  GivenOutputs unfused = read_unfused(options, fused.policy);
  Compared result;
  result.unfused_is_quantized = unfused.test_case.operation == test_case.operation;
  if (!result.unfused_is_quantized) require_norm(options, unfused, *norm, name_of(test_case.operation));
  keep_rows(fused, options.rows);
  keep_rows(unfused, options.rows);
  require_same_input(options, fused, unfused);
  result.fused = judged(file, fused, options.threads);
  result.unfused = judged(options.file, unfused, options.threads);
  result.verdict = oracle::compare_beside(test_case, fused.tensors, fused.outputs, unfused.outputs,
                                          result.unfused_is_quantized, fused.policy);
  result.codes = &oracle::format_of(*test_case.quantized_dtype);
  result.scale_text = [](std::uint32_t bits) {
    return fmt::format("{} ({})", oracle::value_text(DType::fp32, bits), oracle::hex_bits(DType::fp32, bits));
  };
  result.dtype = name_of(test_case.dtype);
  result.hidden_size = test_case.hidden_size();
  return result;
}

void require_same_input(const BesideOptions& options, const Call& fused, const Call& unfused) {
  require_same_size(options, shape_text(fused.rows(), fused.hidden_size(), fused.dtype()),
                    shape_text(unfused.rows(), unfused.hidden_size(), unfused.dtype()));
  if (fused.epsilon != unfused.epsilon) refuse(options, "its epsilon is another one");
  for (const std::string_view name : {"x", "residual", "weight", "scale_ub", "global_scale"}) {
    const oracle::judged::Tensor *one = fused.find(name), *other = unfused.find(name);
    if ((one == nullptr) != (other == nullptr) || (one != nullptr && one->dtype != other->dtype))
      refuse(options, fmt::format("its {} is missing, or has another dtype", name));
    if (one != nullptr) require_same_tensor(options, name, one->bytes, other->bytes);
  }
  for (const std::string_view name : {"out", "scales"})
    if (fused.at(name).dtype != unfused.at(name).dtype)
      refuse(options, fmt::format("its {} has another dtype", name));
}

void require_same_input(const BesideOptions& options, const Call& fused, const GivenOutputs& unfused) {
  const Case& other = unfused.test_case;
  require_same_size(options, shape_text(fused.rows(), fused.hidden_size(), fused.dtype()),
                    shape_text(other.rows(), other.hidden_size(), other.dtype));
  if (fused.epsilon != other.bits_of(Parameter::epsilon)) refuse(options, "its epsilon is another one");
  const oracle::judged::Tensor* weight = fused.find("weight");
  if (other.weight_dtype != (weight == nullptr ? std::optional<DType>() : weight->dtype))
    refuse(options, "its weight is missing, or has another dtype");
  for (const auto& [role, name] : kInputs)
    if (fused.has(name)) require_same_tensor(options, name, fused.at(name).bytes, unfused.tensors[role]);
}

bool is_of_blocks(const Call& call) { return call.operation->slice_blocks != nullptr; }

Compared compare_calls(const std::string& file, StoredCall stored, const BesideOptions& options) {
  if (!is_of_blocks(stored.call))
    throw UsageError(
        fmt::format("{}: --beside does not compare {}; it compares norms that quantize, by a "
                    "scale that is given, by rows or by blocks",
                    file, stored.call.operation->name));
  const oracle::judged::Policy policy = fitting_policy(file, stored, options.judging);
  Call fused = std::move(stored.call);
  Compared result;
  const auto first_rows = [&](Call call, const oracle::judged::Policy& of_call) {
    return options.rows ? judging::first_rows(call, *options.rows, of_call) : std::move(call);
  };
  if (auto other = read_given_call(options.file, of_unfused(options), true)) {
    if (other->call.operation != fused.operation)
      refuse(options, fmt::format("is of {}, not of {}", other->call.operation->name, fused.operation->name));
    JudgingOptions how = of_unfused(options);
    if (how.policy.empty() && !other->policy) how.policy = to_string(policy);
    const oracle::judged::Policy of_other = fitting_policy(options.file, *other, how);
    fused = first_rows(std::move(fused), policy);
    const Call unfused = first_rows(std::move(other->call), of_other);
    require_same_input(options, fused, unfused);
    result.unfused_is_quantized = true;
    result.unfused = judged(options.file, unfused, of_other, options.threads);
    result.verdict = oracle::judged::compare_beside(fused, policy, {}, &unfused, of_other);
  } else {
    GivenOutputs unfused = read_unfused(options, oracle::judged::policy_of_norm(fused, policy));
    require_norm(options, unfused,
                 fused.has("residual") ? Operation::fused_add_rms_norm : Operation::rms_norm,
                 fused.operation->name);
    fused = first_rows(std::move(fused), policy);
    keep_rows(unfused, options.rows);
    require_same_input(options, fused, unfused);
    result.unfused = judged(options.file, unfused, options.threads);
    result.verdict =
        oracle::judged::compare_beside(fused, policy, unfused.outputs[Role::out], nullptr, policy);
  }
  result.fused = judged(file, fused, policy, options.threads);
  const oracle::BlockSetup setup = block_setup_of(fused, policy);
  result.codes = &oracle::BlockCodes(setup.quantized, setup.formula.policy).format();
  result.scale_text = [rule = oracle::BlockScaleRule(setup.scale)](std::uint32_t bits) {
    return rule.text_of(bits);
  };
  result.dtype = name_of(fused.dtype());
  result.hidden_size = fused.hidden_size();
  return result;
}

// --- Words. ---

constexpr std::string_view kNotLookedAt =
    "how many codes of one row may differ at once; each is compared alone";

std::string code_text(const oracle::Format& format, std::uint32_t code) {
  return fmt::format("{} ({})", oracle::value_text(format, code), oracle::hex_bits(format, code));
}

std::vector<std::uint32_t> listed(const oracle::CodeSet& codes) {
  std::vector<std::uint32_t> result;
  for (std::uint32_t code = 0; code < codes.size(); ++code)
    if (codes.test(code)) result.push_back(code);
  return result;
}

std::string line_of(const Compared& compared, const oracle::CodeBeside& code) {
  std::string reachable;
  for (const std::uint32_t each : listed(code.reachable))
    reachable += (reachable.empty() ? "" : ", ") + code_text(*compared.codes, each);
  return fmt::format("row {}, column {}: fused {}, unfused {}, reachable {}", code.row, code.column,
                     code_text(*compared.codes, code.fused), code_text(*compared.codes, code.unfused),
                     reachable);
}

std::string line_of(const Compared& compared, const oracle::ScaleDifference& difference) {
  const oracle::ScaleBeside& scale = difference.scale;
  return fmt::format("row {}, columns {} to {}: fused {}, unfused {}", difference.row, scale.begin,
                     scale.end - 1, compared.scale_text(scale.fused), compared.scale_text(scale.unfused));
}

std::string text_of(const Compared& compared) {
  const BesideVerdict& found = compared.verdict;
  std::string text = fmt::format("{}: {}\n  policy {}; any order of summation that it admits\n",
                                 compared.fused.file, compared.fused.subject, compared.fused.policy);
  text += fmt::format("  beside {}: {}\n  policy {}{}\n", compared.unfused.file, compared.unfused.subject,
                      compared.unfused.policy,
                      compared.unfused_is_quantized ? "" : "; quantized as the fused policy says");
  text += fmt::format("  codes: {}; may legally differ {}; differ {}, legal {}, illegal {}\n", found.codes,
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
  text += fmt::format("  not looked at: {}\n", kNotLookedAt);
  for (const Side* side : {&compared.fused, &compared.unfused}) {
    text += fmt::format("  {}: {} of {} rows conform\n", side == &compared.fused ? "fused" : "unfused",
                        side->conforming, side->rows);
    if (!side->conforms)
      text += fmt::format("  why not? {} check {} --policy {}\n", program_name(), shell_quoted(side->file),
                          shell_quoted(side->policy));
  }
  return text;
}

// What is wrong, in a line; empty where nothing is.
std::string diagnosis_of(const Compared& compared) {
  const BesideVerdict& found = compared.verdict;
  if (found.illegal_scales > 0)
    return fmt::format("{} of {} scales are not legal", found.illegal_scales, found.scales);
  if (found.illegal_codes > 0) return fmt::format("{} codes are not legal", found.illegal_codes);
  if (!compared.fused.conforms)
    return "each code is legal alone, but no one r explains all of a row, or residual_out is wrong";
  return compared.unfused.conforms ? "" : "the unfused outputs violate their policy";
}

Json json_of(const Compared& compared, const std::vector<oracle::CodeBeside>& codes) {
  Json result = Json::array();
  for (const oracle::CodeBeside& code : codes) {
    Json reachable = Json::array();
    for (const std::uint32_t each : listed(code.reachable))
      reachable.push_back(oracle::hex_bits(*compared.codes, each));
    result.push_back({{"row", code.row},
                      {"column", code.column},
                      {"fused", oracle::hex_bits(*compared.codes, code.fused)},
                      {"unfused", oracle::hex_bits(*compared.codes, code.unfused)},
                      {"reachable", std::move(reachable)}});
  }
  return result;
}

Json json_of(const Side& side) {
  return {{"file", side.file}, {"operation", side.operation},        {"policy", side.policy},
          {"rows", side.rows}, {"conforming_rows", side.conforming}, {"conforms", side.conforms}};
}

Json json_of(const Compared& compared, bool good) {
  const BesideVerdict& found = compared.verdict;
  Json scales = Json::array();
  for (const oracle::ScaleDifference& each : found.first_illegal_scales)
    scales.push_back({{"row", each.row},
                      {"first_column", each.scale.begin},
                      {"last_column", each.scale.end - 1},
                      {"fused", compared.scale_text(each.scale.fused)},
                      {"unfused", compared.scale_text(each.scale.unfused)}});
  return {{"file", compared.fused.file},
          {"operation", compared.fused.operation},
          {"dtype", compared.dtype},
          {"hidden_size", compared.hidden_size},
          {"policy", compared.fused.policy},
          {"conforms", good},
          {"judge", "beside"},
          {"fused", json_of(compared.fused)},
          {"unfused", json_of(compared.unfused)},
          {"unfused_is_quantized", compared.unfused_is_quantized},
          {"codes",
           {{"all", found.codes},
            {"may_differ", found.codes_that_may_differ},
            {"differ", found.codes_that_differ},
            {"differ_legally", found.legal_codes_that_differ()},
            {"illegal", found.illegal_codes},
            {"not_compared", found.codes_not_judged}}},
          {"scales",
           {{"all", found.scales},
            {"may_differ", found.scales_that_may_differ},
            {"differ", found.scales_that_differ},
            {"illegal", found.illegal_scales}}},
          {"illegal_codes", json_of(compared, found.first_illegal_codes)},
          {"legal_codes", json_of(compared, found.first_legal_codes)},
          {"illegal_scales", std::move(scales)},
          {"not_looked_at", {kNotLookedAt}}};
}

}  // namespace

BesideReport check_beside(const std::string& fused, const BesideOptions& options) {
  auto call = read_given_call(fused, options.judging, true);
  const Compared compared =
      call ? compare_calls(fused, *std::move(call), options) : compare_cases(fused, options);
  BesideReport report;
  report.diagnosis = diagnosis_of(compared);
  report.good = report.diagnosis.empty();
  report.text = text_of(compared);
  if (!report.good) report.text += fmt::format("  diagnosis: {}\n", report.diagnosis);
  report.json = json_of(compared, report.good);
  if (!report.good) report.json["diagnosis"] = report.diagnosis;
  return report;
}

}  // namespace normproof
