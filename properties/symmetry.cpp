// Symmetries of the norm: powers of two cancel, and signs pass through.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "properties/bits.h"
#include "properties/check.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/families.h"

namespace normproof {
namespace {

// --- x * 2^k with eps * 4^k ---

// Magnitudes of the elements that are not zero.
struct Range {
  double smallest = std::numeric_limits<double>::infinity();
  double largest = 0;
};
// Nothing where NaN or an infinity occurs.
std::optional<Range> range_of(const std::vector<std::byte>& data, DType dtype) {
  Range range;
  const auto elements = static_cast<std::int64_t>(data.size() / size_of(dtype));
  for (std::int64_t index = 0; index < elements; ++index) {
    const double magnitude = std::fabs(bits::value(dtype, load_bits(data, dtype, index)));
    if (!std::isfinite(magnitude)) return std::nullopt;
    if (magnitude == 0) continue;
    range.smallest = std::min(range.smallest, magnitude);
    range.largest = std::max(range.largest, magnitude);
  }
  return range;
}

constexpr double kLeastNormalFp32 = 0x1p-126;
constexpr double kBound = 0x1p127;

// The call with input and residual times 2^power and epsilon times 4^power; nothing where one of them is not
// exactly representable.
std::optional<Call> scaled(const Call& call, int power) {
  Call result = call;
  const DType dtype = call.how.dtype;
  for (std::vector<std::byte>* data : {&result.tensors[Role::input], &result.tensors[Role::residual]}) {
    const auto elements = static_cast<std::int64_t>(data->size() / size_of(dtype));
    for (std::int64_t index = 0; index < elements; ++index) {
      const auto times = bits::times_power_of_two(dtype, load_bits(*data, dtype, index), power);
      if (!times) return std::nullopt;
      store_bits(*data, dtype, index, *times);
    }
  }
  const auto epsilon = bits::times_power_of_two(DType::fp32, call.how.bits_of(Parameter::epsilon), 2 * power);
  if (!epsilon) return std::nullopt;
  result.how.bits_of(Parameter::epsilon) = *epsilon;
  return result;
}

// The largest power for which every fp32 step before r is sure to be free of overflow and of subnormal
// results, so that the steps scale with 4^power exactly; 0 or less where there is none. `normed`: what the
// norm reads. Only upward scaling is looked at: then sums that are rounded to the activation dtype scale
// exactly too.
int largest_power(const Call& call, const std::vector<std::byte>& normed) {
  const auto range = range_of(normed, call.how.dtype);
  const double epsilon = std::fabs(bits::value(DType::fp32, call.how.bits_of(Parameter::epsilon)));
  if (!range || !std::isfinite(epsilon)) return 0;
  const auto hidden = static_cast<double>(call.how.hidden_size());
  if (range->largest > 0 && range->smallest * range->smallest / hidden < 2 * kLeastNormalFp32) return 0;
  if (epsilon != 0 && epsilon < kLeastNormalFp32) return 0;
  const double most = std::max(2 * hidden * range->largest * range->largest, 2 * epsilon);
  if (most == 0) return 1;
  return static_cast<int>(std::floor(std::log2(kBound / most) / 2));
}

CaseFinding power_of_two_scaling(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const Role sum_role = normalized_tensor(test_case.operation);
  const bool adds = test_case.has_output(sum_role);
  const RunResult original = run(call, context.target);
  int power = largest_power(call, normalized_rows(call, original.outputs));
  while (power > 0 && !scaled(call, power)) --power;
  if (power <= 0) return CaseFinding::not_applicable();

  Comparison comparison("the same row before scaling");
  for (const int each : {1, power}) {
    const std::optional<Call> variant = scaled(call, each);
    if (!variant) continue;
    const RunResult result = run(*variant, context.target);
    std::vector<std::byte> sums = original.outputs[sum_role];
    if (adds) {
      for (std::int64_t index = 0; index < test_case.elements(); ++index) {
        const std::uint32_t sum = load_bits(sums, test_case.dtype, index);
        const auto times = bits::times_power_of_two(test_case.dtype, sum, each);
        if (!times) return CaseFinding::not_applicable();  // the sum overflows, although both terms do not
        store_bits(sums, test_case.dtype, index, *times);
      }
    }
    for (std::int64_t row = 0; row < test_case.rows(); ++row) {
      Outputs wanted = original.outputs;
      if (adds) wanted[sum_role] = sums;
      comparison.add_outputs(test_case, result.outputs, row, wanted, row);
    }
    if (!comparison.agrees()) {
      comparison.add_to(context.tally, variant->how, result);
      return CaseFinding::fails(fmt::format("input * 2^{} with epsilon * 4^{} changes the output\n{}", each,
                                            each, comparison.describe(variant->how, result)),
                                case_of(*variant));
    }
  }
  comparison.add_to(context.tally, test_case, original);
  return CaseFinding::holds();
}

// --- y(-x) = -y(x) ---

// What must stand where `before` stood. Integers end one further below than above: what an upper bound of the
// scale lets go beyond the largest is 127 on one side, and -127 or -128 on the other. Without a bound the
// row's own largest value is 127 of them, and so no code is -128.
std::uint32_t negative_of(const Case& test_case, DType dtype, std::uint32_t before, std::uint32_t got) {
  if (dtype == DType::int8 && test_case.has_scale_ub()) {
    const std::uint32_t highest = bits::largest(dtype, false), lowest = bits::largest(dtype, true);
    if (before == lowest) return highest;
    if (before == highest && got == lowest) return lowest;
  }
  return bits::negated(dtype, before);
}

CaseFinding negation(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const DType dtype = test_case.dtype;
  const auto negate = [dtype](std::uint32_t value) { return bits::negated(dtype, value); };
  const Call call = call_of(test_case);
  Call negated = call;
  negated.tensors[Role::input] = map_bits(call.tensors[Role::input], dtype, negate);
  negated.tensors[Role::residual] = map_bits(call.tensors[Role::residual], dtype, negate);
  const RunResult original = run(call, context.target);
  const RunResult result = run(negated, context.target);

  // Where an addition cancels, both sums are +0: the sign of an exact zero sum does not depend on its terms'.
  const auto cancels = [&](std::int64_t index) {
    if (!test_case.has(Role::residual)) return false;
    const std::uint32_t x = load_bits(call.tensors[Role::input], dtype, index);
    const std::uint32_t residual = load_bits(call.tensors[Role::residual], dtype, index);
    return x == bits::negated(dtype, residual) && !bits::is_infinite(dtype, x);
  };
  Comparison comparison("the negated output of the negated input");
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    comparison.count_row();
    for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
      const std::int64_t index = row * test_case.hidden_size() + column;
      for (const Role role : kRoles) {
        if (!test_case.has_output(role) || !test_case.has_strides(role)) continue;
        const DType of = test_case.dtype_of(role);
        const std::uint32_t before = load_bits(original.outputs[role], of, index);
        const std::uint32_t got = load_bits(result.outputs[role], of, index);
        comparison.add_element(role, of, row, column, got,
                               cancels(index) ? before : negative_of(test_case, of, before, got));
      }
    }
  }
  if (test_case.has(Role::scales)) {
    for (std::int64_t row = 0; row < test_case.rows(); ++row)
      comparison.add_row(Role::scales, DType::fp32, 1, result.outputs[Role::scales], row,
                         original.outputs[Role::scales], row, false);
  }
  comparison.add_to(context.tally, test_case, result);
  if (comparison.agrees()) return CaseFinding::holds();
  return CaseFinding::fails(fmt::format("negating the input does not negate the output\n{}",
                                        comparison.describe(negated.how, result)),
                            case_of(negated));
}

}  // namespace

PropertyResult check_power_of_two_scaling(PropertyContext& context) {
  PropertyCheck property;
  property.name = "power-of-two-scaling";
  property.operations = operations_of_known_steps();
  property.limits.int8 = property.limits.scale_ub = true;  // y stays, and so does the bound
  property.limits.max_elements = 1 << 13;
  property.limits.max_threads_per_block = 256;
  property.limits.special_percent = 0;
  // Squares that underflow or overflow say nothing here, so most inputs are drawn where they do not.
  property.adapt = [](Case& test_case, Random& random) {
    if (test_case.rows() == 0 || random.chance(1, 4)) return;
    static constexpr std::array<std::string_view, 3> kClasses = {"model_rows", "normal", "near_ties"};
    const auto recipe = [&random] {
      return TensorData{{}, Recipe{std::string(random.pick(kClasses)), random.next() >> 32}};
    };
    for (const Role role : test_case.inputs_with_rows()) test_case[role].data = recipe();
    static constexpr std::array<std::uint32_t, 4> kEpsilons = {0, 0x358637bd, 0x3727c5ac, 0x3f800000};
    test_case.bits_of(Parameter::epsilon) = random.pick(kEpsilons);
  };
  property.check = power_of_two_scaling;
  return check_property(property, context);
}

PropertyResult check_negation(PropertyContext& context) {
  PropertyCheck property;
  property.name = "negation";
  property.operations = operations_of_known_steps();
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_elements = 1 << 14;
  property.limits.max_threads_per_block = 256;
  property.check = negation;
  return check_property(property, context);
}

}  // namespace normproof
