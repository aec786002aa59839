// Packed tensors as arrays of fp32 numbers in whole blocks, padded with zeros.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "oracle/box_search/lane_kernels.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {

inline std::size_t in_blocks(std::int64_t count) {
  return static_cast<std::size_t>((count + kBlock - 1) / kBlock * kBlock);
}

// Throws std::invalid_argument, naming the tensor, unless `packed` holds `count` elements.
inline void require_size(std::string_view tensor, std::span<const std::byte> packed, DType dtype,
                         std::int64_t count) {
  const std::size_t wanted = static_cast<std::size_t>(count) * size_of(dtype);
  if (packed.size() != wanted) {
    throw std::invalid_argument(fmt::format("{} has {} bytes, {} elements of {} have {}", tensor,
                                            packed.size(), count, name_of(dtype), wanted));
  }
}

inline void widen(std::string_view tensor, std::span<const std::byte> packed, DType dtype, std::int64_t count,
                  std::vector<float>& values) {
  require_size(tensor, packed, dtype, count);
  values.resize(in_blocks(count));
  row_kernels().widen[static_cast<std::size_t>(dtype)](packed.data(), count, values.data());
  std::fill(values.begin() + count, values.end(), 0.0f);
}

// The same where the tensor has a dtype; else it must be empty, and every element is `absent`.
inline void widen_if_given(std::string_view tensor, std::span<const std::byte> packed,
                           std::optional<DType> dtype, std::int64_t count, float absent,
                           std::vector<float>& values) {
  if (dtype) {
    widen(tensor, packed, *dtype, count, values);
  } else {
    require_size(tensor, packed, DType::fp32, 0);
    values.assign(in_blocks(count), absent);
  }
}

// The factors w, or 1 + w in fp32; 1 without a weight.
inline void widen_weight(std::span<const std::byte> packed, std::optional<DType> dtype, bool plus_one,
                         std::int64_t count, std::vector<float>& values) {
  widen_if_given("weight", packed, dtype, count, plus_one ? 0.0f : 1.0f, values);
  if (plus_one) {
    for (float& value : values) value = 1 + value;
  }
}

inline std::vector<std::byte> pack(std::vector<float>& values, DType dtype, std::int64_t count) {
  const auto index = static_cast<std::size_t>(dtype);
  std::vector<std::byte> packed(static_cast<std::size_t>(count) * size_of(dtype));
  row_kernels().pack[index](values.data(), count, packed.data());
  return packed;
}

}  // namespace normproof::oracle::box_search
