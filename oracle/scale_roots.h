// Which r give a row the scale that came out with it.
//
// The row's maximum a(r) = max |y_j(r)| rises with r (falls, where r is a divisor), because every |y_j| does:
// a product with a constant, its magnitude and a rounding are monotone. So the r of one interval of maxima
// are an interval. Not so NaN, where it makes a NaN: an element is NaN from some r on (0 times infinity, once
// x * r is infinite), or up to some r (infinity times 0), or always. So the r without NaN lie between two
// ends, and a NaN scale may come from both sides of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "oracle/admissible.h"
#include "oracle/code_factor.h"
#include "oracle/fast_row.h"

namespace normproof::oracle {

class ScaleRoots {
 public:
  explicit ScaleRoots(const Formula& formula);

  // The scale, as fp32 bits, that is looked for from now on, and the factors that go with it.
  void aim_at(std::uint32_t scale_bits);
  std::uint32_t scale_bits() const { return *scale_bits_; }
  const std::vector<CodeFactor>& factors() const { return factors_; }
  // From now on both: the scale with this one of the factors. (aim_at() chooses the first.)
  void choose(std::size_t factor) { chosen_ = factor; }

  // The r of `range` for which the loaded row gets that scale: three intervals as a rule at most, in order.
  std::vector<RootInterval> within(FastRow& fast, const RootInterval& range);
  bool is_scale_at(FastRow& fast, float r) const;
  // Where no r gives it: the two neighbours between which it is skipped, as {the second, the first}; or an
  // interval beyond all r where the scales do not run past it.
  RootInterval gap(FastRow& fast) const;

 private:
  // Those of the range that give no NaN.
  RootInterval without_nan(FastRow& fast, const RootInterval& range) const;
  void collect_largest(FastRow& fast, const RootInterval& range, float least);
  RootInterval interval_of(FastRow& fast, const RootInterval& range, const MaximumInterval& maxima, float low,
                           float high) const;
  float largest_of_collected(const FastRow& fast, std::int64_t r) const;

  // What is looked for; nothing where no maximum gives the scale.
  const CodeFactor* chosen() const { return chosen_ < factors_.size() ? &factors_[chosen_] : nullptr; }
  bool nan_gives_it() const { return chosen() != nullptr && chosen()->with_nan; }

  Formula formula_;
  ScaleRule rule_;
  bool factor_follows_;                      // from the maximum
  std::optional<std::uint32_t> scale_bits_;  // that factors_ belong to
  std::vector<CodeFactor> factors_;
  std::size_t chosen_ = 0;
  std::vector<std::int64_t> columns_;  // that can have the largest |y|
};

}  // namespace normproof::oracle
