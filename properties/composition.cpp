// Fused operations are what their parts are, one after the other.
#include <utility>

#include "oracle/exact.h"
#include "properties/bits.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/relations.h"

namespace normproof {
namespace {

CaseFinding finding(const Comparison& comparison, const Case& test_case, const RunResult& run,
                    PropertyContext& context, const Call& related) {
  comparison.add_to(context.tally, test_case, run);
  return comparison.agrees() ? CaseFinding::holds()
                             : CaseFinding::fails(comparison.describe(test_case, run), case_of(related));
}

std::uint32_t exactly_rounded(DType dtype, const oracle::Value& value) {
  return static_cast<std::uint32_t>(oracle::round_bits(oracle::format_of(dtype), value));
}

void add_rows(Comparison& comparison, Role tensor, const Case& test_case, const std::vector<std::byte>& got,
              const std::vector<std::byte>& wanted) {
  const DType dtype = tensor == Role::out ? test_case.output_dtype() : test_case.dtype;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    comparison.add_row(tensor, dtype, test_case.hidden_size(), got, row, wanted, row, tensor == Role::out);
  }
}

// Packed x + residual, each sum exactly rounded to the activation dtype.
std::vector<std::byte> rounded_sums(const Call& call) {
  const DType dtype = call.how.dtype;
  std::vector<std::byte> sums(call.tensors[Role::input].size());
  for (std::int64_t index = 0; index < call.how.elements(); ++index) {
    const oracle::Value sum = oracle::decode(dtype, load_bits(call.tensors[Role::input], dtype, index)) +
                              oracle::decode(dtype, load_bits(call.tensors[Role::residual], dtype, index));
    store_bits(sums, dtype, index, exactly_rounded(dtype, sum));
  }
  return sums;
}

// Packed norm values, each exactly scaled, clamped and rounded to the quantized dtype.
std::vector<std::byte> quantized(const Case& test_case, const std::vector<std::byte>& norm) {
  using oracle::Value;
  const DType dtype = *test_case.quantized_dtype;
  const Value inverse = oracle::round_to(
      DType::fp32,
      oracle::quotient(Value::integer(1), oracle::decode(DType::fp32, test_case.bits_of(Parameter::scale))));
  const Value highest = oracle::decode(dtype, bits::largest(dtype, false));
  const Value lowest = oracle::decode(dtype, bits::largest(dtype, true));
  std::vector<std::byte> codes(static_cast<std::size_t>(test_case.elements()) * size_of(dtype));
  for (std::int64_t index = 0; index < test_case.elements(); ++index) {
    const Value y = oracle::decode(test_case.dtype, load_bits(norm, test_case.dtype, index));
    Value scaled = oracle::round_to(DType::fp32, y * inverse);
    if (scaled > highest) scaled = highest;
    if (scaled < lowest) scaled = lowest;
    store_bits(codes, dtype, index, exactly_rounded(dtype, scaled));
  }
  return codes;
}

}  // namespace

CaseFinding fused_add_is_add_then_norm(const Case& test_case, PropertyContext& context) {
  const Call fused = call_of(test_case);
  const RunResult got = run(fused, context.target);
  std::vector<std::byte> sums = rounded_sums(fused);
  Comparison residual("the exactly rounded sum");
  add_rows(residual, Role::residual_out, test_case, got.outputs[Role::residual_out], sums);
  if (!residual.agrees()) return finding(residual, test_case, got, context, fused);

  const Call unfused = norm_of(fused, Operation::rms_norm, std::move(sums));
  const RunResult norm = run(unfused, context.target);
  Comparison comparison("rms_norm of the rounded sums, on the same target,");
  add_rows(comparison, Role::out, test_case, got.outputs[Role::out], norm.outputs[Role::out]);
  return finding(comparison, test_case, got, context, unfused);
}

CaseFinding fp8_is_quantized_norm(const Case& test_case, PropertyContext& context) {
  const Call fused = call_of(test_case);
  const RunResult got = run(fused, context.target);
  const Call unfused = through(fused, Operation::rms_norm);
  const RunResult norm = run(unfused, context.target);
  Comparison comparison("the exact quantization of rms_norm, on the same target,");
  add_rows(comparison, Role::out, test_case, got.outputs[Role::out],
           quantized(test_case, norm.outputs[Role::out]));
  return finding(comparison, test_case, got, context, unfused);
}

CaseFinding fused_fp8_is_composition(const Case& test_case, PropertyContext& context) {
  const Call fused = call_of(test_case);
  const RunResult got = run(fused, context.target);
  // The addition through one unfused operation, the norm and quantization through the other.
  const Call addition = through(fused, Operation::fused_add_rms_norm);
  const RunResult sum = run(addition, context.target);
  Comparison residual("fused_add_rms_norm, on the same target,");
  add_rows(residual, Role::residual_out, test_case, got.outputs[Role::residual_out],
           sum.outputs[Role::residual_out]);
  if (!residual.agrees()) return finding(residual, test_case, got, context, addition);

  Comparison from_sum("the exact quantization of fused_add_rms_norm, on the same target,");
  add_rows(from_sum, Role::out, test_case, got.outputs[Role::out],
           quantized(test_case, sum.outputs[Role::out]));
  if (!from_sum.agrees()) return finding(from_sum, test_case, got, context, addition);

  const Call unfused = norm_of(fused, Operation::rms_norm_static_fp8_quant, got.outputs[Role::residual_out]);
  const RunResult norm = run(unfused, context.target);
  Comparison comparison("rms_norm_static_fp8_quant of the sums, on the same target,");
  add_rows(comparison, Role::out, test_case, got.outputs[Role::out], norm.outputs[Role::out]);
  return finding(comparison, test_case, got, context, unfused);
}

}  // namespace normproof
