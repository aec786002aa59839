// Kernels to assess the judge with: one row at a time in plain scalar arithmetic, for any policy and any r,
// right or with a fault. Written from the contract's formulas a second time; it shares no code with the
// oracle's paths, so that a mistake there does not hide here.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "corpus/random.h"
#include "oracle/honest_root.h"
#include "oracle/policy.h"

namespace normproof::assess {

// Stochastic: to one of the two neighbours, the nearer one the likelier; a number always to the same.
enum class Rounding : std::uint8_t { nearest_even, toward_zero, ties_away, stochastic };

// `number` rounded once to `dtype`, with gradual underflow; beyond the largest number to infinity. Requires a
// number that fp64 holds exactly, or one that fp64 has rounded from a sum, product or quotient of two numbers
// of at most 24 bits of precision: rounding twice is then harmless (Figueroa, "When is double rounding
// innocuous?", 1995).
double round_to(DType dtype, double number, Rounding rounding = Rounding::nearest_even);

// A rounding that truncates where it should go to nearest; every rounding to T stochastic.
enum class Fault : std::uint8_t { none, truncated_normalized, truncated_product, stochastic };

// Which number an approximate reciprocal of the scale is: of the two next to it, or what becomes of it where
// a build flushes the scale, or the reciprocal, to zero. Where there is no such number: the nearest.
enum class Reciprocal : std::uint8_t { nearest, other, of_flushed_scale, flushed };
inline constexpr std::array kReciprocals = {Reciprocal::nearest, Reciprocal::other,
                                            Reciprocal::of_flushed_scale, Reciprocal::flushed};

// Sometimes int8 codes, and sometimes an upper bound of the maxima of rows, often one that shows.
void draw_int8_and_bound(Random& random, Case& test_case);

class PlainKernel {
 public:
  // Case and tensors must outlive the kernel.
  PlainKernel(const Case& test_case, const CaseTensors& tensors, const oracle::Policy& policy,
              Fault fault = Fault::none);

  void load(std::int64_t row);
  // Of the loaded row: what the variance squares, rounded to T where the policy's variance is in T.
  std::span<const float> variance_operands() const { return variance_operands_; }
  // r (or rms, where the policy divides) with the roots and quotients rounded correctly, in the given order
  // of summation; a compensated sum has an order of its own.
  float root(oracle::SummationOrder order, Random& random) const;
  std::uint32_t output(float r, std::int64_t column) const;
  // The same with codes made by this factor, whatever the policy says.
  std::uint32_t output_with_factor(float r, std::int64_t column, float factor) const;
  // What codes are multiplied by for this r (scaling=divide has none).
  float code_factor(float r) const;
  void choose(Reciprocal reciprocal) { reciprocal_ = reciprocal; }
  // Where rows have scales of their own: that of the loaded row for this r, and the one with which output()
  // quantizes from then on.
  float row_scale(float r) const;
  void set_scale(float scale) { scale_ = static_cast<double>(scale); }

  // Appends the loaded row's outputs for this r.
  void append_outputs(float r, Outputs& outputs) const;

 private:
  double weight_factor(double w) const;
  double to_activation(double number, Fault where = Fault::none) const;
  bool quantizes_unrounded() const;
  double product(double x, double r, std::int64_t column, bool unrounded) const;
  double range() const;
  double least_scale() const;
  double row_maximum(float r) const;
  double unbounded_maximum(float r) const;
  double reciprocal(double scale) const;
  double factor_of(double maximum, double scale) const;
  double code_factor(float r, double scale) const;
  std::uint32_t output(float r, std::int64_t column, double scale, double factor) const;
  std::uint32_t quantized(double scaled) const;
  double normalized(float r, std::int64_t column) const;

  const Case& case_;
  const CaseTensors& tensors_;
  oracle::Policy policy_;
  Fault fault_;
  std::vector<double> weight_;  // as it is multiplied (1 + w, ...); empty without one
  std::vector<float> variance_operands_;
  std::vector<double> output_operands_;
  std::vector<std::uint32_t> sums_;  // bits of what is stored of them
  double scale_;
  Reciprocal reciprocal_ = Reciprocal::nearest;
};

}  // namespace normproof::assess
