// torch's stable interface: the same tensors under other names.
#pragma once

#include <normproof_torch/all.h>

namespace torch::stable {
using Tensor = at::Tensor;
using Device = c10::Device;
using DeviceType = c10::DeviceType;
using DeviceIndex = std::int32_t;
namespace accelerator {
using DeviceIndex = std::int32_t;
class DeviceGuard {
 public:
  explicit DeviceGuard(std::int32_t) {}
  void set_index(std::int32_t) {}
};
class Stream {
 public:
  std::int64_t id() const { return 0; }
  void* nativeHandle() const { return nullptr; }
};
inline std::int32_t getCurrentDeviceIndex() { return 0; }
inline Stream getCurrentStream(std::int32_t) { return {}; }
}  // namespace accelerator

inline Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> type = {},
                    std::optional<c10::Layout> = {}, std::optional<Device> = {}, std::optional<bool> = {}) {
  return at::empty(sizes, type.value_or(c10::kFloat));
}
inline Tensor empty_like(const Tensor& tensor) { return at::empty_like(tensor); }
inline Tensor new_empty(const Tensor& tensor, c10::IntArrayRef sizes,
                        std::optional<c10::ScalarType> type = {}, std::optional<c10::Layout> = {},
                        std::optional<Device> = {}) {
  return at::empty(sizes, type.value_or(tensor.scalar_type()));
}
inline Tensor new_zeros(const Tensor& tensor, c10::IntArrayRef sizes,
                        std::optional<c10::ScalarType> type = {}, std::optional<c10::Layout> = {},
                        std::optional<Device> = {}) {
  return at::zeros(sizes, type.value_or(tensor.scalar_type()));
}
inline Tensor from_blob(void* data, c10::IntArrayRef sizes, c10::IntArrayRef strides, Device,
                        c10::ScalarType type) {
  return {data, sizes.vec(), strides.vec(), type};
}
inline Tensor view(const Tensor& tensor, c10::IntArrayRef sizes) { return tensor.view(sizes); }
inline Tensor reshape(const Tensor& tensor, c10::IntArrayRef sizes) { return tensor.reshape(sizes); }
inline Tensor flatten(const Tensor& tensor) { return tensor.flatten(); }
inline Tensor contiguous(const Tensor& tensor) { return tensor.contiguous(); }
inline Tensor clone(const Tensor& tensor) { return tensor.clone(); }
inline Tensor select(const Tensor& tensor, std::int64_t dim, std::int64_t index) {
  return tensor.select(dim, index);
}
inline Tensor narrow(const Tensor& tensor, std::int64_t dim, std::int64_t start, std::int64_t length) {
  return tensor.narrow(dim, start, length);
}
inline Tensor unsqueeze(const Tensor& tensor, std::int64_t dim) { return tensor.unsqueeze(dim); }
inline Tensor squeeze(const Tensor& tensor, std::int64_t dim) { return tensor.squeeze(dim); }
inline const Tensor& copy_(const Tensor& to, const Tensor& from) { return to.copy_(from); }
inline Tensor& zero_(Tensor& tensor) {
  tensor.zero_();
  return tensor;
}
}  // namespace torch::stable

// The C interface below it. There is one stream, and no cuBLAS.
using AOTITorchError = std::int32_t;
using DeviceIndex = std::int32_t;
using StreamHandle = void*;
inline constexpr AOTITorchError AOTI_TORCH_SUCCESS = 0, AOTI_TORCH_FAILURE = 1;
inline AOTITorchError aoti_torch_get_current_cuda_stream(std::int32_t, void** stream) {
  *stream = nullptr;
  return AOTI_TORCH_SUCCESS;
}
inline AOTITorchError aoti_torch_get_current_device_index(std::int32_t* index) {
  *index = 0;
  return AOTI_TORCH_SUCCESS;
}
inline AOTITorchError torch_get_current_cuda_blas_handle(void** handle) {
  *handle = at::cuda::getCurrentCUDABlasHandle();
  return AOTI_TORCH_FAILURE;
}
inline AOTITorchError torch_set_current_cuda_stream(void*, std::int32_t) { return AOTI_TORCH_SUCCESS; }
#define TORCH_ERROR_CODE_CHECK(call) TORCH_CHECK((call) == AOTI_TORCH_SUCCESS, #call " API call failed")
#define AOTI_TORCH_ERROR_CODE_CHECK(call) TORCH_ERROR_CODE_CHECK(call)
