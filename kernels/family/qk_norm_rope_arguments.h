// What a kernel of q/k norm and rotary embedding is told, by value.
#pragma once

#include <cstdint>

#include "kernels/family/affine.cuh"
#include "kernels/family/row_numbers.h"
#include "kernels/norm_arguments.h"
#include "kernels/row_shape.h"

namespace normproof::kernels {

struct QkNormRopeArguments {
  LeadingDimensions rows;    // heads of tokens
  RowShape shape;            // of a head
  float inverse_hidden = 0;  // as in NormArguments
  float epsilon = 0;
  std::int64_t pairs = 0;  // of a head that are rotated
  // Pairs are (2i, 2i + 1), otherwise (i, i + pairs).
  bool interleaved = false;

  const void* x = nullptr;
  void* out = nullptr;  // may be `x`
  RowStrides x_strides;
  RowStrides out_strides;
  Affine weight;
  // One number for each pair of a token; heads of a token have the same.
  const void* cosine = nullptr;
  const void* sine = nullptr;
  bool rotation_is_fp32 = true;  // otherwise in T, both
  RowStrides cosine_strides;
  RowStrides sine_strides;

  // Of qk_norm_rope_registers.cuh: some heads of a token are one unit.
  std::uint32_t units = 0;
  std::uint32_t units_per_token = 1;
};

}  // namespace normproof::kernels
