// Shrinking: from a case that fails to the simplest one that still does.
//
// Every candidate is valid and strictly simpler than its origin under `complexity`, which is well-founded, so
// every chain of candidates ends. Candidates never have outputs of somebody else: those belong to the
// original's values.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// How far a case is from the simplest one, most important first (compare as tuples):
//   [0] elements of one row plus elements of the input
//   [1] tensors made by a recipe
//   [2] features: rank beyond 2, strides, offsets, in place, thread order and seed, launch choices, weight (T
//   1, fp32 2),
//       epsilon (1e-6: 0, zero: 1, other: 2), scale (1: 0, other: 1)
//   [3] sum of strides and offsets
//   [4] listed elements: 1 costs 0, 0 costs 1 (the other way round in a residual), other numbers by the
//   length of
//       their mantissa, then the distance of their exponent from 0, then the sign; infinity and NaN most
using Complexity = std::array<std::uint64_t, 5>;
Complexity complexity(const Case& test_case);

struct ShrinkStage;

// The candidates of one case, made one by one, the most aggressive first.
class ShrinkSequence {
 public:
  // Requires a valid case.
  // `sizes`: also those with fewer rows or columns.
  explicit ShrinkSequence(Case origin, bool sizes = true);
  ~ShrinkSequence();
  ShrinkSequence(ShrinkSequence&&) noexcept;
  ShrinkSequence& operator=(ShrinkSequence&&) noexcept;

  // The next candidate, or nothing when all have been returned.
  std::optional<Case> next();

  // A place in the sequence: stages (fewer rows, fewer columns, ...) and the candidates within one. The
  // stages of all cases are the same.
  struct Position {
    std::size_t stage = 0;
    std::int64_t index = 0;
  };
  // Of the candidate that next() returned last; to go on there with a sequence of that candidate. Stages that
  // halve begin anew.
  Position resume() const;
  void seek(Position position);

 private:
  std::unique_ptr<const Case> origin_;
  Complexity complexity_;
  std::vector<ShrinkStage> stages_;
  Position next_;
  Position last_;
};

// The first candidates of the sequence, as many as fit in about 64 MB. Prefer ShrinkSequence for long rows.
std::vector<Case> shrink_candidates(const Case& test_case);

// The case for an operation without the quantization, the residual, or both (dropped, or added to the input
// before), the simplest operation first. Valid; empty for rms_norm.
std::vector<Case> simpler_operations(const Case& test_case);
// The case with one of its tensors all 1, or a residual all 0, where it is not yet. Where this still fails,
// it spares the search among a long row's values.
std::vector<Case> plain_values(const Case& test_case);

// Of a case whose tensors are made by recipes: the smallest sizes that fail, without listing an element, then
// plain values if those fail too. Whether they do: the failure then depends on the sizes alone.
bool shrink_sizes(Case& failing, const std::function<bool(const Case&)>& still_fails);

// Follows candidates for which `still_fails` is true until there is none, or after `budget` calls of
// `still_fails`. Returns the simplest failing case found, at worst `failing`, of
// which `still_fails` is not asked.
inline constexpr std::int64_t kShrinkBudget = 20000;
Case minimize(Case failing, const std::function<bool(const Case&)>& still_fails,
              std::int64_t budget = kShrinkBudget);

}  // namespace normproof
