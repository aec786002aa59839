// LayerNorm that ends in codes: which mean m and inverse deviation r, if any, explain a row of fp8 or int8
// codes bit for bit, and the scale that came out with it.
//
//   y as layer_norm.h has it, rounded to T or not;   q = rnd_Q(clamp(fl(y * f))), or of fl(y / f)
//
// A scale that is given says f. A scale of the row's own, s, follows from a = max |y|, and f from s as it is
// stored. Both sides of that are units of the search: an element, whose codes at the ends of y's range are
// the ends of its codes, since each step rises with y or falls; and the scale, whose maxima are known
// (block_scale.h): over a box a lies between the largest least and the largest greatest |y|. At a point both
// are exact, so the search ends as SEARCH.md says. As an element of the search
// the scale has the number `count`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "oracle/blocks/block_codes.h"
#include "oracle/blocks/block_scale.h"
#include "oracle/box_search/layer_norm.h"

namespace normproof::oracle::box_search {

// What codes are made with.
struct CodeScale {
  float factor = 1;
  bool divides = false;
};

struct QuantizedLayerNormRule {
  LayerNormRule norm;
  bool rounds_output = true;       // y is rounded to T, then quantized
  bool maximum_of_other = false;   // a is that of the other rounding of y
  std::optional<DType> quantized;  // of the codes
  Policy codes;                    // how int8 and fp8 end
  std::optional<CodeScale> given;  // nothing: the row has a scale of its own
  BlockScaleSettings scale;        // then: how it follows from a
  bool drops_nan = false;          // a NaN is not in a
};

class QuantizedLayerNormJudge {
 public:
  QuantizedLayerNormJudge(const QuantizedLayerNormRule& rule, std::int64_t hidden_size,
                          std::span<const std::byte> weight, std::span<const std::byte> bias);

  // Others, for the rows from now on.
  void set_affine(std::span<const std::byte> weight, std::span<const std::byte> bias) {
    norm_.set_affine(weight, bias);
  }

  // A row of packed x, its codes, and the bits of its scale where it has one of its own.
  // Within a StandardFloatEnvironment.
  RowVerdict judge(std::span<const std::byte> x, std::span<const std::byte> codes, std::uint32_t scale,
                   const StoredStatistics& stored, bool with_refutation);
  // Confirms what was judged last and does not conform, by exact arithmetic. Throws std::logic_error.
  void require_exact(const RowVerdict& verdict, const StoredStatistics& stored) const;
  // Statistics in a box, wider than any window, that explain the row that was judged last.
  std::optional<Point> witness_in(const Box& box) const;

  struct Outputs {
    std::vector<std::byte> codes;
    std::uint32_t scale = 0;  // of a row's own
  };
  Outputs outputs(std::span<const std::byte> x, float mean, float inverse_root);
  LayerNormJudge::Canonical canonical_statistics(std::span<const std::byte> x) {
    return norm_.canonical_statistics(x);
  }

  std::int32_t scale_element() const { return static_cast<std::int32_t>(count_); }
  std::span<const float> operands() const { return norm_.operands(); }

 private:
  template <typename Ranges>
  class Problem;
  void load(std::span<const std::byte> x);
  void aim_at(std::uint32_t scale);
  template <typename Collected>
  void collect(const Collected& problem, const Box& box, std::vector<std::int32_t>& elements) const;
  void note_candidates(const std::vector<Box>& window);

  QuantizedLayerNormRule rule_;
  std::int64_t count_;
  LayerNormJudge norm_;
  BlockCodes codes_;
  std::optional<BlockScaleRule> scale_;
  std::span<const std::byte> got_;
  std::uint32_t got_scale_ = 0;
  CodeScale factor_;
  std::vector<BlockFactor> factors_;      // of the stored scale
  std::vector<std::int32_t> candidates_;  // elements that may be the largest
};

}  // namespace normproof::oracle::box_search
