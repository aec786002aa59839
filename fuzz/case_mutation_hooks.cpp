// The engine's hooks for harnesses whose input is a case in binary form: libFuzzer calls them instead of its
// own byte mutations, AFL++ and others ignore them. A quarter of the mutations are the engine's own, so that
// its dictionary and its record of comparisons still count.
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
  Random random(seed);
  if (random.chance(1, 4)) return LLVMFuzzerMutate(data, size, max_size);
  const CaseLimits& limits = fuzz::case_limits();
  const Case parent = case_from_bytes({data, size}, limits);
  const Case child = fuzz::mutate(parent, random, limits);
  return fuzz::write(child, data, max_size).value_or(size);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* first, std::size_t first_size,
                                                 const std::uint8_t* second, std::size_t second_size,
                                                 std::uint8_t* out, std::size_t max_out_size,
                                                 unsigned int seed) {
  using namespace normproof;
  Random random(seed);
  const CaseLimits& limits = fuzz::case_limits();
  const Case child = fuzz::cross_over(case_from_bytes({first, first_size}, limits),
                                      case_from_bytes({second, second_size}, limits), random, limits);
  return fuzz::write(child, out, max_out_size).value_or(0);
}
