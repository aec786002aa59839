// Inputs on which rounding policies differ. Uses hardware floating point: it makes data and judges nothing.
#include "properties/detective/discriminate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "corpus/float_format.h"
#include "corpus/random.h"
#include "properties/detective/aimed_weights.h"

namespace normproof {
namespace {

// Below half an ulp of 4, so that 4 + epsilon is 4 in fp32 and a row of +-2 has r = 1/2 exactly.
constexpr float kEpsilon = 1e-7f;
constexpr double kUniformMagnitude = 2;
constexpr double kExcess = 0.45;               // ulp that rounding takes away
constexpr std::size_t kMostAimedWeights = 64;  // different ones, in columns of the same parity

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

// A midpoint of a quantized format in [1, 2), as an integer of precision + 1 bits.
int midpoint(int precision, int number) {
  return (1 << precision) + 1 + 2 * (number % (1 << (precision - 1)));
}

// `value` rounded to `precision` significant bits, ties to even.
double quantized(float value, int precision) {
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(value), &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, precision)), exponent - precision);
}

// Of how many midpoints times `scale` division by it, and multiplication by its inverse, give different
// numbers of the quantized format, whichever of the two is the truth and by whatever few ulp the other may
// have r off: the least of these counts.
int midpoints_told_apart(float scale, int precision) {
  const float inverse = 1 / scale;
  int least = 1 << precision;
  for (const bool divides : {false, true}) {
    for (const int step : {-2, -1, 0, 1, 2}) {
      // x * r where x * (r of the truth) is 1.
      const float off = std::bit_cast<float>(0x3f800000u + static_cast<std::uint32_t>(step));
      int count = 0;
      for (int number = 0; number < 1 << (precision - 1); ++number) {
        const float product = static_cast<float>(midpoint(precision, number)) * scale;
        const float other = product * off;
        const float truth_scaled = divides ? product / scale : product * inverse;
        const float other_scaled = divides ? other * inverse : other / scale;
        count += quantized(truth_scaled, precision) != quantized(other_scaled, precision) ? 1 : 0;
      }
      least = std::min(least, count);
    }
  }
  return least;
}

// Integers, none much larger than the others, whose squares add up to `sum`; at least 4 of them, because
// every number is the sum of four squares (Lagrange).
void fill_square_sum(std::span<std::int64_t> integers, std::int64_t sum) {
  const auto root = [](std::int64_t square) {
    return static_cast<std::int64_t>(std::sqrt(static_cast<double>(square)));
  };
  for (; integers.size() > 4; integers = integers.subspan(1)) {
    integers[0] = root(sum / static_cast<std::int64_t>(integers.size()));
    sum -= integers[0] * integers[0];
  }
  // The largest of four first: each is then at least the root of its share of what is left.
  for (std::int64_t a = root(sum / 4); a <= root(sum); ++a) {
    const std::int64_t three = sum - a * a;
    for (std::int64_t b = root(three / 3); b <= root(three); ++b) {
      const std::int64_t two = three - b * b;
      for (std::int64_t c = root(two / 2); c <= root(two); ++c) {
        const std::int64_t d = root(two - c * c);
        if (d * d != two - c * c) continue;
        const std::array four = {a, b, c, d};
        std::ranges::copy(four, integers.begin());
        return;
      }
    }
  }
}

class Builder {
 public:
  Builder(const DiscriminatingShape& shape, std::uint64_t seed)
      : shape_(shape), format_(format_of(shape.dtype)), random_(seed) {
    case_.name = "discriminating";
    case_.kind() = shape;
    case_.shape = {shape.rows, shape.hidden_size};
    case_.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(kEpsilon);
  }

  Case build() {
    for (const Role role : case_.inputs_with_rows()) case_[role].data.bytes.resize(case_.bytes_of(role));
    if (has(shape_.operation, Parameter::scale)) draw_scale();
    if (shape_.weight_dtype) draw_weight();
    for (std::int64_t row = 0; row < shape_.rows; ++row) draw_row(row);
    if (shape_.has_codes()) put_nan();
    if (const auto reasons = validate(case_); !reasons.empty()) throw std::invalid_argument(reasons.front());
    return std::move(case_);
  }

 private:
  int precision() const { return precision_of_quantized(shape_.output_dtype()); }

  // The scale with so few bits that its products with midpoints are numbers of T (and of few bits where x
  // itself has to carry them), under which the two ways to divide by it differ most.
  void draw_scale() {
    const int bits = (shape_.weight_dtype ? std::min(format_.precision(), 16) : 8) - (precision() + 1);
    int most = -1;
    for (int odd = 3; odd < 1 << bits; odd += 2) {
      const auto scale = static_cast<float>(std::ldexp(odd, 1 - bit_length(static_cast<std::uint64_t>(odd))));
      const int score = midpoints_told_apart(scale, precision());
      if (score <= most) continue;
      most = score;
      scale_integer_ = odd;
      case_.bits_of(Parameter::scale) = std::bit_cast<std::uint32_t>(scale);
    }
  }

  // |x| of the row of two magnitudes, whose squares and their partial sums are small integers.
  static double two_magnitudes(std::int64_t column) { return column % 2 == 0 ? 1 : 2; }

  // One number of T's precision up to its neighbour.
  double spacing(double value) const {
    return std::exp2(std::floor(std::log2(std::abs(value))) - format_.mantissa_bits);
  }

  // Two integers such that a row of them shows in its outputs, without any weight, whether its inverse RMS is
  // that of the integers or that of integers which lie `excess` ulp higher.
  std::array<double, 2> telling_magnitudes(double excess) const {
    for (int low = 17; low < 256; ++low) {
      for (int high = low + 1; high < 256; ++high) {
        const double a = low, b = high;
        const double raised_a = a + excess * spacing(a), raised_b = b + excess * spacing(b);
        const auto r = static_cast<float>(1 / std::sqrt((a * a + b * b) / 2));
        const auto raised =
            static_cast<float>(1 / std::sqrt((raised_a * raised_a + raised_b * raised_b) / 2));
        if (all_tell_apart(static_cast<float>(a), r, raised)) return {a, b};
        if (all_tell_apart(static_cast<float>(b), r, raised)) return {a, b};
      }
    }
    return {1, 2};
  }

  // Whether x * first and x * second are different numbers in the end, rounded to T or not, divided by the
  // scale or multiplied by its inverse.
  bool all_tell_apart(float x, float first, float second) const {
    const float scale = case_.value_of(Parameter::scale);
    for (const bool rounds : {false, true}) {
      for (const bool divides : {false, true}) {
        const auto output = [&](float r) {
          const auto y = rounds ? static_cast<float>(quantized(x * r, format_.precision())) : x * r;
          return quantized(divides ? y / scale : y * (1 / scale), precision());
        };
        if (output(first) == output(second)) return false;
      }
    }
    return true;
  }

  // r of the row of two magnitudes; its sum is exact in every order.
  float root_of_two_magnitudes() const {
    double sum = 0;
    for (std::int64_t column = 0; column < shape_.hidden_size; ++column)
      sum += two_magnitudes(column) * two_magnitudes(column);
    const float mean = static_cast<float>(sum) / static_cast<float>(shape_.hidden_size);
    return static_cast<float>(1 / std::sqrt(static_cast<double>(mean + kEpsilon)));
  }

  void draw_weight() {
    const FloatFormat format = format_of(*shape_.weight_dtype);
    const auto columns = static_cast<std::size_t>(shape_.hidden_size);
    case_[Role::weight].data.bytes.resize(columns * size_of(*shape_.weight_dtype));
    std::array<std::vector<double>, 2> aimed;  // for even columns, for odd ones
    for (const std::int64_t parity : {0, 1}) {
      if (!shape_.has_codes()) break;
      const std::array elements = {KnownElement{kUniformMagnitude, 0.5f},
                                   KnownElement{two_magnitudes(parity), root_of_two_magnitudes()}};
      aimed[static_cast<std::size_t>(parity)] =
          aimed_weights(case_, elements, std::min(kMostAimedWeights, columns * 3 / 8), random_);
    }
    for (std::size_t column = 0; column < columns; ++column) {
      double weight = signed_value(random_, std::exp2(uniform(random_, -2, 2)));
      const std::vector<double>& choice = aimed[column % 2];
      if (column % 8 < 6 && !choice.empty())
        weight = choice[(column / 8 * 3 + column % 8 / 2) % choice.size()];
      const std::uint32_t bits = round_to(format, weight);
      store_bits(case_[Role::weight].data.bytes, *shape_.weight_dtype, static_cast<std::int64_t>(column),
                 bits);
      weights_.push_back(weight);
    }
  }

  void draw_row(std::int64_t row) {
    const std::int64_t first = row * shape_.hidden_size;
    const bool adds = has(shape_.operation, NormStep::add_residual);
    if (row == 0) return draw_uniform_row(first);
    if (row == 1 && adds) return draw_biased_row(first);
    if (row == 3 && shape_.has_codes()) return draw_row_of_two_magnitudes(first, 0);
    if (row == 4 && shape_.has_codes() && adds) {
      return draw_row_of_two_magnitudes(
          first, kExcess, false,
          shape_.weight_dtype ? std::array<double, 2>{1, 2} : telling_magnitudes(kExcess));
    }
    if (row == 5 && shape_.has_codes() && adds) return draw_row_of_two_magnitudes(first, kExcess, true);
    const double scale = row == 2 ? std::sqrt(kEpsilon) * uniform(random_, 0.7, 1.4)
                                  : std::exp2(uniform(random_, -5, 1)) * uniform(random_, 0.9, 1.1);
    std::vector<double> values(static_cast<std::size_t>(shape_.hidden_size));
    for (double& value : values) value = scale * normal(random_);
    if (shape_.has_codes() && row > 2) aim(values, 1 / scale, 0);
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
        const double target = std::abs(value) * r * std::abs(weight) / case_.value_of(Parameter::scale);
        const int precision = precision_of_quantized(shape_.output_dtype());
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

  void draw_uniform_row(std::int64_t first) {
    if (!shape_.weight_dtype && shape_.has_codes() && shape_.hidden_size >= 8)
      return draw_row_of_midpoints(first);
    for (std::int64_t index = first; index < first + shape_.hidden_size; ++index) {
      const double value = signed_value(random_, kUniformMagnitude);
      store(index, value / 2, value / 2);
    }
  }

  // Without a weight the row itself carries the products: some x / 2 are midpoints times the scale, and the
  // others make the mean square 4 by integers whose squares add up exactly in every order, so that r is 1/2.
  void draw_row_of_midpoints(std::int64_t first) {
    int power = 0;  // of the root mean square of the integers
    while (power + 1 < format_.precision() && shape_.hidden_size << 2 * (power + 1) <= 1 << 24) ++power;
    std::int64_t rest = shape_.hidden_size << 2 * power;
    std::vector<std::int64_t> integers(static_cast<std::size_t>(shape_.hidden_size));
    std::size_t aimed = 0;
    for (; aimed < integers.size() / 2; ++aimed) {
      const std::int64_t integer = midpoint(precision(), static_cast<int>(aimed)) * scale_integer_;
      if (integer * integer > rest / 2) break;
      integers[aimed] = integer;
      rest -= integer * integer;
    }
    fill_square_sum(std::span(integers).subspan(aimed), rest);
    for (std::size_t column = 0; column < integers.size(); ++column) {
      const double value = signed_value(random_, std::ldexp(static_cast<double>(integers[column]), -power));
      store(first + static_cast<std::int64_t>(column), value, value);
    }
  }

  // Two magnitudes in turn: the mean square, and so r, is known. With `excess` > 0 the sum with the residual
  // lies so many ulp above them, or `alternates` between above and below.
  void draw_row_of_two_magnitudes(std::int64_t first, double excess, bool alternates = false,
                                  std::array<double, 2> magnitudes = {1, 2}) {
    for (std::int64_t column = 0; column < shape_.hidden_size; ++column) {
      const double sign = signed_value(random_, 1);
      const double value = magnitudes[static_cast<std::size_t>(column % 2)];
      // The spacing below a power of two is half of that above.
      const double side = alternates && random_.chance(1, 2) ? -0.5 : 1;
      const double x = excess == 0 ? value / 2 : side * excess * spacing(value);
      store(first + column, sign * x, sign * (excess == 0 ? value / 2 : value));
    }
  }

  // residual + x lies 0.3 to 0.45 ulp above the residual, so that rounding always takes x away.
  void draw_biased_row(std::int64_t first) {
    const double ulp = std::ldexp(1, -format_.mantissa_bits);
    std::vector<double> values(static_cast<std::size_t>(shape_.hidden_size));
    for (double& value : values) value = uniform(random_, 1, 1.25);
    if (shape_.has_codes()) aim(values, 1 / 1.12, 0);
    for (std::size_t column = 0; column < values.size(); ++column) {
      const double residual = std::floor(std::abs(values[column]) / ulp) * ulp;
      const double x =
          std::exp2(std::floor(std::log2(std::abs(residual)))) * ulp * uniform(random_, 0.3, 0.45);
      const double sign = std::copysign(1, values[column]);
      store(first + static_cast<std::int64_t>(column), sign * x, sign * residual);
    }
  }

  // x and the residual where the norm reads their sum; otherwise that sum as x, and no residual but zeros.
  void store(std::int64_t index, double x, double residual) {
    const bool adds = has(shape_.operation, NormStep::add_residual);
    store_bits(case_[Role::input].data.bytes, shape_.dtype, index,
               round_to(format_, adds ? x : x + residual));
    if (shape_.has(Role::residual))
      store_bits(case_[Role::residual].data.bytes, shape_.dtype, index,
                 adds ? round_to(format_, residual) : 0);
  }

  void put_nan() {
    const std::int64_t last_row = (shape_.rows - 1) * shape_.hidden_size;
    store_bits(
        case_[Role::input].data.bytes, shape_.dtype,
        last_row + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(shape_.hidden_size))),
        format_.quiet_nan());
  }

  const DiscriminatingShape& shape_;
  FloatFormat format_;
  Random random_;
  std::int64_t scale_integer_ = 1;  // the scale times a power of two
  std::vector<double> weights_;
  Case case_;
};

}  // namespace

void fit_to(const CallLimits& limits, DiscriminatingShape& shape) {
  shape.rows = rows_inside(limits, shape.rows);
  shape.hidden_size = hidden_inside(limits, shape.hidden_size);
}

Case discriminating_case(const DiscriminatingShape& shape, std::uint64_t seed) {
  return Builder(shape, seed).build();
}

Case discriminating_case(const DiscriminatingShape& shape, std::int64_t offset, const CallLimits& limits,
                         std::uint64_t seed) {
  Case test_case = discriminating_case(shape, seed);
  if (offset == 0) {
    fit_to(limits, test_case);
    return test_case;
  }
  test_case[Role::input].layout.offset = offset;
  if (test_case.has_layout(Role::out)) test_case[Role::out].layout.offset = offset;
  return test_case;
}

}  // namespace normproof
