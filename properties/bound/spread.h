// The largest difference of two outputs that are made of the same t (an element times the exact root of its
// row) and the same weight, by enumeration of all significands: everything after t is monotone, so for each n
// that the one kernel can have, the t at the end of n's interval gives the other kernel the number that is
// farthest away.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "oracle/formats.h"
#include "properties/bound/kernel_error.h"

namespace normproof::bound {

// Where a difference is large: t and the weight as significands of T, which leave the exponents open.
struct Place {
  double t = 1;           // of the product with the root, at the end of a rounding interval
  double weight = 1;      // 1 where there is none, or where it may be any number
  bool low_first = true;  // the first kernel gives the smaller output
  std::int64_t apart = 0;
  double ratio = 1;  // of the larger output to the smaller one
};

struct Spread {
  std::int64_t apart = 0;  // numbers of T between the outputs
  double ratio = 1;        // of the larger output to the smaller one, rounded up
  // Where numbers are subnormal: how many of T two n can be apart, and one
  // rounding of y more (README.md, "atol").
  std::int64_t apart_subnormal = 0;
  std::vector<Place> places;  // the worst by `apart`, and the worst by `ratio`
};

// Two kernels, of which the one may have the lower root and the other the higher one, in both ways. For
// outputs that are not rounded to T (quantizing operations) `apart` is 0. `root`: what r may be of both,
// where it is less than the policies allow.
Spread exact_spread(const oracle::Formula& first, const oracle::Formula& second,
                    const std::optional<Factor>& root = {});

// How many numbers of so many bits two normal ones of that ratio can be apart: in one binade p / (1 + p)
// times 2^precision for a ratio of 1 + p, just below a power of two.
std::int64_t numbers_of_ratio(double ratio, int precision);

// How many codes apart values can become whose ratio before the last rounding is at most `ratio`; and the
// same as relative difference of normal numbers, of which integers have none: they are as far apart
// everywhere. Codes saturate at `last`, a magnitude: that of int8 is 128 where -128 is a code.
struct CodeSpread {
  std::int64_t apart = 0;
  double ratio = 1;
};
CodeSpread code_spread(const oracle::Format& format, double ratio, std::uint64_t last);

}  // namespace normproof::bound
