// Scales of blocks: fp32, powers of two, e4m3.
#include "oracle/blocks/block_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "oracle/feasible.h"

namespace normproof::oracle {
namespace {

constexpr std::uint32_t kE8m0Nan = 255, kE8m0Most = 254;
const Format& kE4m3 = kFormats[static_cast<std::size_t>(DType::fp8_e4m3fn)];

float as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// floor(log2) of the bits of an fp32 number above 0.
std::int64_t exponent_of(std::uint32_t bits) {
  return bits >= 0x00800000u ? std::int64_t{bits >> 23} - 127
                             : static_cast<std::int64_t>(std::bit_width(bits)) - 150;
}
bool is_power_of_two(std::uint32_t bits) {
  return bits >= 0x00800000u ? (bits & 0x7fffffu) == 0 : std::has_single_bit(bits);
}
std::uint32_t power_bits(std::int64_t exponent) {  // of fp32, 0 or infinity beyond its ends
  if (exponent > 127) return kFp32Infinity;
  if (exponent >= -126) return static_cast<std::uint32_t>(exponent + 127) << 23;
  return exponent < -149 ? 0 : 1u << (exponent + 149);
}
std::int64_t ceil_exponent_of(std::uint32_t bits) {
  return exponent_of(bits) + (is_power_of_two(bits) ? 0 : 1);
}
std::int64_t floor_log2(const Value& value) {
  return value.exponent() + static_cast<std::int64_t>(boost::multiprecision::msb(value.magnitude()));
}
std::int64_t ceil_log2(const Value& value) {
  const bool exact =
      boost::multiprecision::lsb(value.magnitude()) == boost::multiprecision::msb(value.magnitude());
  return floor_log2(value) + (exact ? 0 : 1);
}

// How many fp32 numbers around 2^exponent an approximate logarithm may take for its other side: an absolute
// error of 2^-22, or a relative one (PTX: lg2.approx), which is 1.4 |exponent| steps of 2^-23; log2f has
// less.
std::int64_t steps_of_log2(std::int64_t exponent) {
  return 2 * std::max<std::int64_t>(1, std::abs(exponent)) + 2;
}
// Whether ceil(log2(v)) may come out as this exponent.
bool may_be_ceil(std::uint32_t v, std::int64_t exponent) {
  const std::int64_t bits = v;
  return bits > std::int64_t{power_bits(exponent - 1)} - steps_of_log2(exponent - 1) &&
         bits <= std::int64_t{power_bits(exponent)} + steps_of_log2(exponent);
}

// The fp32 numbers that stand for 1 / x: the nearest, and the one on its other side where it is approximate.
std::vector<float> inverses(float x, bool approximate) {
  const float nearest = 1.0f / x;
  std::vector<float> result = {nearest};
  const double exact = 1.0 / static_cast<double>(x);
  const auto rounded = static_cast<double>(nearest);
  if (approximate && std::isfinite(nearest) && (exact < rounded || exact > rounded))
    result.push_back(
        std::nextafter(nearest, exact < rounded ? 0.0f : std::numeric_limits<float>::infinity()));
  return result;
}
// All that exact arithmetic admits in their place.
std::vector<float> exact_inverses(float x, bool approximate) {
  const Value inverse = quotient(Value::integer(1), decode(DType::fp32, fp32_bits(x)));
  std::vector<float> result = {to_float(inverse)};
  if (!approximate || !std::isfinite(result.front())) return result;
  for (const Rounding rounding : {Rounding::down, Rounding::up}) {
    const float other =
        as_float(static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), inverse, rounding)));
    if (std::ranges::find(result, other) == result.end()) result.push_back(other);
  }
  return result;
}

void add_once(std::vector<float>& factors, float factor) {
  const auto equal = [&](float other) { return factor_bits(other) == factor_bits(factor); };
  if (std::ranges::none_of(factors, equal)) factors.push_back(factor);
}

// fl() of exact operations on fp32 numbers.
Value exact_of(float x) { return decode(DType::fp32, fp32_bits(x)); }
float product(float a, float b) { return to_float(exact_of(a) * exact_of(b)); }
float ratio(float a, float b) { return to_float(quotient(exact_of(a), exact_of(b))); }

struct HardwareSteps {
  float times(float a, float b) const { return a * b; }
  float over(float a, float b) const { return a / b; }
  std::vector<float> inverse(float x, bool approximate) const { return inverses(x, approximate); }
};
struct ExactSteps {
  float times(float a, float b) const { return product(a, b); }
  float over(float a, float b) const { return ratio(a, b); }
  std::vector<float> inverse(float x, bool approximate) const { return exact_inverses(x, approximate); }
};

// The quotient that becomes an e4m3 scale, for each reciprocal of 6.
template <typename Steps>
std::vector<float> global_quotients(const Steps& steps, const BlockScaleSettings& settings, float a) {
  const float g = as_float(settings.global);
  switch (settings.global_form) {
    case GlobalScaleForm::global_first_quotient:
      return {steps.over(steps.times(g, a), 6.0f)};
    case GlobalScaleForm::maximum_first_quotient:
      return {steps.times(g, steps.over(a, 6.0f))};
    case GlobalScaleForm::global_first:
    case GlobalScaleForm::maximum_first:
      break;
  }
  std::vector<float> result;
  const bool global_first = settings.global_form == GlobalScaleForm::global_first;
  for (const float sixth : steps.inverse(6.0f, settings.approximate))
    result.push_back(global_first ? steps.times(steps.times(g, a), sixth)
                                  : steps.times(g, steps.times(a, sixth)));
  return result;
}

// The factors of the codes of an e4m3 scale.
template <typename Steps>
std::vector<float> global_factors(const Steps& steps, const BlockScaleSettings& settings, float s) {
  const float g = as_float(settings.global);
  std::vector<float> result;
  switch (settings.factor_form) {
    case GlobalFactorForm::inverse_times_global:
      for (const float inverse : steps.inverse(s, settings.approximate))
        add_once(result, steps.times(inverse, g));
      break;
    case GlobalFactorForm::inverse_of_product:
      for (const float inverse : steps.inverse(g, settings.approximate)) {
        for (const float factor : steps.inverse(steps.times(s, inverse), settings.approximate))
          add_once(result, factor);
      }
      break;
    case GlobalFactorForm::quotient:
      result.push_back(steps.over(s, g));
      break;
  }
  return result;
}

std::uint32_t e4m3_bits(float scaled) {
  if (std::isnan(scaled)) return static_cast<std::uint32_t>(kE4m3.nan_bits());
  return static_cast<std::uint32_t>(round_bits(kE4m3, exact_of(std::min(scaled, 448.0f))));
}

}  // namespace

BlockScaleRule::BlockScaleRule(const BlockScaleSettings& settings)
    : settings_(settings),
      rule_(settings.recipe),
      greatest_exponent_(settings.element == nullptr ? 0 : settings.element->max_exponent()) {}

// 2^exponent as it is stored.
std::uint32_t BlockScaleRule::stored_power(std::int64_t exponent) const {
  if (settings_.storage == BlockScaleStorage::fp32) return power_bits(exponent);
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(exponent + 127, 0, kE8m0Most));
}

// What a quotient or a maximum (fp32 bits, not NaN) becomes.
std::uint32_t BlockScaleRule::power_of(std::uint32_t bits) const {
  const bool has_infinity = settings_.storage == BlockScaleStorage::fp32;
  if (bits == 0) return stored_power(-1000);
  switch (settings_.kind) {
    case BlockScaleKind::ceil:
    case BlockScaleKind::ceil_log2:
      return bits == kFp32Infinity && has_infinity ? kFp32Infinity : stored_power(ceil_exponent_of(bits));
    case BlockScaleKind::ceil_exponent:
      return stored_power(ceil_exponent_of(bits) - greatest_exponent_);
    case BlockScaleKind::even: {
      // Half of the last bit that the format has, added to the bits of a number of fp32.
      const std::uint32_t half = 1u << (23 - settings_.element->mantissa_bits() - 1);
      return stored_power(exponent_of(bits + half) - greatest_exponent_);
    }
    case BlockScaleKind::floor:
    case BlockScaleKind::fp32:
    case BlockScaleKind::e4m3:
      break;
  }
  return stored_power(exponent_of(bits) - greatest_exponent_);
}

BlockScaleRule::Pair BlockScaleRule::e4m3_of(float maximum) const {
  Pair result{kFp32Infinity, 0};
  for (const float scaled : global_quotients(HardwareSteps(), settings_, maximum)) {
    const std::uint32_t bits = e4m3_bits(scaled);
    result = {std::min(result.least, bits), std::max(result.most, bits)};
  }
  return result;
}

BlockScaleRule::Pair BlockScaleRule::bounds(float maximum) const {
  const bool of_quotient =
      settings_.kind == BlockScaleKind::ceil || settings_.kind == BlockScaleKind::ceil_log2;
  const float v = of_quotient || settings_.kind == BlockScaleKind::fp32 ? rule_.of(maximum) : maximum;
  if (settings_.kind == BlockScaleKind::e4m3) return e4m3_of(maximum);
  if (std::isnan(v)) {
    const std::uint32_t nan = settings_.storage == BlockScaleStorage::fp32 ? kFp32Nan : kE8m0Nan;
    return {nan, nan};
  }
  if (settings_.kind == BlockScaleKind::fp32) return {fp32_bits(v), fp32_bits(v)};
  const std::uint32_t usual = power_of(fp32_bits(v));
  Pair result{usual, usual};
  if (settings_.kind == BlockScaleKind::ceil_log2 && v > 0 && std::isfinite(v)) {
    const std::int64_t exponent = ceil_exponent_of(fp32_bits(v));
    if (may_be_ceil(fp32_bits(v), exponent - 1)) result.least = stored_power(exponent - 1);
    if (may_be_ceil(fp32_bits(v), exponent + 1)) result.most = stored_power(exponent + 1);
  }
  return result;
}

std::uint32_t BlockScaleRule::of(float maximum) const {
  if (settings_.kind == BlockScaleKind::e4m3)
    return e4m3_bits(global_quotients(HardwareSteps(), settings_, maximum).front());
  if (settings_.kind == BlockScaleKind::ceil_log2) {
    const float v = rule_.of(maximum);
    return std::isnan(v) ? bounds(maximum).least : power_of(fp32_bits(v));
  }
  return bounds(maximum).least;
}

// The same by exact arithmetic.
BlockScaleRule::Pair BlockScaleRule::exact_bounds(const Value& maximum) const {
  if (settings_.kind == BlockScaleKind::e4m3) {
    Pair result{kFp32Infinity, 0};
    for (const float scaled : global_quotients(ExactSteps(), settings_, as_float(fp32_bits(maximum)))) {
      const std::uint32_t bits = e4m3_bits(scaled);
      result = {std::min(result.least, bits), std::max(result.most, bits)};
    }
    return result;
  }
  const bool of_quotient =
      settings_.kind == BlockScaleKind::ceil || settings_.kind == BlockScaleKind::ceil_log2;
  Arithmetic arithmetic;
  const Value v = of_quotient || settings_.kind == BlockScaleKind::fp32
                      ? exact_quantization_scale(arithmetic, settings_.recipe, maximum)
                      : maximum;
  if (settings_.kind == BlockScaleKind::fp32) return {fp32_bits(v), fp32_bits(v)};
  if (v.is_nan() || v.is_infinite() || v.is_zero()) return bounds(as_float(fp32_bits(maximum)));
  if (settings_.kind == BlockScaleKind::ceil) {
    const std::uint32_t power = stored_power(ceil_log2(v));
    return {power, power};
  }
  if (settings_.kind == BlockScaleKind::ceil_log2) {
    const std::int64_t exponent = ceil_log2(v);
    const std::uint32_t bits = fp32_bits(v);
    return {stored_power(exponent - (may_be_ceil(bits, exponent - 1) ? 1 : 0)),
            stored_power(exponent + (may_be_ceil(bits, exponent + 1) ? 1 : 0))};
  }
  std::int64_t exponent = floor_log2(v);
  if (settings_.kind == BlockScaleKind::ceil_exponent) exponent = ceil_log2(v);
  if (settings_.kind == BlockScaleKind::even) {
    // Half of the last bit at the number's own exponent, which subnormal numbers of fp32 have not.
    const std::int64_t own = std::max<std::int64_t>(exponent, -126);
    exponent = floor_log2(v + Value::finite(false, 1, own - settings_.element->mantissa_bits() - 1));
  }
  const std::uint32_t power = stored_power(exponent - greatest_exponent_);
  return {power, power};
}

std::vector<MaximumInterval> BlockScaleRule::maxima_of(std::uint32_t stored) const {
  constexpr std::int64_t kLast = kFp32Infinity;
  const std::int64_t first = settings_.recipe.floor != nullptr && settings_.recipe.floor->compares_maximum
                                 ? std::int64_t{settings_.recipe.least_scale} + 1
                                 : 0;
  const auto at = [&](std::int64_t a) { return bounds(as_float(static_cast<std::uint32_t>(a))); };
  std::vector<MaximumInterval> result;
  if (first > 0 && at(0).least <= stored && stored <= at(0).most)
    result.push_back({0, static_cast<std::uint32_t>(first - 1)});
  const std::int64_t low = first_where(first, kLast, [&](std::int64_t a) { return at(a).most >= stored; });
  const std::int64_t beyond = first_where(low, kLast, [&](std::int64_t a) { return at(a).least > stored; });
  if (low < beyond)
    result.push_back({static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(beyond - 1)});
  return result;
}

float BlockScaleRule::number(std::uint32_t stored) const {
  switch (settings_.storage) {
    case BlockScaleStorage::fp32:
      return as_float(stored);
    case BlockScaleStorage::e8m0:
      return stored == kE8m0Nan ? as_float(kFp32Nan) : as_float(power_bits(std::int64_t{stored} - 127));
    case BlockScaleStorage::e4m3:
      break;
  }
  return static_cast<float>(to_double(decode(kE4m3, stored)));
}

// Factors without their maxima, where the stored scale alone says them.
std::vector<BlockFactor> BlockScaleRule::candidates(std::uint32_t stored) const {
  const float s = number(stored);
  if (settings_.kind == BlockScaleKind::e4m3) {
    if (s == 0) return {{0.0f, false, {}, false}};
    std::vector<BlockFactor> result;
    for (const float factor : global_factors(HardwareSteps(), settings_, s))
      result.push_back({factor, settings_.factor_form == GlobalFactorForm::quotient, {}, false});
    return result;
  }
  const bool divides = row_of(settings_.formula.policy.scaling).divides;
  return {{divides ? s : 1.0f / s, divides, {}, false}};
}

std::vector<BlockFactor> BlockScaleRule::factors(std::uint32_t stored) const {
  std::vector<BlockFactor> result;
  if (settings_.kind == BlockScaleKind::fp32) {
    const bool divides = row_of(settings_.formula.policy.scaling).divides;
    for (CodeFactor& each : code_factors(settings_.formula, &rule_, stored))
      result.push_back({each.factor, divides, std::move(each.maxima), each.with_nan});
    return result;
  }
  result = candidates(stored);
  const std::vector<MaximumInterval> maxima = maxima_of(stored);
  const Pair of_nan = bounds(as_float(kFp32Nan));
  for (BlockFactor& each : result) {
    each.maxima = maxima;
    each.with_nan = !settings_.recipe.drops_nan && same_scale(stored, of_nan.least);
  }
  return result;
}

void BlockScaleRule::require_exact(std::uint32_t stored, const std::vector<BlockFactor>& factors) const {
  require_exact_maxima(stored, factors);
  require_exact_factors(stored, factors);
}

void BlockScaleRule::fail(std::string_view what, std::uint32_t stored) const {
  throw std::logic_error(
      fmt::format("oracle: exact and fast path disagree about the {} of scale {}", what, text_of(stored)));
}

// All maxima of all factors are those of the scale: at each end it is given, and just beyond it is not,
// unless another interval goes on there.
void BlockScaleRule::require_exact_maxima(std::uint32_t stored,
                                          const std::vector<BlockFactor>& factors) const {
  const auto gives = [&](std::int64_t maximum) {
    const Pair pair = exact_bounds(decode(DType::fp32, static_cast<std::uint64_t>(maximum)));
    return pair.least <= stored && stored <= pair.most;
  };
  std::vector<MaximumInterval> all;
  for (const BlockFactor& each : factors) all.insert(all.end(), each.maxima.begin(), each.maxima.end());
  const auto listed = [&](std::int64_t maximum) {
    return std::ranges::any_of(all, [&](const MaximumInterval& each) {
      return std::int64_t{each.low} <= maximum && maximum <= std::int64_t{each.high};
    });
  };
  std::vector<std::int64_t> ends = {0, std::int64_t{kFp32Infinity}};
  for (const MaximumInterval& each : all) {
    for (const std::int64_t end : {std::int64_t{each.low}, std::int64_t{each.high}})
      ends.insert(ends.end(), {end - 1, end, end + 1});
  }
  for (const std::int64_t maximum : ends) {
    if (maximum < 0 || maximum > std::int64_t{kFp32Infinity}) continue;
    if (gives(maximum) != listed(maximum)) fail("maxima", stored);
  }
  const bool of_nan = !settings_.recipe.drops_nan && same_scale(exact_bounds(Value::nan()).least, stored);
  if (of_nan != std::ranges::any_of(factors, &BlockFactor::with_nan)) fail("NaN", stored);
}

void BlockScaleRule::require_exact_factors(std::uint32_t stored,
                                           const std::vector<BlockFactor>& factors) const {
  // Of a scale that no maximum gives, a negative one for instance, nothing is made.
  const auto is_possible = [](const BlockFactor& each) { return each.with_nan || !each.maxima.empty(); };
  if (std::ranges::none_of(factors, is_possible)) return;
  std::vector<float> wanted;
  if (settings_.kind == BlockScaleKind::e4m3) {
    const float s = number(stored);
    wanted = s == 0 ? std::vector{0.0f} : global_factors(ExactSteps(), settings_, s);
  } else if (settings_.kind == BlockScaleKind::fp32 && leaves_factor_open(settings_.formula)) {
    for (const std::uint32_t bits : exact_code_factors(settings_.formula, settings_.recipe, stored))
      wanted.push_back(as_float(bits));
  } else {
    const bool divides = row_of(settings_.formula.policy.scaling).divides;
    wanted = {divides ? number(stored) : exact_inverses(number(stored), false).front()};
  }
  for (const float factor : wanted) {
    const auto is_it = [&](const BlockFactor& each) {
      return factor_bits(each.factor) == factor_bits(factor);
    };
    if (std::ranges::none_of(factors, is_it)) fail("factors", stored);
  }
  if (settings_.kind != BlockScaleKind::fp32 || !follows_from_maximum(settings_.formula)) return;
  Arithmetic arithmetic;
  for (const BlockFactor& each : factors) {
    for (const MaximumInterval& maxima : each.maxima) {
      for (const std::uint32_t end : {maxima.low, maxima.high}) {
        const Value factor = exact_factor_of_maximum(arithmetic, settings_.recipe, decode(DType::fp32, end));
        if (fp32_bits(factor) != factor_bits(each.factor)) fail("factors", stored);
      }
    }
  }
}

// Any NaN is any other.
bool BlockScaleRule::same_scale(std::uint32_t a, std::uint32_t b) const {
  switch (settings_.storage) {
    case BlockScaleStorage::fp32:
      return same(DType::fp32, a, b);
    case BlockScaleStorage::e8m0:
      return a == b;
    case BlockScaleStorage::e4m3:
      break;
  }
  return same(kE4m3, a, b);
}

std::string BlockScaleRule::text_of(std::uint32_t stored) const {
  switch (settings_.storage) {
    case BlockScaleStorage::fp32:
      return fmt::format("{} ({})", value_text(DType::fp32, stored), hex_bits(DType::fp32, stored));
    case BlockScaleStorage::e8m0:
      return stored == kE8m0Nan ? std::string("NaN (0xff)")
                                : fmt::format("2^{} (0x{:02x})", std::int64_t{stored} - 127, stored);
    case BlockScaleStorage::e4m3:
      break;
  }
  return fmt::format("{} ({})", value_text(kE4m3, stored), hex_bits(kE4m3, stored));
}

}  // namespace normproof::oracle
