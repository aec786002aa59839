// What a foreign kernel does not take, learnt by trying: hidden sizes, rows, gaps, alignment, places, and
// whether it looks at epsilon. What it computes is not judged here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/call_limits.h"
#include "corpus/case.h"
#include "properties/targets/target.h"

namespace normproof {

struct LearnedLimits {
  // What holds of every call that was tried, beyond what the target declares.
  CallLimits limits;
  // One line for each thing that is not taken: "hidden sizes: multiples of 8 only; ...".
  std::vector<std::string> lines;
  std::int64_t calls = 0;
  bool stopped_early = false;  // the time was up: some was not asked
};

// Tries calls of the kind, one thing changed at a time, for at most so many seconds.
LearnedLimits learn_limits(Target& target, const CallKind& like, double seconds);

// The limits as an adapter says them: ".hidden_multiple = 8, .contiguous = true".
std::string limits_text(const CallLimits& limits);

}  // namespace normproof
