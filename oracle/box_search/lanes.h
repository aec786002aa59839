// The interval arithmetic of range.h over blocks of elements, for the first look at a row: which elements
// does a box satisfy for sure? Infinities and NaN are not followed; they reach the ends of a result, which
// then is not satisfied, and range.h decides.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "oracle/box_search/lane_kernels.h"
#include "oracle/box_search/range.h"

namespace normproof::oracle::box_search {

// The same operations as RangeArithmetic, kBlock elements at a time. Constants are arrays of a whole number
// of blocks.
class LaneArithmetic {
 public:
  using Result = LaneRange;
  using Constant = const float*;

  explicit LaneArithmetic(DType output, const LaneKernels& kernels = lane_kernels())
      : kernels_(kernels), round_values_(row_kernels().round_values[static_cast<std::size_t>(output)]) {}

  Constant constant(const float* values, std::int64_t index) const { return values + index; }
  Constant constant(float value) const {
    float* values = buffer();
    std::fill_n(values, kBlock, value);
    return values;
  }
  Result range(Constant c) const { return {c, c}; }
  Result range(Position low, Position high) const {
    return {constant(number_at(low)), constant(number_at(high))};
  }
  Result negate(Result a) const {
    float* low = buffer();
    float* high = buffer();
    for (int i = 0; i < kBlock; ++i) {
      low[i] = -a.high[i];
      high[i] = -a.low[i];
    }
    return {low, high};
  }
  Result add(Result a, Result b) const { return binary(kernels_.add, a, b); }
  Result subtract(Result a, Result b) const { return binary(kernels_.subtract, a, b); }
  Result multiply(Result a, Result b) const { return binary(kernels_.multiply, a, b); }
  Result multiply(Result a, Constant b) const {
    float* low = buffer();
    float* high = buffer();
    kernels_.scale(a, b, low, high);
    return {low, high};
  }
  Result fused(Result a, Constant b, Result c) const {
    float* low = buffer();
    float* high = buffer();
    kernels_.fused(a, b, c, low, high);
    return {low, high};
  }
  // As RangeArithmetic's.
  Result cut_to_shifted(Result n, Result centred, Constant x, Result mean, Result root) const {
    float* low = buffer();
    float* high = buffer();
    const auto larger = [](float a, float b) { return a > b ? a : b; };
    for (int i = 0; i < kBlock; ++i) {
      const float reach = (std::fabs(x[i]) + larger(-mean.low[i], mean.high[i])) * root.high[i];
      const float size = larger(-centred.low[i], centred.high[i]);
      const float slack = reach * kShiftedReach + size * kShiftedSize + kShiftedLeast;
      low[i] = larger(n.low[i], centred.low[i] - slack);
      high[i] = -larger(-n.high[i], -(centred.high[i] + slack));
    }
    return {low, high};
  }
  Result round(Result a) const {
    float* low = buffer();
    float* high = buffer();
    std::copy_n(a.low, kBlock, low);
    std::copy_n(a.high, kBlock, high);
    round_values_(low, kBlock, ActivationRounding::nearest_even);
    round_values_(high, kBlock, ActivationRounding::nearest_even);
    return {low, high};
  }

  std::uint64_t unsatisfied(Result a, const float* got) const { return kernels_.unsatisfied(a, got); }

  // What was made since is overwritten.
  int mark() const { return used_; }
  void rewind(int mark) const { used_ = mark; }

 private:
  static constexpr int kBuffers = 40;
  Result binary(LaneKernels::Binary operation, Result a, Result b) const {
    float* low = buffer();
    float* high = buffer();
    operation(a, b, low, high);
    return {low, high};
  }
  float* buffer() const {
    if (used_ == kBuffers) throw std::logic_error("oracle: a formula has more steps than there are buffers");
    return buffers_.data() + (used_++) * kBlock;
  }

  const LaneKernels& kernels_;
  RowKernels::RoundValues round_values_;
  mutable int used_ = 0;
  alignas(64) mutable std::array<float, kBuffers * kBlock> buffers_;
};

}  // namespace normproof::oracle::box_search
