// Numbers between two bounds, with every operation rounded outward in fp64: what is known of a sum that was
// added in an unknown order stays on the safe side whatever is computed from it. In hardware, and by integers
// alone to confirm; the exact bounds always lie within the hardware's.
#pragma once

#include <cmath>
#include <limits>

#include "oracle/box_search/line.h"
#include "oracle/box_search/search.h"

namespace normproof::oracle::box_search {

inline constexpr double kLargestFp32 = 0x1.fffffep127;

struct Bounds {
  double low;
  double high;
};

class HardwareBound {
 public:
  explicit HardwareBound(double exact = 0) : low_(exact), high_(exact) {}
  static HardwareBound around(double value, double error) { return outward(value - error, value + error); }

  friend HardwareBound operator+(const HardwareBound& a, const HardwareBound& b) {
    return outward(a.low_ + b.low_, a.high_ + b.high_);
  }
  friend HardwareBound operator-(const HardwareBound& a, const HardwareBound& b) {
    return outward(a.low_ - b.high_, a.high_ - b.low_);
  }
  friend HardwareBound operator*(const HardwareBound& a, const HardwareBound& b) {
    const auto [least, most] =
        std::minmax({a.low_ * b.low_, a.low_ * b.high_, a.high_ * b.low_, a.high_ * b.high_});
    return outward(least, most);
  }
  HardwareBound divided_by(double positive) const { return outward(low_ / positive, high_ / positive); }
  HardwareBound root() const {
    return outward(std::sqrt(std::max(low_, 0.0)), std::sqrt(std::max(high_, 0.0))).at_least_zero();
  }
  // The fp32 numbers nearest to the bounds.
  HardwareBound fl() const {
    return exactly(static_cast<double>(static_cast<float>(low_)),
                   static_cast<double>(static_cast<float>(high_)));
  }
  HardwareBound joined(const HardwareBound& b) const {
    return exactly(std::min(low_, b.low_), std::max(high_, b.high_));
  }
  HardwareBound at_least_zero() const { return exactly(std::max(low_, 0.0), std::max(high_, 0.0)); }
  // The larger of the two, bound by bound.
  HardwareBound at_least(const HardwareBound& b) const {
    return exactly(std::max(low_, b.low_), std::max(high_, b.high_));
  }
  HardwareBound least() const { return exactly(low_, low_); }
  HardwareBound most() const { return exactly(high_, high_); }
  // From -|a| to |a|.
  HardwareBound either_sign() const {
    const double magnitude = std::max(std::fabs(low_), std::fabs(high_));
    return exactly(-magnitude, magnitude);
  }
  HardwareBound magnitude() const {
    const double most = std::max(std::fabs(low_), std::fabs(high_));
    return exactly(low_ <= 0 && high_ >= 0 ? 0 : std::min(std::fabs(low_), std::fabs(high_)), most);
  }
  Bounds bounds() const { return {low_, high_}; }
  bool may_be_negative() const { return low_ < 0; }
  bool is_negative() const { return high_ < 0; }
  bool exceeds_fp32() const { return !(std::fabs(low_) <= kLargestFp32 && std::fabs(high_) <= kLargestFp32); }
  Side positions() const { return {order_of(static_cast<float>(low_)), order_of(static_cast<float>(high_))}; }
  // Where the correctly rounded 1 / sqrt of fp32 bounds lies.
  Side inverse_roots() const { return {inverse_root(high_), inverse_root(low_)}; }

 private:
  static HardwareBound exactly(double low, double high) {
    HardwareBound bound;
    bound.low_ = low;
    bound.high_ = high;
    return bound;
  }
  static HardwareBound outward(double low, double high) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return exactly(std::nextafter(low, -kInfinity), std::nextafter(high, kInfinity));
  }
  static Position inverse_root(double m) {
    // Rounding the fp64 root to fp32 is correct for every fp32 number (oracle/test/inverse_root_test.cpp).
    return m > 0 ? order_of(static_cast<float>(1 / std::sqrt(m))) : kPlusInfinity;
  }

  double low_;
  double high_;
};

class ExactBound {
 public:
  explicit ExactBound(double exact = 0) : low_(from_double(exact)), high_(low_) {}
  explicit ExactBound(const Value& exact) : low_(exact), high_(exact) {}

  friend ExactBound operator+(const ExactBound& a, const ExactBound& b) {
    return outward(a.low_ + b.low_, a.high_ + b.high_);
  }
  friend ExactBound operator-(const ExactBound& a, const ExactBound& b) {
    return outward(a.low_ + -b.high_, a.high_ + -b.low_);
  }
  friend ExactBound operator*(const ExactBound& a, const ExactBound& b) {
    const auto [least, most] =
        std::minmax({a.low_ * b.low_, a.low_ * b.high_, a.high_ * b.low_, a.high_ * b.high_}, less);
    return outward(least, most);
  }
  ExactBound divided_by(double positive) const {
    const Value divisor = from_double(positive);
    return outward(quotient(low_, divisor), quotient(high_, divisor));
  }
  ExactBound root() const {
    const Value one = Value::integer(1);
    return outward(square_root(at_least_zero().low_, one), square_root(at_least_zero().high_, one));
  }
  ExactBound fl() const { return exactly(round_to(DType::fp32, low_), round_to(DType::fp32, high_)); }
  ExactBound joined(const ExactBound& b) const {
    return exactly(std::min(low_, b.low_, less), std::max(high_, b.high_, less));
  }
  ExactBound at_least_zero() const { return at_least(ExactBound()); }
  ExactBound at_least(const ExactBound& b) const {
    return exactly(std::max(low_, b.low_, less), std::max(high_, b.high_, less));
  }
  ExactBound least() const { return exactly(low_, low_); }
  ExactBound most() const { return exactly(high_, high_); }
  ExactBound either_sign() const {
    const Value magnitude = std::max(absolute(low_), absolute(high_), less);
    return exactly(-magnitude, magnitude);
  }
  ExactBound magnitude() const {
    const Value most = std::max(absolute(low_), absolute(high_), less);
    const bool has_zero = !(low_ > Value()) && !(high_ < Value());
    return exactly(has_zero ? Value() : std::min(absolute(low_), absolute(high_), less), most);
  }
  bool may_be_negative() const { return low_ < Value(); }
  bool is_negative() const { return high_ < Value(); }
  bool exceeds_fp32() const {
    const Value largest = value_at(kPlusInfinity - 1);
    return !(absolute(low_) <= largest && absolute(high_) <= largest);
  }
  Side positions() const { return {position_of(low_), position_of(high_)}; }
  Side inverse_roots() const { return {inverse_root_position(high_), inverse_root_position(low_)}; }

 private:
  static bool less(const Value& a, const Value& b) { return a < b; }
  static Value absolute(const Value& a) { return a.negative() ? -a : a; }
  static ExactBound exactly(const Value& low, const Value& high) {
    ExactBound bound;
    bound.low_ = low;
    bound.high_ = high;
    return bound;
  }
  static ExactBound outward(const Value& low, const Value& high) {
    return exactly(round_to(kFp64, low, Rounding::down), round_to(kFp64, high, Rounding::up));
  }
  static Position inverse_root_position(const Value& m) {
    return m > Value() ? position_of(inverse_root(m)) : kPlusInfinity;
  }

  Value low_;
  Value high_;
};

template <typename Bound>
Bound power(Bound base, std::int64_t exponent) {
  Bound result(1);
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 != 0) result = result * base;
    base = base * base;
  }
  return result;
}

// Bounds of a product of `roundings` factors, each in [1 - u, 1 + u]: u = 2^-24.
template <typename Bound>
Bound product_of_roundings(std::int64_t roundings) {
  return power(Bound(1 - 0x1p-24), roundings).joined(power(Bound(1 + 0x1p-24), roundings));
}

}  // namespace normproof::oracle::box_search
