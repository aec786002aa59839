// The functions that run the norm family's operations, by the file that they stand in, and what a row of the
// table tells them about its operation. Each checks its call, chooses a kernel and launches it.
#pragma once

#include "kernels/family/named_call.h"

namespace normproof::kernels {

// layer_norm.cu.
struct LayerNormOperation {
  enum class Output { values, codes_by_given_scale, codes_by_own_scales };
  bool adds_residual = false;
  Output output = Output::values;
};
Status run_layer_norm(const NamedCall& call, LayerNormOperation operation, Stream stream,
                      LaunchReport* report);

// block_quant.cpp.
struct BlockQuantOperation {
  enum class Family { block, mx, nvfp4 };
  Family family = Family::block;
  bool adds_residual = false;
};
Status run_block_quant(const NamedCall& call, BlockQuantOperation operation, Stream stream,
                       LaunchReport* report);

// norm_gradient.cu.
struct NormBackwardOperation {
  bool centred = false;  // of LayerNorm
};
Status run_norm_backward(const NamedCall& call, NormBackwardOperation operation, Stream stream,
                         LaunchReport* report);

// gated_norm.cu: gated_rms_norm.
Status run_gated_norm(const NamedCall& call, Stream stream, LaunchReport* report);
// grouped_norm.cpp: grouped_rms_norm.
Status run_grouped_norm(const NamedCall& call, Stream stream, LaunchReport* report);
// qk_norm_rope.cu: qk_norm_rope.
Status run_qk_norm_rope(const NamedCall& call, Stream stream, LaunchReport* report);

}  // namespace normproof::kernels
