#include "kernels/row_scaling_instances.cuh"

namespace normproof::kernels {

KernelFunction fp32_to_scaled_rows_kernel(const Selection& selection) {
  return find_row_scaling_kernel<float>(selection);
}

}  // namespace normproof::kernels
