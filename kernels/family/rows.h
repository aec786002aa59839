// The functions that run the norm family's operations, by the file that they stand in. Each checks its call,
// chooses a kernel and launches it.
#pragma once

#include "kernels/family/named_call.h"

namespace normproof::kernels {

// layer_norm.cu: layer_norm, fused_add_layer_norm.
Status run_layer_norm(const NamedCall& call, Stream stream, LaunchReport* report);

}  // namespace normproof::kernels
