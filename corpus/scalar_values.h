// Epsilon and the scale of a random case: mostly what people use, and every
// class of number that breaks kernels.
#pragma once

#include <cstdint>
#include <functional>

#include "corpus/case.h"
#include "corpus/random.h"

namespace normproof {

inline constexpr std::uint32_t kOne = 0x3f800000;
inline constexpr std::uint32_t kEpsilon1e5 = 0x3727c5ac;
inline constexpr std::uint32_t kEpsilon1e6 = 0x358637bd;

// fp32 bits: mostly 1e-6 and 1e-5; zero of either sign, subnormal, negative, infinite, NaN, huge; near a
// row's mean square, and exactly minus that. `mean_square` is asked only where it matters.
std::uint32_t draw_epsilon(Random& random, const std::function<double()>& mean_square);

// fp32 bits: 1, 0.03, any moderate number, powers of two (quantization then meets ties), what calibration
// gives, and zero, negative, subnormal, infinite, NaN.
std::uint32_t draw_scale(Random& random, DType quantized);

}  // namespace normproof
