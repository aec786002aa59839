// What holds of rows that get scales of their own, whatever the norm values are: these come from the same
// target, so the properties see the quantization alone.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "properties/bits.h"
#include "properties/check.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/families.h"

namespace normproof {
namespace {

// The scale of rows of zeros and near it.
double least_scale(DType quantized) {
  if (quantized == DType::int8) return 0x1p-23;
  const double largest = bits::value(quantized, bits::largest(quantized, false));
  return static_cast<double>(static_cast<float>(1 / (512 * largest)));
}

double scale_of(const RunResult& result, std::int64_t row) {
  return bits::value(DType::fp32, load_bits(result.outputs[Role::scales], DType::fp32, row));
}

// The row's norm values, where each is finite and no smaller than the least normal number.
std::optional<std::vector<double>> plain_row(const Case& test_case, const std::vector<std::byte>& norm,
                                             std::int64_t row) {
  const double least = test_case.dtype == DType::fp16 ? 0x1p-14 : 0x1p-126;  // normal number
  std::vector<double> values;
  for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
    const double y = bits::value(test_case.dtype,
                                 load_bits(norm, test_case.dtype, row * test_case.hidden_size() + column));
    if (!std::isfinite(y) || (y != 0 && std::fabs(y) < least)) return std::nullopt;
    values.push_back(y);
  }
  return values;
}

// What a value of at least `maximum`, of which the row's scale is made, must become, where `got` is there. Of
// a row without a bound, fl(a * fl(1 / fl(a / max_Q))) is max_Q up to three roundings of fp32, far less than
// half a step there. Below a bound integers go on to -128, from -127.5 on.
std::uint32_t largest_code(DType dtype, double y, double maximum, std::uint32_t got) {
  if (dtype != DType::int8 || !std::signbit(y)) return bits::largest(dtype, std::signbit(y));
  const std::uint32_t lowest = bits::largest(dtype, true), next = lowest + 1;
  const double scaled = std::fabs(y) / maximum * 127;
  if (std::fabs(scaled - 127.5) < 0x1p-14) return got == next ? next : lowest;  // either, by the roundings
  return scaled < 127.5 ? next : lowest;
}

CaseFinding row_maximum_gets_the_largest_code(const Case& test_case, PropertyContext& context) {
  const Call call = call_of(test_case);
  const RunResult result = run(call, context.target);
  const Call norm_call = through(call, *spec_of(test_case.operation).without_last_step);
  const RunResult norm = run(norm_call, context.target);
  const DType dtype = test_case.output_dtype();
  Comparison comparison("the largest number for the largest value");
  bool looked = false;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    const auto values = plain_row(test_case, norm.outputs[Role::out], row);
    const double scale = scale_of(result, row);
    if (!values || !(scale > least_scale(dtype)) || !std::isfinite(scale)) continue;
    double largest = 0;
    for (const double y : *values) largest = std::max(largest, std::fabs(y));
    const double maximum = std::min(largest, static_cast<double>(test_case.value_of(Parameter::scale_ub)));
    comparison.count_row();
    looked = true;
    for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
      const double y = (*values)[static_cast<std::size_t>(column)];
      const std::uint32_t got =
          load_bits(result.outputs[Role::out], dtype, row * test_case.hidden_size() + column);
      const bool is_number = !bits::is_nan(dtype, got) && !bits::is_infinite(dtype, got);
      comparison.add_element(
          Role::out, dtype, row, column, got,
          std::fabs(y) >= maximum || !is_number ? largest_code(dtype, y, maximum, got) : got);
    }
  }
  if (!looked) return CaseFinding::not_applicable();
  comparison.add_to(context.tally, test_case, result);
  if (comparison.agrees()) return CaseFinding::holds();
  return CaseFinding::fails(fmt::format(
      "the row's largest values, and those beyond its bound, must become the largest numbers, and "
      "all others numbers\n{}",
      comparison.describe(test_case, result)));
}

// The call with weights times two, and the upper bound of scales with them; nothing where one of them is not
// representable.
std::optional<Call> with_doubled_weights(const Call& call) {
  Call result = call;
  const DType dtype = *call.how.weight_dtype;
  for (std::int64_t column = 0; column < call.how.hidden_size(); ++column) {
    const auto doubled =
        bits::times_power_of_two(dtype, load_bits(call.tensors[Role::weight], dtype, column), 1);
    if (!doubled) return std::nullopt;
    store_bits(result.tensors[Role::weight], dtype, column, *doubled);
  }
  std::uint32_t& bound = result.how.bits_of(Parameter::scale_ub);  // infinity, where there is none
  const auto doubled_bound = bits::times_power_of_two(DType::fp32, bound, 1);
  if (!doubled_bound) return std::nullopt;
  bound = *doubled_bound;
  return result;
}

CaseFinding power_of_two_weights(const Case& test_case, PropertyContext& context) {
  if (!test_case.weight_dtype) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const std::optional<Call> doubled = with_doubled_weights(call);
  if (!doubled) return CaseFinding::not_applicable();
  const RunResult first = run(call, context.target), second = run(*doubled, context.target);
  const RunResult norm =
      run(through(*doubled, *spec_of(test_case.operation).without_last_step), context.target);
  const RunResult before =
      run(through(call, *spec_of(test_case.operation).without_last_step), context.target);
  Comparison comparison("the row with weights half as large");
  bool looked = false;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    const double scale = scale_of(first, row);
    if (!plain_row(test_case, norm.outputs[Role::out], row) ||
        !plain_row(test_case, before.outputs[Role::out], row) ||
        !(scale > least_scale(test_case.output_dtype())) || !(scale < 0x1p126))
      continue;
    looked = true;
    comparison.add_row(Role::out, test_case.output_dtype(), test_case.hidden_size(),
                       second.outputs[Role::out], row, first.outputs[Role::out], row);
    const std::uint32_t bits = load_bits(first.outputs[Role::scales], DType::fp32, row);
    comparison.add_element(Role::scales, DType::fp32, row, 0,
                           load_bits(second.outputs[Role::scales], DType::fp32, row),
                           bits::times_power_of_two(DType::fp32, bits, 1).value());
  }
  if (!looked) return CaseFinding::not_applicable();
  comparison.add_to(context.tally, doubled->how, second);
  if (comparison.agrees()) return CaseFinding::holds();
  return CaseFinding::fails(fmt::format("weights times two must double the scales and change no number\n{}",
                                        comparison.describe(doubled->how, second)),
                            case_of(*doubled));
}

PropertyCheck row_scaling_property(std::string_view name) {
  PropertyCheck property;
  property.name = name;
  property.operations = operations_with(NormStep::quantize_by_row);
  property.limits.max_elements = 1 << 12;
  property.limits.max_threads_per_block = 256;
  property.limits.special_percent = 5;
  property.limits.int8 = property.limits.scale_ub = true;
  return property;
}

}  // namespace

PropertyResult check_row_maximum_gets_the_largest_code(PropertyContext& context) {
  PropertyCheck property = row_scaling_property("row-maximum-gets-the-largest-code");
  property.check = row_maximum_gets_the_largest_code;
  return check_property(property, context);
}

PropertyResult check_power_of_two_weights(PropertyContext& context) {
  PropertyCheck property = row_scaling_property("power-of-two-weights");
  property.check = power_of_two_weights;
  return check_property(property, context);
}

}  // namespace normproof
