// RMSNorm of one head of q or k followed by the rotary embedding: which r, if any, explains a head's outputs
// bit for bit. Of each pair of elements, with a and b their normalized and weighted values,
//
//   first = rnd_T(fl(fl(a cos) - fl(b sin))),   second = rnd_T(fl(fl(b cos) + fl(a sin)))
//
// or with one of the two products fused into the sum. Pairs are (i, i + R/2), or (2i, 2i + 1) where they are
// interleaved; elements from R on are normalized alone. r enters twice, so the outputs are not monotone in
// it: the r that explain an element may have gaps, and only the search decides. r is one that an honest
// evaluation of 1 / sqrt(mean of x^2 + eps) over the head arrives at (admissible.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "oracle/admissible.h"
#include "oracle/box_search/row_search.h"

namespace normproof::oracle::box_search {

enum class NormOrder : std::uint8_t {
  normalized_first,  // fl(fl(x * r) * w)
  product_first,     // fl(fl(x * w) * r)
  factor_first,      // fl(x * fl(r * w))
  rounded_first      // fl(rnd_T(fl(x * r)) * w)
};
enum class RopeContraction : std::uint8_t {
  none,
  cosine,  // the product with cos is fused
  sine     // the product with sin is
};
std::string_view name_of(NormOrder order);
std::string_view name_of(RopeContraction contraction);

struct QkNormRopeRule {
  DType activation = DType::bf16;
  std::optional<DType> weight;
  DType rotation = DType::fp32;  // of cos and sin
  NormOrder order = NormOrder::normalized_first;
  bool rounds_norm = false;   // a and b are rounded to T
  bool rounds_steps = false;  // both products and their sum are rounded to T; then no contraction
  RopeContraction first = RopeContraction::none;
  RopeContraction second = RopeContraction::none;
  bool interleaved = false;
  bool weight_plus_one = false;
  std::uint32_t epsilon = 0;  // fp32 bits
  int inverse_root_ulp = 2;
  std::optional<std::int64_t> sum_depth;
};

// The head as the search reads it. Slots: the first elements of all pairs, from the next block on their
// second ones, and from the next block on the elements that are not rotated.
class RopeRow {
 public:
  RopeRow(const QkNormRopeRule& rule, std::int64_t head_size, std::int64_t rotary_size);

  DType output() const { return rule_.activation; }
  std::int64_t slots() const { return 2 * half_ + static_cast<std::int64_t>(in_blocks_of_rest_); }
  std::uint64_t elements_of(std::int64_t begin) const {
    if (begin < half_) return elements_before(pairs_, begin);
    if (begin < 2 * half_) return elements_before(pairs_, begin - half_);
    return elements_before(rest_, begin - 2 * half_);
  }
  const float* got() const { return got_.data(); }
  double spread(const Box&, bool) const { return 0; }
  // The element of the head that a slot has.
  std::int64_t column_of(std::int64_t slot) const { return columns_[static_cast<std::size_t>(slot)]; }

  void load_weight(std::span<const float> weight);
  void load_rotation(std::span<const float> cosine, std::span<const float> sine);
  void load_input(std::span<const float> x);
  void load_output(std::span<const float> out);

  template <typename Arithmetic>
  typename Arithmetic::Result evaluate(const Arithmetic& a, std::int64_t slot,
                                       const typename Arithmetic::Result& root,
                                       const typename Arithmetic::Result&) const {
    const auto own = normalized(a, slot, root);
    if (slot >= 2 * half_) return a.round(own);
    const bool is_first = slot < half_;
    const auto partner = normalized(a, is_first ? slot + half_ : slot - half_, root);
    const auto cosine = a.constant(cosine_.data(), slot);
    const auto sine = a.constant(signed_sine_.data(), slot);
    if (rule_.rounds_steps) {
      return a.round(a.add(a.round(a.multiply(own, cosine)), a.round(a.multiply(partner, sine))));
    }
    const RopeContraction contraction = is_first ? rule_.first : rule_.second;
    if (contraction == RopeContraction::cosine) {
      return a.round(a.fused(own, cosine, a.multiply(partner, sine)));
    }
    if (contraction == RopeContraction::sine) {
      return a.round(a.fused(partner, sine, a.multiply(own, cosine)));
    }
    return a.round(a.add(a.multiply(own, cosine), a.multiply(partner, sine)));
  }

 private:
  template <typename Arithmetic>
  typename Arithmetic::Result normalized(const Arithmetic& a, std::int64_t slot,
                                         const typename Arithmetic::Result& root) const {
    const auto x = a.constant(x_.data(), slot);
    const auto weight = a.constant(weight_.data(), slot);
    const auto product = [&] {
      switch (rule_.order) {
        case NormOrder::normalized_first:
          return a.multiply(a.multiply(root, x), weight);
        case NormOrder::product_first:
          return a.multiply(root, a.constant(product_.data(), slot));
        case NormOrder::factor_first:
          return a.multiply(a.multiply(root, weight), x);
        case NormOrder::rounded_first:
          break;
      }
      return a.multiply(a.round(a.multiply(root, x)), weight);
    }();
    return rule_.rounds_norm ? a.round(product) : product;
  }

  QkNormRopeRule rule_;
  std::int64_t pairs_;
  std::int64_t rest_;
  std::int64_t half_;  // slots of first elements, in whole blocks
  std::size_t in_blocks_of_rest_;
  std::vector<std::int64_t> columns_;
  // One per slot.
  std::vector<float> x_, weight_, product_, cosine_, signed_sine_, got_;
};

class QkNormRopeJudge {
 public:
  // `weight` is packed, one head's, empty where the rule has none. Throws std::invalid_argument where a size
  // is wrong or the rotary size is odd or larger than the head.
  QkNormRopeJudge(const QkNormRopeRule& rule, std::int64_t head_size, std::int64_t rotary_size,
                  std::span<const std::byte> weight);

  // The cos and sin of a token's position, rotary_size / 2 numbers each, packed.
  void set_rotation(std::span<const std::byte> cosine, std::span<const std::byte> sine);

  // One packed head of inputs and outputs. The first unknown of the verdict is r, the second is not used; a
  // refutation has slots (see RopeRow::column_of). Within a StandardFloatEnvironment.
  RowVerdict judge(std::span<const std::byte> x, std::span<const std::byte> out, bool with_refutation = true);
  // Of the head that was judged last, as LayerNormJudge's.
  void require_exact(const RowVerdict& verdict) const;

  // The packed outputs for a given r.
  std::vector<std::byte> outputs(std::span<const std::byte> x, float inverse_root);
  // r in the canonical order of the contract, over the head.
  float canonical_root(std::span<const std::byte> x);

  // The head of x from now on; r of it, and the window of r, by hardware or by integers alone.
  void look_at(std::span<const std::byte> x) { load(x); }
  float canonical_root() const;
  std::vector<Box> window(bool exactly) const;

  const RopeRow& row() const { return row_; }

 private:
  void load(std::span<const std::byte> x);
  Admissible admissible() const;
  Admissible exactly_admissible() const;

  QkNormRopeRule rule_;
  std::int64_t count_;
  std::int64_t rotary_;
  AdmissibleModel model_;
  std::vector<float> x_;
  RopeRow row_;
};

}  // namespace normproof::oracle::box_search
