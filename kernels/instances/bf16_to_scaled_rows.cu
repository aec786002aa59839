#include "kernels/row_scaling_instances.cuh"

namespace normproof::kernels {

KernelFunction bf16_to_scaled_rows_kernel(const Selection& selection) {
  return find_row_scaling_kernel<Bf16>(selection);
}

}  // namespace normproof::kernels
