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
  // Candidate `index`, or nothing where it would be the origin. Need not be
  // valid or simpler: the caller looks.
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

// Beside the number that is usual, the one that says least.
constexpr std::uint32_t plainest_bits(Parameter parameter) {
  return parameter == Parameter::epsilon ? 0 : 0x3f800000;  // 1
}

// The listed elements of one of a case's tensors, and the cost of an element as complexity() counts it.
struct ListedElements {
  Role role;
  DType dtype;
  FloatFormat format;
  std::int64_t count;
  std::uint32_t simplest;  // bits of the value that costs nothing: 1, or 0 in a residual

  ListedElements(const Case& test_case, Role of);
  std::uint32_t get(const Case& test_case, std::int64_t index) const {
    return load_bits(test_case[role].data.bytes, dtype, index);
  }
  void set(Case& test_case, std::int64_t index, std::uint32_t bits) const {
    store_bits(test_case[role].data.bytes, dtype, index, bits);
  }
  std::uint64_t cost(std::uint32_t bits) const;
};

}  // namespace normproof
