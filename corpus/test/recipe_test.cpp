// Recipes: each class yields what its line says, the same bits everywhere, and a random source that is fair.
#include "corpus/recipe.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

#include "corpus/bit_classes.h"
#include "corpus/float_format.h"
#include "corpus/random.h"

namespace normproof {
namespace {

double value_of(DType dtype, std::uint32_t bits) {
  const FloatFormat format = format_of(dtype);
  const std::uint32_t magnitude = format.magnitude(bits);
  if (format.is_nan(bits)) return std::nan("");
  if (format.is_infinite(bits)) return HUGE_VAL;
  const auto field = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t mantissa = magnitude & format.mantissa_mask();
  const double value = std::ldexp(field == 0 ? mantissa : mantissa + (1u << format.mantissa_bits),
                                  std::max(field, 1) - format.bias() - format.mantissa_bits);
  return (bits & format.sign_bit()) != 0 ? -value : value;
}

struct Statistics {
  std::int64_t count = 0, nan = 0, infinite = 0, zero = 0, negative_zero = 0, subnormal = 0, negative = 0;
  double mean = 0, variance = 0, least = HUGE_VAL,
         largest = 0;  // of finite numbers; least, largest: magnitudes
  std::set<std::uint32_t> distinct;
};

Statistics statistics(std::string_view data_class, DType dtype, std::int64_t rows = 64,
                      std::int64_t columns = 512) {
  std::vector<std::byte> data;
  generate({std::string(data_class), 1}, dtype, rows, columns, data);
  const FloatFormat format = format_of(dtype);
  Statistics result;
  double sum = 0;
  double squares = 0;
  std::int64_t finite = 0;
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const std::uint32_t bits = load_bits(data, dtype, i);
    ++result.count;
    result.distinct.insert(bits);
    result.nan += format.is_nan(bits) ? 1 : 0;
    result.infinite += format.is_infinite(bits) ? 1 : 0;
    result.zero += format.is_zero(bits) ? 1 : 0;
    result.negative_zero += bits == format.sign_bit() ? 1 : 0;
    result.subnormal += format.is_subnormal(bits) ? 1 : 0;
    result.negative += (bits & format.sign_bit()) != 0 ? 1 : 0;
    if (format.is_nan(bits) || format.is_infinite(bits)) continue;
    const double value = value_of(dtype, bits);
    sum += value;
    squares += value * value;
    ++finite;
    result.least = std::min(result.least, std::abs(value));
    result.largest = std::max(result.largest, std::abs(value));
  }
  result.mean = sum / static_cast<double>(finite);
  result.variance = squares / static_cast<double>(finite) - result.mean * result.mean;
  return result;
}

std::uint64_t hash_of(const std::vector<std::byte>& data) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte byte : data) hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

TEST(Random, FollowsItsDocumentedAlgorithm) {
  // SplitMix64 of seed 0, as published, begins with these numbers; Random mixes its seed first.
  std::uint64_t state = 0;
  const auto published = [&] {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t value = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  };
  EXPECT_EQ(published(), 0xe220a8397b1dcdafu);
  EXPECT_EQ(published(), 0x6e789e6aa1b965f4u);
  Random random(0);  // mix(0) is 0
  EXPECT_EQ(random.next(), 0xe220a8397b1dcdafu);
  EXPECT_EQ(random.next(), 0x6e789e6aa1b965f4u);
}

TEST(Random, IsFairBelowAnyBound) {
  Random random(3);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts[random.below(7)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
  // Three quarters of all 32-bit or 64-bit numbers: without drawing again some
  // numbers would come twice as often.
  for (const std::uint64_t bound : {std::uint64_t{3} << 30, std::uint64_t{3} << 62}) {
    std::array<int, 3> thirds{};
    std::array<int, 3> residues{};
    for (int i = 0; i < 9000; ++i) {
      const std::uint64_t draw = random.below(bound);
      ASSERT_LT(draw, bound);
      ++thirds[draw / (bound / 3)];
      ++residues[draw % 3];
    }
    for (const int count : thirds) EXPECT_NEAR(count, 3000, 250) << bound;
    for (const int count : residues) EXPECT_NEAR(count, 3000, 250) << bound;
  }
  EXPECT_EQ(random.below(1), 0u);
  EXPECT_EQ(random.below(0), 0u);
}

TEST(Random, StaysBetweenItsBounds) {
  Random random(4);
  std::map<std::int64_t, int> counts;
  for (int i = 0; i < 9000; ++i) ++counts[random.between(-4, 4)];
  EXPECT_EQ(counts.size(), 9u);
  EXPECT_EQ(counts.begin()->first, -4);
  EXPECT_EQ(counts.rbegin()->first, 4);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 150) << value;
  EXPECT_NO_THROW(random.between(INT64_MIN, INT64_MAX));

  std::array<int, 10> binades{};
  for (int i = 0; i < 10000; ++i) {
    const std::int64_t value = random.log_between(3, 1000);
    ASSERT_GE(value, 3);
    ASSERT_LE(value, 1000);
    ++binades[static_cast<std::size_t>(bit_length(static_cast<std::uint64_t>(value)) - 1)];
  }
  for (std::size_t binade = 1; binade < 10; ++binade) EXPECT_NEAR(binades[binade], 1111, 150) << binade;
}

TEST(Random, SplitsIntoIndependentStreams) {
  const Random random(5);
  Random copy = random;
  std::set<std::uint64_t> numbers;
  for (std::uint64_t key = 0; key < 1000; ++key) numbers.insert(random.split(key).next());
  numbers.insert(copy.next());
  EXPECT_EQ(numbers.size(), 1001u);
  EXPECT_EQ(Random(random.split(7)).next(), random.split(7).next());
}

TEST(FloatFormat, RoundsToNearestEvenWithGradualUnderflow) {
  // Every bf16 number times 2^8 plus the dropped bits, against the hardware's
  // conversions by way of fp32 and double.
  Random random(6);
  for (int i = 0; i < 200000; ++i) {
    const std::uint64_t integer = random.next() >> (1 + random.below(63));
    const int exponent = static_cast<int>(random.between(-200, 80));
    const double exact = std::ldexp(static_cast<double>(integer >> 11 << 11), exponent);
    const std::uint32_t wanted = std::bit_cast<std::uint32_t>(static_cast<float>(exact));
    ASSERT_EQ(kFp32.round(false, integer >> 11 << 11, exponent), wanted) << integer << " * 2^" << exponent;
  }
  EXPECT_EQ(kBf16.round(false, 0x1ff, -8), 0x4000u);  // 1.99609375 -> 2
  EXPECT_EQ(kBf16.round(false, 0x101, -8), 0x3f80u);  // a tie goes to the even neighbour below
  EXPECT_EQ(kBf16.round(true, 0x103, -8), 0xbf82u);   // and above
  EXPECT_EQ(kFp16.round(false, 65519, 0), 0x7bffu);   // the largest below the tie with infinity
  EXPECT_EQ(kFp16.round(false, 65520, 0), 0x7c00u);
  EXPECT_EQ(kFp16.round(false, 1, -24), 1u);
  EXPECT_EQ(kFp16.round(false, 1, -25), 0u);  // half the least subnormal
  EXPECT_EQ(kFp16.round(true, 3, -26), 0x8001u);
  EXPECT_EQ(kFp16.round(false, 0x7ff, -25), 0x0400u);  // carries into the least normal number
  EXPECT_EQ(kFp32.round(true, 0, 5), 0x80000000u);
}

TEST(DataClasses, AreNamedAndDescribed) {
  EXPECT_EQ(data_classes().size(), 18u);
  const std::set<std::string_view> names(data_classes().begin(), data_classes().end());
  EXPECT_EQ(names.size(), data_classes().size());
  for (const std::string_view name : names) {
    EXPECT_TRUE(is_data_class(name));
    EXPECT_FALSE(describe_data_class(name).empty()) << name;
  }
  EXPECT_FALSE(is_data_class("gaussian"));
  EXPECT_TRUE(describe_data_class("gaussian").empty());
  std::vector<std::byte> data;
  EXPECT_THROW(generate({"gaussian", 1}, DType::bf16, 1, 1, data), std::invalid_argument);
  EXPECT_THROW(generate({"normal", 1}, DType::fp8_e5m2, 1, 1, data), std::invalid_argument);
  EXPECT_THROW(generate({"normal", 1}, DType::bf16, -1, 1, data), std::invalid_argument);
  EXPECT_THROW(generate({"normal", 1}, DType::bf16, INT64_MAX, INT64_MAX, data), std::length_error);
  std::array<std::byte, 3> odd{};
  EXPECT_THROW(generate_row({"normal", 1}, DType::bf16, 0, odd), std::invalid_argument);
}

TEST(DataClasses, YieldWhatTheySay) {
  for (const DType dtype : kActivationDTypes) {
    SCOPED_TRACE(name_of(dtype));
    const FloatFormat format = format_of(dtype);

    const Statistics normal = statistics("normal", dtype);
    EXPECT_NEAR(normal.mean, 0, 0.02);
    EXPECT_NEAR(normal.variance, 1, 0.03);
    EXPECT_LT(normal.largest, 3.5);
    EXPECT_GT(normal.largest, 3.0);
    EXPECT_NEAR(static_cast<double>(normal.negative) / static_cast<double>(normal.count), 0.5, 0.02);

    const Statistics weights = statistics("model_weights", dtype);
    EXPECT_NEAR(weights.mean, 1, 0.005);
    EXPECT_NEAR(weights.variance, 0.01, 0.001);
    EXPECT_EQ(weights.negative, 0);

    const Statistics any = statistics("uniform_bits", dtype);
    EXPECT_GT(any.nan, 0);
    EXPECT_GT(any.subnormal, 0);
    const Statistics finite = statistics("finite_bits", dtype);
    EXPECT_EQ(finite.nan + finite.infinite, 0);
    EXPECT_GT(finite.subnormal, 0);
    EXPECT_GT(static_cast<double>(finite.distinct.size()), 0.25 * static_cast<double>(finite.count));
    if (dtype != DType::fp32) {  // every finite pattern turns up
      EXPECT_EQ(statistics("finite_bits", dtype, 1024, 1024).distinct.size(),
                2 * std::size_t{format.infinity()});
    }

    const Statistics classes = statistics("bit_classes", dtype);
    const auto share = [](std::int64_t part, const Statistics& of) {
      return static_cast<double>(part) / static_cast<double>(of.count);
    };
    EXPECT_NEAR(share(classes.zero, classes), 5.0 / 64, 0.01);
    EXPECT_NEAR(share(classes.negative_zero, classes), 2.5 / 64, 0.01);
    EXPECT_NEAR(share(classes.subnormal, classes), 8.0 / 64, 0.01);
    EXPECT_NEAR(share(classes.infinite, classes), 1.0 / 64, 0.005);
    EXPECT_NEAR(share(classes.nan, classes), 1.0 / 64, 0.005);
    EXPECT_EQ(classes.least, 0);
    EXPECT_EQ(classes.largest, value_of(dtype, format.infinity() - 1));
    EXPECT_TRUE(classes.distinct.contains(1));                       // the least subnormal
    EXPECT_TRUE(classes.distinct.contains(format.mantissa_mask()));  // the largest one
    EXPECT_TRUE(classes.distinct.contains(format.mantissa_mask() + 1));
    EXPECT_TRUE(classes.distinct.contains(format.one() | format.mantissa_mask()));

    const Statistics special = statistics("special", dtype);
    EXPECT_GT(special.nan, 0);
    EXPECT_GT(special.infinite, 0);
    EXPECT_GT(special.negative_zero, 0);
    EXPECT_GT(special.subnormal, 0);
    EXPECT_LT(special.nan + special.infinite + special.zero, special.count / 8);

    const Statistics subnormal = statistics("subnormal", dtype);
    EXPECT_EQ(subnormal.subnormal, subnormal.count);
    const Statistics large = statistics("large", dtype);
    EXPECT_EQ(large.nan + large.infinite, 0);
    EXPECT_GE(large.least, dtype == DType::fp16 ? 0x1p13 : 0x1p64);
    const Statistics tiny = statistics("tiny", dtype);
    EXPECT_EQ(tiny.subnormal + tiny.zero, 0);
    EXPECT_LT(tiny.largest, dtype == DType::fp16 ? 0x1p-11 : 0x1p-75);
    EXPECT_EQ(statistics("zeros", dtype).distinct, std::set<std::uint32_t>{0});
    EXPECT_EQ(statistics("negative_zeros", dtype).distinct, std::set{format.sign_bit()});
    EXPECT_EQ(statistics("ones", dtype).distinct, std::set{format.one()});
    const Statistics powers = statistics("powers_of_two", dtype);
    EXPECT_EQ(powers.distinct.size(), 34u);
    EXPECT_EQ(powers.least, 0x1p-8);
    EXPECT_EQ(powers.largest, 0x1p8);
    for (const std::uint32_t bits : powers.distinct) EXPECT_EQ(bits & format.mantissa_mask(), 0u);
    const Statistics ties = statistics("near_ties", dtype);
    EXPECT_GE(ties.least, 0.25);
    EXPECT_LT(ties.largest, 8);
  }
}

TEST(DataClasses, ScaleModelRowsOverManyBinades) {
  std::vector<std::byte> data;
  generate({"model_rows", 2}, DType::bf16, 500, 64, data);
  std::map<int, int> binades;
  for (std::int64_t row = 0; row < 500; ++row) {
    double squares = 0;
    for (std::int64_t column = 0; column < 64; ++column) {
      const double value = value_of(DType::bf16, load_bits(data, DType::bf16, row * 64 + column));
      squares += value * value;
    }
    ++binades[std::ilogb(std::sqrt(squares / 64))];
  }
  EXPECT_GE(binades.size(), 24u);
  EXPECT_GE(binades.begin()->first, -15);
  EXPECT_LE(binades.rbegin()->first, 14);
}

TEST(DataClasses, PutOneSpikeInARow) {
  std::vector<std::byte> data;
  generate({"spike", 2}, DType::fp32, 200, 100, data);
  std::set<std::int64_t> places;
  for (std::int64_t row = 0; row < 200; ++row) {
    int spikes = 0;
    for (std::int64_t column = 0; column < 100; ++column) {
      const double value = value_of(DType::fp32, load_bits(data, DType::fp32, row * 100 + column));
      if (std::abs(value) < 1) continue;
      ++spikes;
      places.insert(column);
    }
    EXPECT_EQ(spikes, 1) << row;
  }
  EXPECT_GT(places.size(), 60u);
}

TEST(DataClasses, AlternateSigns) {
  std::vector<std::byte> data;
  generate({"alternating", 2}, DType::fp16, 2, 10, data);
  for (std::int64_t i = 1; i < 10; ++i) {
    EXPECT_EQ(load_bits(data, DType::fp16, i) ^ load_bits(data, DType::fp16, i - 1), 0x8000u);
  }
  EXPECT_NE(load_bits(data, DType::fp16, 0) & 0x7fff, load_bits(data, DType::fp16, 10) & 0x7fff);
}

TEST(Recipe, MoreRowsAndColumnsExtendATensor) {
  for (const std::string_view name : data_classes()) {
    const Recipe recipe{std::string(name), 77};
    std::vector<std::byte> few;
    std::vector<std::byte> many;
    generate(recipe, DType::bf16, 3, 20, few);
    generate(recipe, DType::bf16, 5, name == "spike" ? 20 : 33, many);
    const std::int64_t stride = name == "spike" ? 20 : 33;
    for (std::int64_t i = 0; i < 60; ++i) {
      ASSERT_EQ(load_bits(few, DType::bf16, i), load_bits(many, DType::bf16, i / 20 * stride + i % 20))
          << name;
    }
    std::vector<std::byte> row(40);
    generate_row(recipe, DType::bf16, 2, row);
    ASSERT_TRUE(std::equal(row.begin(), row.end(), few.begin() + 80)) << name;
  }
}

TEST(Recipe, DependsOnTheSeedAndTheClass) {
  std::vector<std::byte> first;
  std::vector<std::byte> second;
  generate({"normal", 1}, DType::bf16, 1, 64, first);
  generate({"normal", 2}, DType::bf16, 1, 64, second);
  EXPECT_NE(first, second);
  generate({"model_weights", 1}, DType::bf16, 1, 64, second);
  EXPECT_NE(first, second);
}

TEST(Recipe, SquaresOfSmallIntegersAddUpExactly) {
  std::vector<std::byte> data;
  generate({"small_integers", 9}, DType::bf16, 1, 16384, data);
  float forward = 0, backward = 0;
  std::int64_t exact = 0;
  for (std::int64_t i = 0; i < 16384; ++i) {
    const auto square = [&](std::int64_t at) {
      const float x = std::bit_cast<float>(load_bits(data, DType::bf16, at) << 16);
      EXPECT_TRUE(x == std::trunc(x) && x != 0 && std::abs(x) <= 31) << x;
      return x * x;
    };
    forward += square(i);
    backward += square(16383 - i);
    exact += static_cast<std::int64_t>(square(i));
  }
  EXPECT_EQ(forward, static_cast<float>(exact));
  EXPECT_EQ(backward, forward);
}

// The same bits on every machine: cases stored as recipes depend on it. A change of these numbers changes
// what every stored recipe means.
TEST(Recipe, KeepsItsBits) {
  std::map<std::string, std::uint64_t> hashes;
  for (const std::string_view name : data_classes()) {
    std::vector<std::byte> all;
    for (const DType dtype : kActivationDTypes) {
      std::vector<std::byte> data;
      generate({std::string(name), 42}, dtype, 7, 130, data);
      all.insert(all.end(), data.begin(), data.end());
    }
    hashes[std::string(name)] = hash_of(all);
  }
  const std::map<std::string, std::uint64_t> golden = {
      {"alternating", 1554330256230536269u},    {"bit_classes", 1353645663734817054u},
      {"finite_bits", 2720273199910917104u},    {"large", 15911857137405220176u},
      {"model_rows", 16663087522243202177u},    {"model_weights", 13194855329308427255u},
      {"near_ties", 8192459973003125184u},      {"negative_zeros", 2958794804530434277u},
      {"normal", 8000840277315737803u},         {"ones", 2486556638750610413u},
      {"powers_of_two", 13788615569047616893u}, {"small_integers", 1247697632663339943u},
      {"special", 15019006384402935428u},       {"spike", 886627680319920237u},
      {"subnormal", 2730981037979476896u},      {"tiny", 2466708280635118821u},
      {"uniform_bits", 2413537991845817936u},   {"zeros", 17964490793615338469u},
  };
  EXPECT_EQ(hashes, golden);
}

TEST(Materialize, CarriesOutRecipesAndKeepsListedValues) {
  Case test_case;
  test_case.operation = Operation::fused_add_rms_norm;
  test_case.dtype = DType::fp16;
  test_case.weight_dtype = DType::fp32;
  test_case.shape = {2, 3};
  test_case[Role::input].data.recipe = Recipe{"normal", 5};
  test_case[Role::residual].data.bytes.resize(12);
  store_bits(test_case[Role::residual].data.bytes, DType::fp16, 5, 0x3c01);
  test_case[Role::weight].data.recipe = Recipe{"model_weights", 6};
  const CaseTensors tensors = materialize(test_case);
  std::vector<std::byte> wanted;
  generate(*test_case[Role::input].data.recipe, DType::fp16, 2, 3, wanted);
  EXPECT_EQ(tensors[Role::input], wanted);
  EXPECT_EQ(tensors[Role::residual], test_case[Role::residual].data.bytes);
  generate(*test_case[Role::weight].data.recipe, DType::fp32, 1, 3, wanted);
  EXPECT_EQ(tensors[Role::weight], wanted);
  test_case.operation = Operation::rms_norm;
  test_case[Role::residual].data = {};
  test_case.weight_dtype.reset();
  test_case[Role::weight].data = {};
  EXPECT_TRUE(materialize(test_case)[Role::residual].empty());
  EXPECT_TRUE(materialize(test_case)[Role::weight].empty());
}

}  // namespace
}  // namespace normproof
