#include "reference.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace normproof::kernels::reference {
namespace {

struct Description {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool infinity;      // the highest exponent holds infinity and NaN
  bool unsigned_nan;  // fnuz: negative zero's bits are the only NaN
};

Description describe(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return {8, 7, 127, true, false};
    case DType::fp16:
      return {5, 10, 15, true, false};
    case DType::fp8_e4m3fn:
      return {4, 3, 7, false, false};
    case DType::fp8_e5m2:
      return {5, 2, 15, true, false};
    case DType::fp8_e4m3fnuz:
      return {4, 3, 8, false, true};
    default:
      return {5, 2, 16, false, true};
  }
}

}  // namespace

Format::Format(DType dtype) {
  const Description format = describe(dtype);
  sign_ = 1u << (format.exponent_bits + format.mantissa_bits);
  codes_ = 2 * sign_;
  negative_zero_ = !format.unsigned_nan;
  has_infinity_ = format.infinity;
  nan_ = format.unsigned_nan ? sign_ : sign_ - 1;
  const std::uint32_t mantissas = 1u << format.mantissa_bits;
  for (std::uint32_t bits = 0; bits < sign_; ++bits) {
    const int exponent = static_cast<int>(bits / mantissas);
    const int mantissa = static_cast<int>(bits % mantissas);
    const int lowest = 1 - format.bias - format.mantissa_bits;
    const double magnitude = exponent == 0
                                 ? std::ldexp(mantissa, lowest)
                                 : std::ldexp(mantissa + static_cast<int>(mantissas), lowest + exponent - 1);
    const bool top = exponent == (1 << format.exponent_bits) - 1;
    if (format.infinity && top) {
      // For rounding, infinity is the number that would stand in its place.
      magnitudes_.push_back(magnitude);
      break;
    }
    if (!format.infinity && !format.unsigned_nan && bits == sign_ - 1) break;  // e4m3fn: NaN
    magnitudes_.push_back(magnitude);
    maximum_ = magnitude;
  }
}

bool Format::is_nan(std::uint32_t bits) const {
  if (!negative_zero_) return bits == sign_;
  return (bits & (sign_ - 1)) >= magnitudes_.size();
}

double Format::value(std::uint32_t bits) const {
  if (is_nan(bits)) return std::numeric_limits<double>::quiet_NaN();
  const std::uint32_t magnitude = bits & (sign_ - 1);
  const bool infinite = has_infinity_ && magnitude + 1 == magnitudes_.size();
  return std::copysign(infinite ? std::numeric_limits<double>::infinity() : magnitudes_[magnitude],
                       (bits & sign_) != 0 ? -1.0 : 1.0);
}

std::uint32_t Format::round(double value) const {
  if (std::isnan(value)) return nan_;
  const double magnitude = std::fabs(value);
  const auto above = std::lower_bound(magnitudes_.begin(), magnitudes_.end(), magnitude);
  auto nearest = static_cast<std::uint32_t>(above - magnitudes_.begin());
  if (above == magnitudes_.end()) {
    --nearest;
  } else if (*above != magnitude) {
    const double below = *(above - 1);
    const double to_below = magnitude - below, to_above = *above - magnitude;
    if (to_below < to_above || (to_below == to_above && (nearest - 1) % 2 == 0)) --nearest;
  }
  if (nearest == 0 && !negative_zero_) return 0;
  return nearest | (std::signbit(value) ? sign_ : 0);
}

const Format& format_of(DType dtype) {
  static const std::array formats = {Format(DType::fp16),         Format(DType::bf16),
                                     Format(DType::fp8_e4m3fn),   Format(DType::fp8_e5m2),
                                     Format(DType::fp8_e4m3fnuz), Format(DType::fp8_e5m2fnuz)};
  return formats.at(static_cast<std::size_t>(dtype) - 1);
}

int size_of(DType dtype) { return dtype == DType::fp32 ? 4 : dtype <= DType::bf16 ? 2 : 1; }

float to_float(DType dtype, std::uint32_t bits) {
  return dtype == DType::fp32 ? std::bit_cast<float>(bits) : static_cast<float>(format_of(dtype).value(bits));
}

std::uint32_t round(DType dtype, float value) {
  return dtype == DType::fp32 ? std::bit_cast<std::uint32_t>(value) : format_of(dtype).round(value);
}

bool is_nan(DType dtype, std::uint32_t bits) {
  if (dtype == DType::int8) return false;
  return dtype == DType::fp32 ? std::isnan(std::bit_cast<float>(bits)) : format_of(dtype).is_nan(bits);
}

bool same(DType dtype, std::uint32_t a, std::uint32_t b) {
  return a == b || (is_nan(dtype, a) && is_nan(dtype, b));
}

float canonical_sum(DType dtype, const std::vector<std::uint32_t>& row) {
  return canonical_sum(dtype, row.size(), [&](float sum, std::size_t j) {
    const float x = to_float(dtype, row[j]);
    return std::fma(x, x, sum);
  });
}

float canonical_sum(DType dtype, std::size_t count,
                    const std::function<float(float, std::size_t)>& accumulate) {
  const std::size_t per_chunk = static_cast<std::size_t>(16 / reference::size_of(dtype));
  std::array<std::array<float, 32>, 32> lanes{};  // [group][lane]
  for (std::size_t j = 0; j < count; ++j) {
    const std::size_t lane = j / per_chunk % 1024;
    float& sum = lanes[lane / 32][lane % 32];
    sum = accumulate(sum, j);
  }
  const auto tree = [](std::array<float, 32> values) {
    for (int half = 16; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) values[i] = values[i] + values[i + half];
    }
    return values[0];
  };
  std::array<float, 32> groups{};
  for (int group = 0; group < 32; ++group) groups[group] = tree(lanes[group]);
  return tree(groups);
}

namespace {

// Of the row's largest |y|: NaN where one of them is.
float scale_of(DType dtype, const std::vector<std::uint32_t>& y, float maximum, float least,
               std::optional<float> upper_bound) {
  float largest = 0;
  for (const std::uint32_t bits : y) {
    const float magnitude = std::fabs(to_float(dtype, bits));
    if (std::isnan(magnitude)) return magnitude;
    largest = std::fmax(largest, magnitude);
  }
  return std::fmax(std::fmin(largest, upper_bound.value_or(largest)) / maximum, least);
}

}  // namespace

Result evaluate(const Row& row) {
  Result result;
  std::vector<std::uint32_t> values = row.input;
  if (row.residual) {
    for (std::size_t j = 0; j < values.size(); ++j) {
      values[j] = round(row.dtype, to_float(row.dtype, values[j]) + to_float(row.dtype, (*row.residual)[j]));
    }
    result.residual = values;
  }
  const float mean = canonical_sum(row.dtype, values) / static_cast<float>(values.size());
  const float shifted = mean + row.epsilon;
  const float r = static_cast<float>(1 / std::sqrt(static_cast<long double>(shifted)));
  for (std::size_t j = 0; j < values.size(); ++j) {
    const float normalized = to_float(row.dtype, values[j]) * r;
    std::uint32_t y = 0;
    if (row.weight) {
      const float n = to_float(row.weight_dtype, round(row.weight_dtype, normalized));
      const float product = n * to_float(row.weight_dtype, (*row.weight)[j]);
      y = round(row.dtype, to_float(row.weight_dtype, round(row.weight_dtype, product)));
    } else {
      y = round(row.dtype, normalized);
    }
    result.out.push_back(y);
  }
  if (!row.quantized) return result;
  const bool is_int8 = row.quantized == DType::int8;
  const float maximum = is_int8 ? 127.0f : static_cast<float>(format_of(*row.quantized).maximum());
  const float least = is_int8 ? 0x1p-23f : 1.0f / (512.0f * maximum);
  const float scale = row.scale ? *row.scale : scale_of(row.dtype, result.out, maximum, least, row.scale_ub);
  result.scale = std::bit_cast<std::uint32_t>(scale);
  const float inverse_scale = 1.0f / scale;
  for (std::uint32_t& y : result.out) {
    const float scaled = to_float(row.dtype, y) * inverse_scale;
    if (is_int8) {
      const double code =
          std::isnan(scaled) ? 0 : std::nearbyint(std::fmax(-128.0f, std::fmin(scaled, 127.0f)));
      y = static_cast<std::uint8_t>(static_cast<std::int8_t>(code));
      continue;
    }
    y = round(*row.quantized, std::isnan(scaled) ? scaled : std::fmax(-maximum, std::fmin(scaled, maximum)));
  }
  return result;
}

}  // namespace normproof::kernels::reference
