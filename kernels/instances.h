// The compiled norm kernels, by what is fixed when they are compiled. One source file in instances/ per
// activation dtype and kind of output compiles them, so that several cores can share the work.
#pragma once

#include "kernels/arguments.h"
#include "kernels/configurations.h"

namespace normproof::kernels {

using KernelFunction = void (*)(NormArguments);

struct Selection {
  WeightKind weight = WeightKind::none;
  bool adds_residual = false;
  bool vectorized = false;
  ShapeKind shape = ShapeKind::two_pass;
};

// A function for every file in instances/. Null where no kernel is compiled for the selection: an fp32 weight
// is the activation's own dtype if that is fp32, and the scalar path has no cached shapes.
KernelFunction bf16_kernel(const Selection& selection);
KernelFunction bf16_to_fp8_kernel(const Selection& selection);
KernelFunction fp16_kernel(const Selection& selection);
KernelFunction fp16_to_fp8_kernel(const Selection& selection);
KernelFunction fp32_kernel(const Selection& selection);
KernelFunction fp32_to_fp8_kernel(const Selection& selection);
KernelFunction bf16_to_scaled_rows_kernel(const Selection& selection);
KernelFunction fp16_to_scaled_rows_kernel(const Selection& selection);
KernelFunction fp32_to_scaled_rows_kernel(const Selection& selection);

}  // namespace normproof::kernels
