// The number formats that a tensor can have, by name and size. What they
// round to is the oracle's (formats.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace normproof {

enum class DType : std::uint8_t {
  fp32,
  fp16,
  bf16,
  fp8_e4m3fn,
  fp8_e5m2,
  fp8_e4m3fnuz,
  fp8_e5m2fnuz,
  int8,
  uint8
};
inline constexpr std::array kActivationDTypes = {DType::bf16, DType::fp16, DType::fp32};
// Besides, outputs with a scale for each row may be int8 (may_quantize_to). uint8 holds bytes that are
// something else: scales in e8m0, or two numbers in e2m1.
inline constexpr std::array kQuantizedDTypes = {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::fp8_e4m3fnuz,
                                                DType::fp8_e5m2fnuz};

// As it stands in JSON and on the command line, for instance "bf16", "fp8_e4m3fn".
std::string_view name_of(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);

// Bytes per element: 4, 2 or 1.
std::size_t size_of(DType dtype);

}  // namespace normproof
