// The gradients dw and db of a norm's weight and bias: one sum over rows per column, of dy * xh and of dy,
// rounded to the weight's dtype at the end. A sum has no second use that would give its rounding errors away,
// so all that can be judged is whether an honest evaluation arrives there: an element conforms if it lies
// between the two ends
//
//   rnd_W(fl(S - E)) and rnd_W(fl(S + E)),   E = ((1 + u)^(d + k) - 1) sum |t| + underflow,
//
// S the exact sum of the exact terms t = dy (x - m) r or dy, k = 3 or 0 the roundings within a term, and d
// the longest chain of additions, which a policy should state: with d = rows - 1 the interval of a long sum
// is wide. There is no tolerance: where fp64 bounds do not tell on which side of an end an element lies,
// exact arithmetic does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/dtype.h"

namespace normproof::oracle::box_search {

struct WeightGradientRule {
  DType activation = DType::bf16;  // of dy and x
  DType weight = DType::bf16;      // of dw and db
  bool centred = false;            // LayerNorm's mean
  bool of_bias = false;            // db: the terms are dy
  std::optional<std::int64_t> sum_depth;
};

// All rows, packed; one mean and one inverse deviation per row.
struct WeightGradientOperands {
  std::span<const std::byte> gradient;  // dy
  std::span<const std::byte> x;         // empty for db
  std::span<const float> mean;          // empty where the rule is not centred
  std::span<const float> inverse_root;  // empty for db
};

struct ColumnInterval {
  std::int64_t column = 0;
  float got = 0;
  // What the element may be, as numbers of W. Where the exact terms may overflow: any number.
  float low = 0;
  float high = 0;
  bool may_be_nan = false;
};

struct WeightGradientVerdict {
  std::int64_t columns = 0;
  std::int64_t decided_exactly = 0;        // columns for which fp64 bounds did not suffice
  std::vector<ColumnInterval> violations;  // confirmed by exact arithmetic
  bool conforms() const { return violations.empty(); }
};

// Throws std::invalid_argument where a size is wrong. Within a StandardFloatEnvironment. `exactly`: every
// column by exact arithmetic, for the same verdict.
WeightGradientVerdict judge_weight_gradient(const WeightGradientRule& rule, std::int64_t rows,
                                            std::int64_t columns, const WeightGradientOperands& operands,
                                            std::span<const std::byte> got, bool exactly = false);

// In the canonical order: rows in groups of kCanonicalGroup, one after the other in a group, acc = fma(dy,
// xh, acc) or acc + dy from +0; then neighbouring groups are joined in pairs, again and again, an odd last
// one as it is. Packed in the weight's dtype.
inline constexpr std::int64_t kCanonicalGroup = 8;
std::vector<std::byte> canonical_weight_gradient(const WeightGradientRule& rule, std::int64_t rows,
                                                 std::int64_t columns,
                                                 const WeightGradientOperands& operands);
// The longest chain of additions of that order.
std::int64_t canonical_weight_gradient_depth(std::int64_t rows);

}  // namespace normproof::oracle::box_search
