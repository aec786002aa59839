// Stands in for HIP's hip_bfloat16.h: a bf16 number that computes in floats, rounded to the nearest even.
#pragma once

#include <hip/hip_runtime.h>

#include <cstdint>

#include "kernels/host/small_floats.h"

struct hip_bfloat16 {
  std::uint16_t data;

  hip_bfloat16() = default;
  explicit hip_bfloat16(float value)
      : data(static_cast<std::uint16_t>(normproof::host::round_to_bits(value, normproof::host::kBf16, 15))) {}
  operator float() const { return normproof::host::value_of_bits(data, normproof::host::kBf16, 15); }
  static hip_bfloat16 round_to_bfloat16(float value) { return hip_bfloat16(value); }

  friend hip_bfloat16 operator+(hip_bfloat16 a, hip_bfloat16 b) { return hip_bfloat16(float(a) + float(b)); }
  friend hip_bfloat16 operator-(hip_bfloat16 a, hip_bfloat16 b) { return hip_bfloat16(float(a) - float(b)); }
  friend hip_bfloat16 operator*(hip_bfloat16 a, hip_bfloat16 b) { return hip_bfloat16(float(a) * float(b)); }
  friend hip_bfloat16 operator/(hip_bfloat16 a, hip_bfloat16 b) { return hip_bfloat16(float(a) / float(b)); }
  friend hip_bfloat16& operator+=(hip_bfloat16& a, hip_bfloat16 b) { return a = a + b; }
  friend hip_bfloat16& operator-=(hip_bfloat16& a, hip_bfloat16 b) { return a = a - b; }
  friend hip_bfloat16& operator*=(hip_bfloat16& a, hip_bfloat16 b) { return a = a * b; }
};
