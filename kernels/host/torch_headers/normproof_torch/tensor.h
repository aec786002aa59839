// A tensor as kernels and their launchers take it: sizes, strides, a type, a pointer. Memory is the caller's,
// or of its own, filled with 0xFF (NaN of floats) where torch leaves it as it was.
#pragma once

// What sources rely on torch's headers to bring, too.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <normproof_torch/check.h>
#include <normproof_torch/scalar_types.h>

namespace c10 {

// Elements that somebody else holds.
template <class T>
class ArrayRef {
 public:
  ArrayRef() = default;
  ArrayRef(const T* data, std::size_t size) : data_(data), size_(size) {}
  ArrayRef(const std::vector<T>& values) : ArrayRef(values.data(), values.size()) {}
  ArrayRef(const std::initializer_list<T>& values) : ArrayRef(values.begin(), values.size()) {}
  ArrayRef(const T& value) : ArrayRef(&value, 1) {}
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  const T& at(std::size_t i) const {
    TORCH_CHECK(i < size_, "index ", i, " of ", size_, " elements");
    return data_[i];
  }
  const T& front() const { return at(0); }
  const T& back() const { return at(size_ - 1); }
  std::vector<T> vec() const { return {begin(), end()}; }
  bool operator==(const ArrayRef& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }

 private:
  const T* data_ = nullptr;
  std::size_t size_ = 0;
};
using IntArrayRef = ArrayRef<std::int64_t>;
using IntList = IntArrayRef;
using SymInt = std::int64_t;
template <class T>
std::ostream& operator<<(std::ostream& out, const ArrayRef<T>& values) {
  out << '[';
  for (std::size_t i = 0; i < values.size(); ++i) out << (i == 0 ? "" : ", ") << values[i];
  return out << ']';
}

template <class T>
using optional = std::optional<T>;
inline constexpr auto nullopt = std::nullopt;
inline constexpr auto nullopt_t_value = std::nullopt;

enum class DeviceType : std::int8_t { CPU = 0, CUDA = 1 };
inline constexpr DeviceType kCPU = DeviceType::CPU, kCUDA = DeviceType::CUDA;
using DeviceIndex = std::int8_t;
// The memory of the CPU, which for a launcher is that of the one CUDA device.
struct Device {
  DeviceType type_ = DeviceType::CUDA;
  DeviceIndex index_ = 0;
  Device() = default;
  Device(DeviceType type, DeviceIndex index = 0) : type_(type), index_(index) {}
  Device(const std::string&) {}
  bool is_cuda() const { return type_ == DeviceType::CUDA; }
  bool is_cpu() const { return type_ == DeviceType::CPU; }
  DeviceType type() const { return type_; }
  DeviceIndex index() const { return index_; }
  bool has_index() const { return true; }
  bool operator==(const Device&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Device& device) {
  return out << (device.is_cuda() ? "cuda:0" : "cpu");
}

enum class Layout : std::int8_t { Strided };
inline constexpr Layout kStrided = Layout::Strided;
enum class MemoryFormat : std::int8_t { Contiguous, Preserve };

struct TensorOptions {
  ScalarType dtype_ = kFloat;
  Device device_;
  TensorOptions() = default;
  TensorOptions(ScalarType dtype) : dtype_(dtype) {}
  TensorOptions(Device device) : device_(device) {}
  TensorOptions dtype(ScalarType dtype) const {
    TensorOptions changed = *this;
    changed.dtype_ = dtype;
    return changed;
  }
  TensorOptions device(Device device) const {
    TensorOptions changed = *this;
    changed.device_ = device;
    return changed;
  }
  TensorOptions device(DeviceType type, DeviceIndex = 0) const { return device(Device(type)); }
  TensorOptions layout(Layout) const { return *this; }
  TensorOptions requires_grad(bool) const { return *this; }
  TensorOptions memory_format(MemoryFormat) const { return *this; }
  ScalarType dtype() const { return dtype_; }
  Device device() const { return device_; }
  DeviceIndex device_index() const { return device_.index(); }
};
inline std::ostream& operator<<(std::ostream& out, const TensorOptions& options) {
  return out << "TensorOptions(dtype=" << options.dtype() << ", device=" << options.device() << ")";
}

}  // namespace c10

namespace at {

using namespace c10;

class Tensor {
 public:
  Tensor() = default;
  // Of memory that `keeper` keeps, or that the caller does.
  Tensor(void* data, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides, ScalarType type,
         std::shared_ptr<void> keeper = nullptr)
      : impl_(std::make_shared<Impl>(
            Impl{data, std::move(sizes), std::move(strides), type, std::move(keeper)})) {}

  bool defined() const { return impl_ != nullptr; }
  std::int64_t dim() const { return static_cast<std::int64_t>(impl().sizes.size()); }
  std::int64_t ndimension() const { return dim(); }
  std::int64_t size(std::int64_t i) const { return impl().sizes[wrapped(i)]; }
  std::int64_t stride(std::int64_t i) const { return impl().strides[wrapped(i)]; }
  IntArrayRef sizes() const { return impl().sizes; }
  IntArrayRef strides() const { return impl().strides; }
  std::int64_t numel() const {
    std::int64_t count = 1;
    for (const std::int64_t extent : impl().sizes) count *= extent;
    return count;
  }
  ScalarType scalar_type() const { return impl().type; }
  ScalarType dtype() const { return impl().type; }
  std::int64_t element_size() const { return static_cast<std::int64_t>(elementSize(impl().type)); }
  std::int64_t itemsize() const { return element_size(); }
  std::size_t nbytes() const { return static_cast<std::size_t>(numel() * element_size()); }
  Device device() const { return {}; }
  DeviceIndex get_device() const { return 0; }
  std::int32_t get_device_index() const { return 0; }
  bool is_cuda() const { return true; }
  bool is_cpu() const { return false; }
  bool is_floating_point() const { return isFloatingType(impl().type); }
  Layout layout() const { return kStrided; }
  TensorOptions options() const { return TensorOptions(impl().type); }
  bool requires_grad() const { return false; }
  std::int64_t storage_offset() const { return 0; }
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  // Dimensions of one element may have any stride.
  bool is_contiguous(MemoryFormat = MemoryFormat::Contiguous) const {
    std::int64_t wanted = 1;
    for (std::size_t i = impl().sizes.size(); i-- > 0;) {
      if (impl().sizes[i] == 0) return true;
      if (impl().sizes[i] != 1 && impl().strides[i] != wanted) return false;
      wanted *= impl().sizes[i];
    }
    return true;
  }

  void* data_ptr() const { return impl().data; }
  const void* const_data_ptr() const { return impl().data; }
  void* mutable_data_ptr() const { return impl().data; }
  template <class T>
  T* data_ptr() const {
    using Plain = std::remove_cv_t<T>;
    TORCH_CHECK((CppTypeToScalarType<Plain>::value == impl().type ||
                 CppTypeToScalarType<Plain>::value == ScalarType::Undefined),
                "expected scalar type ", CppTypeToScalarType<Plain>::value, " but found ", impl().type);
    return static_cast<T*>(impl().data);
  }
  template <class T>
  const T* const_data_ptr() const {
    return data_ptr<T>();
  }
  template <class T>
  T* mutable_data_ptr() const {
    return data_ptr<T>();
  }
  template <class T>
  T* data() const {
    return data_ptr<T>();
  }
  // The one element.
  template <class T>
  T item() const {
    TORCH_CHECK(numel() == 1, "item() of ", numel(), " elements");
    return *data_ptr<T>();
  }

  Tensor contiguous(MemoryFormat = MemoryFormat::Contiguous) const;
  Tensor view(IntArrayRef sizes) const;
  Tensor reshape(IntArrayRef sizes) const { return is_contiguous() ? view(sizes) : contiguous().view(sizes); }
  Tensor flatten(std::int64_t first = 0, std::int64_t last = -1) const;
  Tensor transpose(std::int64_t a, std::int64_t b) const;
  Tensor t() const { return dim() < 2 ? *this : transpose(0, 1); }
  Tensor view_as(const Tensor& other) const { return view(other.sizes()); }
  Tensor reshape_as(const Tensor& other) const { return reshape(other.sizes()); }
  Tensor unsqueeze(std::int64_t dim) const;
  Tensor squeeze(std::int64_t dim) const;
  Tensor squeeze() const {
    Tensor result = *this;
    for (std::int64_t i = dim(); i-- > 0;) result = result.squeeze(i);
    return result;
  }
  Tensor select(std::int64_t dim, std::int64_t index) const;
  Tensor narrow(std::int64_t dim, std::int64_t start, std::int64_t length) const;
  Tensor slice(std::int64_t dim, std::int64_t start, std::int64_t end) const {
    return narrow(dim, start, std::min(end, size(dim)) - start);
  }
  Tensor operator[](std::int64_t index) const { return select(0, index); }
  Tensor view(ScalarType type) const {
    TORCH_CHECK(elementSize(type) == elementSize(impl().type), "view as a type of another size");
    return {impl().data, impl().sizes, impl().strides, type, impl().keeper};
  }
  Tensor clone(MemoryFormat = MemoryFormat::Contiguous) const;
  const Tensor& zero_() const;
  const Tensor& fill_(double value) const;
  const Tensor& copy_(const Tensor& from) const;
  Tensor detach() const { return *this; }
  Tensor to(ScalarType type) const {
    TORCH_CHECK_NOT_IMPLEMENTED(type == impl().type, "to(", type, ") of a tensor of ", impl().type,
                                ": no conversion is done here, pass a tensor of that type");
    return *this;
  }
  Tensor toType(ScalarType type) const { return to(type); }

 private:
  struct Impl {
    void* data;
    std::vector<std::int64_t> sizes, strides;
    ScalarType type;
    std::shared_ptr<void> keeper;
  };
  const Impl& impl() const {
    TORCH_CHECK(impl_ != nullptr, "an undefined tensor");
    return *impl_;
  }
  std::size_t wrapped(std::int64_t i) const {
    const auto dimensions = static_cast<std::int64_t>(impl().sizes.size());
    TORCH_CHECK(i >= -dimensions && i < dimensions, "dimension ", i, " of a tensor with ", dimensions,
                " dimensions");
    return static_cast<std::size_t>(i < 0 ? i + dimensions : i);
  }
  // Calls visit(offset in elements) for every element, in row-major order.
  template <class Visit>
  void for_each_offset(Visit visit) const;

  std::shared_ptr<Impl> impl_;
};

inline std::vector<std::int64_t> contiguous_strides(IntArrayRef sizes) {
  std::vector<std::int64_t> strides(sizes.size());
  std::int64_t stride = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<std::int64_t>(sizes[i], 1);
  }
  return strides;
}

inline Tensor empty(IntArrayRef sizes, const TensorOptions& options = {}) {
  std::int64_t count = 1;
  for (const std::int64_t extent : sizes) {
    TORCH_CHECK(extent >= 0, "a negative size in ", sizes);
    count *= extent;
  }
  void* memory = nullptr;
  const std::size_t bytes = static_cast<std::size_t>(count) * elementSize(options.dtype_);
  TORCH_CHECK(cudaMalloc(&memory, bytes) == cudaSuccess, "no memory for ", sizes);
  return {memory, sizes.vec(), contiguous_strides(sizes), options.dtype_,
          std::shared_ptr<void>(memory, [](void* pointer) { cudaFree(pointer); })};
}
inline Tensor empty_like(const Tensor& tensor, const TensorOptions& options) {
  return empty(tensor.sizes(), options);
}
inline Tensor empty_like(const Tensor& tensor) { return empty(tensor.sizes(), tensor.options()); }
inline Tensor zeros(IntArrayRef sizes, const TensorOptions& options = {}) {
  return empty(sizes, options).zero_();
}
inline Tensor zeros_like(const Tensor& tensor) { return zeros(tensor.sizes(), tensor.options()); }
inline Tensor ones(IntArrayRef sizes, const TensorOptions& options = {}) {
  return empty(sizes, options).fill_(1);
}
inline Tensor full(IntArrayRef sizes, double value, const TensorOptions& options = {}) {
  return empty(sizes, options).fill_(value);
}

template <class Visit>
void Tensor::for_each_offset(Visit visit) const {
  std::vector<std::int64_t> index(impl().sizes.size(), 0);
  for (std::int64_t left = numel(); left > 0; --left) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < index.size(); ++i) offset += index[i] * impl().strides[i];
    visit(offset);
    for (std::size_t i = index.size(); i-- > 0 && ++index[i] == impl().sizes[i];) index[i] = 0;
  }
}
inline const Tensor& Tensor::copy_(const Tensor& from) const {
  TORCH_CHECK(sizes() == from.sizes() && scalar_type() == from.scalar_type(),
              "copy_ between tensors of another shape or type is not done here");
  const auto bytes = static_cast<std::size_t>(element_size());
  std::vector<std::int64_t> offsets;
  for_each_offset([&](std::int64_t offset) { offsets.push_back(offset); });
  std::size_t at = 0;
  from.for_each_offset([&](std::int64_t offset) {
    std::memmove(static_cast<char*>(data_ptr()) + static_cast<std::size_t>(offsets[at++]) * bytes,
                 static_cast<const char*>(from.data_ptr()) + static_cast<std::size_t>(offset) * bytes, bytes);
  });
  return *this;
}
inline Tensor Tensor::clone(MemoryFormat) const {
  Tensor copy = empty(sizes(), options());
  copy.copy_(*this);
  return copy;
}
inline Tensor Tensor::contiguous(MemoryFormat) const { return is_contiguous() ? *this : clone(); }
inline const Tensor& Tensor::fill_(double value) const {
  const auto store = [&](auto number) {
    for_each_offset(
        [&](std::int64_t offset) { static_cast<decltype(number)*>(data_ptr())[offset] = number; });
  };
  switch (scalar_type()) {
    case kFloat:
      store(static_cast<float>(value));
      break;
    case kDouble:
      store(value);
      break;
    case kHalf:
      store(__half(value).x);
      break;
    case kBFloat16:
      store(__nv_bfloat16(value).x);
      break;
    case kInt:
      store(static_cast<std::int32_t>(value));
      break;
    case kLong:
      store(static_cast<std::int64_t>(value));
      break;
    case kByte:
      store(static_cast<std::uint8_t>(value));
      break;
    case kChar:
      store(static_cast<std::int8_t>(value));
      break;
    case kBool:
      store(value != 0);
      break;
    default:
      TORCH_CHECK_NOT_IMPLEMENTED(value == 0, "fill_ of ", scalar_type(), " by another number than 0");
      zero_();
  }
  return *this;
}
inline const Tensor& Tensor::zero_() const {
  const auto bytes = static_cast<std::size_t>(element_size());
  for_each_offset([&](std::int64_t offset) {
    std::memset(static_cast<char*>(data_ptr()) + static_cast<std::size_t>(offset) * bytes, 0, bytes);
  });
  return *this;
}
// Rows that lie apart can be one dimension if they lie apart evenly, as in torch.
inline Tensor Tensor::view(IntArrayRef wanted) const {
  std::vector<std::int64_t> sizes = wanted.vec();
  std::int64_t known = 1;
  std::int64_t* unknown = nullptr;
  for (std::int64_t& extent : sizes) {
    if (extent == -1) {
      TORCH_CHECK(unknown == nullptr, "only one dimension can be inferred");
      unknown = &extent;
    } else {
      known *= extent;
    }
  }
  if (unknown != nullptr) {
    TORCH_CHECK(known != 0 && numel() % known == 0, "shape ", wanted, " is invalid for input of size ",
                numel());
    *unknown = numel() / known;
    known *= *unknown;
  }
  TORCH_CHECK(known == numel(), "shape ", wanted, " is invalid for input of size ", numel());
  if (numel() == 0 || is_contiguous())
    return {impl().data, sizes, contiguous_strides(sizes), impl().type, impl().keeper};
  // Whole runs of old dimensions become whole runs of new ones.
  std::vector<std::int64_t> strides(sizes.size(), 1);
  std::size_t next = sizes.size();
  for (std::size_t end = impl().sizes.size(); end > 0;) {
    std::size_t begin = end - 1;
    std::int64_t run = impl().sizes[begin], stride = impl().strides[begin];
    const std::int64_t innermost = stride;
    while (begin > 0 && impl().strides[begin - 1] == impl().strides[begin] * impl().sizes[begin])
      run *= impl().sizes[--begin];
    std::int64_t covered = 1;
    while (next > 0 && covered < run) {
      strides[--next] = innermost * covered;
      covered *= sizes[next];
    }
    TORCH_CHECK(covered == run,
                "view size is not compatible with input tensor's size and stride; use reshape: ", wanted,
                " of strides ", this->strides());
    end = begin;
  }
  return {impl().data, sizes, strides, impl().type, impl().keeper};
}
inline Tensor Tensor::flatten(std::int64_t first, std::int64_t last) const {
  if (dim() == 0) return reshape({1});
  const std::size_t begin = wrapped(first), end = wrapped(last) + 1;
  TORCH_CHECK(begin < end, "flatten from dimension ", first, " to ", last);
  std::vector<std::int64_t> wanted(impl().sizes.begin(),
                                   impl().sizes.begin() + static_cast<std::ptrdiff_t>(begin));
  wanted.push_back(1);
  for (std::size_t i = begin; i < end; ++i) wanted.back() *= impl().sizes[i];
  wanted.insert(wanted.end(), impl().sizes.begin() + static_cast<std::ptrdiff_t>(end), impl().sizes.end());
  return reshape(wanted);
}
inline Tensor Tensor::transpose(std::int64_t a, std::int64_t b) const {
  auto sizes = impl().sizes, strides = impl().strides;
  std::swap(sizes[wrapped(a)], sizes[wrapped(b)]);
  std::swap(strides[wrapped(a)], strides[wrapped(b)]);
  return {impl().data, sizes, strides, impl().type, impl().keeper};
}
inline Tensor Tensor::unsqueeze(std::int64_t dim) const {
  auto sizes = impl().sizes, strides = impl().strides;
  const auto at = dim < 0 ? dim + this->dim() + 1 : dim;
  sizes.insert(sizes.begin() + at, 1);
  strides.insert(strides.begin() + at, 1);
  return {impl().data, sizes, strides, impl().type, impl().keeper};
}
inline Tensor Tensor::squeeze(std::int64_t dim) const {
  if (size(dim) != 1) return *this;
  return select(dim, 0);
}
inline Tensor Tensor::select(std::int64_t dim, std::int64_t index) const {
  const Tensor one = narrow(dim, index < 0 ? index + size(dim) : index, 1);
  auto sizes = one.impl().sizes, strides = one.impl().strides;
  const auto at = static_cast<std::ptrdiff_t>(wrapped(dim));
  sizes.erase(sizes.begin() + at);
  strides.erase(strides.begin() + at);
  return {one.impl().data, sizes, strides, impl().type, impl().keeper};
}
inline Tensor Tensor::narrow(std::int64_t dim, std::int64_t start, std::int64_t length) const {
  TORCH_CHECK(start >= 0 && length >= 0 && start + length <= size(dim), "elements ", start, " to ",
              start + length, " of a dimension of ", size(dim));
  auto sizes = impl().sizes;
  sizes[wrapped(dim)] = length;
  auto* data = static_cast<char*>(impl().data) + start * stride(dim) * element_size();
  return {data, sizes, impl().strides, impl().type, impl().keeper};
}

inline std::optional<Device> device_of(const Tensor& tensor) {
  return tensor.defined() ? std::optional<Device>(tensor.device()) : std::nullopt;
}

}  // namespace at

namespace torch {
using namespace at;
using at::Tensor;
namespace autograd {}
}  // namespace torch
