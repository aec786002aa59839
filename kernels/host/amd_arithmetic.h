// What AMD's instructions compute from words, without registers, memory or lanes.
#ifndef NORMPROOF_KERNELS_HOST_AMD_ARITHMETIC_H
#define NORMPROOF_KERNELS_HOST_AMD_ARITHMETIC_H

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace normproof::host {

// Of fp32 numbers: v_add_f32, v_med3_f32, v_rsq_f32, ... ; `old` is what the destination holds, which fmac
// adds to. Nothing where the name is none of them.
std::optional<float> amd_float(std::string_view name, std::span<const float> arguments, float old);
// Of words: v_lshl_or_b32, v_bfe_u32, v_perm_b32, s_and_b32, ...
std::optional<std::uint32_t> amd_integer(std::string_view name, std::span<const std::uint32_t> arguments);
// Of fp16 numbers in the lower halves of words.
std::optional<std::uint32_t> amd_half(std::string_view name, std::span<const std::uint32_t> arguments);

// The approximate functions, within one unit in the last place of ISA manuals; subnormal numbers are taken
// for zero and flushed to it. `exp` and `log` to the base of 2; angles are in revolutions.
float amd_reciprocal(float value);
float amd_inverse_root(float value);
float amd_root(float value);
float amd_exp2(float value);
float amd_log2(float value);
float amd_sine(float revolutions);
float amd_cosine(float revolutions);
float amd_median(float a, float b, float c);

// fp8 with one zero, as gfx942 has it: nearest even, and what is too large is NaN, as kernels clamp before.
std::uint32_t amd_to_fp8(float value, bool e5m2);
float amd_of_fp8(std::uint32_t bits, bool e5m2);
// Byte `select` of eight, the second word's first.
std::uint32_t amd_permute_bytes(std::uint32_t high, std::uint32_t low, std::uint32_t selectors);

}  // namespace normproof::host

#endif
