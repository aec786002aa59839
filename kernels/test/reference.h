// A second, slow and simple implementation of the contract, written without the kernels' code: formats as
// tables of their numbers, rounding as a search in such a table, the canonical order as plain loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "kernels/rms_norm.h"
#include "print.h"

namespace normproof::kernels::reference {

// A storage format as the list of its non-negative numbers.
class Format {
 public:
  explicit Format(DType dtype);  // any but fp32

  double value(std::uint32_t bits) const;  // NaN where bits are NaN
  bool is_nan(std::uint32_t bits) const;
  std::uint32_t round(
      double value) const;  // to the nearest, ties to even; saturates where the format has no infinity
  double maximum() const { return maximum_; }     // the largest finite number
  std::uint32_t codes() const { return codes_; }  // 2 to the number of bits
  const std::vector<double>& magnitudes() const { return magnitudes_; }

 private:
  std::uint32_t codes_;
  std::uint32_t sign_;
  std::uint32_t nan_;
  bool negative_zero_;
  double maximum_ = 0;
  std::vector<double> magnitudes_;  // by bits without a sign; the last is infinity's place, if there is one
  bool has_infinity_;
};

const Format& format_of(DType dtype);

int size_of(DType dtype);
float to_float(DType dtype, std::uint32_t bits);
std::uint32_t round(DType dtype, float value);
bool is_nan(DType dtype, std::uint32_t bits);
// Equal bits, or both NaN.
bool same(DType dtype, std::uint32_t a, std::uint32_t b);

// The sum of squares of a row in the canonical order.
float canonical_sum(DType dtype, const std::vector<std::uint32_t>& row);
// Of `count` elements that `accumulate(sum, j)` adds one after the other to a lane's sum.
float canonical_sum(DType dtype, std::size_t count,
                    const std::function<float(float, std::size_t)>& accumulate);

// One row of one call.
struct Row {
  DType dtype = DType::fp32;
  std::vector<std::uint32_t> input;
  std::optional<std::vector<std::uint32_t>> residual;
  std::optional<std::vector<std::uint32_t>> weight;
  DType weight_dtype = DType::fp32;
  std::optional<DType> quantized;
  std::optional<float> scale;     // to quantize by; without one the row's largest |y| gives it
  std::optional<float> scale_ub;  // which is at most that
  float epsilon = 0;
};
struct Result {
  std::vector<std::uint32_t> out;
  std::vector<std::uint32_t> residual;  // where there is one
  std::uint32_t scale = 0;              // fp32 bits, where the row gives it
};
Result evaluate(const Row& row);

}  // namespace normproof::kernels::reference
