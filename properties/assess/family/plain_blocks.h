// A plain kernel that normalizes and quantizes blocks, and many wrong ones: fp32 operators of the machine,
// fp64 for conversions, tables of codes. It shares no code with the judge, which is held against it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace normproof::assess::blocks {

// --- Numbers. ---

struct SmallFormat {
  int precision, least_exponent;
  double largest;
};
inline constexpr SmallFormat kBf16 = {8, -126, 0x1.fep127}, kFp16 = {11, -14, 65504},
                             kFp32 = {24, -126, 0x1.fffffep127};

// `value` to the nearest number of the format, ties to even; beyond the largest one infinity.
inline double nearest(double value, const SmallFormat& format) {
  if (!std::isfinite(value) || value == 0) return value;
  const int exponent = std::max(std::ilogb(value), format.least_exponent);
  const int step = exponent - (format.precision - 1);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -step)), step);
  return std::fabs(rounded) > format.largest ? std::copysign(INFINITY, value) : rounded;
}

enum class Code : std::uint8_t { e4m3fn, e4m3fnuz, e5m2, int8, e2m1 };
inline double largest(Code code) {
  switch (code) {
    case Code::e4m3fn:
      return 448;
    case Code::e4m3fnuz:
      return 240;
    case Code::e5m2:
      return 57344;
    case Code::int8:
      return 127;
    case Code::e2m1:
      break;
  }
  return 6;
}
// The code of an fp32 number, clamped; NaN becomes NaN, 0 (int8), or the largest number where `saturates`.
inline std::uint8_t encode(float scaled, Code code, bool saturates, double least_int8 = -128) {
  const double most = largest(code);
  if (std::isnan(scaled)) {
    if (code == Code::int8) return 0;
    if (code == Code::e2m1) return 7;
    if (saturates) return encode(static_cast<float>(most), code, true);
    return code == Code::e4m3fn ? 0x7f : code == Code::e4m3fnuz ? 0x80 : 0x7e;
  }
  const double clamped =
      std::fmin(std::fmax(static_cast<double>(scaled), code == Code::int8 ? least_int8 : -most), most);
  if (code == Code::int8) return static_cast<std::uint8_t>(static_cast<int>(std::nearbyint(clamped)));
  const int mantissa = code == Code::e5m2 ? 2 : code == Code::e2m1 ? 1 : 3;
  const int bias = code == Code::e4m3fn ? 7 : code == Code::e4m3fnuz ? 8 : code == Code::e5m2 ? 15 : 1;
  const double value = std::fabs(nearest(clamped, {mantissa + 1, 1 - bias, most}));
  const int sign = std::signbit(clamped) ? (code == Code::e2m1 ? 8 : 128) : 0;
  for (int bits = 0;; ++bits) {  // the one whose value it is
    const int field = bits >> mantissa, fraction = bits & ((1 << mantissa) - 1);
    const double candidate = field == 0 ? std::ldexp(fraction, 1 - bias - mantissa)
                                        : std::ldexp((1 << mantissa) + fraction, field - bias - mantissa);
    if (candidate == value)
      return static_cast<std::uint8_t>(bits == 0 && code == Code::e4m3fnuz ? 0 : bits | sign);
  }
}
inline float e4m3_value(std::uint8_t bits) {
  const int field = bits >> 3 & 15, fraction = bits & 7;
  if ((bits & 127) == 127) return NAN;
  return static_cast<float>(field == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, field - 10));
}

// --- The kernel. ---

enum class Scale : std::uint8_t { fp32, ceil, floor, ceil_exponent, even, nvfp4 };
enum class Factor : std::uint8_t { inverse, divide, neighbour, range_over_maximum };
enum class Floor : std::uint8_t {
  none,
  range_512,
  maximum_1e_4,
  scale_1e_10,
  maximum_1e_10,
  least_scale_1e_10
};

// What is wrong with it, each as somebody reported it or could.
enum class Fault : std::uint8_t {
  none,
  transposed_scales,  // written by columns into a tensor by rows
  scale_of_previous_block,
  scale_of_previous_row,
  plain_float_scale,   // not a power of two
  scale_rounded_down,  // of powers of two: floor where ceil is said
  floor_after_bound,   // the floor before the bound, which then wins
  no_floor,
  maximum_of_last_group,  // every block of the row gets the last one's maximum
  maximum_without_tail,   // the last elements of a block do not take part
  maximum_of_other_rounding,
  maximum_of_signed,  // max(y) instead of max(|y|)
  maximum_of_row,
  range_240,  // for 448
  range_448,  // for 240
  range_of_int8_128,
  truncated_int8,
  lost_negative_zero,
  high_nibble_first,
  no_swizzle,
  divides_for_multiplies,
  multiplies_by_scale,
  weight_of_next_column,
  block_begins_one_late,
  unweighted_maximum,
  stale_scale,  // 1
  exponent_off_by_one,
  no_global_scale,
  quotient_of_448_by_6_left_out,
  root_rounded,      // r in bf16
  unpadded_columns,  // written by columns without the padding that is there
  through_bf16,      // rounded to bf16 on the way to a code
  truncated_y,       // y cut off instead of rounded
  fp32_weight,       // the product with the weight not rounded in between
  not_clamped,       // what is beyond the largest number becomes NaN, or wraps
  ties_away,
  no_epsilon,
  sum_not_rounded,
  zero_block_nan  // 0 / 0
};
inline constexpr auto kFaultNames = std::to_array<std::string_view>({
    "none",
    "transposed scales",
    "scale of previous block",
    "scale of previous row",
    "plain float scale",
    "scale rounded down",
    "floor after bound",
    "no floor",
    "maximum of last group",
    "maximum without tail",
    "maximum of other rounding",
    "maximum of signed",
    "maximum of row",
    "240 for 448",
    "448 for 240",
    "128 for 127",
    "truncated int8",
    "lost negative zero",
    "high nibble first",
    "no swizzle",
    "divides for multiplies",
    "multiplies by scale",
    "weight of next column",
    "block begins one late",
    "unweighted maximum",
    "stale scale",
    "exponent off by one",
    "no global scale",
    "quotient of 448 by 6 left out",
    "root rounded",
    "unpadded columns",
    "through bf16",
    "truncated y",
    "fp32 weight",
    "not clamped",
    "ties away",
    "no epsilon",
    "sum not rounded",
    "zero block nan",
});
inline std::string_view name_of(Fault fault) { return kFaultNames[static_cast<std::size_t>(fault)]; }

struct Config {
  std::string policy;  // by which its outputs conform
  Code code = Code::e4m3fn;
  Scale scale = Scale::fp32;
  Factor factor = Factor::inverse;
  Floor floor = Floor::range_512;
  bool native_weight = true;  // two roundings to T; else fp32
  bool rounded = true;        // y to T before it is quantized
  bool maximum_rounded = true;
  bool drops_nan = false, saturates_nan = false;
  bool multiplies_range = false;  // a * fl(1 / max_Q)
  bool sum_in_fp32 = false;
  bool bytes = false;  // powers of two as bytes
  int nv_form = 0;     // 0 global first, 1 maximum first, 2 and 3 their quotients
  int nv_factor = 0;   // 0 inverse times global, 1 inverse of product, 2 quotient
  std::int64_t block = 128;
};

struct Row {
  std::vector<std::uint32_t> scales;  // bits as stored
  std::vector<std::uint8_t> codes;
  std::vector<float> normalized;  // y in T
};

class Kernel {
 public:
  Kernel(const Config& config, const SmallFormat& activation, Fault fault = Fault::none)
      : config_(config), activation_(activation), fault_(fault) {}

  float to_activation(float value) const {
    return static_cast<float>(nearest(static_cast<double>(value), activation_));
  }
  float y(float x, float w, bool has_weight, float r, bool rounded) const {
    if (fault_ == Fault::root_rounded) r = static_cast<float>(nearest(static_cast<double>(r), kBf16));
    float n = x * r;
    const bool rounds = config_.native_weight && !wide_weight && fault_ != Fault::fp32_weight;
    if (has_weight) n = (rounds ? to_activation(n) : n) * w;
    if (fault_ == Fault::truncated_y && rounded)
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(n) & 0xffff0000u);
    if (config_.native_weight && has_weight && rounded) n = to_activation(n);
    return rounded ? to_activation(n) : n;
  }
  float global = 1, bound = INFINITY;
  bool wide_weight = false;  // fp32 beside a narrower x
  // Where the factor is a neighbour of the inverse: which one, for block and value.
  std::function<bool(std::int64_t)> takes_neighbour = [](std::int64_t) { return false; };

  // The row of operands h (x, or the sum with the residual) with this r.
  Row row(const std::vector<float>& h, const std::vector<float>& weight, float r) const {
    Row result;
    const auto count = static_cast<std::int64_t>(h.size());
    const auto at = [&](std::int64_t j, bool rounded) {
      const auto column = static_cast<std::size_t>(j);
      const bool shifted = fault_ == Fault::weight_of_next_column;
      const float w = weight.empty() ? 1.0f : weight[shifted ? (column + 1) % weight.size() : column];
      return y(h[column], w, !weight.empty(), r, rounded);
    };
    for (std::int64_t j = 0; j < count; ++j) result.normalized.push_back(at(j, true));
    for (std::int64_t begin = 0; begin < count; begin += config_.block) {
      const std::int64_t end = std::min(begin + config_.block, count);
      quantize(begin, end, maximum(begin, end, count, h, r, at), at, result);
    }
    return result;
  }

  // The stored scale of a maximum, and the number that it stands for.
  std::uint32_t scale_of(float a) const;
  float number(std::uint32_t stored) const {
    if (config_.scale == Scale::nvfp4) return e4m3_value(static_cast<std::uint8_t>(stored));
    if (!config_.bytes) return std::bit_cast<float>(stored);
    return stored == 255 ? NAN : static_cast<float>(std::ldexp(1.0, static_cast<int>(stored) - 127));
  }
  // The scaled element; `a` where the factor is made of it.
  float scaled(float y, std::uint32_t stored, float a, bool neighbour) const;
  std::uint8_t code(float scaled) const;

 private:
  template <typename At>
  float maximum(std::int64_t begin, std::int64_t end, std::int64_t count, const std::vector<float>& h,
                float r, const At& at) const {
    if (fault_ == Fault::maximum_of_last_group) {
      begin = (count - 1) / config_.block * config_.block;
      end = count;
    }
    if (fault_ == Fault::maximum_of_row) begin = 0, end = count;
    if (fault_ == Fault::maximum_without_tail) end = std::max(begin + 1, end - (end - begin) / 4);
    if (fault_ == Fault::block_begins_one_late && begin + 1 < end) ++begin;
    const bool rounded = config_.maximum_rounded != (fault_ == Fault::maximum_of_other_rounding);
    float a = 0;
    for (std::int64_t j = begin; j < end; ++j) {
      float value = at(j, rounded);
      if (fault_ == Fault::unweighted_maximum)
        value = y(h[static_cast<std::size_t>(j)], 1, false, r, rounded);
      if (std::isnan(value)) {
        if (!config_.drops_nan) return NAN;
        continue;
      }
      a = std::max(a, fault_ == Fault::maximum_of_signed ? value : std::fabs(value));
    }
    return a;
  }
  template <typename At>
  void quantize(std::int64_t begin, std::int64_t end, float a, const At& at, Row& result) const {
    std::uint32_t stored = scale_of(a);
    const auto block = static_cast<std::int64_t>(result.scales.size());
    if (fault_ == Fault::scale_of_previous_block && !result.scales.empty()) stored = result.scales.back();
    result.scales.push_back(stored);
    for (std::int64_t j = begin; j < end; ++j) {
      const float value = scaled(at(j, config_.rounded), stored, a, takes_neighbour(block));
      result.codes.push_back(code(value));
    }
  }
  double range() const {
    if (fault_ == Fault::range_240) return 240;
    if (fault_ == Fault::range_448) return 448;
    if (fault_ == Fault::range_of_int8_128) return 128;
    return largest(config_.code);
  }
  float quotient_of(float a) const;
  std::uint32_t power(float v) const;

  Config config_;
  SmallFormat activation_;
  Fault fault_;
};

inline float Kernel::quotient_of(float a) const {
  const auto q = static_cast<float>(range());
  const auto divided = [&](float value) { return config_.multiplies_range ? value * (1.0f / q) : value / q; };
  float least_maximum = 0, least_scale = 0;
  if (config_.floor == Floor::maximum_1e_4) least_maximum = 1e-4f;
  if (config_.floor == Floor::maximum_1e_10) least_maximum = 1e-10f;
  if (config_.floor == Floor::least_scale_1e_10) least_scale = 1e-10f;
  if (config_.floor == Floor::range_512)
    least_scale = config_.code == Code::int8 ? 0x1p-23f : 1.0f / (512.0f * q);
  if (fault_ == Fault::no_floor) least_maximum = least_scale = 0;
  if (fault_ != Fault::floor_after_bound && a > bound) a = bound;
  if (config_.floor == Floor::scale_1e_10 && fault_ != Fault::no_floor && !(a > 1e-10f)) return 1e-10f;
  if (a < least_maximum) a = least_maximum;
  float s = divided(a);
  if (s < least_scale) s = least_scale;
  if (fault_ == Fault::floor_after_bound && s > bound) s = bound;
  return s;
}

inline std::uint32_t Kernel::power(float v) const {
  if (std::isnan(v)) return config_.bytes ? 255 : 0x7fc00000u;
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(v), &exponent);  // v = fraction * 2^exponent
  int power = fraction == 0.5 ? exponent - 1 : exponent;
  const int most = config_.code == Code::e2m1 ? 2 : config_.code == Code::e5m2 ? 15 : 8;
  if (config_.scale == Scale::floor) power = exponent - 1 - most;
  if (config_.scale == Scale::ceil_exponent) power -= most;
  if (config_.scale == Scale::even) {
    const int bits = config_.code == Code::e2m1 ? 1 : config_.code == Code::e5m2 ? 2 : 3;
    const bool carries = fraction * 2 + std::ldexp(1.0, -bits - 1) >= 2;
    power = exponent - 1 + (carries ? 1 : 0) - most;
  }
  if (fault_ == Fault::scale_rounded_down) power = exponent - 1;
  if (fault_ == Fault::exponent_off_by_one) ++power;
  if (v == 0) power = -1000;
  if (std::isinf(v))
    power =
        config_.scale == Scale::even || config_.scale == Scale::floor || config_.scale == Scale::ceil_exponent
            ? 128 - most
            : 1000;
  if (config_.bytes) return static_cast<std::uint32_t>(std::min(std::max(power + 127, 0), 254));
  return std::bit_cast<std::uint32_t>(static_cast<float>(std::ldexp(1.0, power)));
}

inline std::uint32_t Kernel::scale_of(float a) const {
  if (fault_ == Fault::stale_scale)
    return config_.scale == Scale::nvfp4 ? 0x38 : config_.bytes ? 127 : 0x3f800000u;
  if (config_.scale == Scale::nvfp4) {
    const float sixth = 1.0f / 6.0f, g = fault_ == Fault::no_global_scale ? 1.0f : global;
    float v = config_.nv_form == 0   ? g * a * sixth
              : config_.nv_form == 1 ? g * (a * sixth)
              : config_.nv_form == 2 ? g * a / 6.0f
                                     : g * (a / 6.0f);
    if (fault_ == Fault::quotient_of_448_by_6_left_out) v = g * a;
    return encode(v, Code::e4m3fn, false);
  }
  const bool of_maximum =
      config_.scale == Scale::floor || config_.scale == Scale::ceil_exponent || config_.scale == Scale::even;
  const float v = of_maximum ? a : quotient_of(a);
  if (config_.scale == Scale::fp32 || fault_ == Fault::plain_float_scale)
    return std::bit_cast<std::uint32_t>(v);
  return power(v);
}

inline float Kernel::scaled(float value, std::uint32_t stored, float a, bool neighbour) const {
  const float s = number(stored);
  if (fault_ == Fault::multiplies_by_scale) return value * s;
  if (config_.scale == Scale::nvfp4) {
    if (s == 0) return fault_ == Fault::zero_block_nan ? NAN : value * 0.0f;
    if (config_.nv_factor == 2) return value / (s / global);
    return value * (config_.nv_factor == 0 ? 1.0f / s * global : 1.0f / (s * (1.0f / global)));
  }
  const bool divides = (config_.factor == Factor::divide) != (fault_ == Fault::divides_for_multiplies);
  if (config_.factor == Factor::range_over_maximum) {
    const auto q = static_cast<float>(range());
    const float least_maximum = config_.floor == Floor::maximum_1e_4 ? 1e-4f : 0.0f;
    return value * (q / std::max(std::min(a, bound), least_maximum));
  }
  if (config_.factor == Factor::neighbour) {
    const float inverse = 1.0f / s;
    const double exact = 1.0 / static_cast<double>(s);
    const float other = exact < static_cast<double>(inverse)   ? std::nextafter(inverse, 0.0f)
                        : exact > static_cast<double>(inverse) ? std::nextafter(inverse, INFINITY)
                                                               : inverse;
    return value * (neighbour ? other : inverse);
  }
  return divides ? value / s : value * (1.0f / s);
}

inline std::uint8_t Kernel::code(float value) const {
  if (fault_ == Fault::through_bf16) value = static_cast<float>(nearest(static_cast<double>(value), kBf16));
  if (fault_ == Fault::ties_away) value = std::nextafter(value, std::copysign(INFINITY, value));
  if (fault_ == Fault::not_clamped && std::fabs(value) > static_cast<float>(largest(config_.code)))
    return config_.code == Code::int8 ? static_cast<std::uint8_t>(static_cast<std::int64_t>(value)) : 0x7f;
  if (fault_ == Fault::lost_negative_zero && value == 0) value = 0.0f;
  if (fault_ == Fault::truncated_int8) value = std::trunc(value);
  std::uint8_t bits = encode(value, config_.code, config_.saturates_nan);
  const int signs = config_.code == Code::e2m1 ? 8 : 128;
  if (fault_ == Fault::lost_negative_zero && (bits & (signs - 1)) == 0) bits = 0;
  return bits;
}

}  // namespace normproof::assess::blocks
