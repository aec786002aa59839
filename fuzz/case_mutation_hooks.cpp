// The engine's hooks for harnesses whose input is a case in binary form: libFuzzer calls them instead of its
// own byte mutations, AFL++ and others ignore them.
#include <cstddef>
#include <cstdint>
#include <span>

#include "corpus/case_bytes.h"
#include "fuzz/case_mutator.h"
#include "fuzz/harness.h"
#include "fuzz/mutation_shares.h"

namespace {

// The engine asks for a crossover as often as for a mutation, which is more than crossovers are worth.
constexpr std::uint64_t kCrossoverOf16 = 2;

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  using namespace normproof;
  const CaseLimits& limits = fuzz::case_limits();
  return fuzz::mutated_input(
      data, size, max_size, seed, [&](Random& random) { return case_to_bytes(random_case(random, limits)); },
      [&](std::span<const std::uint8_t> input, Random& random) {
        return case_to_bytes(fuzz::mutate(case_from_bytes(input, limits), random, limits));
      });
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* first, std::size_t first_size,
                                                 const std::uint8_t* second, std::size_t second_size,
                                                 std::uint8_t* out, std::size_t max_out_size,
                                                 unsigned int seed) {
  using namespace normproof;
  static const bool crossovers = fuzz::in_use(fuzz::kCrossover);
  Random random(seed);
  // Nothing: the engine asks for something else.
  if (!crossovers || !random.chance(kCrossoverOf16, 16)) return 0;
  const CaseLimits& limits = fuzz::case_limits();
  const Case child = fuzz::cross_over(case_from_bytes({first, first_size}, limits),
                                      case_from_bytes({second, second_size}, limits), random, limits);
  return fuzz::write_input(case_to_bytes(child), out, max_out_size).value_or(0);
}
