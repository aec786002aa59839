// ArenaCall: a call of the C interface whose tensors all lie somewhere in one small arena, so that they share
// memory or just do not. Which of the two is told by a look at every byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "corpus/case.h"
#include "properties/targets/kernel_functions.h"

namespace normproof {

inline constexpr std::size_t kArenaBytes = 4096;
inline constexpr DType kArenaQuantizedDType = DType::fp8_e4m3fn;

// A tensor of the call, and what its elements take.
struct ArenaTensor {
  normproof_tensor tensor{};
  std::size_t element_bytes = 0;
};

// A call that nothing but shared memory can make invalid.
struct ArenaCall {
  Operation operation{};
  DType dtype = DType::bf16;  // of all tensors but a quantized output, which is kArenaQuantizedDType
  ArenaTensor input, residual, weight, out, scales;
  bool has_weight = false;
  const float* scale = nullptr;
  std::size_t message_capacity = 48;  // less than the messages of refusals need, or nothing

  // Not where the output is the input.
  bool has_out() const { return !overwrites_input(operation); }
};

// Gives a number from 0 on below its argument.
using NumberSource = std::function<std::int64_t(std::int64_t bound)>;

// Fills the arena, which is aligned to 16 bytes, and draws a call on it.
ArenaCall draw_arena_call(const NumberSource& below, std::byte* arena);

// Whether the contract forbids it: an output byte that another argument has too, or the output twice; but
// rms_norm may work in place.
bool must_be_refused(const ArenaCall& call, const std::byte* arena);

// Carries the call out, which must be refused or must not be. What is wrong with the answer, the layouts
// included; empty where nothing is.
std::string problem_of_arena_call(const ArenaCall& call, bool refused, std::byte* arena,
                                  const KernelFunctions& functions);

}  // namespace normproof
