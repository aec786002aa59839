#include "properties/bound/factor.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace normproof::bound {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Whether fl(a * b) is below (negative), at, or above the product: the fma
// gives the sign of what was cut off.
double product_error(double a, double b, double rounded) { return std::fma(a, b, -rounded); }

}  // namespace

double product_down(double a, double b) {
  const double rounded = a * b;
  return product_error(a, b, rounded) < 0 ? std::nextafter(rounded, 0.0) : rounded;
}

double product_up(double a, double b) {
  const double rounded = a * b;
  return product_error(a, b, rounded) > 0 ? std::nextafter(rounded, kInfinity) : rounded;
}

double quotient_down(double a, double b) {
  const double rounded = a / b;
  return product_error(rounded, b, a) > 0 ? std::nextafter(rounded, 0.0) : rounded;
}

double quotient_up(double a, double b) {
  const double rounded = a / b;
  return product_error(rounded, b, a) < 0 ? std::nextafter(rounded, kInfinity) : rounded;
}

Factor operator*(const Factor& a, const Factor& b) {
  return {product_down(a.low, b.low), product_up(a.high, b.high)};
}

Factor inverse(const Factor& a) { return {quotient_down(1, a.high), quotient_up(1, a.low)}; }

Factor square_root(const Factor& a) {
  const double low = std::sqrt(a.low), high = std::sqrt(a.high);
  return {product_error(low, low, a.low) > 0 ? std::nextafter(low, 0.0) : low,
          product_error(high, high, a.high) < 0 ? std::nextafter(high, kInfinity) : high};
}

Factor hull(const Factor& a, const Factor& b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }

Factor intersection(const Factor& a, const Factor& b) {
  return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

Factor within(double error) { return {1 - error, 1 + error}; }

}  // namespace normproof::bound
