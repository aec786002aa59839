// The bounds of norm_gradient_window.h, once for both arithmetics.
#include "oracle/box_search/norm_gradient_window.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "oracle/box_search/bound.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {
namespace {

template <typename Bound>
struct SumBounds {
  Bound sum;
  Bound absolute;
};

// Of the exact terms of S1 and S2.
template <typename Bound>
struct GradientSums {
  SumBounds<Bound> corrections;
  SumBounds<Bound> means;
};

GradientSums<HardwareBound> hardware_sums(const NormGradientRow& row, const GradientStatistics& s) {
  ProductSums sums;
  lane_kernels().products(row.gradient.data(), s.weight, s.x,
                          row.rule.centred ? static_cast<double>(s.mean) : 0,
                          static_cast<double>(s.inverse_root), row.elements, &sums);
  const double unit = (static_cast<double>(row.elements) + 8) * 0x1.8p-53;
  const auto bounds = [&](double sum, double absolute) {
    return SumBounds<HardwareBound>{HardwareBound::around(sum, unit * absolute),
                                    HardwareBound::around(absolute, unit * absolute)};
  };
  return {bounds(sums.all, sums.all_absolute), bounds(sums.two, sums.two_absolute)};
}

GradientSums<ExactBound> exact_sums(const NormGradientRow& row, const GradientStatistics& s) {
  Value all, all_absolute, two, two_absolute;
  const Value root = ExactNumbers::from_float(s.inverse_root);
  const Value minus_mean = row.rule.centred ? ExactNumbers::from_float(-s.mean) : Value();
  const auto absolute = [](const Value& a) { return a.negative() ? -a : a; };
  for (std::int64_t j = 0; j < row.elements; ++j) {
    const Value product = ExactNumbers::from_float(row.gradient[static_cast<std::size_t>(j)]) *
                          ExactNumbers::from_float(s.weight[j]);
    const Value whole = product * (ExactNumbers::from_float(s.x[j]) + minus_mean) * root;
    two = two + product;
    two_absolute = two_absolute + absolute(product);
    all = all + whole;
    all_absolute = all_absolute + absolute(whole);
  }
  return {{ExactBound(all), ExactBound(all_absolute)}, {ExactBound(two), ExactBound(two_absolute)}};
}

// The largest magnitude; NaN or infinite where any value is.
float largest(const float* values, std::int64_t count) {
  return std::bit_cast<float>(row_kernels().largest_magnitude(values, count, false));
}

class Magnitudes {
 public:
  Magnitudes(const NormGradientRow& row, const GradientStatistics& s)
      : gradient_(largest(row.gradient.data(), row.elements)),
        weight_(largest(s.weight, row.elements)),
        x_(largest(s.x, row.elements)),
        mean_(row.rule.centred ? std::fabs(s.mean) : 0),
        root_(std::fabs(s.inverse_root)) {}

  bool weighted_is_finite() const { return std::isfinite(gradient_) && std::isfinite(weight_); }
  bool all_are_finite() const {
    return weighted_is_finite() && std::isfinite(x_) && std::isfinite(mean_) && std::isfinite(root_);
  }
  // (1 + |dy|)(1 + |w|)(1 + |x| + |m|)(1 + |r|), which no partial product exceeds.
  double product() const {
    const auto plus_one = [](double value) { return 1 + value; };
    return plus_one(gradient_) * plus_one(weight_) * plus_one(static_cast<double>(x_) + mean_) *
           plus_one(root_);
  }

 private:
  float gradient_, weight_, x_, mean_, root_;
};

template <typename Bound>
class GradientBounds {
 public:
  GradientBounds(const NormGradientRow& row, const GradientStatistics& statistics)
      : row_(row), magnitudes_(row, statistics) {}

  // Of c1 or S1.
  std::vector<Side> corrections(const GradientSums<Bound>& sums) const {
    return magnitudes_.all_are_finite() ? sides(sums.corrections, 4) : special_sides();
  }
  // Of c2 or S2.
  std::vector<Side> means(const GradientSums<Bound>& sums) const {
    if (!row_.rule.centred) return {{kPlusZero, kPlusZero}};
    return magnitudes_.weighted_is_finite() ? sides(sums.means, 1) : special_sides();
  }

 private:
  static std::vector<Side> special_sides() {
    return {kNanSide, {kMinusInfinity, kMinusInfinity}, {kPlusInfinity, kPlusInfinity}};
  }

  std::vector<Side> sides(const SumBounds<Bound>& sums, std::int64_t roundings) const {
    const std::int64_t additions = std::min(row_.elements - 1, row_.rule.sum_depth.value_or(row_.elements));
    const auto n = static_cast<double>(row_.elements);
    const Bound growth = (product_of_roundings<Bound>(additions + roundings) - Bound(1)).most();
    const Bound underflow(n * 0x1p-145 * magnitudes_.product());
    const Bound sum = sums.sum + (sums.absolute * growth).either_sign() + underflow.either_sign();
    const bool overflow =
        !(magnitudes_.product() < 0x1p120) || (sums.absolute * Bound(4)).exceeds_fp32() || sum.exceeds_fp32();
    Side side = unknown(sum, n).positions();
    side.low = std::clamp(side.low, kMinusInfinity + 1, kPlusInfinity - 1);
    side.high = std::clamp(side.high, kMinusInfinity + 1, kPlusInfinity - 1);
    std::vector<Side> result = {side};
    if (overflow) {
      for (const Side& special : special_sides()) result.push_back(special);
    }
    return result;
  }

  Bound unknown(const Bound& sum, double n) const {
    if (row_.rule.of_sums) return sum.fl();
    const Bound quotient = sum.divided_by(n);
    const Bound inverse_error = Bound(n) * Bound(static_cast<double>(1 / static_cast<float>(row_.elements)));
    return quotient.joined(quotient * inverse_error).fl();
  }

  const NormGradientRow& row_;
  Magnitudes magnitudes_;
};

template <typename Bound>
std::vector<Box> boxes_of(const NormGradientRow& row, const GradientStatistics& statistics,
                          const GradientSums<Bound>& sums) {
  const GradientBounds<Bound> bounds(row, statistics);
  const std::vector<Side> means = bounds.means(sums);
  std::vector<Box> boxes;
  for (const Side& first : bounds.corrections(sums)) {
    for (const Side& second : means) boxes.push_back({first, second});
  }
  return boxes;
}

}  // namespace

GradientWindow norm_gradient_window(const NormGradientRow& row, const GradientStatistics& statistics) {
  GradientWindow window{boxes_of(row, statistics, hardware_sums(row, statistics)), {}};
  const auto middle = [](const Side& side) {
    if (side.low == kNanPosition) return kNanPosition;
    const double sum = static_cast<double>(number_at(side.low)) + static_cast<double>(number_at(side.high));
    return position_of(static_cast<float>(sum / 2));
  };
  window.likely = {middle(window.boxes[0].first), middle(window.boxes[0].second)};
  return window;
}

namespace {

// S1 = r (sum dy w (x - m0) - (m - m0) sum dy w) for all m and r of a box; `sums` are of m0 and r = 1.
template <typename Bound>
std::vector<Box> boxes_over(const NormGradientRow& row, const GradientStatistics& s, const Box& box,
                            const GradientSums<Bound>& sums) {
  const auto number = [](Position position) { return static_cast<double>(number_at(position)); };
  const auto between = [&](const Side& side) {
    return Bound(number(side.low)).joined(Bound(number(side.high)));
  };
  GradientStatistics widest = s;
  widest.mean = std::max(std::fabs(number_at(box.first.low)), std::fabs(number_at(box.first.high)));
  widest.inverse_root = number_at(box.second.high);
  if (!std::isfinite(widest.mean) || !std::isfinite(widest.inverse_root)) return boxes_of(row, widest, sums);
  const Bound root = between(box.second);
  const Bound shift = row.rule.centred ? between(box.first) - Bound(static_cast<double>(s.mean)) : Bound(0);
  GradientSums<Bound> all = sums;
  all.corrections.sum = root * (sums.corrections.sum - shift * sums.means.sum);
  all.corrections.absolute = root.most() * (sums.corrections.absolute.most() +
                                            shift.magnitude().most() * sums.means.absolute.most());
  return boxes_of(row, widest, all);
}

}  // namespace

std::vector<Box> norm_gradient_window_of(const NormGradientRow& row, const GradientStatistics& statistics,
                                         const Box& box, bool exactly) {
  GradientStatistics with_root_1 = statistics;
  with_root_1.inverse_root = 1;
  return exactly ? boxes_over(row, statistics, box, exact_sums(row, with_root_1))
                 : boxes_over(row, statistics, box, hardware_sums(row, with_root_1));
}

std::vector<Box> exact_norm_gradient_window(const NormGradientRow& row,
                                            const GradientStatistics& statistics) {
  return boxes_of(row, statistics, exact_sums(row, statistics));
}

}  // namespace normproof::oracle::box_search
