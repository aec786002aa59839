// Special values, stated literally: what the contract lists for NaN, infinities, zeros, subnormals and odd
// epsilons, written down here a second time without the oracle.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "properties/bits.h"
#include "properties/check.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/families.h"

namespace normproof {
namespace {

// One row as the norm reads it, in exact values.
struct Row {
  std::vector<double> values;
  double largest = 0;  // magnitude; NaN and infinities do not count
  bool has_nan = false;
  bool has_infinity = false;
  bool all_zero = true;
  std::optional<double> common_magnitude;  // of all elements
};

Row read_row(const std::vector<std::byte>& data, DType dtype, std::int64_t row, std::int64_t columns) {
  Row result;
  for (std::int64_t column = 0; column < columns; ++column) {
    const double value = bits::value(dtype, load_bits(data, dtype, row * columns + column));
    result.values.push_back(value);
    result.has_nan |= std::isnan(value);
    result.has_infinity |= std::isinf(value);
    result.all_zero &= value == 0;
    if (std::isfinite(value)) result.largest = std::max(result.largest, std::fabs(value));
  }
  const double first = std::fabs(result.values.front());
  if (std::ranges::all_of(result.values, [first](double value) { return std::fabs(value) == first; }))
    result.common_magnitude = first;
  return result;
}

// What the contract says of a row.
enum class Says {
  all_nan,
  zeros,      // r = 0, or x = 0 and r finite: zeros with the sign of x, NaN where x is infinite
  unchanged,  // r = 1: n = x
  signs,      // r = 1 / |x|: n = 1 with the sign of x
};
struct Rule {
  const char* sentence;
  bool (*applies)(const Row&, double epsilon);
  Says says;
};

constexpr double kSquareOverflows = 0x1p64;
constexpr double kSumIsFinite = 0x1p127;  // below it, in any order, whatever its roundings add
constexpr double kLeastNormal = 0x1p-126;
bool exact_power_of_two(double magnitude) {
  int exponent = 0;
  return std::isfinite(magnitude) && magnitude > 0 && std::frexp(magnitude, &exponent) == 0.5 &&
         magnitude * magnitude >= kLeastNormal && magnitude < 0x1p50;
}

// The first that applies counts.
constexpr std::array kRules = {
    Rule{"a NaN in a row makes the whole row NaN", [](const Row& row, double) { return row.has_nan; },
         Says::all_nan},
    Rule{"a NaN epsilon makes every row NaN", [](const Row&, double epsilon) { return std::isnan(epsilon); },
         Says::all_nan},
    Rule{"an epsilon of minus infinity makes every row NaN",
         [](const Row&, double epsilon) { return std::isinf(epsilon) && epsilon < 0; }, Says::all_nan},
    Rule{"an infinity in a row makes r zero: zeros with the signs of x, and NaN where x is infinite",
         [](const Row& row, double) { return row.has_infinity; }, Says::zeros},
    Rule{"an infinite epsilon makes r zero: zeros with the signs of x",
         [](const Row&, double epsilon) { return std::isinf(epsilon) && epsilon > 0; }, Says::zeros},
    Rule{"a mean that overflows makes r zero: zeros with the signs of x",
         [](const Row& row, double) { return row.largest >= kSquareOverflows; }, Says::zeros},
    Rule{"mean + epsilon = 0 makes r infinite, and 0 * infinity is NaN",
         [](const Row& row, double epsilon) { return row.all_zero && epsilon == 0; }, Says::all_nan},
    Rule{"a row of zeros with a positive epsilon, however small, stays zero with its signs",
         [](const Row& row, double epsilon) { return row.all_zero && epsilon > 0; }, Says::zeros},
    Rule{"mean + epsilon < 0 makes NaN",
         [](const Row& row, double epsilon) {
           const double largest_square = row.largest * row.largest;
           // With room to round up; and a sum that overflows leaves nothing to subtract from.
           return epsilon < 0 && -epsilon > 2 * largest_square &&
                  largest_square * static_cast<double>(row.values.size()) < kSumIsFinite;
         },
         Says::all_nan},
    Rule{"a row of one magnitude without epsilon becomes the signs of x",
         [](const Row& row, double epsilon) {
           return epsilon == 0 && row.common_magnitude && exact_power_of_two(*row.common_magnitude);
         },
         Says::signs},
    Rule{"with an epsilon of 1 a tiny row, subnormals included, stays what it is",
         [](const Row& row, double epsilon) { return epsilon == 1 && row.largest < 0x1p-13; },
         Says::unchanged},
};

// mean + epsilon = 0 in a row of one magnitude: everything is infinite, and so nothing is NaN but zeros.
constexpr const char* kCancelled = "mean + epsilon = 0 makes r infinite: infinities with the signs of x";
bool cancels(const Row& row, double epsilon) {
  return row.common_magnitude && exact_power_of_two(*row.common_magnitude) &&
         epsilon == -*row.common_magnitude * *row.common_magnitude;
}

// y of one element as an exact value; nothing where this page says nothing.
std::optional<double> norm_value(Says says, double x, std::optional<double> weight) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  double normalized = 0;
  switch (says) {
    case Says::all_nan:
      return kNan;
    case Says::zeros:
      if (std::isinf(x)) return kNan;
      normalized = std::copysign(0.0, x);
      break;
    case Says::signs:
      normalized = std::copysign(1.0, x);
      break;
    case Says::unchanged:
      normalized = x;
      break;
  }
  if (!weight) return normalized;
  // Products with 0, 1 and themselves need no rounding; others are none of this property's business.
  if (normalized == 0 || std::fabs(normalized) == 1 || std::fabs(*weight) == 1 || !std::isfinite(*weight))
    return normalized * *weight;
  return std::nullopt;
}

// Bits of the output for an exact y; nothing where rounding would be needed.
std::optional<std::uint32_t> output_bits(const Case& test_case, double y, float scale) {
  if (!test_case.has_codes()) return bits::exactly(test_case.dtype, y);
  // The norm is rounded to its own type before it is quantized: a weight of fp32 may overflow there.
  if (!bits::exactly(test_case.dtype, y)) return std::nullopt;
  const DType dtype = test_case.output_dtype();
  const float inverse = 1.0f / scale;
  const double scaled = y * static_cast<double>(inverse);
  if (std::isnan(scaled)) return bits::nan(dtype);
  if (scaled == 0)
    return y == 0 || inverse == 0 ? std::optional(bits::zero(dtype, std::signbit(scaled))) : std::nullopt;
  return std::nullopt;
}

// The scale by which a row was quantized.
float scale_of_row(const Case& test_case, const RunResult& result, std::int64_t row) {
  if (!quantizes_by_row(test_case.operation)) return test_case.value_of(Parameter::scale);
  return static_cast<float>(
      bits::value(DType::fp32, load_bits(result.outputs[Role::scales], DType::fp32, row)));
}

CaseFinding special_values(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const RunResult result = run(call, context.target);
  const Role sum = normalized_tensor(test_case.operation);
  const bool adds = test_case.has_output(sum);
  const double epsilon = static_cast<double>(test_case.value_of(Parameter::epsilon));
  std::optional<Comparison> comparison;
  for (std::int64_t row_index = 0; row_index < test_case.rows(); ++row_index) {
    const std::int64_t columns = test_case.hidden_size();
    const Row row = read_row(normalized_rows(call, result.outputs), test_case.dtype, row_index, columns);
    const auto rule =
        std::ranges::find_if(kRules, [&](const Rule& each) { return each.applies(row, epsilon); });
    const bool cancelled = rule == kRules.end() && cancels(row, epsilon);
    if (rule == kRules.end() && !cancelled) continue;
    const char* sentence = cancelled ? kCancelled : rule->sentence;
    Comparison of_row(fmt::format("\"{}\"", sentence));
    of_row.count_row();
    const float scale = scale_of_row(test_case, result, row_index);
    for (std::int64_t column = 0; column < columns; ++column) {
      const std::int64_t index = row_index * columns + column;
      if (adds) {
        const auto is_nan = [&](const std::vector<std::byte>& data) {
          return bits::is_nan(test_case.dtype, load_bits(data, test_case.dtype, index));
        };
        if (is_nan(call.tensors[Role::input]) || is_nan(call.tensors[Role::residual])) {
          of_row.add_element(sum, test_case.dtype, row_index, column,
                             load_bits(result.outputs[sum], test_case.dtype, index),
                             bits::nan(test_case.dtype));
        }
      }
      std::optional<double> weight;
      if (test_case.weight_dtype)
        weight = bits::value(*test_case.weight_dtype,
                             load_bits(call.tensors[Role::weight], *test_case.weight_dtype, column));
      const double x = row.values[static_cast<std::size_t>(column)];
      const std::optional<double> y =
          cancelled ? std::copysign(std::numeric_limits<double>::infinity(), x) * weight.value_or(1)
                    : norm_value(rule->says, x, weight);
      const auto wanted = y ? output_bits(test_case, *y, scale) : std::nullopt;
      if (!wanted) continue;
      of_row.add_element(Role::out, test_case.output_dtype(), row_index, column,
                         load_bits(result.outputs[Role::out], test_case.output_dtype(), index), *wanted);
    }
    of_row.add_to(context.tally, test_case, result);
    if (!of_row.agrees()) return CaseFinding::fails(of_row.describe(test_case, result));
    comparison = std::move(of_row);
  }
  return comparison ? CaseFinding::holds() : CaseFinding::not_applicable();
}

// --- Cases that the rules speak about ---

using Fill = std::function<std::uint32_t(Random&)>;

void fill(TensorData& data, DType dtype, std::int64_t elements, Random& random, const Fill& bits_of_next) {
  data.recipe.reset();
  data.bytes.assign(static_cast<std::size_t>(elements) * size_of(dtype), std::byte{});
  for (std::int64_t index = 0; index < elements; ++index)
    store_bits(data.bytes, dtype, index, bits_of_next(random));
}

// Sprinkles the value over the input, about one row in two.
void sprinkle(Case& test_case, Random& random, const Fill& value) {
  CaseTensors tensors = materialize(test_case);
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    if (random.chance(1, 2)) continue;
    const std::int64_t column = random.between(0, test_case.hidden_size() - 1);
    store_bits(tensors[Role::input], test_case.dtype, row * test_case.hidden_size() + column, value(random));
  }
  test_case[Role::input].data = {std::move(tensors[Role::input]), {}};
}

void make_special(Case& test_case, Random& random) {
  if (test_case.rows() == 0) return;
  const DType dtype = test_case.dtype;
  // fp32 bits: zeros, the least subnormal, subnormals, the least normal, 1e-6,
  // 1, the largest, infinities, NaN.
  static constexpr std::array<std::uint32_t, 15> kEpsilons = {
      0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x00400000, 0x807fffff, 0x00800000, 0x358637bd,
      0x3f800000, 0xbf800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000};
  test_case.bits_of(Parameter::epsilon) = random.pick(kEpsilons);
  if (has(test_case.operation, Parameter::scale) && random.chance(1, 4)) {
    static constexpr std::array<std::uint32_t, 6> kScales = {0x00000000, 0x80000000, 0x7f800000,
                                                             0xff800000, 0x7fc00000, 0xbf800000};
    test_case.bits_of(Parameter::scale) = random.pick(kScales);
  }
  const std::uint32_t one = bits::one(dtype);
  const auto signed_bits = [](DType of, std::uint32_t magnitude) {
    return [of, magnitude](Random& source) {
      return source.chance(1, 2) ? magnitude : bits::negated(of, magnitude);
    };
  };
  // The addition of -0 changes nothing, not even the sign of a zero.
  const auto drop_residual = [&] {
    if (!test_case.has(Role::residual)) return;
    fill(test_case[Role::residual].data, dtype, test_case.elements(), random,
         [dtype](Random&) { return bits::zero(dtype, true); });
  };
  switch (random.below(7)) {
    case 0:  // any data with an odd epsilon
      break;
    case 1:
      fill(test_case[Role::input].data, dtype, test_case.elements(), random, signed_bits(dtype, 0));
      drop_residual();
      break;
    case 2:
      sprinkle(test_case, random, [dtype](Random&) { return bits::nan(dtype); });
      break;
    case 3:
      sprinkle(test_case, random, signed_bits(dtype, bits::infinity(dtype, false)));
      break;
    case 4:
      test_case[Role::input].data = {{}, Recipe{"large", random.next() >> 32}};
      drop_residual();
      break;
    case 5: {  // one magnitude, a power of two
      const int power = static_cast<int>(random.between(dtype == DType::fp16 ? -24 : -60, 15));
      fill(test_case[Role::input].data, dtype, test_case.elements(), random,
           signed_bits(dtype, bits::times_power_of_two(dtype, one, power).value()));
      drop_residual();
      const std::uint32_t square =
          bits::times_power_of_two(DType::fp32, bits::one(DType::fp32), 2 * power).value();
      test_case.bits_of(Parameter::epsilon) = random.chance(1, 2) ? 0 : bits::negated(DType::fp32, square);
      break;
    }
    default:
      test_case[Role::input].data = {{}, Recipe{"subnormal", random.next() >> 32}};
      drop_residual();
      test_case.bits_of(Parameter::epsilon) = bits::one(DType::fp32);
      if (test_case.weight_dtype)
        fill(test_case[Role::weight].data, *test_case.weight_dtype, test_case.hidden_size(), random,
             signed_bits(*test_case.weight_dtype, bits::one(*test_case.weight_dtype)));
      break;
  }
}

}  // namespace

PropertyResult check_special_values(PropertyContext& context) {
  PropertyCheck property;
  property.name = "special-values";
  property.operations = operations_of_known_steps();
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_hidden = 1024;
  property.limits.max_elements = 1 << 12;
  property.limits.max_threads_per_block = 256;
  property.adapt = make_special;
  property.check = special_values;
  return check_property(property, context);
}

}  // namespace normproof
