#include "kernels/instances.cuh"

namespace normproof::kernels {

KernelFunction fp16_to_fp8_kernel(const Selection& selection) { return find_kernel<Fp16, true>(selection); }

}  // namespace normproof::kernels
