#include "kernels/instances.cuh"

namespace normproof::kernels {

KernelFunction bf16_to_fp8_kernel(const Selection& selection) { return find_kernel<Bf16, true>(selection); }

}  // namespace normproof::kernels
