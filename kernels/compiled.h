// Which kernels a build for GPUs has. All, unless device code is compiled only to see that it compiles
// (NORMPROOF_SAMPLED_DEVICE_CODE): then each shape in some combinations of dtype, weight and addition, and
// each combination in some shapes. Calls that need another kernel are refused (launch_kernel.h).
#pragma once

#include <type_traits>

namespace normproof::kernels {

struct Bf16;
struct Fp16;

#if defined(NORMPROOF_SAMPLED_DEVICE_CODE)
inline constexpr bool kSampled = true;
#else
inline constexpr bool kSampled = false;
#endif

// A number for each combination: 0 to 5 of bf16, 6 to 11 of fp16, then those of fp32.
template <typename T, typename W, bool kAddsResidual>
inline constexpr int kCombination = (std::is_same_v<T, Bf16>   ? 0
                                     : std::is_same_v<T, Fp16> ? 6
                                                               : 13) +
                                    (std::is_same_v<W, T>       ? 2
                                     : std::is_same_v<W, float> ? 4
                                                                : 0) +
                                    (kAddsResidual ? 1 : 0);
// One of as many, in bf16 and fp16 together, has a shape.
inline constexpr int kCombinations = 12;

// Whether a sample has the shape, which is any enumerator or number, in the combination.
template <int kOneIn = kCombinations, class Shape>
constexpr bool in_sample(Shape shape, int combination) {
  return (static_cast<int>(shape) + combination) % kOneIn == 0;
}

// Whether the build has it.
template <int kOneIn = kCombinations, class Shape>
constexpr bool is_compiled(Shape shape, int combination) {
  return !kSampled || in_sample<kOneIn>(shape, combination);
}

}  // namespace normproof::kernels
