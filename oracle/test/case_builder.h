// Builds cases for the oracle's tests: literal ones from bits, and random ones whose bits cover all classes
// of values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <vector>

#include "corpus/case.h"
#include "oracle/formats.h"

namespace normproof::oracle::test {

inline std::vector<std::byte> pack(DType dtype, const std::vector<std::uint32_t>& bits) {
  std::vector<std::byte> data(bits.size() * size_of(dtype));
  for (std::size_t i = 0; i < bits.size(); ++i)
    store_bits(data, dtype, static_cast<std::int64_t>(i), bits[i]);
  return data;
}

// How many times the usual number of random trials to make: NORMPROOF_TEST_SCALE, 1 unless set.
inline int scale() {
  const char* text = std::getenv("NORMPROOF_TEST_SCALE");
  return text == nullptr ? 1 : std::max(1, std::atoi(text));
}

struct Built {
  Case test_case;
  CaseTensors tensors;
};

// One row or more of literal bits; the epsilon is 0 and the scale 1 unless set afterwards.
inline Built build(Operation operation, DType dtype, std::int64_t hidden_size,
                   const std::vector<std::uint32_t>& x, const std::vector<std::uint32_t>& residual,
                   std::optional<DType> weight_dtype, const std::vector<std::uint32_t>& weight,
                   std::optional<DType> quantized = {}) {
  Built built;
  built.test_case.operation = operation;
  built.test_case.dtype = dtype;
  built.test_case.weight_dtype = weight_dtype;
  built.test_case.quantized_dtype = quantized;
  built.test_case.shape = {static_cast<std::int64_t>(x.size()) / hidden_size, hidden_size};
  built.test_case.bits_of(Parameter::epsilon) = 0;
  built.tensors = {{Role::input, pack(dtype, x)},
                   {Role::residual, pack(dtype, residual)},
                   {Role::weight, pack(weight_dtype.value_or(dtype), weight)}};
  return built;
}

class RandomCases {
 public:
  explicit RandomCases(std::uint64_t seed) : random_(seed) {}

  std::uint64_t draw() { return random_(); }
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(draw() % limit); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }

  // Bits by class: zeros, subnormals, around 1, anything finite, infinities, NaNs; mantissas empty, full,
  // sparse, random.
  std::uint32_t any_bits(const Format& format) {
    const auto mask = static_cast<std::uint32_t>(format.magnitude_mask());
    const auto mantissa_mask = static_cast<std::uint32_t>(format.mantissa_mask());
    const std::uint32_t sign = one_in(2) ? static_cast<std::uint32_t>(format.sign_bit()) : 0;
    std::uint32_t mantissa = 0;
    switch (below(5)) {
      case 0:
        mantissa = 0;
        break;
      case 1:
        mantissa = mantissa_mask;
        break;
      case 2:
        mantissa = 1u << below(static_cast<std::uint32_t>(format.mantissa_bits()));
        break;
      default:
        mantissa = static_cast<std::uint32_t>(draw()) & mantissa_mask;
        break;
    }
    const auto exponent = [&](std::uint32_t field) { return field << format.mantissa_bits(); };
    const auto fields = static_cast<std::uint32_t>(format.infinity_bits() >> format.mantissa_bits());
    switch (below(40)) {
      case 0:
        return sign;
      case 1:
        return sign | mantissa;  // subnormal or zero
      case 2:
        return sign | static_cast<std::uint32_t>(format.infinity_bits());
      case 3:
        return (sign | static_cast<std::uint32_t>(format.infinity_bits()) | mantissa);
      case 4:
        return sign | (static_cast<std::uint32_t>(draw()) & mask);
      case 5:
        return sign | exponent(1 + below(3)) | mantissa;
      case 6:
        return sign | exponent(fields - 1 - below(3)) | mantissa;
      default:
        break;
    }
    const std::uint32_t near = static_cast<std::uint32_t>(format.bias) - 3 + below(6);
    return sign | exponent(near) | mantissa;
  }

  // Bits of about the size 2^shift, finite and normal.
  std::uint32_t ordinary_bits(const Format& format, int shift) {
    const auto mantissa = static_cast<std::uint32_t>(draw() & format.mantissa_mask());
    const int field = format.bias + shift - static_cast<int>(below(4));
    const int highest = static_cast<int>(format.infinity_bits() >> format.mantissa_bits()) - 1;
    const auto clipped = static_cast<std::uint32_t>(std::max(1, std::min(highest, field)));
    const std::uint32_t sign = one_in(2) ? static_cast<std::uint32_t>(format.sign_bit()) : 0;
    return sign | clipped << format.mantissa_bits() | mantissa;
  }

  std::vector<std::byte> tensor(DType dtype, std::int64_t count) {
    const Format& format = format_of(dtype);
    const bool special = one_in(2);
    const int range = one_in(4) ? format.bias : 4;
    const int shift = static_cast<int>(below(static_cast<std::uint32_t>(2 * range + 1))) - range;
    // Rare special values, so that rows with exactly one occur.
    const std::uint32_t rarity = 1 + below(30);
    std::vector<std::byte> data(static_cast<std::size_t>(count) * size_of(dtype));
    for (std::int64_t i = 0; i < count; ++i) {
      store_bits(data, dtype, i, special && one_in(rarity) ? any_bits(format) : ordinary_bits(format, shift));
    }
    return data;
  }

  std::uint32_t scalar_bits() {
    switch (below(12)) {
      case 0:
        return 0;
      case 1:
        return 0x80000000u;
      case 2:
        return 0x7f800000u;
      case 3:
        return 0x7fc00000u;
      case 4:
        return 0xb0000000u;
      case 5:
        return 1 + below(1000);
      case 6:
        return any_bits(format_of(DType::fp32));
      default:
        return 0x30000000u + below(0x10000000u);  // 2^-31 to 2
    }
  }

  Built any_case(std::int64_t rows, std::int64_t hidden_size) {
    Built built;
    Case& c = built.test_case;
    c.operation = all_operations()[below(static_cast<std::uint32_t>(all_operations().size()))];
    c.dtype = kActivationDTypes[below(3)];
    switch (below(3)) {
      case 0:
        break;
      case 1:
        c.weight_dtype = c.dtype;
        break;
      default:
        c.weight_dtype = DType::fp32;
        break;
    }
    if (quantizes(c.operation)) c.quantized_dtype = kQuantizedDTypes[below(4)];
    if (quantizes_by_row(c.operation)) {
      if (one_in(3)) c.quantized_dtype = DType::int8;
      if (one_in(3))
        c.bits_of(Parameter::scale_ub) =
            one_in(4) ? 1 + below(0x7f800000) : 0x3f000000u + below(0x02000000);  // 0.5 to 8
    }
    c.shape = {rows, hidden_size};
    c.bits_of(Parameter::epsilon) = one_in(2) ? 0x358637bdu : scalar_bits();
    c.bits_of(Parameter::scale) = scalar_bits();
    built.tensors[Role::input] = tensor(c.dtype, rows * hidden_size);
    const bool narrow_weight = c.weight_dtype && *c.weight_dtype != DType::fp32;
    c.fp32_output = c.dtype != DType::fp32 && !quantizes(c.operation) && !narrow_weight && one_in(3);
    c.fp32_residual = c.dtype != DType::fp32 && has(c.operation, Role::residual) && one_in(3);
    if (has(c.operation, Role::residual))
      built.tensors[Role::residual] = tensor(c.dtype_of(Role::residual), rows * hidden_size);
    if (c.weight_dtype) built.tensors[Role::weight] = tensor(*c.weight_dtype, hidden_size);
    return built;
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace normproof::oracle::test
