// The codes of a quantized block: fp8 and int8 as tensors hold them, or e2m1, of which a byte holds two.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "oracle/canonical.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle {

class BlockCodes {
 public:
  // `quantized`: nothing for e2m1. The policy says how int8 ends, what the largest number of e4m3fnuz is and
  // what becomes of NaN; e2m1 has no NaN, and a NaN becomes its largest number (cvt.rn.satfinite).
  BlockCodes(std::optional<DType> quantized, const Policy& policy);

  const Format& format() const { return format_; }
  const Value& range() const { return range_; }  // max_Q

  // q = rnd_Q(clamp(fl(y * factor))), or of y / factor, one code for each y.
  // Within a StandardFloatEnvironment.
  void quantize(const float* y, std::int64_t count, float factor, bool divides, std::uint8_t* codes) const;
  // The same by exact arithmetic.
  std::uint32_t exact(const Value& y, const Value& factor, bool divides) const;

 private:
  std::optional<DType> quantized_;
  Policy policy_;
  const Format& format_;
  Value range_;
  RowKernels::Quantize kernel_ = nullptr;
  RowKernels::Quantization quantization_{};
};

}  // namespace normproof::oracle
