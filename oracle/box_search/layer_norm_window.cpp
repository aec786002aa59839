// The bounds of layer_norm_window.h, once for both arithmetics.
#include "oracle/box_search/layer_norm_window.h"

#include <algorithm>
#include <bit>

#include "oracle/box_search/bound.h"
#include "oracle/box_search/range.h"

namespace normproof::oracle::box_search {
namespace {

// What the bounds need to know of a row.
template <typename Bound>
struct RowSums {
  std::int64_t count = 0;
  bool has_nan = false;
  bool has_infinity = false;
  float largest = 0;  // |x|
  Bound sum;
  Bound absolute;
  Bound squares;
  Bound deviations;  // sum (x - mean)^2
};

RowSums<HardwareBound> hardware_sums(std::span<const float> x) {
  const auto count = static_cast<std::int64_t>(x.size());
  const auto n = static_cast<double>(count);
  RowSums<HardwareBound> sums;
  sums.count = count;
  Moments plain;
  lane_kernels().moments(x.data(), count, 0, &plain);
  if (!(plain.largest <= number_at(kPlusInfinity - 1))) {
    for (const float value : x) {
      sums.has_nan = sums.has_nan || std::isnan(value);
      sums.has_infinity = sums.has_infinity || std::isinf(value);
    }
    return sums;
  }
  // A sum of n numbers in fp64 is off by n 2^-53 of their magnitudes; half as much again for second orders.
  const double unit = (n + 8) * 0x1.8p-53;
  sums.largest = plain.largest;
  sums.sum = HardwareBound::around(plain.sum, unit * plain.absolute);
  sums.absolute = HardwareBound::around(plain.absolute, unit * plain.absolute);
  sums.squares = HardwareBound::around(plain.squares, unit * plain.squares);
  // Deviations from a float near the mean, so that little is lost by cancellation.
  const auto shift = static_cast<double>(static_cast<float>(plain.sum / n));
  Moments centred;
  lane_kernels().moments(x.data(), count, shift, &centred);
  const double reach = plain.absolute + n * std::fabs(shift);
  const HardwareBound off = HardwareBound::around(centred.sum, unit * reach);
  const HardwareBound squares = HardwareBound::around(centred.squares, unit * centred.squares);
  sums.deviations = (squares - (off * off).divided_by(n)).at_least_zero();
  return sums;
}

RowSums<ExactBound> exact_sums(std::span<const float> x) {
  RowSums<ExactBound> sums;
  sums.count = static_cast<std::int64_t>(x.size());
  Value sum, absolute, squares;
  for (const float value : x) {
    sums.has_nan = sums.has_nan || std::isnan(value);
    sums.has_infinity = sums.has_infinity || std::isinf(value);
    if (!std::isfinite(value)) continue;
    sums.largest = std::max(sums.largest, std::fabs(value));
    const Value exact = decode(DType::fp32, std::bit_cast<std::uint32_t>(value));
    sum = sum + exact;
    absolute = absolute + (exact.negative() ? -exact : exact);
    squares = squares + exact * exact;
  }
  sums.sum = ExactBound(sum);
  sums.absolute = ExactBound(absolute);
  sums.squares = ExactBound(squares);
  // n * deviations = n * squares - sum^2, divided with a rounding to either side.
  const Value n = Value::integer(sums.count);
  sums.deviations =
      ExactBound(n * squares + -(sum * sum)).divided_by(static_cast<double>(sums.count)).at_least_zero();
  return sums;
}

struct Roots {
  Side side;
  bool nan = false;
};

template <typename Bound>
class Window {
 public:
  Window(const LayerNormRule& rule, const RowSums<Bound>& sums)
      : rule_(rule),
        sums_(sums),
        n_(static_cast<double>(sums.count)),
        // n * fl(1 / n): what is multiplied by fl(1 / n) is a quotient times this.
        inverse_error_(Bound(n_) * Bound(static_cast<double>(1 / static_cast<float>(sums.count)))),
        additions_(std::min(sums.count - 1, rule.sum_depth.value_or(sums.count))) {}

  std::vector<Box> boxes() {
    if (sums_.has_nan || sums_.has_infinity) return special_boxes();
    find_mean();
    Bound v = variance();
    const bool overflow = may_overflow(v);
    // A clamp makes 0 of infinity - infinity.
    if (overflow && rule_.statistics == Statistics::one_pass_clamped) v = v.joined(Bound(0));
    const Roots roots = inverse_roots(v);
    Side means = mean_.positions();
    std::vector<Box> boxes;
    means.low = std::max(means.low, kMinusInfinity + 1);
    means.high = std::min(means.high, kPlusInfinity - 1);
    Side finite_roots = roots.side;
    if (overflow) finite_roots.low = 0;
    boxes.push_back({means, finite_roots});
    if (roots.nan || overflow) boxes.push_back({means, kNanSide});
    if (overflow) {
      for (const Side& mean :
           {Side{kMinusInfinity, kMinusInfinity}, Side{kPlusInfinity, kPlusInfinity}, kNanSide}) {
        for (const Side& root : {finite_roots, kNanSide}) boxes.push_back({mean, root});
      }
    }
    return boxes;
  }

 private:
  static Bound unit() { return Bound(0x1p-24); }

  // With an infinite or NaN operand the mean is infinite or NaN and the variance NaN, which a clamp may turn
  // into 0.
  std::vector<Box> special_boxes() {
    std::vector<Side> means = {kNanSide};
    if (!sums_.has_nan) {
      means.push_back({kMinusInfinity, kMinusInfinity});
      means.push_back({kPlusInfinity, kPlusInfinity});
    }
    std::vector<Side> roots = {kNanSide};
    if (rule_.statistics == Statistics::one_pass_clamped) {
      const Roots of_zero = inverse_roots(Bound(0));
      if (!of_zero.nan) roots.push_back(of_zero.side);
    }
    std::vector<Box> boxes;
    for (const Side& mean : means) {
      for (const Side& root : roots) boxes.push_back({mean, root});
    }
    return boxes;
  }

  // A sum of x, or of squares, may have gone beyond the largest number on the way.
  bool may_overflow(const Bound& v) const {
    const Bound growth = product_of_roundings<Bound>(additions_ + 3).most();
    const bool welford = rule_.statistics == Statistics::welford;
    const Bound squares = welford ? v * Bound(n_) : sums_.squares * Bound(4);  // (x - m)^2 <= 2 x^2 + 2 m^2
    return (sums_.absolute * growth).exceeds_fp32() || (squares * growth).exceeds_fp32() ||
           mean_.exceeds_fp32() || (mean_ * mean_).exceeds_fp32() || (v * Bound(n_)).exceeds_fp32() ||
           sums_.largest >= 0x1p126f;
  }

  void find_mean() {
    const Bound exact = sums_.sum.divided_by(n_);
    if (rule_.statistics == Statistics::welford) {
      find_welford_growth();
      mean_ = (exact + (padded_absolute_ * growth_).divided_by(n_).either_sign()).fl();
    } else {
      growth_ = (product_of_roundings<Bound>(additions_) - Bound(1)).most();
      const Bound sum = sums_.sum + (sums_.absolute * growth_).either_sign();
      const Bound quotient = sum.divided_by(n_);
      mean_ = quotient.joined(quotient * inverse_error_).fl();
    }
    distance_ = (mean_ - exact).magnitude().most();
  }

  void find_welford_growth() {
    const Bound four = (product_of_roundings<Bound>(4) - Bound(1)).most();
    const Bound ratio(static_cast<double>(rule_.merge_ratio));
    factor_ = unit() + Bound(1 + 0x1p-24) * four * ratio;
    growth_ = (power(Bound(1) + factor_, additions_) - Bound(1)).most();
    const Bound padding(0x1p-120);
    padded_absolute_ = sums_.absolute + padding * Bound(n_);
    padded_squares_ = sums_.squares + Bound(2) * padding * sums_.absolute + padding * padding * Bound(n_);
  }

  // The computed variance, an fp32 number.
  Bound variance() const {
    switch (rule_.statistics) {
      case Statistics::two_pass:
        return two_pass();
      case Statistics::one_pass:
        return one_pass();
      case Statistics::one_pass_clamped:
        return one_pass().at_least_zero();
      case Statistics::welford:
        return welford();
    }
    return two_pass();
  }

  static Bound underflow(double size) { return Bound(size).either_sign(); }

  // Of sum / n or sum * fl(1 / n), rounded, or not yet where an fma adds epsilon to it.
  Bound quotients(const Bound& exact) const {
    const Bound unrounded = exact.joined(exact * inverse_error_);
    return unrounded.joined(unrounded.fl());
  }

  Bound two_pass() const {
    const Bound exact = sums_.deviations.divided_by(n_);
    const Bound about_mean = exact.joined(exact + distance_ * distance_);
    const Bound computed = about_mean * product_of_roundings<Bound>(additions_ + 3) + underflow(0x1p-147);
    return quotients(computed.at_least_zero());
  }

  Bound one_pass() const {
    const Bound squares = sums_.squares.divided_by(n_) * product_of_roundings<Bound>(additions_ + 1);
    const Bound mean = mean_.magnitude();
    const Bound square = mean * mean * product_of_roundings<Bound>(1) + underflow(0x1p-147);
    const Bound difference = quotients((squares + underflow(0x1p-147)).at_least_zero()) - square;
    return difference.joined(difference.fl());
  }

  Bound welford() const {
    const auto levels = static_cast<double>(std::bit_width(static_cast<std::uint64_t>(sums_.count - 1)));
    const Bound weighted = padded_squares_ * Bound(2 * levels);
    const Bound off = growth_ * weighted.root();
    const Bound root = (sums_.deviations.root() + off.either_sign()).at_least_zero();
    const Bound step = factor_ * (Bound(1) + growth_) * weighted.root();  // of sqrt(sum l^2 / (pq/(p+q)))
    const Bound roundings = product_of_roundings<Bound>(2 * additions_ + 8);
    const Bound cross = (root.most() * step * roundings).either_sign();
    Bound sum = root * root * roundings + cross;
    const Bound most_negative = Bound(0) - step * step * roundings * roundings * Bound(0.25 * 1.001);
    sum = sum.at_least(most_negative.least());
    return quotients(sum.divided_by(n_) + underflow(n_ * 0x1p-144));
  }

  Roots inverse_roots(const Bound& v) const {
    const float epsilon = std::bit_cast<float>(rule_.epsilon);
    if (std::isnan(epsilon)) return {kNanSide, true};
    if (std::isinf(epsilon)) return epsilon > 0 ? Roots{{0, 0}, false} : Roots{kNanSide, true};
    const Bound m = (v + Bound(static_cast<double>(epsilon))).fl();
    if (m.is_negative()) return {kNanSide, true};
    Side side = m.at_least_zero().inverse_roots();
    const Position ulp = rule_.inverse_root_ulp;
    // Zero and infinity are exact.
    if (side.low != 0 && side.low != kPlusInfinity) side.low = std::max(side.low - ulp, 0);
    if (side.high != 0) side.high = std::min(side.high, kPlusInfinity - ulp) + ulp;
    return {side, m.may_be_negative()};
  }

  const LayerNormRule& rule_;
  const RowSums<Bound>& sums_;
  double n_;
  Bound inverse_error_;
  std::int64_t additions_;
  Bound mean_;
  Bound distance_;  // of the computed mean from the exact one
  Bound growth_;    // g
  Bound factor_;    // k
  Bound padded_absolute_;
  Bound padded_squares_;
};

Point likely_statistics(const LayerNormRule& rule, const RowSums<HardwareBound>& sums) {
  if (sums.has_nan || sums.has_infinity) return {kNanPosition, kNanPosition};
  const auto n = static_cast<double>(sums.count);
  const Bounds mean = sums.sum.divided_by(n).bounds();
  const Bounds v = sums.deviations.divided_by(n).bounds();
  const auto m = static_cast<float>((v.low + v.high) / 2) + std::bit_cast<float>(rule.epsilon);
  return {order_of(static_cast<float>((mean.low + mean.high) / 2)),
          position_of(static_cast<float>(1 / std::sqrt(static_cast<double>(m))))};
}

}  // namespace

LayerNormWindow layer_norm_window(const LayerNormRule& rule, std::span<const float> x) {
  const RowSums<HardwareBound> sums = hardware_sums(x);
  return {Window<HardwareBound>(rule, sums).boxes(), likely_statistics(rule, sums)};
}

std::vector<Box> exact_layer_norm_window(const LayerNormRule& rule, std::span<const float> x) {
  const RowSums<ExactBound> sums = exact_sums(x);
  return Window<ExactBound>(rule, sums).boxes();
}

std::vector<Box> restricted(const std::vector<Box>& window, const StoredStatistics& stored) {
  const auto restrict = [](Side& side, const std::optional<float>& value, DType dtype) {
    if (!value) return true;
    const Position position = position_of(*value);
    if (dtype == DType::fp32 || position == kNanPosition || side.low == kNanPosition) {
      if (!side.contains(position)) return false;
      side = {position, position};
      return true;
    }
    // Rounding is monotone: what rounds to the value is a range.
    const HardwareNumbers numbers(dtype);
    const auto rounded = [&](std::int64_t p) {
      float number = number_at(static_cast<Position>(p)), same = number;
      numbers.round(number, same);
      return position_of(number);
    };
    const std::int64_t last = std::int64_t{side.high};
    const std::int64_t low =
        first_where(side.low, last, [&](std::int64_t p) { return rounded(p) >= position; });
    const std::int64_t beyond =
        first_where(side.low, last, [&](std::int64_t p) { return rounded(p) > position; });
    if (low >= beyond) return false;
    side = {static_cast<Position>(low), static_cast<Position>(beyond - 1)};
    return true;
  };
  std::vector<Box> result;
  for (Box box : window) {
    if (restrict(box.first, stored.mean, stored.mean_dtype)&& restrict(box.second, stored.inverse_root,
                                                                       stored.inverse_root_dtype))
      result.push_back(box);
  }
  return result;
}

}  // namespace normproof::oracle::box_search
