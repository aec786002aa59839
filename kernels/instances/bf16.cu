#include "kernels/instances.cuh"

namespace normproof::kernels {

KernelFunction bf16_kernel(const Selection& selection) { return find_kernel<Bf16, false>(selection); }

}  // namespace normproof::kernels
