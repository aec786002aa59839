// The stages of shrinking, each a numbered list of candidates made on demand. Used by shrink.cpp only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "corpus/case.h"
#include "corpus/float_format.h"

namespace normproof {

struct ShrinkStage {
  std::int64_t count = 0;
  // Candidate `index`, or nothing where it would be the origin. Need not be valid or simpler: the caller
  // looks.
  std::function<std::optional<Case>(std::int64_t index)> make;
  // After a success begin the stage anew (halving again), instead of going on at the same index.
  bool restarts = false;
};

// Tensors up to this many elements are listed in order to shrink them; larger recipes can only be cut short.
inline constexpr std::int64_t kMostListedElements = 1 << 20;
// A recipe of at most this many elements is listed, values unchanged.
inline constexpr std::int64_t kMostElementsListedForReading = 4096;

// Fewer rows, fewer columns, listed values, plain layout and execution. `origin` must outlive the stages.
void append_shape_stages(const Case& origin, std::vector<ShrinkStage>& stages);
void append_feature_stages(const Case& origin, std::vector<ShrinkStage>& stages);
// Simpler elements.
void append_value_stages(const Case& origin, std::vector<ShrinkStage>& stages);

// The cost of an element as complexity() counts it; `simplest` is the one of the bits of 0 and 1 that costs
// nothing.
std::uint64_t element_cost(const FloatFormat& format, std::uint32_t bits, std::uint32_t simplest);

}  // namespace normproof
