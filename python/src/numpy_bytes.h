// Bytes in numpy arrays that own them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace normproof::python {

using Bytes = nanobind::ndarray<nanobind::numpy, std::uint8_t, nanobind::ndim<1>>;

inline Bytes numpy_bytes(std::vector<std::byte> data) {
  auto* owned = new std::vector<std::byte>(std::move(data));
  const nanobind::capsule owner(
      owned, [](void* pointer) noexcept { delete static_cast<std::vector<std::byte>*>(pointer); });
  return Bytes(owned->data(), {owned->size()}, owner);
}

}  // namespace normproof::python
