// A tensor in memory of its own, for tests: any layout, elements as bits, and a look at the bytes that no
// element owns.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <new>
#include <random>
#include <vector>

#include "kernels/rms_norm.h"
#include "reference.h"

namespace normproof::kernels {

class TestTensor {
 public:
  // `offset` elements behind a 256-byte boundary. Strides of the leading
  // dimensions; empty for contiguous rows.
  TestTensor(DType dtype, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides = {},
             std::int64_t offset = 0)
      : sizes_(std::move(sizes)) {
    tensor_.dtype = dtype;
    tensor_.rank = static_cast<int>(sizes_.size());
    std::int64_t contiguous = 1, extent = 1;
    for (int i = tensor_.rank - 1; i >= 0; --i) {
      tensor_.sizes[i] = sizes_[i];
      tensor_.strides[i] = i + 1 < tensor_.rank && !strides.empty() ? strides[i] : contiguous;
      contiguous *= sizes_[i];
      extent += (sizes_[i] - 1) * tensor_.strides[i];
    }
    const std::size_t bytes = static_cast<std::size_t>((offset + extent) * element_bytes());
    storage_.assign(bytes + 256, kCanary);
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    begin_ = storage_.data() + (256 - address % 256) % 256 + offset * element_bytes();
    tensor_.data = begin_;
  }
  TestTensor(const TestTensor&) = delete;
  TestTensor& operator=(const TestTensor&) = delete;

  const Tensor& tensor() const { return tensor_; }
  std::int64_t hidden() const { return sizes_.back(); }
  std::int64_t rows() const {
    std::int64_t rows = 1;
    for (std::size_t i = 0; i + 1 < sizes_.size(); ++i) rows *= sizes_[i];
    return rows;
  }

  std::vector<std::uint32_t> row(std::int64_t row) const {
    std::vector<std::uint32_t> values(static_cast<std::size_t>(hidden()));
    const std::byte* data = row_address(row);
    for (std::size_t j = 0; j < values.size(); ++j) {
      std::memcpy(&values[j], data + j * static_cast<std::size_t>(element_bytes()), element_bytes());
    }
    return values;
  }
  void set_row(std::int64_t row, const std::vector<std::uint32_t>& values) {
    std::byte* data = row_address(row);
    for (std::size_t j = 0; j < values.size(); ++j) {
      std::memcpy(data + j * static_cast<std::size_t>(element_bytes()), &values[j], element_bytes());
    }
  }

  // Fills every row with draw().
  void fill(const std::function<std::uint32_t()>& draw) {
    for (std::int64_t r = 0; r < rows(); ++r) {
      std::vector<std::uint32_t> values(static_cast<std::size_t>(hidden()));
      for (auto& value : values) value = draw();
      set_row(r, values);
    }
  }

  const std::vector<std::byte>& storage() const { return storage_; }
  void set_storage(const std::vector<std::byte>& bytes) {
    std::copy(bytes.begin(), bytes.end(), storage_.begin());
  }

  // The storage with all elements overwritten: equal before and after a call that kept within the elements.
  std::vector<std::byte> surroundings() {
    const std::vector<std::byte> kept = storage_;
    fill([] { return 0u; });
    std::vector<std::byte> result = storage_;
    set_storage(kept);
    return result;
  }

 private:
  static constexpr std::byte kCanary{0xa5};
  std::int64_t element_bytes() const { return reference::size_of(tensor_.dtype); }
  std::byte* row_address(std::int64_t row) const {
    std::int64_t offset = 0;
    for (int i = tensor_.rank - 2; i >= 0; --i) {
      offset += row % sizes_[i] * tensor_.strides[i];
      row /= sizes_[i];
    }
    return begin_ + offset * element_bytes();
  }

  std::vector<std::int64_t> sizes_;
  Tensor tensor_;
  std::vector<std::byte> storage_;
  std::byte* begin_ = nullptr;
};

// Draws elements of a dtype whose size varies over `binades` powers of two around 1, with a special value
// (zero, infinity, NaN, subnormal) once in `special_one_in` draws (0: never).
class Draw {
 public:
  Draw(DType dtype, unsigned seed, int binades = 6, int special_one_in = 0)
      : dtype_(dtype), binades_(binades), special_one_in_(special_one_in), random_(seed) {}
  std::uint32_t operator()() {
    const auto code = static_cast<std::uint32_t>(random_());
    if (special_one_in_ != 0 && random_() % special_one_in_ == 0) return special(code);
    const float magnitude = std::ldexp(1.0f + static_cast<float>(code >> 8 & 0x7fffff) * 0x1p-23f,
                                       static_cast<int>(random_() % binades_) - binades_ / 2);
    return reference::round(dtype_, (code & 1) != 0 ? -magnitude : magnitude);
  }

 private:
  std::uint32_t special(std::uint32_t code) const {
    const int bits = 8 * reference::size_of(dtype_);
    const std::uint32_t infinity = reference::round(dtype_, INFINITY);
    const std::uint32_t sign = (code & 1) << (bits - 1);
    switch (code >> 1 & 3) {
      case 0:
        return sign;
      case 1:
        return sign | infinity;
      case 2:
        return sign | infinity | 1;
      default:
        return sign | (1 + (code >> 8) % 60);
    }
  }
  DType dtype_;
  int binades_;
  int special_one_in_;
  std::mt19937_64 random_;
};

}  // namespace normproof::kernels
