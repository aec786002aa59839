// Axes of what happens between y and codes, by the names that rms_norm_dynamic_quant has for them.
#pragma once

#include <array>
#include <cstddef>

#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

inline constexpr std::array kBlockCodes = {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::fp8_e4m3fnuz,
                                           DType::fp8_e5m2fnuz, DType::int8};

inline bool writes_int8(const Call& call) { return call.has("out") && call.at("out").dtype == DType::int8; }
inline bool writes_fp8(const Call& call) {
  if (!call.has("out")) return true;
  return call.at("out").dtype != DType::int8 && call.at("out").dtype != DType::uint8;
}
inline bool writes_e4m3fnuz(const Call& call) {
  return call.has("out") && call.at("out").dtype == DType::fp8_e4m3fnuz;
}
inline constexpr std::array<AxisValue, 2> kBefore = {{
    {"rounded", "y is rounded to T, then quantized"},
    {"unrounded", "the product in fp32 is quantized"},
}};
inline constexpr std::array<AxisValue, 2> kMaximum = {{
    {"of_quantized", "a = max abs(y) of the y that is quantized"},
    {"of_other", "a of the unrounded y where rnd_T(y) is quantized, and the other way round"},
}};
inline constexpr std::array<AxisValue, 2> kMaximumNan = {{
    {"propagate", "a block with a NaN has a NaN scale"},
    {"drop", "a is the largest of what is no NaN, or 0"},
}};
inline constexpr std::array<AxisValue, 3> kRowScale = {{
    {"quotient", "fl(a / max_Q)"},
    {"product", "fl(a * fl(1 / max_Q))"},
    {"product_other", "fl(a * f), f the fp32 number on the other side of 1 / max_Q (rcp.approx)"},
}};
inline constexpr std::array<AxisValue, 6> kFloor = {{
    {"range_512", "s is at least fl(1 / (512 max_Q)), of int8 2^-23"},
    {"none", "a block of zeros has scale 0"},
    {"maximum_1e-4", "a is at least 1e-4"},
    {"scale_1e-10", "s = fl(a / max_Q) where a > 1e-10, else 1e-10"},
    {"maximum_1e-10", "a is at least 1e-10"},
    {"least_scale_1e-10", "s is at least 1e-10"},
}};
inline constexpr std::array<AxisValue, 4> kScaling = {{
    {"inverse", "fl(y * fl(1 / s)), s as it is stored"},
    {"divide", "fl(y / s)"},
    {"approximate_inverse", "fl(y * f), f one of the two fp32 numbers next to 1 / s"},
    {"range_over_maximum", "fl(y * fl(max_Q / a)); at most fl(1 / least s)"},
}};
inline constexpr std::array<AxisValue, 2> kRange = {{
    {"largest", "max_Q is the largest number of the codes"},
    {"fnuz_224", "max_Q of e4m3fnuz is 224, not 240"},
}};
inline constexpr std::array<AxisValue, 2> kFp8Nan = {
    {{"propagate", "NaN stays NaN"}, {"saturate", "NaN becomes max_Q"}}};
inline constexpr std::array<AxisValue, 2> kInt8Low = {
    {{"minus_128", "int8 codes are -128 to 127"}, {"minus_127", "int8 codes are -127 to 127"}}};

// The axes of an operation that adds the residual before: `sum` comes first.
template <std::size_t size>
constexpr std::array<Axis, size + 1> with_sum(const Axis& sum, const std::array<Axis, size>& axes) {
  std::array<Axis, size + 1> result = {sum};
  for (std::size_t i = 0; i < size; ++i) result[i + 1] = axes[i];
  return result;
}

}  // namespace normproof::oracle::judged
