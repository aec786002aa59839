// The bounds of norm_gradient_window.h, once for both arithmetics.
#include "oracle/box_search/norm_gradient_window.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "oracle/box_search/bound.h"

namespace normproof::oracle::box_search {
namespace {

template <typename Bound>
struct SumBounds {
  Bound sum;
  Bound absolute;
};

// sum a[j] * b[j].
template <typename Bound>
SumBounds<Bound> sum_of_products(const float* a, const float* b, std::int64_t count);

template <>
SumBounds<HardwareBound> sum_of_products(const float* a, const float* b, std::int64_t count) {
  Moments moments;
  lane_kernels().products(a, b, count, &moments);
  const double error = (static_cast<double>(count) + 8) * 0x1.8p-53 * moments.absolute;
  return {HardwareBound::around(moments.sum, error), HardwareBound::around(moments.absolute, error)};
}

template <>
SumBounds<ExactBound> sum_of_products(const float* a, const float* b, std::int64_t count) {
  Value sum, absolute;
  for (std::int64_t j = 0; j < count; ++j) {
    const Value product = ExactNumbers::from_float(a[j]) * ExactNumbers::from_float(b[j]);
    sum = sum + product;
    absolute = absolute + (product.negative() ? -product : product);
  }
  return {ExactBound(sum), ExactBound(absolute)};
}

// The largest magnitude; NaN or infinite where any value is.
float largest(const float* values, std::int64_t count) {
  std::uint32_t most = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    most = std::max(most, std::bit_cast<std::uint32_t>(values[j]) & 0x7fffffffu);
  }
  return std::bit_cast<float>(most);
}

class Magnitudes {
 public:
  Magnitudes(const NormGradientRow& row, const GradientStatistics& s)
      : gradient_(largest(row.gradient.data(), row.elements)),
        weight_(largest(s.weight, row.elements)),
        x_(largest(s.x, row.elements)),
        mean_(row.rule.centred ? std::fabs(s.mean) : 0),
        root_(std::fabs(s.inverse_root)),
        terms_are_finite_(std::isfinite(largest(row.normalized.data(), row.elements)) &&
                          std::isfinite(largest(row.weighted.data(), row.elements))) {}

  bool weighted_is_finite() const { return std::isfinite(gradient_) && std::isfinite(weight_); }
  bool all_are_finite() const {
    return weighted_is_finite() && std::isfinite(x_) && std::isfinite(mean_) && std::isfinite(root_);
  }
  // A product of some factors, in any order, may overflow.
  bool may_overflow() const { return !terms_are_finite_ || !(product() < 0x1p120); }
  double underflow() const { return 0x1p-145 * product(); }

 private:
  // (1 + |dy|)(1 + |w|)(1 + |x| + |m|)(1 + |r|), which no partial product exceeds.
  double product() const {
    const auto plus_one = [](double value) { return 1 + value; };
    return plus_one(gradient_) * plus_one(weight_) * plus_one(static_cast<double>(x_) + mean_) *
           plus_one(root_);
  }
  float gradient_, weight_, x_, mean_, root_;
  bool terms_are_finite_;
};

template <typename Bound>
struct Unknowns {
  Bound bound;
  bool special = false;    // infinite or NaN
  bool unlimited = false;  // any number or NaN
};

std::vector<Side> sides_of(const auto& unknown) {
  if (unknown.special) {
    return {kNanSide, {kMinusInfinity, kMinusInfinity}, {kPlusInfinity, kPlusInfinity}};
  }
  if (unknown.unlimited) return {kNanSide, kWholeLine};
  return {unknown.bound.positions()};
}

template <typename Bound>
class GradientBounds {
 public:
  GradientBounds(const NormGradientRow& row, const GradientStatistics& statistics)
      : row_(row), statistics_(statistics), magnitudes_(row, statistics) {}

  // c1 or S1.
  Unknowns<Bound> correction() const {
    if (!magnitudes_.all_are_finite()) return {Bound(), true, false};
    if (magnitudes_.may_overflow()) return {Bound(), false, true};
    // Where the unknowns are sums, `weighted` has the factor H that the terms have not.
    const auto sums = row_.rule.of_sums ? unscaled_products()
                                        : sum_of_products<Bound>(row_.normalized.data(), row_.weighted.data(),
                                                                 row_.elements);
    return unknown(sums, 8);
  }

  // c2 or S2.
  Unknowns<Bound> mean() const {
    if (!magnitudes_.weighted_is_finite()) return {Bound(), true, false};
    if (magnitudes_.may_overflow()) return {Bound(), false, true};
    return unknown(sum_of_products<Bound>(row_.gradient.data(), statistics_.weight, row_.elements), 1);
  }

 private:
  SumBounds<Bound> unscaled_products() const {
    std::vector<float> weighted;
    for (std::size_t j = 0; j < static_cast<std::size_t>(row_.elements); ++j) {
      weighted.push_back(row_.gradient[j] * statistics_.weight[j]);
    }
    return sum_of_products<Bound>(row_.normalized.data(), weighted.data(), row_.elements);
  }

  Unknowns<Bound> unknown(const SumBounds<Bound>& sums, std::int64_t roundings) const {
    const std::int64_t additions = std::min(row_.elements - 1, row_.rule.sum_depth.value_or(row_.elements));
    const auto n = static_cast<double>(row_.elements);
    const Bound growth = (product_of_roundings<Bound>(additions + roundings) - Bound(1)).most();
    const Bound sum =
        sums.sum + (sums.absolute * growth).either_sign() + Bound(n * magnitudes_.underflow()).either_sign();
    if ((sums.absolute * Bound(4)).exceeds_fp32() || sum.exceeds_fp32()) return {Bound(), false, true};
    if (row_.rule.of_sums) return {sum.fl(), false, false};
    const Bound quotient = sum.divided_by(n);
    const Bound inverse_error = Bound(n) * Bound(static_cast<double>(1 / static_cast<float>(row_.elements)));
    return {quotient.joined(quotient * inverse_error).fl(), false, false};
  }

  const NormGradientRow& row_;
  const GradientStatistics& statistics_;
  Magnitudes magnitudes_;
};

template <typename Bound>
std::vector<Box> boxes_of(const NormGradientRow& row, const GradientStatistics& statistics) {
  const GradientBounds<Bound> bounds(row, statistics);
  std::vector<Box> boxes;
  const std::vector<Side> means =
      row.rule.centred ? sides_of(bounds.mean()) : std::vector<Side>{{kPlusZero, kPlusZero}};
  for (const Side& first : sides_of(bounds.correction())) {
    for (const Side& second : means) boxes.push_back({first, second});
  }
  return boxes;
}

}  // namespace

GradientWindow norm_gradient_window(const NormGradientRow& row, const GradientStatistics& statistics) {
  GradientWindow window{boxes_of<HardwareBound>(row, statistics), {}};
  const auto middle = [](const Side& side) {
    if (side.low == kNanPosition) return kNanPosition;
    const double sum = static_cast<double>(number_at(side.low)) + static_cast<double>(number_at(side.high));
    return position_of(static_cast<float>(sum / 2));
  };
  window.likely = {middle(window.boxes[0].first), middle(window.boxes[0].second)};
  return window;
}

std::vector<Box> exact_norm_gradient_window(const NormGradientRow& row,
                                            const GradientStatistics& statistics) {
  return boxes_of<ExactBound>(row, statistics);
}

}  // namespace normproof::oracle::box_search
