#include "kernels/instances.cuh"

namespace normproof::kernels {

KernelFunction fp16_kernel(const Selection& selection) { return find_kernel<Fp16, false>(selection); }

}  // namespace normproof::kernels
