// What the plug-ins in plain C++ have in common: faults by name, numbers of 16 bits, tensors, rows, RMSNorm.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "normproof_plugin.h"

namespace plain {

// A copy of this library that is called libother.so has bugs of its own.
inline bool is_other() {
  static const int anchor = 0;
  Dl_info info{};
  return dladdr(&anchor, &info) != 0 &&
         std::string_view(info.dli_fname).find("libother.so") != std::string_view::npos;
}
inline bool fault(std::string_view name) {
  static const char* const text = std::getenv(is_other() ? "NORMPROOF_OTHER_FAULT" : "NORMPROOF_FAULT");
  return text != nullptr && name == text;
}

// --- numbers ---

inline float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline std::uint32_t to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Nearest, ties to even.
inline std::uint16_t to_bf16(float value) {
  if (std::isnan(value)) return 0x7fc0;
  const std::uint32_t bits = to_bits(value);
  if (fault("truncated")) return static_cast<std::uint16_t>(bits >> 16);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bf16(std::uint16_t bits) { return from_bits(static_cast<std::uint32_t>(bits) << 16); }

inline std::uint16_t to_fp16(float value) {
  std::uint32_t bits = to_bits(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (bits >= 0x47800000) return static_cast<std::uint16_t>(sign | 0x7c00);
  // Below 2^-14 the sum with 1/2 rounds to multiples of 2^-24.
  if (bits < 0x38800000)
    return static_cast<std::uint16_t>(sign | (to_bits(from_bits(bits) + 0.5f) - 0x3f000000));
  bits += 0xc8000fff + (bits >> 13 & 1);
  return static_cast<std::uint16_t>(sign | bits >> 13);
}
inline float from_fp16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return from_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) return std::copysign(std::ldexp(static_cast<float>(fraction), -24), from_bits(sign));
  return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

// `value`, rounded to a dtype and back.
inline float rounded(DLDataType type, float value) {
  if (type.bits == 32) return value;
  return type.code == kDLBfloat ? from_bf16(to_bf16(value)) : from_fp16(to_fp16(value));
}

// --- tensors ---

inline float load(const DLTensor* tensor, std::int64_t index) {
  const char* address = static_cast<const char*>(tensor->data) + index * (tensor->dtype.bits / 8);
  if (tensor->dtype.bits == 32) {
    float value;
    std::memcpy(&value, address, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, address, sizeof bits);
  return tensor->dtype.code == kDLBfloat ? from_bf16(bits) : from_fp16(bits);
}
inline void store(const DLTensor* tensor, std::int64_t index, float value) {
  char* address = static_cast<char*>(tensor->data) + index * (tensor->dtype.bits / 8);
  if (tensor->dtype.bits == 32) {
    std::memcpy(address, &value, sizeof value);
    return;
  }
  const std::uint16_t bits = tensor->dtype.code == kDLBfloat ? to_bf16(value) : to_fp16(value);
  std::memcpy(address, &bits, sizeof bits);
}
inline std::int64_t begin_of(const DLTensor* tensor, std::int64_t row) { return row * tensor->strides[0]; }

using Row = std::vector<float>;

inline Row row_of(const DLTensor* tensor, std::int64_t begin, std::int64_t columns) {
  Row row;
  for (std::int64_t j = 0; j < columns; ++j) row.push_back(load(tensor, begin + j));
  return row;
}
inline void store_row(const DLTensor* tensor, std::int64_t begin, const Row& row) {
  for (std::size_t j = 0; j < row.size(); ++j) store(tensor, begin + static_cast<std::int64_t>(j), row[j]);
}
inline float at(const Row& row, std::int64_t j) { return row[static_cast<std::size_t>(j)]; }

inline Row normalized_in_t(const Row& x, DLDataType type, const DLTensor* weight, float epsilon) {
  Row y = x;
  float squares = 0;
  for (const float value : y) squares += value * value;
  const float r = 1.0f / std::sqrt(squares / static_cast<float>(y.size()) + epsilon);
  for (std::size_t j = 0; j < y.size(); ++j) {
    y[j] *= r;
    if (weight != nullptr) {
      const float w = load(weight, static_cast<std::int64_t>(j));
      y[j] = rounded(weight->dtype, rounded(weight->dtype, y[j]) * w);
    }
    y[j] = rounded(type, y[j]);
  }
  return y;
}

// A NaN among them is their largest.
inline float largest(const Row& y, std::int64_t begin, std::int64_t end) {
  float result = 0;
  for (std::int64_t j = begin; j < end; ++j) {
    if (std::isnan(at(y, j))) return at(y, j);
    result = std::max(result, std::fabs(at(y, j)));
  }
  return result;
}

}  // namespace plain
