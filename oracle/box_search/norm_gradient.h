// The gradient dx of RMSNorm and LayerNorm, given the stored inverse deviation r (and mean m): which c1 (and
// c2), if any, explain a row bit for bit. With wdy = fl(dy * w) and xh = fl(x * r), or fl(fl(x - m) * r),
//
//   c1 = mean of xh * wdy,   c2 = mean of wdy,   dx = rnd_T(fl(z * r)),   z = wdy - xh * c1 - c2
//
// c2 and its subtraction are LayerNorm's alone. z is evaluated in one of three orders, each operation
// rounded, or with one product fused with what it is added to. Kernels that never divide have the sums S1 and
// S2 as unknowns: z = fl(fl(H * w) * dy) - xh * S1 - S2 and dx = rnd_T(fl(z * fl(fl(1 / H) * r))). A further
// gradient may be added before dx is rounded to T, or after. dx is monotone in c1 and in c2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "oracle/box_search/row_search.h"

namespace normproof::oracle::box_search {

enum class GradientContraction : std::uint8_t {
  none,
  correction,  // xh * c1 is not rounded
  gradient     // w * dy is not rounded
};
enum class GradientOrder : std::uint8_t {
  correction_first,  // (wdy - xh * c1) - c2; RMSNorm's, without c2
  mean_first,        // (wdy - c2) - xh * c1
  together           // wdy - (xh * c1 + c2)
};
enum class AddedGradient : std::uint8_t { none, before_rounding, after_rounding };
std::string_view name_of(GradientContraction contraction);
std::string_view name_of(GradientOrder order);

struct NormGradientRule {
  DType activation = DType::bf16;
  std::optional<DType> weight;
  bool centred = false;          // LayerNorm
  bool weight_plus_one = false;  // fl(1 + w) in the place of w
  GradientContraction contraction = GradientContraction::none;
  GradientOrder order = GradientOrder::correction_first;
  bool of_sums = false;
  AddedGradient added = AddedGradient::none;
  std::optional<std::int64_t> sum_depth;
};

// The row as the search reads it: arrays of fp32 numbers in whole blocks.
struct NormGradientRow {
  NormGradientRule rule;
  std::int64_t elements = 0;
  std::vector<float> normalized;  // xh
  std::vector<float> minus_normalized;
  std::vector<float> gradient;  // dy
  std::vector<float> weight;    // w, 1 + w or 1; times H where the unknowns are sums
  std::vector<float> weighted;  // their product
  std::vector<float> added;
  std::vector<float> outputs;
  float factor = 0;  // r, or fl(fl(1 / H) * r)

  DType output() const { return rule.activation; }
  std::int64_t slots() const { return elements; }
  std::uint64_t elements_of(std::int64_t begin) const { return elements_before(elements, begin); }
  const float* got() const { return outputs.data(); }

  template <typename Arithmetic>
  typename Arithmetic::Result evaluate(const Arithmetic& a, std::int64_t j,
                                       const typename Arithmetic::Result& c1,
                                       const typename Arithmetic::Result& c2) const {
    return evaluate_normalized(a, j, a.constant(normalized.data(), j), a.constant(minus_normalized.data(), j),
                               a.constant(factor), c1, c2);
  }
  // The same for any xh, -xh and factor of z: numbers or ranges.
  template <typename Arithmetic, typename Normalized, typename Factor>
  typename Arithmetic::Result evaluate_normalized(const Arithmetic& a, std::int64_t j, const Normalized& xh,
                                                  const Normalized& minus_xh, const Factor& of_difference,
                                                  const typename Arithmetic::Result& c1,
                                                  const typename Arithmetic::Result& c2) const {
    auto dx = a.multiply(difference(a, j, xh, minus_xh, c1, c2), of_difference);
    if (rule.added == AddedGradient::before_rounding) dx = a.add(dx, a.range(a.constant(added.data(), j)));
    dx = a.round(dx);
    if (rule.added == AddedGradient::after_rounding) {
      dx = a.round(a.add(dx, a.range(a.constant(added.data(), j))));
    }
    return dx;
  }

  double spread(const Box& box, bool second) const {
    const Side& side = second ? box.second : box.first;
    return static_cast<double>(number_at(side.high)) - static_cast<double>(number_at(side.low));
  }

 private:
  // z.
  template <typename Arithmetic, typename Normalized>
  typename Arithmetic::Result difference(const Arithmetic& a, std::int64_t j, const Normalized& xh,
                                         const Normalized& minus_xh, const typename Arithmetic::Result& c1,
                                         const typename Arithmetic::Result& c2) const {
    const bool fuses_correction = rule.contraction == GradientContraction::correction;
    // wdy - subtracted.
    const auto weighted_less = [&](const auto& subtracted) {
      if (rule.contraction == GradientContraction::gradient) {
        return a.fused(a.range(a.constant(weight.data(), j)), a.constant(gradient.data(), j),
                       a.negate(subtracted));
      }
      return a.subtract(a.range(a.constant(weighted.data(), j)), subtracted);
    };
    if (rule.centred && rule.order == GradientOrder::mean_first) {
      const auto first = weighted_less(c2);
      return fuses_correction ? a.fused(c1, minus_xh, first) : a.subtract(first, a.multiply(c1, xh));
    }
    if (rule.centred && rule.order == GradientOrder::together) {
      return weighted_less(fuses_correction ? a.fused(c1, xh, c2) : a.add(a.multiply(c1, xh), c2));
    }
    const auto first = fuses_correction ? a.fused(c1, minus_xh, a.range(a.constant(weighted.data(), j)))
                                        : weighted_less(a.multiply(c1, xh));
    return rule.centred ? a.subtract(first, c2) : first;
  }
};

// The numbers of the window (norm_gradient_window.h) that are not in NormGradientRow.
struct GradientStatistics {
  const float* x;
  const float* weight;  // w, 1 + w or 1, without H
  float mean;
  float inverse_root;
};

// What a kernel is given for one row, packed.
struct GradientOperands {
  std::span<const std::byte> gradient;  // dy
  std::span<const std::byte> x;
  std::span<const std::byte> added;  // where the rule adds one
  float mean = 0;                    // LayerNorm's
  float inverse_root = 0;
};

class NormGradientJudge {
 public:
  // `weight` is packed, empty where the rule has none. Throws std::invalid_argument where a size is wrong.
  NormGradientJudge(const NormGradientRule& rule, std::int64_t hidden_size,
                    std::span<const std::byte> weight);

  // The unknowns of the verdict are c1 and c2, or S1 and S2. Within a StandardFloatEnvironment.
  RowVerdict judge(const GradientOperands& operands, std::span<const std::byte> dx,
                   bool with_refutation = true);
  // Of the row that was judged last, as LayerNormJudge's.
  void require_exact(const RowVerdict& verdict) const;
  void require_exact_operands() const;

  // The packed outputs for given unknowns.
  std::vector<std::byte> outputs(const GradientOperands& operands, float c1, float c2);
  // The unknowns in the canonical order of SEARCH.md.
  struct Canonical {
    float c1 = 0;
    float c2 = 0;
  };
  Canonical canonical_unknowns(const GradientOperands& operands);

  // The row of these operands from now on, and outputs for it.
  void look_at(const GradientOperands& operands) { load(operands); }
  void look_for(std::span<const std::byte> dx);

  const NormGradientRow& row() const { return row_; }
  // The numbers of its window that are not in the row.
  GradientStatistics statistics() const { return {x_.data(), plain_weight_.data(), mean_, inverse_root_}; }
  std::vector<Box> window() const;

 private:
  void load(const GradientOperands& operands);

  NormGradientRule rule_;
  std::int64_t count_;
  std::vector<float> plain_weight_;  // without H
  std::vector<float> x_;
  float mean_ = 0;
  float inverse_root_ = 0;
  NormGradientRow row_;
};

}  // namespace normproof::oracle::box_search
