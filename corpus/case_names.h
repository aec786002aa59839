// Names of a Case's enumerators as they stand in JSON.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "corpus/case.h"

namespace normproof {

template <class Enumeration, std::size_t size>
using EnumeratorNames = std::array<std::pair<Enumeration, std::string_view>, size>;

inline constexpr EnumeratorNames<DType, 9> kDTypeNames = {{
    {DType::fp32, "fp32"},
    {DType::fp16, "fp16"},
    {DType::bf16, "bf16"},
    {DType::fp8_e4m3fn, "fp8_e4m3fn"},
    {DType::fp8_e5m2, "fp8_e5m2"},
    {DType::fp8_e4m3fnuz, "fp8_e4m3fnuz"},
    {DType::fp8_e5m2fnuz, "fp8_e5m2fnuz"},
    {DType::int8, "int8"},
    {DType::uint8, "uint8"},
}};

inline constexpr EnumeratorNames<ThreadOrder, 3> kThreadOrderNames = {{
    {ThreadOrder::forward, "forward"},
    {ThreadOrder::reverse, "reverse"},
    {ThreadOrder::random, "random"},
}};

inline constexpr EnumeratorNames<KernelPath, 3> kKernelPathNames = {{
    {KernelPath::automatic, "automatic"},
    {KernelPath::vectorized, "vectorized"},
    {KernelPath::scalar, "scalar"},
}};

// The key of a tensor's layout.
inline std::string_view layout_name_of(Role role) { return role == Role::out ? "output" : name_of(role); }

// "?" for a value that is no enumerator.
template <class Enumeration, std::size_t size>
constexpr std::string_view find_name(const EnumeratorNames<Enumeration, size>& names, Enumeration value) {
  for (const auto& [enumerator, name] : names) {
    if (enumerator == value) return name;
  }
  return "?";
}

}  // namespace normproof
