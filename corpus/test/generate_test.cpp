// Random cases: valid, within their limits, reproducible, and as varied as they claim to be.
#include "corpus/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "corpus/float_format.h"

namespace normproof {
namespace {

std::string first_reason(const Case& test_case) {
  const std::vector<std::string> reasons = validate(test_case);
  return reasons.empty() ? std::string() : reasons.front();
}

TEST(RandomCase, IsValidWithinItsLimits) {
  Random random(1);
  for (int i = 0; i < 100000; ++i) {
    CaseLimits limits;
    limits.max_rows = random.between(0, 6);
    limits.max_hidden = random.log_between(1, 80);
    limits.max_padding = random.between(0, 40);
    if (random.chance(1, 4)) limits.max_elements = random.between(1, 100);
    if (random.chance(1, 2)) limits.operation = random.pick(all_operations());
    if (random.chance(1, 2)) limits.dtype = random.pick(kActivationDTypes);
    if (random.chance(1, 2)) limits.weight = random.pick(kWeightKinds);
    if (random.chance(1, 2)) limits.quantized_dtype = random.pick(kQuantizedDTypes);
    limits.path = random.pick(std::array{KernelPath::automatic, KernelPath::vectorized, KernelPath::scalar});
    limits.giant_strides = random.chance(1, 4);
    limits.allow_refused = random.chance(1, 4);
    if (random.chance(1, 4)) limits.max_threads_per_block = 64;
    limits.int8 = random.chance(1, 2);
    limits.scale_ub = random.chance(1, 2);
    const Case test_case = random_case(random, limits);
    ASSERT_EQ(first_reason(test_case), "") << i;
    ASSERT_TRUE(within(test_case, limits)) << i;
  }
}

TEST(RandomCase, CoversEveryCombination) {
  using Combination = std::tuple<Operation, DType, std::optional<DType>, std::optional<DType>, bool>;
  std::map<Combination, int> seen;
  Random random(2);
  CaseLimits limits;
  limits.max_rows = 3;
  limits.max_hidden = 64;
  for (int i = 0; i < 20000; ++i) {
    const Case test_case = random_case(random, limits);
    ++seen[{test_case.operation, test_case.dtype, test_case.weight_dtype, test_case.quantized_dtype,
            vectorizable(test_case)}];
  }
  // bf16 and fp16 have three kinds of weight, fp32 two; two operations do not quantize, two have four dtypes.
  EXPECT_EQ(seen.size(), (3u + 3u + 2u) * (1u + 1u + 4u + 4u + 4u + 4u) * 2u);
  for (const auto& [combination, count] : seen) EXPECT_GE(count, 20);
}

TEST(RandomCase, IsToInt8AndHasAnUpperBoundWhereTheLimitsSaySo) {
  Random random(5);
  for (const bool wanted : {false, true}) {
    CaseLimits limits;
    limits.max_rows = limits.max_hidden = 4;
    limits.int8 = limits.scale_ub = wanted;
    std::map<Operation, int> int8, bounded, below_the_least_scale;
    for (int i = 0; i < 6000; ++i) {
      const Case test_case = random_case(random, limits);
      if (test_case.quantized_dtype == DType::int8) ++int8[test_case.operation];
      if (!test_case.has_scale_ub()) continue;
      ++bounded[test_case.operation];
      if (test_case.value_of(Parameter::scale_ub) < 1e-6f) ++below_the_least_scale[test_case.operation];
    }
    for (const Operation operation : all_operations()) {
      const bool expected = wanted && quantizes_by_row(operation);
      EXPECT_EQ(int8[operation] > 100, expected) << name_of(operation);
      EXPECT_EQ(bounded[operation] > 200, expected) << name_of(operation);
      EXPECT_EQ(below_the_least_scale[operation] > 10, expected) << name_of(operation);
      if (!expected) {
        EXPECT_EQ(int8[operation] + bounded[operation], 0) << name_of(operation);
      }
    }
  }
  CaseLimits limits;
  limits.quantized_dtype = DType::int8;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(quantizes_by_row(random_case(random, limits).operation));
}

TEST(RandomCase, HasEveryKindOfLayoutExecutionAndScalar) {
  std::map<std::string, int> seen;
  Random random(3);
  constexpr int kCases = 40000;
  std::int64_t rows = 0;
  std::int64_t special_rows = 0;
  CaseLimits limits;
  limits.max_hidden = 256;
  for (int i = 0; i < kCases; ++i) {
    const Case test_case = random_case(random, limits);
    ++seen["rank " + std::to_string(test_case.shape.size())];
    ++seen["threads " + std::to_string(test_case.launch.threads_per_block)];
    ++seen["order " + std::to_string(static_cast<int>(test_case.schedule.order))];
    ++seen["path " + std::to_string(static_cast<int>(test_case.launch.path))];
    ++seen["hidden " + std::to_string(test_case.hidden_size())];
    ++seen["rows " + std::to_string(test_case.rows())];
    if (test_case.in_place) ++seen["in place"];
    if (test_case[Role::input].data.recipe) ++seen["recipe"];
    const TensorLayout& layout = test_case[Role::input].layout;
    ++seen["offset " + std::to_string(layout.offset)];
    if (!layout.strides.empty() && layout.strides[0] > test_case.hidden_size()) ++seen["padded"];
    if (layout.strides.size() > 1 && test_case.shape[0] > 1 && layout.strides[0] < layout.strides[1]) {
      ++seen["transposed"];
    }
    const std::uint32_t epsilon = test_case.bits_of(Parameter::epsilon);
    ++seen[kFp32.is_nan(epsilon)         ? "epsilon nan"
           : kFp32.is_infinite(epsilon)  ? "epsilon infinite"
           : epsilon == 0                ? "epsilon 0"
           : epsilon == 0x80000000       ? "epsilon -0"
           : kFp32.is_subnormal(epsilon) ? "epsilon subnormal"
           : (epsilon >> 31) != 0        ? "epsilon negative"
                                         : "epsilon positive"];
    if (test_case.quantized_dtype) {
      const std::uint32_t scale = test_case.bits_of(Parameter::scale);
      ++seen[kFp32.is_nan(scale)         ? "scale nan"
             : kFp32.is_infinite(scale)  ? "scale infinite"
             : kFp32.is_zero(scale)      ? "scale 0"
             : kFp32.is_subnormal(scale) ? "scale subnormal"
             : (scale >> 31) != 0        ? "scale negative"
                                         : "scale positive"];
    }
    const FloatFormat format = format_of(test_case.dtype);
    const CaseTensors tensors = materialize(test_case);
    for (std::int64_t row = 0; row < test_case.rows(); ++row) {
      bool special = false;
      for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
        const std::int64_t index = row * test_case.hidden_size() + column;
        for (const std::vector<std::byte>* tensor : {&tensors[Role::input], &tensors[Role::residual]}) {
          if (tensor->empty()) continue;
          const std::uint32_t bits = load_bits(*tensor, test_case.dtype, index);
          special = special || format.magnitude(bits) >= format.infinity() || bits == format.sign_bit() ||
                    format.is_subnormal(bits);
        }
      }
      ++rows;
      special_rows += special ? 1 : 0;
    }
  }
  for (const char* wanted : {"rank 2",
                             "rank 3",
                             "rank 4",
                             "threads 0",
                             "threads 32",
                             "threads 64",
                             "threads 256",
                             "order 0",
                             "order 1",
                             "order 2",
                             "path 0",
                             "path 1",
                             "path 2",
                             "hidden 1",
                             "hidden 7",
                             "hidden 8",
                             "hidden 9",
                             "hidden 31",
                             "hidden 32",
                             "hidden 33",
                             "hidden 127",
                             "hidden 128",
                             "hidden 129",
                             "hidden 256",
                             "rows 0",
                             "rows 1",
                             "rows 2",
                             "rows 8",
                             "in place",
                             "recipe",
                             "offset 0",
                             "offset 1",
                             "offset 8",
                             "offset 15",
                             "padded",
                             "transposed",
                             "epsilon nan",
                             "epsilon infinite",
                             "epsilon 0",
                             "epsilon -0",
                             "epsilon subnormal",
                             "epsilon negative",
                             "epsilon positive",
                             "scale nan",
                             "scale infinite",
                             "scale 0",
                             "scale subnormal",
                             "scale negative",
                             "scale positive"}) {
    EXPECT_GE(seen[wanted], 40) << wanted;
  }
  EXPECT_GT(special_rows * 10, rows);
  EXPECT_LT(special_rows * 10, rows * 7);
}

TEST(RandomCase, SprinklesSpecialsOverTheRowsAskedFor) {
  std::array<double, 2> shares{};
  for (const int percent : {0, 100}) {
    Random random(11);
    CaseLimits limits;
    limits.operation = Operation::rms_norm;
    limits.dtype = DType::bf16;
    limits.max_hidden = 64;
    limits.special_percent = percent;
    int rows = 0;
    int special_rows = 0;
    for (int i = 0; i < 2000; ++i) {
      const Case test_case = random_case(random, limits);
      if (test_case[Role::input].data.recipe) continue;
      for (std::int64_t row = 0; row < test_case.rows(); ++row) {
        bool special = false;
        for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
          const std::uint32_t bits = load_bits(test_case[Role::input].data.bytes, DType::bf16,
                                               row * test_case.hidden_size() + column);
          special = special || kBf16.magnitude(bits) >= kBf16.infinity() || kBf16.is_zero(bits) ||
                    kBf16.is_subnormal(bits);
        }
        ++rows;
        special_rows += special ? 1 : 0;
      }
    }
    shares[percent == 0 ? 0 : 1] = static_cast<double>(special_rows) / rows;
  }
  EXPECT_LT(shares[0], 0.5);
  EXPECT_EQ(shares[1], 1);
}

TEST(RandomCase, IsReproducible) {
  Random first(9);
  Random second(9);
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };
  for (int i = 0; i < 2000; ++i) {
    const Case test_case = random_case(first);
    ASSERT_EQ(test_case, random_case(second));
    const CaseTensors tensors = materialize(test_case);
    for (const auto* data : {&tensors[Role::input], &tensors[Role::residual], &tensors[Role::weight]}) {
      for (const std::byte byte : *data) add(std::to_integer<std::uint64_t>(byte));
    }
    for (const std::int64_t stride : test_case[Role::input].layout.strides)
      add(static_cast<std::uint64_t>(stride));
    add(test_case.bits_of(Parameter::epsilon));
    add(test_case.bits_of(Parameter::scale));
  }
  EXPECT_EQ(hash, 6504383595381455103u);  // the same on every machine
}

TEST(RandomCase, HasGiantStridesOnDemandOnly) {
  Random random(4);
  CaseLimits limits;
  limits.max_rows = 2;
  limits.max_hidden = 32;
  limits.giant_strides = true;
  int beyond_int32 = 0;
  for (int i = 0; i < 1000; ++i) {
    const Case test_case = random_case(random, limits);
    for (const std::int64_t stride : test_case[Role::input].layout.strides)
      beyond_int32 += stride > INT32_MAX ? 1 : 0;
  }
  EXPECT_GT(beyond_int32, 500);
}

TEST(RandomCase, AsksForRefusalsOnDemandOnly) {
  Random random(5);
  CaseLimits limits;
  limits.max_hidden = 40;
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    limits.allow_refused = i % 2 != 0;
    const Case test_case = random_case(random, limits);
    if (test_case.launch.path == KernelPath::vectorized && !vectorizable(test_case)) {
      ASSERT_TRUE(limits.allow_refused);
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Vectorizable, NeedsWholeChunksAndEveryAlignment) {
  Case good;
  good.operation = Operation::fused_add_rms_norm_static_fp8_quant;
  good.weight_dtype = DType::fp32;
  good.quantized_dtype = DType::fp8_e5m2;
  good.shape = {2, 16};
  good[Role::input].layout = {{24}, 8};
  good[Role::residual].layout = {{16}, 16};
  good[Role::out].layout = {{32}, 8};
  good[Role::weight].layout.offset = 4;  // 16 bytes of fp32
  ASSERT_TRUE(vectorizable(good));
  const auto spoiled = [&](auto change) {
    Case test_case = good;
    change(test_case);
    return !vectorizable(test_case);
  };
  EXPECT_TRUE(spoiled([](Case& c) { c.shape[1] = 12; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::input].layout.offset = 4; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::input].layout.strides[0] = 20; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::residual].layout.offset = 1; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::residual].layout.strides[0] = 18; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::out].layout.offset = 4; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::out].layout.strides[0] = 20; }));
  EXPECT_TRUE(spoiled([](Case& c) { c[Role::weight].layout.offset = 2; }));
  EXPECT_TRUE(spoiled([](Case& c) { c.weight_dtype = DType::bf16; }));  // 4 elements are 8 bytes then
  EXPECT_FALSE(spoiled([](Case& c) {
    c.dtype = DType::fp32;
    c.shape[1] = 12;
    c[Role::input].layout = {{20}, 4};
  }));
}

TEST(FitStrides, KeepsWhatFitsAndMovesTheRest) {
  Case test_case;
  test_case.shape = {3, 2, 8};
  CaseLimits limits;
  limits.max_padding = 10;
  using Strides = std::vector<std::int64_t>;
  const auto fit = [&](Strides strides) { return fit_strides(std::move(strides), test_case, limits); };
  EXPECT_EQ(fit({16, 8}), (Strides{16, 8}));
  EXPECT_EQ(fit({8, 24}), (Strides{8, 24}));    // transposed
  EXPECT_EQ(fit({34, 18}), (Strides{34, 18}));  // both gaps as wide as they may be
  EXPECT_EQ(fit({16, 7}), (Strides{16, 8}));
  EXPECT_EQ(fit({9, 8}), (Strides{16, 8}));
  EXPECT_EQ(fit({16, 19}), (Strides{16, 40}));
  EXPECT_EQ(fit({-5, 0}), (Strides{8, 24}));
  EXPECT_EQ(fit({27, 8}), (Strides{16, 8}));  // a gap of 11 is one too many
  test_case.shape = {1, 2, 8};
  EXPECT_EQ(fit({1, 8}), (Strides{1, 8}));  // a dimension of one step goes nowhere
  limits.giant_strides = true;
  EXPECT_EQ(fit({1, std::int64_t{1} << 32}), (Strides{1, std::int64_t{1} << 32}));
  test_case.shape = {std::int64_t{1} << 28, 1 << 20, 8};
  EXPECT_EQ(fit({INT64_MAX, INT64_MAX - 1}), Strides{});
}

// A row of one element is normalized to 1: its product with the inverse scale is the inverse scale. A
// division shows only at a midpoint of Q or beside it, where a scale that nothing led there would hardly ever
// put it.
TEST(RandomCase, ScalesAimAtMidpoints) {
  CaseLimits limits;
  limits.max_hidden = 1;
  limits.operation = Operation::rms_norm_static_fp8_quant;
  limits.dtype = DType::bf16;
  limits.weight = WeightKind::none;
  limits.quantized_dtype = DType::fp8_e4m3fn;
  Random random(5);
  int midpoints = 0;
  constexpr int kCases = 4000;
  for (int i = 0; i < kCases; ++i) {
    const float inverse = 1.0f / random_case(random, limits).value_of(Parameter::scale);
    int exponent = 0;
    const float five_bits = std::ldexp(std::frexp(inverse, &exponent), 5);
    midpoints += five_bits == std::floor(five_bits) && std::fmod(five_bits, 2.0f) == 1.0f ? 1 : 0;
  }
  EXPECT_GT(midpoints, kCases / 20);
}

}  // namespace
}  // namespace normproof
