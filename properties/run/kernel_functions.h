// The C interface of kernels/normproof_kernels.h as pointers: linked into this program or loaded from a
// shared library.
#pragma once

#include "kernels/normproof_kernels.h"

namespace normproof {

struct KernelFunctions {
  decltype(&normproof_rms_norm) rms_norm = nullptr;
  decltype(&normproof_fused_add_rms_norm) fused_add_rms_norm = nullptr;
  decltype(&normproof_rms_norm_static_fp8_quant) rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_fused_add_rms_norm_static_fp8_quant) fused_add_rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_set_thread_order) set_thread_order = nullptr;
};

// The functions that are linked into this program.
inline KernelFunctions linked_kernels() {
  return {&normproof_rms_norm, &normproof_fused_add_rms_norm, &normproof_rms_norm_static_fp8_quant,
          &normproof_fused_add_rms_norm_static_fp8_quant, &normproof_set_thread_order};
}

}  // namespace normproof
