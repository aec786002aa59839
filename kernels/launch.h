// Launching a norm kernel of rms_norm's operations: on the GPU, or on the CPU with a fiber for every CUDA
// thread.
#pragma once

#include "kernels/configurations.h"
#include "kernels/instances.h"

namespace normproof::kernels {

// Enqueues the kernel on `stream`. A refusal by the CUDA runtime or an error of the host execution is
// launch_failed, with the reason.
Status launch(KernelFunction kernel, const NormArguments& arguments, const Configuration& configuration,
              Stream stream);

}  // namespace normproof::kernels
