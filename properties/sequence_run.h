// Carrying out a sequence of calls on one target.
#pragma once

#include <cstdint>
#include <string>

#include "corpus/sequence.h"
#include "properties/targets/target.h"

namespace normproof {

struct SequenceRun {
  bool violates = false;
  std::int64_t calls = 0;      // that were made; the last one is the one that violates
  std::int64_t not_taken = 0;  // of them
  std::string message;         // what is wrong, or how many calls conform
};

// Makes the calls in their order until one violates, or differs from the first
// where the bits must be the same.
SequenceRun run_sequence(const Sequence& sequence, Target& target);

}  // namespace normproof
