// Fused operations are what their parts are, one after the other.
#include <fmt/format.h>

#include <initializer_list>
#include <optional>
#include <string>
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
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    comparison.add_row(tensor, test_case.dtype_of(tensor), test_case.columns_of(tensor), got, row, wanted,
                       row, tensor == Role::out);
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

// The scale of a row, as fp32 bits: the one that is given, or the row's own.
std::uint32_t scale_of_row(const Case& test_case, const std::vector<std::byte>& norm, std::int64_t row) {
  using oracle::Value;
  if (!quantizes_by_row(test_case.operation)) return test_case.bits_of(Parameter::scale);
  Value maximum;
  for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
    const Value y = oracle::decode(test_case.dtype,
                                   load_bits(norm, test_case.dtype, row * test_case.hidden_size() + column));
    if (y.is_nan()) return exactly_rounded(DType::fp32, y);
    const Value magnitude = y.negative() ? -y : y;
    if (magnitude > maximum) maximum = magnitude;
  }
  const Value bound = oracle::decode(DType::fp32, test_case.bits_of(Parameter::scale_ub));
  if (maximum > bound) maximum = bound;
  const DType dtype = test_case.output_dtype();
  const Value range = oracle::decode(dtype, bits::largest(dtype, false));
  const Value steps = dtype == DType::int8 ? Value::integer(1 << 23) : range * Value::integer(512);
  const Value least = oracle::round_to(DType::fp32, oracle::quotient(Value::integer(1), steps));
  const Value scale = oracle::round_to(DType::fp32, oracle::quotient(maximum, range));
  return exactly_rounded(DType::fp32, scale < least ? least : scale);
}

// What quantization makes of packed norm values: each exactly scaled, clamped and rounded.
Outputs quantized(const Case& test_case, const std::vector<std::byte>& norm) {
  using oracle::Value;
  const DType dtype = test_case.output_dtype();
  const Value highest = oracle::decode(dtype, bits::largest(dtype, false));
  const Value lowest = oracle::decode(dtype, bits::largest(dtype, true));
  Outputs result;
  for (const Role role : {Role::out, Role::scales}) result[role].resize(test_case.bytes_of(role));
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    const std::uint32_t scale = scale_of_row(test_case, norm, row);
    if (test_case.has(Role::scales)) store_bits(result[Role::scales], DType::fp32, row, scale);
    const Value inverse = oracle::round_to(
        DType::fp32, oracle::quotient(Value::integer(1), oracle::decode(DType::fp32, scale)));
    for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
      const std::int64_t index = row * test_case.hidden_size() + column;
      const Value y = oracle::decode(test_case.dtype, load_bits(norm, test_case.dtype, index));
      Value scaled = oracle::round_to(DType::fp32, y * inverse);
      if (scaled > highest) scaled = highest;
      if (scaled < lowest) scaled = lowest;
      store_bits(result[Role::out], dtype, index, exactly_rounded(dtype, scaled));
    }
  }
  return result;
}

std::string on_the_same_target(std::string_view what, Operation operation) {
  return fmt::format("{}{}, on the same target,", what, name_of(operation));
}

}  // namespace

CaseFinding is_what_its_parts_are(const Case& test_case, PropertyContext& context) {
  const OperationSpec& spec = spec_of(test_case.operation);
  const Call fused = call_of(test_case);
  const RunResult got = run(fused, context.target);
  const Role sum = normalized_tensor(test_case.operation);
  const auto compare = [&](std::string wanted_name, const Outputs& wanted,
                           std::initializer_list<Role> roles) {
    Comparison comparison(std::move(wanted_name));
    for (const Role role : roles)
      if (test_case.has_output(role)) add_rows(comparison, role, test_case, got.outputs[role], wanted[role]);
    return comparison;
  };
  std::optional<std::pair<Comparison, Call>> last;
  if (spec.without_last_step) {
    const Call unfused = through(fused, *spec.without_last_step);
    const RunResult norm = run(unfused, context.target);
    if (test_case.has_output(sum)) {
      const Comparison stored = compare(on_the_same_target("", *spec.without_last_step), norm.outputs, {sum});
      if (!stored.agrees()) return finding(stored, test_case, got, context, unfused);
    }
    last.emplace(compare(on_the_same_target("the exact quantization of ", *spec.without_last_step),
                         quantized(test_case, norm.outputs[Role::out]), {Role::out, Role::scales}),
                 unfused);
    if (!last->first.agrees()) return finding(last->first, test_case, got, context, last->second);
  }
  if (spec.without_first_step) {
    std::vector<std::byte> sums = rounded_sums(fused);
    const Comparison stored = compare("the exactly rounded sum", {{sum, sums}}, {sum});
    if (!stored.agrees()) return finding(stored, test_case, got, context, fused);
    const Call unfused = norm_of(fused, *spec.without_first_step, std::move(sums));
    const RunResult norm = run(unfused, context.target);
    last.emplace(compare(on_the_same_target("of the rounded sums, ", *spec.without_first_step), norm.outputs,
                         {Role::out, Role::scales}),
                 unfused);
  }
  return finding(last.value().first, test_case, got, context, last->second);
}

}  // namespace normproof
