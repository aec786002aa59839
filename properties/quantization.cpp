// What quantization to fp8, or to int8 by a scale for each row, does to any norm value: keeps order, keeps
// numbers of its own, stops at the largest one. The norm values come from the same target, so these
// properties see the quantization alone.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "properties/bits.h"
#include "properties/check.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/families.h"

namespace normproof {
namespace {

// One element before and after quantization.
struct Pair {
  double y = 0;
  std::uint32_t code = 0;
  std::int64_t index = 0;
};

struct Quantized {
  RunResult result;
  Call norm_call;
  std::vector<std::byte> norm;  // packed y, of the activation dtype
};

Quantized run_both(const Case& test_case, Target& target) {
  const Call call = call_of(test_case);
  Quantized both;
  both.result = run(call, target);
  both.norm_call = through(call, *spec_of(test_case.operation).without_last_step);
  both.norm = run(both.norm_call, target).outputs[Role::out];
  return both;
}

std::string element_text(const Case& test_case, const Pair& pair) {
  return fmt::format("out[row {}, column {}] = 0x{:02x} ({}) for y = {}",
                     pair.index / test_case.hidden_size(), pair.index % test_case.hidden_size(), pair.code,
                     bits::value(test_case.output_dtype(), pair.code), pair.y);
}

// Two of the elements from `first` to `last`, quantized by one scale, that are in the wrong order; empty
// where none are. Counts the others.
std::string out_of_order(const Case& test_case, const Quantized& both, double inverse, std::int64_t first,
                         std::int64_t last, Comparison& comparison) {
  const DType dtype = test_case.output_dtype();
  std::vector<Pair> pairs;
  for (std::int64_t index = first; index < last; ++index) {
    const double y = bits::value(test_case.dtype, load_bits(both.norm, test_case.dtype, index));
    if (!std::isnan(y)) pairs.push_back({y, load_bits(both.result.outputs[Role::out], dtype, index), index});
  }
  std::ranges::sort(pairs, [inverse](const Pair& a, const Pair& b) { return a.y * inverse < b.y * inverse; });
  if (pairs.size() > 1) comparison.count_row();
  for (std::size_t i = 1; i < pairs.size(); ++i) {
    // As numbers: +0 and -0 are the same.
    const double before = bits::value(dtype, pairs[i - 1].code);
    const double after = bits::value(dtype, pairs[i].code);
    if (!(before <= after) || (pairs[i - 1].y == pairs[i].y && before != after)) {
      return fmt::format(
          "with inverse scale {}, larger values must not quantize to smaller numbers\n"
          "  {}\n  {}\n",
          inverse, element_text(test_case, pairs[i - 1]), element_text(test_case, pairs[i]));
    }
    comparison.add_element(Role::out, dtype, 0, 0, pairs[i].code, pairs[i].code);
  }
  return {};
}

float scale_of_element(const Case& test_case, const RunResult& result, std::int64_t index) {
  if (!quantizes_by_row(test_case.operation)) return test_case.value_of(Parameter::scale);
  return std::bit_cast<float>(
      load_bits(result.outputs[Role::scales], DType::fp32, index / test_case.hidden_size()));
}

CaseFinding fp8_is_monotone(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const Quantized both = run_both(test_case, context.target);
  // As many elements share a scale: those of a row, or all.
  const std::int64_t sharing =
      quantizes_by_row(test_case.operation) ? test_case.hidden_size() : test_case.elements();
  Comparison comparison("order");
  for (std::int64_t first = 0; first < test_case.elements(); first += sharing) {
    const double inverse = 1.0f / scale_of_element(test_case, both.result, first);
    if (!std::isfinite(inverse) || inverse == 0) continue;
    const std::string wrong = out_of_order(test_case, both, inverse, first, first + sharing, comparison);
    if (!wrong.empty()) return CaseFinding::fails(wrong);
  }
  if (comparison.elements() == 0) return CaseFinding::not_applicable();
  comparison.add_to(context.tally, test_case, both.result);
  return CaseFinding::holds();
}

CaseFinding fp8_saturates(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const DType dtype = test_case.output_dtype();
  const double inverse = 1.0f / test_case.value_of(Parameter::scale);
  const double maximum = bits::value(dtype, bits::largest(dtype, false));
  const Quantized both = run_both(test_case, context.target);
  Comparison comparison("saturation");
  bool saturated = false;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    comparison.count_row();
    for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
      const std::int64_t index = row * test_case.hidden_size() + column;
      const std::uint32_t got = load_bits(both.result.outputs[Role::out], dtype, index);
      // A product of two fp32 numbers is exact in a double, but for underflow, which is far from the maximum.
      const double y = bits::value(test_case.dtype, load_bits(both.norm, test_case.dtype, index));
      const double scaled = y * inverse;
      std::uint32_t wanted = got;
      if (std::isnan(scaled)) {
        wanted = bits::nan(dtype);
      } else if (std::fabs(scaled) >= maximum) {
        wanted = bits::largest(dtype, std::signbit(scaled));
        saturated = true;
      } else if (bits::is_nan(dtype, got) || bits::is_infinite(dtype, got)) {
        wanted = bits::zero(dtype, false);  // stands for any number
      }
      comparison.add_element(Role::out, dtype, row, column, got, wanted);
    }
  }
  if (comparison.agrees() && !saturated) return CaseFinding::not_applicable();
  comparison.add_to(context.tally, test_case, both.result);
  if (comparison.agrees()) return CaseFinding::holds();
  return CaseFinding::fails(
      fmt::format("values of {} and more must become {}, NaN and only NaN must become NaN\n{}", maximum,
                  maximum, comparison.describe(test_case, both.result)));
}

// --- Values that are fp8 numbers already ---

// A call without a residual, one row, whose norm values are the numbers `codes`.
// With a weight: a row of ones, whose r is 1, times weights that are the numbers. Without one: an epsilon of
// 2^60, beside which the squares vanish, makes r = 2^-30, and a scale of 2^-30 brings the numbers back.
// Where the row gets a scale of its own, it is 1 if the largest number is among them and, of int8, none is
// -128.
Call representable(const Case& test_case, const std::vector<std::uint32_t>& codes) {
  const DType quantized = test_case.output_dtype();
  const auto columns = static_cast<std::int64_t>(codes.size());
  Call call;
  call.how.kind() = call_kind(
      operation_of({NormStep::normalize,
                    quantizes_by_row(test_case.operation) ? NormStep::quantize_by_row : NormStep::quantize}),
      test_case.dtype, test_case.weight_dtype, quantized);
  call.how.shape = {1, columns};
  call.how.schedule = test_case.schedule;
  call.tensors[Role::input].resize(codes.size() * size_of(test_case.dtype));
  if (test_case.weight_dtype)
    call.tensors[Role::weight].resize(codes.size() * size_of(*test_case.weight_dtype));
  call.how.bits_of(Parameter::epsilon) = test_case.weight_dtype ? 0 : 0x5d800000;  // 0, 2^60
  if (has(call.how.operation, Parameter::scale))
    call.how.bits_of(Parameter::scale) =
        test_case.weight_dtype ? bits::one(DType::fp32) : 0x30800000;  // 1, 2^-30
  for (std::int64_t column = 0; column < columns; ++column) {
    const double number = bits::value(quantized, codes[static_cast<std::size_t>(column)]);
    if (test_case.weight_dtype) {
      store_bits(call.tensors[Role::input], test_case.dtype, column, bits::one(test_case.dtype));
      store_bits(call.tensors[Role::weight], *test_case.weight_dtype, column,
                 bits::exactly(*test_case.weight_dtype, number).value());
    } else {
      store_bits(call.tensors[Role::input], test_case.dtype, column,
                 bits::exactly(test_case.dtype, number).value());
    }
  }
  return call;
}

CaseFinding check_representable(const Case& test_case, const std::vector<std::uint32_t>& codes,
                                PropertyContext& context) {
  const Call call = representable(test_case, codes);
  const RunResult result = run(call, context.target);
  Comparison comparison("the number itself");
  comparison.count_row();
  for (std::size_t column = 0; column < codes.size(); ++column) {
    const auto index = static_cast<std::int64_t>(column);
    comparison.add_element(Role::out, test_case.output_dtype(), 0, index,
                           load_bits(result.outputs[Role::out], test_case.output_dtype(), index),
                           codes[column]);
  }
  comparison.add_to(context.tally, call.how, result);
  if (comparison.agrees()) return CaseFinding::holds();
  return CaseFinding::fails(
      fmt::format("values that are {} numbers already must stay what they are\n{}",
                  name_of(test_case.output_dtype()), comparison.describe(call.how, result)),
      case_of(call));
}

CaseFinding fp8_is_idempotent(const Case& test_case, PropertyContext& context) {
  const DType quantized = test_case.output_dtype();
  const bool by_row = quantizes_by_row(test_case.operation);
  // In fp16 the numbers times 2^-30 are not representable, and a row's own scale is not that small.
  if (!test_case.weight_dtype && (by_row || test_case.dtype == DType::fp16))
    return CaseFinding::not_applicable();
  // In a row with a scale of its own one NaN would make all of them NaN, and -128 a scale of more than 1.
  const auto stays = [&](std::uint32_t code) {
    if (bits::is_infinite(quantized, code)) return false;
    if (bits::is_nan(quantized, code)) return test_case.weight_dtype && !by_row;
    return !(quantized == DType::int8 && code == bits::largest(quantized, true));
  };
  // What the case quantizes to, once more; without a weight NaN would spread over the row.
  std::vector<std::uint32_t> codes;
  const RunResult first = run(call_of(test_case), context.target);
  for (std::int64_t index = 0; index < test_case.elements(); ++index) {
    const std::uint32_t code = load_bits(first.outputs[Role::out], quantized, index);
    if (stays(code)) codes.push_back(code);
  }
  if (!codes.empty()) {
    if (by_row) codes.push_back(bits::largest(quantized, false));
    CaseFinding finding = check_representable(test_case, codes, context);
    if (finding.kind != CaseFinding::Kind::holds) return finding;
  }
  // And every number there is.
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t code = 0; code < 256; ++code) {
    if (!bits::is_nan(quantized, code) && stays(code)) numbers.push_back(code);
  }
  return check_representable(test_case, numbers, context);
}

PropertyCheck quantizing_property(std::string_view name) {
  PropertyCheck property;
  property.name = name;
  property.operations = operations_with(NormStep::quantize);
  property.limits.max_elements = 1 << 12;
  property.limits.max_threads_per_block = 256;
  property.limits.int8 = property.limits.scale_ub = true;
  return property;
}

}  // namespace

PropertyResult check_fp8_is_monotone(PropertyContext& context) {
  PropertyCheck property = quantizing_property("fp8-is-monotone");
  property.operations = operations_that_quantize();
  property.check = fp8_is_monotone;
  return check_property(property, context);
}

PropertyResult check_fp8_is_idempotent(PropertyContext& context) {
  PropertyCheck property = quantizing_property("fp8-is-idempotent");
  property.operations = operations_that_quantize();
  property.check = fp8_is_idempotent;
  return check_property(property, context);
}

PropertyResult check_fp8_saturates(PropertyContext& context) {
  PropertyCheck property = quantizing_property("fp8-saturates");
  // Scales small enough that about half of the values go beyond the largest number.
  property.adapt = [](Case& test_case, Random& random) {
    const double maximum =
        bits::value(test_case.output_dtype(), bits::largest(test_case.output_dtype(), false));
    const int exponent = 127 - static_cast<int>(std::log2(maximum)) - static_cast<int>(random.below(4));
    if (random.chance(3, 4))
      test_case.bits_of(Parameter::scale) =
          static_cast<std::uint32_t>(exponent) << 23 | static_cast<std::uint32_t>(random.below(1 << 23));
  };
  property.check = fp8_saturates;
  return check_property(property, context);
}

}  // namespace normproof
