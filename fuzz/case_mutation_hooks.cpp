// The engine's hooks for harnesses whose input is a case in binary form: libFuzzer calls them instead of its
// own byte mutations, AFL++ and others ignore them. README.md has the measurement behind the shares.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "corpus/case_bytes.h"
#include "fuzz/case_mutator.h"
#include "fuzz/harness.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace normproof::fuzz {
namespace {

// Half of the mutations are cases drawn anew: without them whole operations stay out for thousands of
// executions, since the engine prefers the inputs that it found last. Some are the engine's own, which reach
// bits that no table thinks of.
constexpr std::uint64_t kFreshOf16 = 8, kEngineOf16 = 2;
// The engine asks for a crossover as often as for a mutation, which is more than crossovers are worth.
constexpr std::uint64_t kCrossoverOf16 = 2;

// Bytes of `test_case` in `data`; nothing where they do not fit.
std::optional<std::size_t> write(const Case& test_case, std::uint8_t* data, std::size_t max_size) {
  const std::optional<std::vector<std::uint8_t>> bytes = case_to_bytes(test_case);
  if (!bytes || bytes->size() > max_size) return {};
  std::copy(bytes->begin(), bytes->end(), data);
  return bytes->size();
}

}  // namespace
}  // namespace normproof::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  using namespace normproof;
  static const bool fresh_cases = fuzz::in_use(fuzz::kFreshCase);
  static const bool engine = fuzz::in_use(fuzz::kEngine);
  Random random(seed);
  const CaseLimits& limits = fuzz::case_limits();
  const std::uint64_t share = random.below(16);
  if (share < fuzz::kFreshOf16 && fresh_cases)
    return fuzz::write(random_case(random, limits), data, max_size).value_or(size);
  if (share >= 16 - fuzz::kEngineOf16 && engine) return LLVMFuzzerMutate(data, size, max_size);
  const Case parent = case_from_bytes({data, size}, limits);
  const Case child = fuzz::mutate(parent, random, limits);
  return fuzz::write(child, data, max_size).value_or(size);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* first, std::size_t first_size,
                                                 const std::uint8_t* second, std::size_t second_size,
                                                 std::uint8_t* out, std::size_t max_out_size,
                                                 unsigned int seed) {
  using namespace normproof;
  static const bool crossovers = fuzz::in_use(fuzz::kCrossover);
  Random random(seed);
  // Nothing: the engine asks for something else.
  if (!crossovers || !random.chance(fuzz::kCrossoverOf16, 16)) return 0;
  const CaseLimits& limits = fuzz::case_limits();
  const Case child = fuzz::cross_over(case_from_bytes({first, first_size}, limits),
                                      case_from_bytes({second, second_size}, limits), random, limits);
  return fuzz::write(child, out, max_out_size).value_or(0);
}
