// Inputs on which rounding policies differ. Uses hardware floating point: it makes data and judges nothing.
#include "properties/run/discriminate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "corpus/float_format.h"
#include "corpus/random.h"

namespace normproof {
namespace {

// Below half an ulp of 4, so that 4 + epsilon is 4 in fp32 and a row of +-2 has r = 1/2 exactly.
constexpr float kEpsilon = 1e-7f;
constexpr double kUniformMagnitude = 2;

std::uint32_t round_to(FloatFormat format, double value) {
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);
  return format.round(std::signbit(value), static_cast<std::uint64_t>(std::ldexp(fraction, 53)),
                      exponent - 53);
}

double uniform(Random& random, double low, double high) {
  return low + (high - low) * std::ldexp(static_cast<double>(random.next() >> 11), -53);
}

// Near enough to a bell curve of mean 0 and variance 1: the sum of twelve uniform numbers.
double normal(Random& random) {
  double sum = -6;
  for (int draw = 0; draw < 12; ++draw) sum += uniform(random, 0, 1);
  return sum;
}

double signed_value(Random& random, double magnitude) { return random.chance(1, 2) ? magnitude : -magnitude; }

// Significant bits of a quantized dtype, the hidden one included.
int precision_of_quantized(DType dtype) {
  return dtype == DType::fp8_e4m3fn || dtype == DType::fp8_e4m3fnuz ? 4 : 3;
}

// `value` rounded to `precision` significant bits, ties to even.
double quantized(double value, int precision) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, precision)), exponent - precision);
}

// Numbers of T in [1, 4) that division by `scale` and multiplication by its inverse quantize differently:
// upwards by the one, or by the other.
struct Disagreements {
  std::vector<double> divide_higher, inverse_higher;
  std::size_t score() const {
    return 1000 * std::min(divide_higher.size(), inverse_higher.size()) + divide_higher.size() +
           inverse_higher.size();
  }
};

void compare_scalings(float y, float scale, int precision, Disagreements& found) {
  const double divided = quantized(y / scale, precision);
  const double multiplied = quantized(y * (1 / scale), precision);
  if (divided > multiplied) found.divide_higher.push_back(y);
  if (divided < multiplied) found.inverse_higher.push_back(y);
}

Disagreements disagreements(FloatFormat format, float scale, int precision) {
  Disagreements found;
  if (format.mantissa_bits <= 10) {
    for (int numerator = 1 << format.mantissa_bits; numerator < 1 << format.precision(); ++numerator) {
      for (const int exponent : {0, 1}) {
        compare_scalings(std::ldexp(static_cast<float>(numerator), exponent - format.mantissa_bits), scale,
                         precision, found);
      }
    }
    return found;
  }
  // Too many numbers to try: those within a few ulp of a midpoint's image are the only ones that can differ.
  for (int odd = (2 << precision) / 2 + 1; odd < 2 << precision; odd += 2) {
    for (const int exponent : {0, 1}) {
      const float middle = scale * std::ldexp(static_cast<float>(odd), exponent - precision);
      for (std::uint32_t step = 0; step < 9; ++step) {
        compare_scalings(std::bit_cast<float>(std::bit_cast<std::uint32_t>(middle) + step - 4), scale,
                         precision, found);
      }
    }
  }
  return found;
}

class Builder {
 public:
  Builder(const DiscriminatingShape& shape, std::uint64_t seed)
      : shape_(shape), format_(format_of(shape.dtype)), random_(seed) {
    case_.name = "discriminating";
    case_.operation = shape.operation;
    case_.dtype = shape.dtype;
    case_.weight_dtype = shape.weight_dtype;
    case_.quantized_dtype = shape.quantized_dtype;
    case_.shape = {shape.rows, shape.hidden_size};
    case_.epsilon_bits = std::bit_cast<std::uint32_t>(kEpsilon);
  }

  Case build() {
    const auto elements = static_cast<std::size_t>(shape_.rows * shape_.hidden_size);
    case_.input.bytes.resize(elements * size_of(shape_.dtype));
    if (adds_residual(shape_.operation)) case_.residual.bytes.resize(elements * size_of(shape_.dtype));
    if (quantizes(shape_.operation)) draw_scale();
    if (shape_.weight_dtype) draw_weight();
    for (std::int64_t row = 0; row < shape_.rows; ++row) draw_row(row);
    if (quantizes(shape_.operation)) put_nan();
    if (const auto reasons = validate(case_); !reasons.empty()) throw std::invalid_argument(reasons.front());
    return std::move(case_);
  }

 private:
  void draw_scale() {
    const int precision = precision_of_quantized(*shape_.quantized_dtype);
    // The scale under which most numbers of T come out differently: a number of T over a midpoint of Q.
    const int attempts = format_.mantissa_bits > 10 ? 4000 : 1000;
    for (int attempt = 0; attempt < attempts; ++attempt) {
      const double y = std::floor(
          uniform(random_, std::ldexp(1, format_.mantissa_bits), std::ldexp(1, format_.precision())));
      const double middle = 2 * std::floor(uniform(random_, 1 << (precision - 1), 1 << precision)) + 1;
      const auto scale = static_cast<float>(y / middle * std::ldexp(1, precision - format_.mantissa_bits));
      Disagreements found = disagreements(format_, scale, precision);
      if (attempt > 0 && found.score() <= aimed_.score()) continue;
      aimed_ = std::move(found);
      case_.scale_bits = std::bit_cast<std::uint32_t>(scale);
    }
  }

  // A product that the two scalings quantize differently.
  double aimed_product() {
    const auto& [higher, lower] = aimed_;
    const auto& values = lower.empty() || (!higher.empty() && random_.chance(1, 2)) ? higher : lower;
    return values.empty() ? uniform(random_, 1, 4) : random_.pick(values);
  }

  // |x| of the row of two magnitudes, whose squares and their partial sums are small integers.
  static double two_magnitudes(std::int64_t column) { return column % 2 == 0 ? 1 : 2; }

  // A midpoint of the quantized format, in [1, 2) times a power of two.
  double midpoint() {
    const int precision = precision_of_quantized(*shape_.quantized_dtype);
    const double odd = 2 * std::floor(uniform(random_, 1 << (precision - 1), 1 << precision)) + 1;
    return std::ldexp(odd, static_cast<int>(random_.between(-1, 1)) - precision);
  }

  void draw_weight() {
    const FloatFormat format = format_of(*shape_.weight_dtype);
    case_.weight.bytes.resize(static_cast<std::size_t>(shape_.hidden_size) * size_of(*shape_.weight_dtype));
    weights_.resize(static_cast<std::size_t>(shape_.hidden_size));
    for (std::int64_t column = 0; column < shape_.hidden_size; ++column) {
      double weight = signed_value(random_, std::exp2(uniform(random_, -2, 2)));
      const auto kind = static_cast<int>(column % 8);
      if (quantizes(shape_.operation) && kind < 3) {
        weight = aimed_product();
      } else if (quantizes(shape_.operation) && kind < 6) {
        weight = case_.scale() * midpoint() / (two_magnitudes(column) / std::sqrt(2.5));
      }
      if (quantizes(shape_.operation) && (kind == 2 || kind == 5)) weight -= 1;  // 1 + weight is aimed
      const std::uint32_t bits = round_to(format, weight);
      store_bits(case_.weight.bytes, *shape_.weight_dtype, column, bits);
      weights_[static_cast<std::size_t>(column)] = weight;
    }
  }

  void draw_row(std::int64_t row) {
    const std::int64_t first = row * shape_.hidden_size;
    const bool adds = adds_residual(shape_.operation);
    if (row == 0) return draw_uniform_row(first);
    if (row == 1 && adds) return draw_biased_row(first);
    if (row == 3 && quantizes(shape_.operation)) return draw_row_of_two_magnitudes(first, 0);
    if (row == 4 && quantizes(shape_.operation) && adds) return draw_row_of_two_magnitudes(first, 0.45);
    const double scale = row == 2 ? std::sqrt(kEpsilon) * uniform(random_, 0.7, 1.4)
                                  : std::exp2(uniform(random_, -5, 1)) * uniform(random_, 0.9, 1.1);
    std::vector<double> values(static_cast<std::size_t>(shape_.hidden_size));
    for (double& value : values) value = scale * normal(random_);
    if (quantizes(shape_.operation) && row > 2) aim(values, 1 / scale, 0);
    for (std::size_t column = 0; column < values.size(); ++column) {
      const double value = values[column];
      const double residual = adds ? value * std::exp2(uniform(random_, -2, 2)) : 0;
      store(first + static_cast<std::int64_t>(column), value - residual, residual);
    }
  }

  // Moves half of the values so that x * r * w / scale is beside a midpoint of the quantized format, and the
  // others so that the row's inverse RMS is about r all the same.
  void aim(std::vector<double>& values, double r, double growth) {
    double missing = static_cast<double>(values.size()) / (r * r);
    const std::size_t aimed = values.size() / 2;
    for (std::size_t column = 0; column < values.size(); ++column) {
      double& value = values[column];
      if (column < aimed) {
        // Half of them for 1 + w, where there is a weight.
        const double weight = weights_.empty() ? 1 : weights_[column] + (column % 2 == 0 ? 0 : 1);
        const double target = std::abs(value) * r * std::abs(weight) / case_.scale();
        const int precision = precision_of_quantized(*shape_.quantized_dtype);
        int exponent = 0;
        const double odd = 2 * std::floor(std::ldexp(std::frexp(target, &exponent), precision)) + 1;
        if (target > 1e-2 && target < 64) value *= std::ldexp(odd, exponent - precision - 1) / target;
      } else {
        const double even = std::sqrt(std::max(missing, 0.0) / static_cast<double>(values.size() - column));
        value = signed_value(random_, even * uniform(random_, 0.8, 1.2));
        if (column + 1 == values.size()) value = even;
      }
      missing -= value * value * (1 + growth);
    }
  }

  // Without a weight the row itself carries the products: y = x * r, and r is about 1.
  void draw_uniform_row(std::int64_t first) {
    for (std::int64_t index = first; index < first + shape_.hidden_size; ++index) {
      const bool carries = !shape_.weight_dtype && quantizes(shape_.operation) && index % 2 == 0;
      const double value = signed_value(random_, carries ? aimed_product() : kUniformMagnitude);
      store(index, value / 2, value / 2);
    }
  }

  // The mean square is 2.5 and so r is known; with `excess` > 0 the residual sum lies so many ulp above.
  void draw_row_of_two_magnitudes(std::int64_t first, double excess) {
    for (std::int64_t column = 0; column < shape_.hidden_size; ++column) {
      const double sign = signed_value(random_, 1), value = two_magnitudes(column);
      const double x = excess == 0 ? value / 2 : excess * value * std::ldexp(1, -format_.mantissa_bits);
      store(first + column, sign * x, sign * (excess == 0 ? value / 2 : value));
    }
  }

  // residual + x lies 0.3 to 0.45 ulp above the residual, so that rounding always takes x away.
  void draw_biased_row(std::int64_t first) {
    const double ulp = std::ldexp(1, -format_.mantissa_bits);
    std::vector<double> values(static_cast<std::size_t>(shape_.hidden_size));
    for (double& value : values) value = uniform(random_, 1, 1.25);
    if (quantizes(shape_.operation)) aim(values, 1 / 1.12, 0);
    for (std::size_t column = 0; column < values.size(); ++column) {
      const double residual = std::floor(std::abs(values[column]) / ulp) * ulp;
      const double x =
          std::exp2(std::floor(std::log2(std::abs(residual)))) * ulp * uniform(random_, 0.3, 0.45);
      const double sign = std::copysign(1, values[column]);
      store(first + static_cast<std::int64_t>(column), sign * x, sign * residual);
    }
  }

  // x, and where the operation has one the residual; otherwise their sum.
  void store(std::int64_t index, double x, double residual) {
    const bool adds = adds_residual(shape_.operation);
    store_bits(case_.input.bytes, shape_.dtype, index, round_to(format_, adds ? x : x + residual));
    if (adds) store_bits(case_.residual.bytes, shape_.dtype, index, round_to(format_, residual));
  }

  void put_nan() {
    const std::int64_t last_row = (shape_.rows - 1) * shape_.hidden_size;
    store_bits(
        case_.input.bytes, shape_.dtype,
        last_row + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(shape_.hidden_size))),
        format_.quiet_nan());
  }

  const DiscriminatingShape& shape_;
  FloatFormat format_;
  Random random_;
  Disagreements aimed_;
  std::vector<double> weights_;
  Case case_;
};

}  // namespace

Case discriminating_case(const DiscriminatingShape& shape, std::uint64_t seed) {
  return Builder(shape, seed).build();
}

}  // namespace normproof
