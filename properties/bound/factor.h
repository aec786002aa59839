// Intervals of positive factors, for relative errors: "the computed number is the exact one times something
// in here". Every operation rounds outward, and not at all where the result is exact.
#pragma once

namespace normproof::bound {

// a * b, a / b and sqrt(a) of positive numbers in fp64, rounded down or up.
double product_down(double a, double b);
double product_up(double a, double b);
double quotient_down(double a, double b);
double quotient_up(double a, double b);

struct Factor {
  double low = 1;
  double high = 1;
  bool is_one() const { return low == 1 && high == 1; }
};
Factor operator*(const Factor& a, const Factor& b);
Factor inverse(const Factor& a);
Factor square_root(const Factor& a);
// The smallest interval that holds both.
Factor hull(const Factor& a, const Factor& b);
// What lies in both, which meet.
Factor intersection(const Factor& a, const Factor& b);
// 1 - error to 1 + error.
Factor within(double error);

}  // namespace normproof::bound
