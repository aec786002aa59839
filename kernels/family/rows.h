// The functions that run the norm family's operations, by the file that they stand in. Each checks its call,
// chooses a kernel and launches it.
#pragma once

#include "kernels/family/named_call.h"

namespace normproof::kernels {

// layer_norm.cu: layer_norm, fused_add_layer_norm, and both with _static_fp8_quant and _dynamic_quant.
Status run_layer_norm(const NamedCall& call, Stream stream, LaunchReport* report);
// block_quant.cpp; each alone and with fused_add_ before its name.
Status run_block_quant(const NamedCall& call, Stream stream, LaunchReport* report);
Status run_mx_quant(const NamedCall& call, Stream stream, LaunchReport* report);
Status run_nvfp4_quant(const NamedCall& call, Stream stream, LaunchReport* report);
// norm_gradient.cu: rms_norm_backward, layer_norm_backward.
Status run_norm_backward(const NamedCall& call, Stream stream, LaunchReport* report);

// qk_norm_rope.cu: qk_norm_rope.
Status run_qk_norm_rope(const NamedCall& call, Stream stream, LaunchReport* report);

}  // namespace normproof::kernels
