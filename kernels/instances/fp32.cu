#include "kernels/instances.cuh"

namespace normproof::kernels {

KernelFunction fp32_kernel(const Selection& selection) { return find_kernel<float, false>(selection); }

}  // namespace normproof::kernels
