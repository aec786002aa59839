// Carrying out recipes.
#include "corpus/recipe.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "corpus/bit_classes.h"
#include "corpus/float_format.h"
#include "corpus/hash.h"
#include "corpus/random.h"

namespace normproof {
namespace {

// One row under construction. `store` is inlined with the format known, which makes the bell curve fast.
template <DType dtype>
struct Row {
  static constexpr FloatFormat kFormat = format_of(dtype);
  static constexpr std::size_t kSize = dtype == DType::fp32 ? 4 : 2;

  std::span<std::byte> data;

  std::size_t columns() const { return data.size() / kSize; }
  void store(std::size_t column, std::uint32_t bits) {
    // Byte by byte, so that the order is little-endian everywhere; compilers make one store of it.
    for (std::size_t i = 0; i < kSize; ++i)
      data[column * kSize + i] = static_cast<std::byte>(bits >> (8 * i));
  }
  template <typename Function>
  void fill(Function bits_of_next) {
    for (std::size_t column = 0; column < columns(); ++column) store(column, bits_of_next());
  }
};

// The bell curve is the sum of four uniform 16-bit numbers less its mean (variance (2^32 - 1) / 3), with 14
// bits below it that fill the mantissa of fp32. An integer below 2^32 in magnitude; times kUnitScale * 2^-60
// its variance is 1.
constexpr std::uint64_t kUnitScale = 1859775394;  // round(2^46 / sqrt((2^32 - 1) / 3))
constexpr int kUnitExponent = -60;

std::int64_t draw_bell(Random& random) {
  const std::uint64_t draw = random.next();
  const std::uint64_t sum = (draw & 0xffff) + (draw >> 16 & 0xffff) + (draw >> 32 & 0xffff) + (draw >> 48);
  const std::uint64_t below = (draw * 0xd6e8feb86659fd93) >> 50;
  return (static_cast<std::int64_t>(sum) - 2 * 65535) * (1 << 14) + static_cast<std::int64_t>(below);
}

// N * scale * 2^exponent / kUnitScale; requires scale < 2^31.
template <DType dtype>
std::uint32_t draw_normal(Random& random, std::uint64_t scale, int exponent) {
  const std::int64_t bell = draw_bell(random);
  const auto magnitude = static_cast<std::uint64_t>(bell < 0 ? -bell : bell);
  return format_of(dtype).round(bell < 0, magnitude * scale, exponent + kUnitExponent);
}

// A scale of rows: any 30-bit fraction, in binades from 2^-13 to 2^13.
struct RowScale {
  std::uint64_t scale;
  int exponent;
};
RowScale draw_row_scale(Random& random) {
  const std::uint64_t draw = random.next();
  return {(std::uint64_t{1} << 30) + (draw & ((1 << 30) - 1)),
          static_cast<int>(((draw >> 32) * 26) >> 32) - 12};
}

template <DType dtype>
void normal(Random& random, Row<dtype> row) {
  row.fill([&] { return draw_normal<dtype>(random, kUnitScale, 0); });
}

template <DType dtype>
void model_rows(Random& random, Row<dtype> row) {
  const RowScale scale = draw_row_scale(random);
  row.fill([&] { return draw_normal<dtype>(random, scale.scale, scale.exponent); });
}

template <DType dtype>
void model_weights(Random& random, Row<dtype> row) {
  row.fill([&] {
    const std::int64_t deviation = draw_bell(random) * static_cast<std::int64_t>(kUnitScale / 10);
    return row.kFormat.round(false, static_cast<std::uint64_t>((std::int64_t{1} << 60) + deviation),
                             kUnitExponent);
  });
}

template <DType dtype>
void uniform_bits(Random& random, Row<dtype> row) {
  row.fill([&] { return static_cast<std::uint32_t>(random.next() >> 32); });
}

template <DType dtype>
void finite_bits(Random& random, Row<dtype> row) {
  constexpr FloatFormat kFormat = Row<dtype>::kFormat;
  row.fill([&] {
    const std::uint64_t draw = random.next();
    const auto magnitude = static_cast<std::uint32_t>(((draw >> 32) * kFormat.infinity()) >> 32);
    return ((draw & 1) != 0 ? kFormat.sign_bit() : 0) | magnitude;
  });
}

template <DType dtype>
void bit_classes(Random& random, Row<dtype> row) {
  row.fill([&] { return draw_bits(random, row.kFormat); });
}

template <DType dtype>
void special(Random& random, Row<dtype> row) {
  const RowScale scale = draw_row_scale(random);
  // One NaN or infinity decides a whole row, so most rows have zeros and subnormals only.
  static constexpr std::array kHarmless = {ExponentClass::zero, ExponentClass::subnormal};
  const std::uint64_t kind = random.below(8);
  row.fill([&] {
    const std::uint64_t lot = random.below(16);
    if (lot != 0 || kind == 0) return draw_normal<dtype>(random, scale.scale, scale.exponent);
    if (kind == 1) return draw_special(random, row.kFormat);
    if (kind == 2) return draw_bits(random, row.kFormat, ExponentClass::infinity, MantissaClass::zero);
    const ExponentClass exponent_class = random.pick(kHarmless);
    return draw_bits(random, row.kFormat, exponent_class, random.pick(kMantissaClasses));
  });
}

template <DType dtype>
void subnormal(Random& random, Row<dtype> row) {
  row.fill([&] {
    return draw_bits(random, row.kFormat, ExponentClass::subnormal, random.pick(kMantissaClasses));
  });
}

template <DType dtype>
void large(Random& random, Row<dtype> row) {
  row.fill([&] {
    const int highest = row.kFormat.max_exponent();
    return draw_near(random, row.kFormat, dtype == DType::fp16 ? highest - 2 : 64, highest);
  });
}

template <DType dtype>
void tiny(Random& random, Row<dtype> row) {
  row.fill([&] {
    const int lowest = row.kFormat.min_exponent();
    return draw_near(random, row.kFormat, lowest, dtype == DType::fp16 ? lowest + 2 : -76);
  });
}

template <DType dtype>
void zeros(Random&, Row<dtype> row) {
  row.fill([&] { return 0u; });
}

template <DType dtype>
void negative_zeros(Random&, Row<dtype> row) {
  row.fill([&] { return row.kFormat.sign_bit(); });
}

template <DType dtype>
void ones(Random&, Row<dtype> row) {
  row.fill([&] { return row.kFormat.one(); });
}

template <DType dtype>
void powers_of_two(Random& random, Row<dtype> row) {
  row.fill([&] {
    const std::uint64_t draw = random.below(34);
    return row.kFormat.power_of_two(static_cast<int>(draw / 2) - 8, draw % 2 != 0);
  });
}

template <DType dtype>
void near_ties(Random& random, Row<dtype> row) {
  row.fill([&] { return draw_near(random, row.kFormat, -2, 2); });
}

template <DType dtype>
void spike(Random& random, Row<dtype> row) {
  if (row.columns() == 0) return;
  const auto place = static_cast<std::size_t>(random.below(row.columns()));
  const std::uint32_t peak = draw_near(random, row.kFormat, 5, 6);
  row.fill([&] { return draw_normal<dtype>(random, kUnitScale, -6); });
  row.store(place, peak);
}

template <DType dtype>
void alternating(Random& random, Row<dtype> row) {
  std::uint32_t bits = draw_near(random, row.kFormat, -2, 2);
  row.fill([&] { return bits ^= row.kFormat.sign_bit(); });
}

template <DType dtype>
void small_integers(Random& random, Row<dtype> row) {
  row.fill([&] {
    const std::uint64_t draw = random.below(62);
    return row.kFormat.round(draw % 2 != 0, draw / 2 + 1, 0);
  });
}

struct DataClass {
  std::string_view name;
  std::string_view description;
  void (*fp32)(Random&, Row<DType::fp32>);
  void (*fp16)(Random&, Row<DType::fp16>);
  void (*bf16)(Random&, Row<DType::bf16>);
};
#define NORMPROOF_DATA_CLASS(name, description) \
  DataClass { #name, description, name<DType::fp32>, name<DType::fp16>, name<DType::bf16> }
constexpr std::array kDataClasses = {
    NORMPROOF_DATA_CLASS(normal, "bell curve of mean 0 and variance 1"),
    NORMPROOF_DATA_CLASS(model_rows, "bell curve times a scale of the row from 2^-13 to 2^13"),
    NORMPROOF_DATA_CLASS(model_weights, "1 + 0.1 * bell curve"),
    NORMPROOF_DATA_CLASS(uniform_bits, "every bit pattern, NaN and infinity included"),
    NORMPROOF_DATA_CLASS(finite_bits, "every finite bit pattern"),
    NORMPROOF_DATA_CLASS(bit_classes, "sign x exponent class x mantissa class; infinity and NaN are rare"),
    NORMPROOF_DATA_CLASS(special, "model_rows sprinkled with NaN, infinity, signed zero and subnormal"),
    NORMPROOF_DATA_CLASS(subnormal, "subnormal numbers"),
    NORMPROOF_DATA_CLASS(large, "numbers whose squares overflow (fp16: the largest numbers)"),
    NORMPROOF_DATA_CLASS(tiny, "normal numbers whose squares underflow (fp16: the smallest numbers)"),
    NORMPROOF_DATA_CLASS(zeros, "+0"),
    NORMPROOF_DATA_CLASS(negative_zeros, "-0"),
    NORMPROOF_DATA_CLASS(ones, "1"),
    NORMPROOF_DATA_CLASS(powers_of_two, "+-2^k with k from -8 to 8"),
    NORMPROOF_DATA_CLASS(near_ties,
                         "mantissas whose products lie on or beside rounding midpoints, in [1/4, 8)"),
    NORMPROOF_DATA_CLASS(spike, "one element near 64 at a random place, the others bell curve / 64"),
    NORMPROOF_DATA_CLASS(alternating, "+a, -a, +a, ... with one a for each row"),
    NORMPROOF_DATA_CLASS(small_integers, "+-1 to +-31: sums of their squares are exact in fp32"),
};
#undef NORMPROOF_DATA_CLASS

constexpr auto kNames = [] {
  std::array<std::string_view, kDataClasses.size()> names{};
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kDataClasses[i].name;
  return names;
}();

const DataClass* find(std::string_view name) {
  const auto* found = std::ranges::find(kDataClasses, name, &DataClass::name);
  return found == kDataClasses.end() ? nullptr : found;
}

const DataClass& demand(std::string_view name) {
  if (const DataClass* found = find(name)) return *found;
  throw std::invalid_argument("recipe: no data class is named \"" + std::string(name) + "\"");
}

void generate_row(const DataClass& data_class, const Random& tensor, DType dtype, std::int64_t row,
                  std::span<std::byte> data) {
  Random random = tensor.split(static_cast<std::uint64_t>(row));
  switch (dtype) {
    case DType::fp32:
      return data_class.fp32(random, {data});
    case DType::fp16:
      return data_class.fp16(random, {data});
    default:
      return data_class.bf16(random, {data});
  }
}

// The values of one of the case's tensors, which are what `data` says.
std::vector<std::byte> values_of(const Case& test_case, Role role, TensorData data) {
  if (data.recipe)
    generate(*data.recipe, test_case.dtype_of(role), test_case.rows_of(role), test_case.columns_of(role),
             data.bytes);
  return std::move(data.bytes);
}

Random tensor_random(const Recipe& recipe) { return Random(recipe.seed).split(fnv1a(recipe.data_class)); }

}  // namespace

std::span<const std::string_view> data_classes() { return kNames; }

bool is_data_class(std::string_view name) { return find(name) != nullptr; }

std::string_view describe_data_class(std::string_view name) {
  const DataClass* found = find(name);
  return found == nullptr ? std::string_view{} : found->description;
}

void generate_row(const Recipe& recipe, DType dtype, std::int64_t row, std::span<std::byte> data) {
  static_cast<void>(format_of(dtype));  // refuses fp8
  if (data.size() % size_of(dtype) != 0) {
    throw std::invalid_argument("recipe: a row of " + std::to_string(data.size()) +
                                " bytes is no multiple of the element size " +
                                std::to_string(size_of(dtype)));
  }
  generate_row(demand(recipe.data_class), tensor_random(recipe), dtype, row, data);
}

void generate(const Recipe& recipe, DType dtype, std::int64_t rows, std::int64_t columns,
              std::vector<std::byte>& data) {
  static_cast<void>(format_of(dtype));
  const DataClass& data_class = demand(recipe.data_class);
  if (rows < 0 || columns < 0) {
    throw std::invalid_argument("recipe: a tensor of " + std::to_string(rows) + " x " +
                                std::to_string(columns) + " elements");
  }
  if (columns != 0 && rows > std::numeric_limits<std::int64_t>::max() / 4 / columns) {
    throw std::length_error("recipe: a tensor of " + std::to_string(rows) + " x " + std::to_string(columns) +
                            " elements is too large");
  }
  const Random random = tensor_random(recipe);
  const std::size_t row_bytes = static_cast<std::size_t>(columns) * size_of(dtype);
  data.resize(static_cast<std::size_t>(rows) * row_bytes);
  for (std::int64_t row = 0; row < rows; ++row) {
    generate_row(data_class, random, dtype, row,
                 std::span(data).subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes));
  }
}

CaseTensors take_data(Case& test_case) {
  CaseTensors tensors;
  for (const Role role : kRoles)
    if (test_case.has_data(role))
      tensors[role] = values_of(test_case, role, std::exchange(test_case[role].data, {}));
  return tensors;
}

CaseTensors materialize(const Case& test_case) {
  CaseTensors tensors;
  for (const Role role : kRoles)
    if (test_case.has_data(role)) tensors[role] = values_of(test_case, role, test_case[role].data);
  return tensors;
}

}  // namespace normproof
