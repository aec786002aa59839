// Tensors that share memory are refused, and no others.
// 1. Read the bytes as descriptions of input, residual, weight, scale and out, all within one small arena.
// 2. Mark every byte of every tensor: an output byte that anybody else touches, or the output twice, is an
// overlap.
// 3. Call: refused as an overlap exactly then, and nothing is written.
#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "properties/invalid/arena_call.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  alignas(16) static std::array<std::byte, kArenaBytes> arena;
  std::size_t position = 0;
  // Small numbers from the input; zeros when it ends.
  const auto below = [&](std::int64_t bound) { return position < size ? data[position++] % bound : 0; };
  const ArenaCall call = draw_arena_call(below, arena.data());
  const std::string problem =
      problem_of_arena_call(call, must_be_refused(call, arena.data()), arena.data(), linked_kernels());
  if (!problem.empty()) {
    fmt::print(stderr, "{}\n", problem);
    std::abort();
  }
  return 0;
}
