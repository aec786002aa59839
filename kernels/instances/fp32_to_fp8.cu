#include "kernels/instances.cuh"

namespace normproof::kernels {

KernelFunction fp32_to_fp8_kernel(const Selection& selection) { return find_kernel<float, true>(selection); }

}  // namespace normproof::kernels
