// The engine's hook for the harness whose input is a call by name.
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/call_bytes.h"
#include "fuzz/call_harness.h"
#include "fuzz/call_mutator.h"
#include "fuzz/mutation_shares.h"

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  using namespace normproof;
  const fuzz::CallSpace& space = fuzz::call_space();
  return fuzz::mutated_input(
      data, size, max_size, seed,
      [&](Random& random) {
        const auto call = fuzz::fresh_call(random, space);
        return call ? call_to_bytes(*call, space) : fuzz::InputBytes();
      },
      [&](std::span<const std::uint8_t> input, Random& random) {
        return call_to_bytes(fuzz::mutate(fuzz::call_from_bytes(input, space), random, space), space);
      });
}
