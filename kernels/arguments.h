// Argument checks: turn a call of the public interface into a problem that a kernel can be launched on, or
// say what is wrong with it. Nothing is read or written through any data pointer here.
#pragma once

#include "kernels/norm_arguments.h"
#include "kernels/rms_norm.h"

namespace normproof::kernels {

// A call as it came in. Which tensors are there tells the operation.
struct Call {
  const Tensor* out = nullptr;
  const Tensor* input = nullptr;
  const Tensor* residual = nullptr;  // there: s = input + residual is normalized
  const Tensor* weight = nullptr;    // there: weighted
  const float* scale = nullptr;
  const Tensor* scales = nullptr;   // there: rows get scales of their own
  const float* scale_ub = nullptr;  // there: the upper bound of what these are made of
  bool quantizes = false;
  float epsilon = 0;
  Launch launch;
};

enum class WeightKind { none, same_as_activation, fp32 };
// Of a weight in the activations' dtype or in fp32; null: none.
WeightKind weight_kind(const Tensor* weight, DType activation);

// A call that may be carried out.
struct Problem {
  DType dtype = DType::fp32;
  WeightKind weight = WeightKind::none;
  bool quantizes = false;
  bool scales_rows = false;
  bool adds_residual = false;
  bool vectorized = false;
  NormArguments arguments;  // rows may be 0
};

// Fills `problem` where the status is ok.
//
// Demands, in this order, each named with the offending value:
//  - dtypes: fp32, fp16 or bf16 for input, the same for residual (and out, unless it is quantized: any fp8
//  format),
//    the same or fp32 for weight, fp32 for scales, beside which out may be int8 as well;
//  - ranks: 2 to 4 where the call is rms_norm, else 2; weight 1;
//  - sizes: none negative, hidden size at least 1, all shapes equal, weight of the hidden size, scales with 1
//  in its place;
//  - strides: 1 in the last dimension; in the others at least the hidden size, unless the dimension has size
//  0 or 1;
//  - every tensor's number of rows and extent in bytes fit in 63 bits, and it ends within the address space;
//  - data pointers: a multiple of the element size; not null unless the tensor has no elements;
//  - no output shares a byte with itself, another output, an input, the weight, the scale or its bound.
//  Exceptions: out may be
//    exactly input (equal data and strides); interleaved views of one packed tensor that share no byte are
//    fine;
//  - launch: a known path, a valid number of threads; the vectorized path only where is_vectorizable().
Status check(const Call& call, Problem& problem);

}  // namespace normproof::kernels
