// On which GPUs and for which operands row_numbers.cuh has short ways to the
// same bits. Only the GPU goes them.
#pragma once

#include <cstdint>

#include "kernels/norm_arguments.h"

namespace normproof::kernels {

// The generations of GPUs, by the major number of their compute capability, for which `normproof prove` has
// shown them to be right for all operands. Other GPUs may have other
// approximate roots, and go the general way.
constexpr bool has_quick_ways(int generation) { return generation == 9; }

inline constexpr std::int64_t kMostQuickHidden = std::int64_t{1} << 20;
inline constexpr float kMostQuickEpsilon = 0x1p79f;
inline constexpr float kLeastQuickSum = 0x1p-60f, kMostQuickSum = 0x1p80f;

// NormArguments::inverse_hidden.
inline float quick_inverse_hidden(std::int64_t hidden, float epsilon) {
  const bool quick = hidden <= kMostQuickHidden && epsilon >= 0.0f && epsilon <= kMostQuickEpsilon;
  return quick ? 1.0f / static_cast<float>(hidden) : 0.0f;
}
inline float quick_inverse_hidden(const NormArguments& arguments) {
  return quick_inverse_hidden(arguments.hidden, arguments.epsilon);
}

}  // namespace normproof::kernels
