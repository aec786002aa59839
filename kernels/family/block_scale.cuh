// The scale of a block, from its largest |y|, and what the codes are y times.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/family/block_quant_arguments.h"
#include "kernels/row_numbers.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

struct BlockScale {
  std::uint32_t stored = 0;  // in the scale's storage
  float factor = 0;
};

// What a call says of all scales, read once for each row.
struct ScaleParameters {
  float upper_bound = 0;  // of the maximum
  float global = 0;
};
__device__ inline ScaleParameters scale_parameters(const BlockQuantArguments& arguments) {
  return {arguments.scale_ub != nullptr ? *arguments.scale_ub : float_of(0x7f800000u),
          arguments.global_scale != nullptr ? *arguments.global_scale : 1.0f};
}

// Of bits of e4m3fn. The exponent biases differ by 120; the product is exact, for subnormal numbers too.
__device__ inline float float_of_e4m3(std::uint32_t bits) {
  if ((bits & 0x7fu) == 0x7fu) return float_of(0x7fc00000u);
  return float_of(bits_of(__fmul_rn(float_of((bits & 0x7fu) << 20), 0x1p120f)) | (bits & 0x80u) << 24);
}

// 2^(byte - 127) and its inverse, 255 being NaN.
__device__ inline float float_of_e8m0(std::uint32_t byte) {
  if (byte == 255) return float_of(0x7fc00000u);
  return float_of(byte == 0 ? 0x00400000u : byte << 23);
}

// The least power of two of fp32 that is at least `value`, which is not NaN and not below 0. Infinity and 0
// stay.
__device__ inline float least_power_from(float value) {
  const std::uint32_t bits = bits_of(value);
  if (bits >= 0x00800000u) return float_of((bits + 0x007fffffu) & 0x7f800000u);
  if ((bits & (bits - 1)) == 0) return value;
  return float_of(1u << (32 - __clz(static_cast<int>(bits))));
}

// As a byte: what is below 2^-127 becomes that, and infinity 2^127.
__device__ inline std::uint32_t e8m0_of_power(float power) {
  const std::uint32_t byte = bits_of(power) >> 23;
  return byte < 254 ? byte : 254;
}

__device__ inline float clamp_keeping_nan(float value, float most) {
  if (value > most) value = most;
  if (value < -most) value = -most;
  return value;
}

// fl(fl(g * a) * fl(1/6)).
__device__ inline float global_quotient(float maximum, float global) {
  return __fmul_rn(__fmul_rn(global, maximum), 1.0f / 6.0f);
}

// Of any maximum, given as fp32 bits. A function of its own, so that it does not lie amid the instructions of
// blocks that have quick ways.
__device__ __noinline__ inline BlockScale general_block_scale(BlockScaling scaling,
                                                              ScaleParameters parameters,
                                                              std::uint32_t largest) {
  float maximum = float_of(largest);
  if (scaling.rule == BlockScaleRule::global) {
    const float scaled = clamp_keeping_nan(global_quotient(maximum, parameters.global), 448.0f);
    const std::uint32_t stored = round_to_fp8(scaled, Fp8Format::e4m3fn).bits;
    const float scale = float_of_e4m3(stored);
    return {stored, scale == 0.0f ? 0.0f : __fmul_rn(__frcp_rn(scale), parameters.global)};
  }
  if (maximum > parameters.upper_bound) maximum = parameters.upper_bound;
  float scale = __fdiv_rn(maximum, scaling.range);
  if (scale < scaling.least_scale) scale = scaling.least_scale;
  const bool is_nan = (bits_of(scale) & 0x7fffffffu) > 0x7f800000u;
  if (scaling.rule == BlockScaleRule::power && !is_nan) scale = least_power_from(scale);
  if (scaling.storage == BlockScaleStorage::fp32) return {bits_of(scale), __frcp_rn(scale)};
  const std::uint32_t byte = is_nan ? 255 : e8m0_of_power(scale);
  return {byte, __frcp_rn(float_of_e8m0(byte))};
}

// Whether the quotient of a maximum by max_Q and its inverse are normal, so that the exponent of the maximum
// says the next power of two.
__device__ inline bool has_quick_power(std::uint32_t largest) {
  constexpr std::uint32_t kLeast = 0x0c800000u;  // 2^-102
  return largest < 0x7f800000u && (largest >= kLeast || largest == 0);
}

// The least power of two from fl(a / max_Q) on, as e8m0, and its inverse. Beyond the mantissa of max_Q that
// of a maximum carries into the exponent: their quotient is then above the power of two, and rounding it
// keeps it there.
__device__ inline BlockScale quick_power(const PowerRule& rule, std::uint32_t largest) {
  const int power = static_cast<int>((largest + rule.adder) >> 23) - rule.exponent;
  const int byte = power < rule.least ? rule.least : power;
  return {static_cast<std::uint32_t>(byte), float_of(static_cast<std::uint32_t>(254 - byte) << 23)};
}

// The first scale of a row.
__device__ inline std::uint8_t* first_scale_of(const BlockQuantArguments& arguments, std::int64_t row) {
  std::int64_t offset = row * arguments.scale_row_bytes;
  if (arguments.scale_tiles != 0) {
    // One tile is 512 scales.
    offset = (row / 128 * arguments.scale_tiles * 128 + row % 32 * 4 + row % 128 / 32) *
             (4 * arguments.scale_block_bytes);
  }
  return static_cast<std::uint8_t*>(arguments.scales) + offset;
}

__device__ inline void store_scale(std::uint8_t* place, std::uint32_t stored, BlockScaleStorage storage) {
  if (storage == BlockScaleStorage::fp32) {
    *reinterpret_cast<float*>(place) = float_of(stored);
  } else {
    *place = static_cast<std::uint8_t>(stored);
  }
}

}  // namespace normproof::kernels
