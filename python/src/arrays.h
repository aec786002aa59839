// Arrays that Python hands over, as the bytes of their elements.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "python/src/call.h"

namespace normproof::python {

using AnyArray = nanobind::ndarray<nanobind::ro, nanobind::device::cpu>;

inline StridedTensor strided(const AnyArray& array) {
  StridedTensor tensor;
  tensor.data = static_cast<const std::byte*>(array.data());
  tensor.element_size = array.itemsize();
  tensor.shape.assign(array.shape_ptr(), array.shape_ptr() + array.ndim());
  tensor.strides.assign(array.stride_ptr(), array.stride_ptr() + array.ndim());
  return tensor;
}
inline std::vector<std::byte> bytes_of(const std::optional<AnyArray>& array) {
  if (!array) return {};
  const StridedTensor tensor = strided(*array);
  const nanobind::gil_scoped_release unlocked;
  return packed(tensor);
}

}  // namespace normproof::python
