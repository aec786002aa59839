// The gradient dx of a kernel that is not given the statistics of the forward pass, or not all of them: it
// computes the mean m and the inverse deviation r of x once more, and nobody says what they were. Which m, r,
// c1 and c2 (or sums S1 and S2), if any, explain a row bit for bit. The formula is that of norm_gradient.h,
// of which m and r are unknowns as well; they may be what an honest evaluation of the forward pass arrives
// at.
//
// r enters twice, so that ranges are wider than the results; at a point they are the result, and the search
// of SEARCH.md ends all the same. RMSNorm's has two unknowns, r and c1, and always ends in a witness or a
// proof. LayerNorm's has four, of which m and c2 can stand in for each other: rows for which that takes too
// many boxes are left undecided. Of those it is known that each element by itself lies within what the
// statistics can give.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "oracle/box_search/layer_norm.h"
#include "oracle/box_search/norm_gradient.h"
#include "oracle/box_search/norm_gradient_window.h"
#include "oracle/box_search/qk_norm_rope.h"

namespace normproof::oracle::box_search {

struct GradientPoint {
  Position mean = 0, root = 0;
  Position first = 0, second = 0;  // c1 and c2, or S1 and S2
};
struct GradientBox {
  Side mean, root, first, second;
  static constexpr std::array<Side GradientBox::*, 4> sides() {
    return {&GradientBox::mean, &GradientBox::root, &GradientBox::first, &GradientBox::second};
  }
  bool is_point() const {
    return mean.is_point() && root.is_point() && first.is_point() && second.is_point();
  }
  friend bool operator==(const GradientBox&, const GradientBox&) = default;
};
inline GradientPoint point_of(const GradientBox& box) {
  return {box.mean.low, box.root.low, box.first.low, box.second.low};
}

struct RecomputedVerdict {
  bool conforms = false;  // also where it is undecided
  bool undecided = false;
  GradientPoint witness;  // of a row that conforms and is decided
  std::int64_t boxes = 0;
  std::vector<GradientBox> window;
  std::vector<std::int32_t> refutation;  // as RowVerdict's
};

class RecomputedGradientJudge {
 public:
  // `statistics` says which m and r are admissible; of RMSNorm its epsilon, inverse_root_ulp and sum_depth
  // count. `weight` as NormGradientJudge's.
  RecomputedGradientJudge(const NormGradientRule& rule, const LayerNormRule& statistics,
                          std::int64_t hidden_size, std::span<const std::byte> weight);

  // `operands` without statistics; those that the kernel was given stand in `stored`.
  RecomputedVerdict judge(const GradientOperands& operands, const StoredStatistics& stored,
                          std::span<const std::byte> dx, bool with_refutation = true);
  // Confirms what was judged last by exact arithmetic. Throws std::logic_error.
  void require_exact(const RecomputedVerdict& verdict) const;

  // In the canonical order.
  struct Canonical {
    float mean = 0, root = 0;
    NormGradientJudge::Canonical sums;
  };
  Canonical canonical_unknowns(const GradientOperands& operands, const StoredStatistics& stored);
  std::vector<std::byte> outputs(const GradientOperands& operands, const Canonical& unknowns);
  const NormGradientRow& row() const { return gradient_.row(); }

 private:
  template <typename Ranges>
  class Problem;
  Canonical canonical_statistics(const StoredStatistics& stored);
  std::vector<Box> statistics_window(bool exactly) const;
  std::vector<GradientBox> window(bool exactly) const;
  void load(const GradientOperands& operands, const StoredStatistics& stored);

  NormGradientRule rule_;
  LayerNormRule statistics_;
  std::int64_t count_;
  NormGradientJudge gradient_;
  LayerNormJudge layer_;
  QkNormRopeJudge root_;
  StoredStatistics stored_;
};

}  // namespace normproof::oracle::box_search
