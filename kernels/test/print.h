// How names of tests and failures show the kernels' types.
#pragma once

#include <ostream>

#include "kernels/rms_norm.h"

namespace normproof::kernels {

inline const char* shown(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return "fp32";
    case DType::fp16:
      return "fp16";
    case DType::bf16:
      return "bf16";
    case DType::fp8_e4m3fn:
      return "fp8_e4m3fn";
    case DType::fp8_e5m2:
      return "fp8_e5m2";
    case DType::fp8_e4m3fnuz:
      return "fp8_e4m3fnuz";
    case DType::fp8_e5m2fnuz:
      return "fp8_e5m2fnuz";
    case DType::int8:
      return "int8";
    case DType::uint8:
      return "uint8";
  }
  return "an unknown dtype";
}

// For GoogleTest, which finds it by its name.
inline void PrintTo(DType dtype, std::ostream* stream) { *stream << shown(dtype); }

}  // namespace normproof::kernels
