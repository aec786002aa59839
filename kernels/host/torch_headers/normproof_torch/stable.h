// torch's stable interface: the same tensors under other names.
#pragma once

#include <normproof_torch/all.h>

namespace torch::stable {
using Tensor = at::Tensor;
namespace accelerator {
class DeviceGuard {
 public:
  explicit DeviceGuard(std::int32_t) {}
};
inline std::int32_t getCurrentDeviceIndex() { return 0; }
}  // namespace accelerator
inline Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> type = {}) {
  return at::empty(sizes, type.value_or(c10::kFloat));
}
inline Tensor empty_like(const Tensor& tensor) { return at::empty_like(tensor); }
inline Tensor new_empty(const Tensor& tensor, c10::IntArrayRef sizes,
                        std::optional<c10::ScalarType> type = {}) {
  return at::empty(sizes, type.value_or(tensor.scalar_type()));
}
inline Tensor view(const Tensor& tensor, c10::IntArrayRef sizes) { return tensor.view(sizes); }
inline Tensor reshape(const Tensor& tensor, c10::IntArrayRef sizes) { return tensor.reshape(sizes); }
inline Tensor contiguous(const Tensor& tensor) { return tensor.contiguous(); }
}  // namespace torch::stable
using AOTITorchError = int;
inline AOTITorchError aoti_torch_get_current_cuda_stream(std::int32_t, void** stream) {
  return *stream = nullptr, 0;
}
