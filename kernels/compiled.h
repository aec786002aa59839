// Which kernels that hold rows in registers a build for GPUs has. All, unless device code is compiled only to
// see that it compiles (NORMPROOF_SAMPLED_DEVICE_CODE): then each shape in some of its combinations, and each
// combination in some shapes. Calls that need another kernel are refused (launch_kernel.h).
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

// A number for each combination of dtype, weight and addition.
template <typename T, typename W, bool kAddsResidual>
inline constexpr int kCombination = (std::is_same_v<T, Bf16>   ? 0
                                     : std::is_same_v<T, Fp16> ? 1
                                                               : 2) +
                                    (std::is_same_v<W, T>       ? 2
                                     : std::is_same_v<W, float> ? 4
                                                                : 0) +
                                    (kAddsResidual ? 1 : 0);

// Whether the kernel of a shape, which is any enumerator or number, is there in a combination.
template <int kOneIn = 6, class Shape>
constexpr bool is_compiled(Shape shape, int combination) {
  return !kSampled || (static_cast<int>(shape) + combination) % kOneIn == 0;
}

}  // namespace normproof::kernels
