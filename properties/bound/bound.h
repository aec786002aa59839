// The largest difference that two conforming kernels can show, for tests that compare
// with a tolerance. See README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"
#include "properties/bound/spread.h"

namespace normproof::bound {

// Two kernels of one operation on the same inputs; each follows any one of the policies.
struct Question : CallKind {
  Question() { weight_dtype = dtype; }
  std::int64_t hidden_size = 4096;
  // With their models of the inverse root: sum_depth, a known order, the numbers that the root may be off.
  std::vector<oracle::Policy> policies = {oracle::native()};
  // Nothing: any that is not negative.
  std::optional<std::uint32_t> epsilon_bits;
  // The upper bound of a row's maximum, where each row has a scale; infinity: none.
  std::uint32_t scale_ub_bits = 0x7f800000u;
  // The largest magnitude of a weight (of 1 + w), where outputs are subnormal: atol grows with it.
  double largest_weight = 16;
};

// Of two kernels, the first of which follows the one policy and the second the other.
struct PairBound {
  std::size_t first = 0, second = 0;  // of the question's policies
  // Numbers of the output's dtype between the two outputs, where they are normal: ulp, or codes of fp8.
  std::int64_t apart = 0;
  // |a - b| <= atol + rtol * min(|a|, |b|), subnormal outputs of T included. Of fp8, of the codes' values.
  double rtol = 0;
  double atol = 0;
  // The same of y before it is quantized; only where the operation quantizes.
  std::int64_t apart_before = 0;
  double rtol_before = 0;
  // Of the stored sum, in numbers of T.
  int residual_apart = 0;
  // Of the rows' scales, in numbers of fp32; only where each row has its own.
  std::int64_t scale_apart = 0;
  double scale_rtol = 0;
  double root_ratio = 1;      // of the larger r to the smaller one
  std::vector<Place> places;  // where outputs (before they are quantized) are farthest apart
};

struct Bound {
  // Why there is none; empty where there is one.
  std::string no_bound;
  std::vector<PairBound> pairs;
  bool exists() const { return no_bound.empty(); }
  // The greatest of all pairs.
  std::int64_t apart() const;
  double rtol() const;
  double atol() const;
  const PairBound& worst() const;  // by `apart`, then by `rtol`
};

// Throws std::invalid_argument for dtypes that do not fit the operation, no policy, a known order that is not
// one of these rows or not of the policy's sums.
Bound bound_of(const Question& question);

// The inputs for which the bound is claimed, one sentence each.
std::vector<std::string> conditions(const Question& question);

// A case of one row: the question's types and size, epsilon 1e-6 unless it says another, no data.
Case case_of(const Question& question);
// The formula of the question under one of its policies; its epsilon is NaN unless the question says one.
oracle::Formula formula_of(const Question& question, const oracle::Policy& policy);

// The shortest decimal of at most `digits` digits that is not less than the number: 0.0139.
std::string rounded_up(double number, int digits = 3);

}  // namespace normproof::bound
