// The engine's mutation of an input that has a structure: mostly drawn anew or changed as what it stands for,
// sometimes the engine's own. README.md has the measurement behind the shares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/random.h"
#include "fuzz/case_mutator.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace normproof::fuzz {

using InputBytes = std::optional<std::vector<std::uint8_t>>;

// The bytes in `data`; nothing where they do not fit.
inline std::optional<std::size_t> write_input(const InputBytes& bytes, std::uint8_t* data,
                                              std::size_t max_size) {
  if (!bytes || bytes->size() > max_size) return {};
  std::copy(bytes->begin(), bytes->end(), data);
  return bytes->size();
}

// `fresh(random)` and `change(input, random)` give InputBytes. What has none leaves the input as it is.
template <class Fresh, class Change>
std::size_t mutated_input(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned int seed,
                          Fresh fresh, Change change) {
  // Half of the mutations are drawn anew: without them whole operations stay out for thousands of executions,
  // since the engine prefers the inputs that it found last. Some are the engine's own, which reach bits that
  // no table thinks of.
  constexpr std::uint64_t kFreshOf16 = 8, kEngineOf16 = 2;
  static const bool draws_anew = in_use(kFreshCase), asks_engine = in_use(kEngine);
  Random random(seed);
  const std::uint64_t share = random.below(16);
  if (share < kFreshOf16 && draws_anew) return write_input(fresh(random), data, max_size).value_or(size);
  if (share >= 16 - kEngineOf16 && asks_engine) return LLVMFuzzerMutate(data, size, max_size);
  return write_input(change(std::span<const std::uint8_t>(data, size), random), data, max_size)
      .value_or(size);
}

}  // namespace normproof::fuzz
