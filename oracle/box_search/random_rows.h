// Random rows of all kinds in one of the activation formats: what norm kernels get
// wrong. The same on every machine.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "corpus/random.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {

inline void round_to_format(std::vector<float>& values, DType dtype) {
  row_kernels().round_values[static_cast<std::size_t>(dtype)](
      values.data(), static_cast<std::int64_t>(values.size()), ActivationRounding::nearest_even);
}
inline std::vector<std::byte> packed(std::vector<float> values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  round_to_format(values, dtype);
  row_kernels().pack[static_cast<std::size_t>(dtype)](values.data(), static_cast<std::int64_t>(values.size()),
                                                      bytes.data());
  return bytes;
}

// Numbers of about 2^-24 to 1 with a bell-shaped distribution, the same on every machine.
inline float bell(Random& random) {
  std::int64_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += random.between(-(1 << 22), 1 << 22);
  return static_cast<float>(sum) * 0x1.bb67aep-23f;  // standard deviation 1
}

enum class RowClass : std::uint8_t {
  centred,
  offset_5,
  offset_30,
  offset_300,
  nearly_constant,
  integers,
  heavy_tails,
  tiny,
  huge,
  constant,
  zeros,
  not_finite
};
inline constexpr int kRowClasses = 12;
inline constexpr int kOrdinaryRowClasses = 7;  // the first ones

// Numbers of `dtype`.
inline std::vector<float> random_row(Random& random, DType dtype, std::int64_t count, RowClass row_class) {
  const auto special = [&] {
    const std::array<float, 4> values = {INFINITY, -INFINITY, NAN, -0.0f};
    return values[random.below(4)];
  };
  const float size = std::ldexp(1.0f, static_cast<int>(random.between(-4, 4)));
  const auto level = static_cast<float>(random.between(-8, 8));
  const float sign = random.chance(1, 2) ? 1.0f : -1.0f;
  std::vector<float> row;
  for (std::int64_t j = 0; j < count; ++j) {
    const float x = bell(random);
    switch (row_class) {
      case RowClass::centred:
        row.push_back(size * x);
        break;
      case RowClass::offset_5:
        row.push_back(size * (x + 5 * sign));
        break;
      case RowClass::offset_30:
        row.push_back(size * (x + 30 * sign));
        break;
      case RowClass::offset_300:
        row.push_back(size * (x + 300 * sign));
        break;
      case RowClass::nearly_constant:
        row.push_back(size * (1 + std::ldexp(x, -9)));
        break;
      case RowClass::integers:
        row.push_back(std::round(4 * x));
        break;
      case RowClass::heavy_tails:
        row.push_back(size * x * x * x * (random.chance(1, 50) ? 20.0f : 1.0f));
        break;
      case RowClass::tiny:
        row.push_back(std::ldexp(x, dtype == DType::fp16 ? -20 : -130));
        break;
      case RowClass::huge:
        row.push_back(std::ldexp(x, dtype == DType::fp16 ? 14 : 125));
        break;
      case RowClass::constant:
        row.push_back(level);
        break;
      case RowClass::zeros:
        row.push_back(random.chance(1, 2) ? 0.0f : -0.0f);
        break;
      case RowClass::not_finite:
        row.push_back(random.chance(1, 8) ? special() : x);
        break;
    }
  }
  round_to_format(row, dtype);
  return row;
}

// An ordinary class; one time in six any.
inline RowClass mostly_ordinary(Random& random) {
  return static_cast<RowClass>(random.chance(1, 6) ? random.below(kRowClasses)
                                                   : random.below(kOrdinaryRowClasses));
}

inline std::vector<float> random_weight(Random& random, DType dtype, std::int64_t count) {
  const int kind = static_cast<int>(random.below(4));
  std::vector<float> weight;
  for (std::int64_t j = 0; j < count; ++j) {
    const float x = bell(random);
    weight.push_back(kind == 0             ? 1 + 0.1f * x
                     : kind == 1           ? x
                     : kind == 2           ? 1.0f
                     : random.chance(1, 6) ? 0.0f
                                           : x);
  }
  round_to_format(weight, dtype);
  return weight;
}

}  // namespace normproof::oracle::box_search
