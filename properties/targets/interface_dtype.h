// The C interface's name of a dtype.
#pragma once

#include <cstdlib>

#include "corpus/case.h"
#include "kernels/normproof_kernels.h"

namespace normproof {

inline normproof_dtype interface_dtype(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return NORMPROOF_FP32;
    case DType::fp16:
      return NORMPROOF_FP16;
    case DType::bf16:
      return NORMPROOF_BF16;
    case DType::fp8_e4m3fn:
      return NORMPROOF_FP8_E4M3FN;
    case DType::fp8_e5m2:
      return NORMPROOF_FP8_E5M2;
    case DType::fp8_e4m3fnuz:
      return NORMPROOF_FP8_E4M3FNUZ;
    case DType::fp8_e5m2fnuz:
      return NORMPROOF_FP8_E5M2FNUZ;
    case DType::int8:
      return NORMPROOF_INT8;
    case DType::uint8:
      return NORMPROOF_UINT8;
  }
  std::abort();
}

}  // namespace normproof
