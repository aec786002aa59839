// Drawing the values of a random case.
#include "corpus/tensor_values.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "corpus/aimed_values.h"
#include "corpus/bit_classes.h"
#include "corpus/float_format.h"
#include "corpus/recipe.h"
#include "corpus/scalar_values.h"

namespace normproof {
namespace {

constexpr std::int64_t kMostDrawnElements = 1 << 16;
constexpr std::int64_t kLongestAimedRow =
    1024;  // beyond, squares of useful integers no longer add up exactly

std::span<std::byte> row_of(std::vector<std::byte>& data, std::int64_t row, std::size_t row_bytes) {
  return std::span(data).subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes);
}

// A row of packed elements.
class RowView {
 public:
  RowView(std::span<std::byte> data, DType dtype)
      : data_(data), size_(size_of(dtype)), format_(format_of(dtype)) {}

  std::size_t columns() const { return data_.size() / size_; }
  const FloatFormat& format() const { return format_; }
  std::uint32_t operator[](std::size_t column) const {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      bits |= std::to_integer<std::uint32_t>(data_[column * size_ + i]) << (8 * i);
    }
    return bits;
  }
  void set(std::size_t column, std::uint32_t bits) {
    for (std::size_t i = 0; i < size_; ++i)
      data_[column * size_ + i] = static_cast<std::byte>(bits >> (8 * i));
  }

 private:
  std::span<std::byte> data_;
  std::size_t size_;
  FloatFormat format_;
};

// A few elements of a row are replaced.
void sprinkle_specials(Random& random, RowView row) {
  const std::uint64_t count = 1 + random.below(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t column = random.below(row.columns());
    row.set(column, draw_special(random, row.format()));
  }
}
void sprinkle_bit_classes(Random& random, RowView row) {
  static constexpr std::array kHarmless = {ExponentClass::zero, ExponentClass::subnormal,
                                           ExponentClass::min_normal, ExponentClass::small,
                                           ExponentClass::near_one};
  const std::uint64_t count = 1 + random.below(4);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t column = random.below(row.columns());
    const ExponentClass exponent_class = random.pick(kHarmless);
    const MantissaClass mantissa_class = random.pick(kMantissaClasses);
    row.set(column, draw_bits(random, row.format(), exponent_class, mantissa_class));
  }
}

// Every element of a random mantissa class, all of them within five binades around a random place.
void fill_scaled_classes(Random& random, RowView row) {
  const int reach = row.format() == kFp16 ? 8 : random.chance(1, 4) ? 60 : 16;
  const int center = static_cast<int>(random.between(-reach, reach));
  for (std::size_t column = 0; column < row.columns(); ++column) {
    row.set(column, draw_near(random, row.format(), center - 2, center + 2));
  }
}

// Data classes by frequency. Not among them: fill_scaled_classes, which takes the share of the empty name.
constexpr std::array<std::string_view, 32> kInputDiet = {"model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "model_rows",
                                                         "",
                                                         "",
                                                         "",
                                                         "",
                                                         "",
                                                         "",
                                                         "",
                                                         "near_ties",
                                                         "near_ties",
                                                         "spike",
                                                         "spike",
                                                         "bit_classes",
                                                         "bit_classes",
                                                         "special",
                                                         "finite_bits",
                                                         "alternating",
                                                         "large",
                                                         "tiny",
                                                         "subnormal",
                                                         "uniform_bits",
                                                         "powers_of_two"};
constexpr std::array<std::string_view, 32> kWeightDiet = {"model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "model_weights",
                                                          "near_ties",
                                                          "near_ties",
                                                          "near_ties",
                                                          "near_ties",
                                                          "near_ties",
                                                          "near_ties",
                                                          "near_ties",
                                                          "near_ties",
                                                          "normal",
                                                          "normal",
                                                          "normal",
                                                          "normal",
                                                          "",
                                                          "",
                                                          "",
                                                          "bit_classes",
                                                          "special",
                                                          "ones",
                                                          "powers_of_two",
                                                          "zeros",
                                                          "finite_bits",
                                                          "tiny"};

void fill_row(Random& random, std::span<const std::string_view> diet, DType dtype, std::span<std::byte> row) {
  const std::string_view data_class = diet[random.below(diet.size())];
  if (data_class.empty()) return fill_scaled_classes(random, {row, dtype});
  generate_row({std::string(data_class), random.next()}, dtype, 0, row);
}

// A residual row for an input row: independent, on ties of the sum, or (almost) cancelling it.
void fill_residual(Random& random, DType dtype, RowView input, std::span<std::byte> data) {
  RowView row(data, dtype);
  const std::uint64_t way = random.below(8);
  if (way >= 5) return fill_row(random, kInputDiet, dtype, data);
  for (std::size_t column = 0; column < row.columns(); ++column) {
    const std::uint32_t bits = input[column];
    if (row.format().magnitude(bits) >= row.format().infinity()) {
      row.set(column, draw_bits(random, row.format()));
    } else if (way == 0 && random.chance(3, 4)) {
      row.set(column, bits ^ row.format().sign_bit() ^ static_cast<std::uint32_t>(random.below(2)));
    } else {
      row.set(column, tie_addend(random, row.format(), bits));
    }
  }
}

// The free variables of the values whose inverse RMS is known.
struct KnownRows {
  std::vector<std::uint32_t> integers;  // x_j = +-integers_j * 2^e with e of the row
  int bits;                             // mean of the squared integers is 4^(bits - 1)
};

KnownRows draw_known_rows(Random& random, const Case& test_case) {
  KnownRows known;
  known.integers.resize(static_cast<std::size_t>(test_case.hidden_size()));
  known.bits =
      std::min(format_of(test_case.dtype).precision(), bits_for_exact_squares(test_case.hidden_size()));
  fill_power_of_four_mean(random, known.bits, known.integers);
  return known;
}

// Input (and residual) rows whose normalized values are known, at a scale that makes epsilon vanish.
void fill_known_row(Random& random, const KnownRows& known, int lowest_scale, RowView input,
                    RowView* residual) {
  const FloatFormat& format = input.format();
  const int reach = format == kFp16 ? 6 : 12;
  const int exponent = static_cast<int>(random.between(lowest_scale, reach)) - (known.bits - 1);
  for (std::size_t column = 0; column < input.columns(); ++column) {
    const std::uint32_t bits = format.round(random.chance(1, 2), known.integers[column], exponent);
    if (residual == nullptr) {
      input.set(column, bits);
    } else {
      const Addends addends = split_sum(random, format, bits);
      input.set(column, addends.first);
      residual->set(column, addends.second);
    }
  }
}

int precision_of_fp8(DType dtype) {
  return dtype == DType::fp8_e4m3fn || dtype == DType::fp8_e4m3fnuz ? 4 : 3;
}

// The midpoint of two neighbours of that precision, as an integer of one bit more.
std::uint64_t draw_midpoint(Random& random, int precision) {
  return (std::uint64_t{1} << precision) | random.below(1u << precision) | 1;
}

// Weights whose products with the known normalized values lie on midpoints of T or right beside them; where
// the case quantizes, half of the products are aimed at midpoints of Q instead.
void fill_known_weights(Random& random, const KnownRows& known, const Case& test_case, RowView weights) {
  const FloatFormat& format = weights.format();
  const int result_bits = format_of(test_case.dtype).precision();
  const int quantized_bits = test_case.has_codes() ? precision_of_fp8(test_case.output_dtype()) : 0;
  for (std::size_t column = 0; column < weights.columns(); ++column) {
    const std::uint32_t integer = known.integers[column];
    const int binade = static_cast<int>(random.between(-2, 2));
    const bool negative = random.chance(1, 8);
    if (integer != 0 && quantized_bits != 0 && random.chance(1, 2)) {
      // The quotient of a midpoint of Q by the normalized value, rounded: the
      // product is the midpoint or a neighbour.
      const std::uint64_t midpoint = draw_midpoint(random, quantized_bits);
      weights.set(column, format.round(negative, (midpoint << 40) / integer,
                                       known.bits - 1 - quantized_bits - 40 + binade));
      continue;
    }
    std::optional<std::uint32_t> partner;
    if (integer != 0) {
      // A product of more than 24 bits is rounded to fp32 first where W is
      // fp32: aim within that rounding, too.
      const int beyond = std::max(0, bit_length(integer) + format.precision() - 24);
      const std::int64_t reach = random.chance(1, 2) ? 1 : std::int64_t{1} << beyond;
      partner = tie_partner(random, integer, format.precision(), result_bits, random.between(-reach, reach));
    }
    weights.set(column, partner ? format.round(negative, *partner, binade - format.mantissa_bits)
                                : draw_near(random, format, -2, 2));
  }
}

// A scale, not a power of two, with which a known output times the inverse scale lies on a midpoint of Q or
// right beside it: there a division by the scale rounds to the other side.
std::uint32_t draw_known_scale(Random& random, const KnownRows& known, const Case& test_case) {
  const std::size_t column = random.below(known.integers.size());
  double norm = std::ldexp(static_cast<double>(known.integers[column]), 1 - known.bits);
  if (test_case.weight_dtype) {
    const auto index = static_cast<std::int64_t>(column);
    norm *= value_of(format_of(*test_case.weight_dtype),
                     load_bits(test_case[Role::weight].data.bytes, *test_case.weight_dtype, index));
  }
  const FloatFormat activation = format_of(test_case.dtype);
  norm = std::fabs(value_of(activation, rounded(activation, value_of(kFp32, rounded(kFp32, norm)))));
  const DType quantized = test_case.output_dtype();
  const auto midpoint = static_cast<double>(draw_midpoint(random, precision_of_fp8(quantized)));
  const int binade = static_cast<int>(random.between(-4, 3));
  if (norm == 0 || !std::isfinite(norm)) return draw_scale(random, quantized);
  const std::uint32_t wanted = rounded(kFp32, std::ldexp(midpoint, binade) / norm);
  // Not every number is the rounded inverse of one.
  const std::uint32_t nearest = rounded(kFp32, 1 / value_of(kFp32, wanted));
  for (const std::uint32_t scale : {nearest, nearest - 1, nearest + 1}) {
    if (rounded(kFp32, 1 / value_of(kFp32, scale)) == wanted) return scale;
  }
  return nearest;
}

double mean_square(RowView row) {
  double sum = 0;
  for (std::size_t column = 0; column < row.columns(); ++column) {
    const double value = value_of(row.format(), row[column]);
    sum += value * value;
  }
  return sum / static_cast<double>(row.columns());
}

void draw_recipes(Random& random, int special_percent, Case& test_case) {
  const auto recipe = [&](std::span<const std::string_view> diet) {
    std::string_view data_class = diet[random.below(diet.size())];
    if (data_class.empty()) data_class = "near_ties";
    return Recipe{std::string(data_class), random.below(std::uint64_t{1} << 32)};
  };
  for (const Role role : kRoles) {
    if (!test_case.has_data(role) || test_case.elements_of(role) == 0) continue;
    test_case[role].data.recipe = recipe(role == Role::weight ? kWeightDiet : kInputDiet);
    if (role == Role::input && random.chance(static_cast<std::uint64_t>(special_percent), 100))
      test_case[role].data.recipe->data_class = "special";
  }
}

void draw_known_values(Random& random, Case& test_case) {
  // Epsilon must vanish in fl(v + eps) with v = 4^scale: it is below half a last place of v, v * 2^-24.
  static constexpr std::array kSmall = {std::pair{kEpsilon1e6, 3}, std::pair{kEpsilon1e5, 4},
                                        std::pair{0u, -6}, std::pair{1u, -6}, std::pair{0x80000000u, -6}};
  const auto [epsilon, lowest_scale] = random.pick(kSmall);
  test_case.bits_of(Parameter::epsilon) = epsilon;
  const KnownRows known = draw_known_rows(random, test_case);
  const std::size_t row_bytes = known.integers.size() * size_of(test_case.dtype);
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    const RowView input(row_of(test_case[Role::input].data.bytes, row, row_bytes), test_case.dtype);
    if (test_case.has(Role::residual)) {
      RowView residual(row_of(test_case[Role::residual].data.bytes, row, row_bytes), test_case.dtype);
      fill_known_row(random, known, lowest_scale, input, &residual);
    } else {
      fill_known_row(random, known, lowest_scale, input, nullptr);
    }
  }
  if (test_case.weight_dtype) {
    fill_known_weights(random, known, test_case,
                       {test_case[Role::weight].data.bytes, *test_case.weight_dtype});
  }
  if (has(test_case.operation, Parameter::scale)) {
    const std::uint64_t way = random.below(8);
    test_case.bits_of(Parameter::scale) = way < 3
                                              ? kFp32.power_of_two(static_cast<int>(random.between(-3, 3)))
                                          : way < 6 ? draw_known_scale(random, known, test_case)
                                                    : draw_scale(random, test_case.output_dtype());
  }
}

void draw_plain_values(Random& random, Case& test_case) {
  const std::size_t row_bytes = static_cast<std::size_t>(test_case.hidden_size()) * size_of(test_case.dtype);
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    const std::span<std::byte> input = row_of(test_case[Role::input].data.bytes, row, row_bytes);
    fill_row(random, kInputDiet, test_case.dtype, input);
    if (random.chance(1, 8)) sprinkle_bit_classes(random, {input, test_case.dtype});
    if (test_case.has(Role::residual)) {
      fill_residual(random, test_case.dtype, {input, test_case.dtype},
                    row_of(test_case[Role::residual].data.bytes, row, row_bytes));
    }
  }
  if (test_case.weight_dtype) {
    const std::span<std::byte> weight(test_case[Role::weight].data.bytes);
    fill_row(random, kWeightDiet, *test_case.weight_dtype, weight);
    if (random.chance(1, 8)) sprinkle_bit_classes(random, {weight, *test_case.weight_dtype});
  }
  const auto mean_square_of_some_row = [&]() -> double {
    if (test_case.rows() == 0) return 1;
    const auto row = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(test_case.rows())));
    return mean_square({row_of(test_case[Role::input].data.bytes, row, row_bytes), test_case.dtype});
  };
  test_case.bits_of(Parameter::epsilon) = draw_epsilon(random, mean_square_of_some_row);
  if (has(test_case.operation, Parameter::scale))
    test_case.bits_of(Parameter::scale) = draw_scale(random, test_case.output_dtype());
}

}  // namespace

void draw_values(Random& random, int special_percent, Case& test_case) {
  if (test_case.elements() > kMostDrawnElements || random.chance(1, 16)) {
    draw_recipes(random, special_percent, test_case);
    test_case.bits_of(Parameter::epsilon) = draw_epsilon(random, [] { return 1.0; });
    if (has(test_case.operation, Parameter::scale))
      test_case.bits_of(Parameter::scale) = draw_scale(random, test_case.output_dtype());
    return;
  }
  for (const Role role : kRoles)
    if (test_case.has_data(role)) test_case[role].data.bytes.resize(test_case.bytes_of(role));
  if (test_case.hidden_size() <= kLongestAimedRow && random.chance(1, 4)) {
    draw_known_values(random, test_case);
  } else {
    draw_plain_values(random, test_case);
  }
  const std::size_t row_bytes = static_cast<std::size_t>(test_case.hidden_size()) * size_of(test_case.dtype);
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    if (!random.chance(static_cast<std::uint64_t>(special_percent), 100)) continue;
    const bool in_residual = test_case.has(Role::residual) && random.chance(1, 2);
    std::vector<std::byte>& bytes =
        in_residual ? test_case[Role::residual].data.bytes : test_case[Role::input].data.bytes;
    sprinkle_specials(random, {row_of(bytes, row, row_bytes), test_case.dtype});
  }
}

std::uint32_t draw_upper_bound(Random& random) {
  constexpr std::uint32_t kHalf = 0x3f000000, kEight = 0x41000000, kTiny = 0x2b800000, kInfinity = 0x7f800000;
  const std::uint64_t way = random.below(8);
  if (way == 0) return static_cast<std::uint32_t>(random.between(1, kInfinity - 1));
  if (way == 1) return static_cast<std::uint32_t>(random.between(kTiny, kHalf));
  return static_cast<std::uint32_t>(random.between(kHalf, kEight));
}

}  // namespace normproof
