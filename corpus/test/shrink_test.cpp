// Shrinking: candidates are valid and simpler, every chain ends, and minimize
// finds the small cases it is for.
#include "corpus/shrink.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "corpus/float_format.h"
#include "corpus/generate.h"
#include "corpus/random.h"

namespace normproof {
namespace {

Case small_case(Random& random, std::int64_t max_hidden = 24) {
  CaseLimits limits;
  limits.max_rows = 4;
  limits.max_hidden = max_hidden;
  limits.allow_refused = true;
  return random_case(random, limits);
}

// A case with as few frills as there are: what is left when everything fails that has a row.
Case simplest_case(Operation operation, DType dtype) {
  Case simplest;
  simplest.operation = operation;
  simplest.dtype = dtype;
  simplest.shape = {1, 1};
  simplest[Role::input].data.bytes.resize(size_of(dtype));
  store_bits(simplest[Role::input].data.bytes, dtype, 0, format_of(dtype).one());
  if (has(operation, Role::residual)) simplest[Role::residual].data.bytes.resize(size_of(dtype));
  return simplest;
}

TEST(ShrinkSequence, CandidatesAreValidAndStrictlySimpler) {
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    const Case origin = small_case(random);
    const Complexity measure = complexity(origin);
    ShrinkSequence sequence(origin);
    while (const auto candidate = sequence.next()) {
      const auto reasons = validate(*candidate);
      ASSERT_TRUE(reasons.empty()) << reasons.front();
      ASSERT_LT(complexity(*candidate), measure);
      ASSERT_EQ(candidate->operation, origin.operation);
      ASSERT_EQ(candidate->dtype, origin.dtype);
      ASSERT_EQ(candidate->quantized_dtype, origin.quantized_dtype);
    }
    EXPECT_EQ(sequence.next(), std::nullopt);
  }
}

TEST(SimplerOperations, AreValidAndEndAtRmsNorm) {
  Random random(11);
  for (int i = 0; i < 200; ++i) {
    const Case origin = small_case(random);
    const std::vector<Case> candidates = simpler_operations(origin);
    EXPECT_EQ(candidates.empty(), origin.operation == Operation::rms_norm);
    for (const Case& candidate : candidates) {
      ASSERT_TRUE(validate(candidate).empty()) << validate(candidate).front();
      ASSERT_LT(spec_of(candidate.operation).steps.size(), spec_of(origin.operation).steps.size());
      ASSERT_EQ(candidate.shape, origin.shape);
    }
  }
}

TEST(SimplerOperations, TakeTheSumsForTheInput) {
  Case fused = simplest_case(Operation::fused_add_rms_norm, DType::bf16);
  store_bits(fused[Role::residual].data.bytes, DType::bf16, 0, 0x4040);  // 1 + 3
  const std::vector<Case> candidates = simpler_operations(fused);
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(load_bits(candidates[0][Role::input].data.bytes, DType::bf16, 0), 0x3f80u);
  EXPECT_EQ(load_bits(candidates[1][Role::input].data.bytes, DType::bf16, 0), 0x4080u);
}

TEST(PlainValues, OffersEachTensorOnce) {
  Random random(12);
  for (int i = 0; i < 200; ++i) {
    Case test_case = small_case(random);
    int steps = 0;
    for (auto candidates = plain_values(test_case); !candidates.empty();
         candidates = plain_values(test_case)) {
      ASSERT_TRUE(validate(candidates.front()).empty());
      test_case = candidates.front();
      ASSERT_LE(++steps, 3);
    }
  }
}

TEST(ShrinkSequence, EveryRandomWalkEndsAtTheEmptyCase) {
  Random random(2);
  for (int i = 0; i < 200; ++i) {
    Case test_case = small_case(random, 12);
    for (int step = 0;; ++step) {
      ASSERT_LT(step, 2000);
      ShrinkSequence sequence(test_case);
      std::optional<Case> candidate;
      // One of the first candidates, not always the boldest.
      for (std::uint64_t skip = random.below(20); auto next = sequence.next();) {
        candidate = next;
        if (skip-- == 0) break;
      }
      if (!candidate) break;
      test_case = *std::move(candidate);
    }
    EXPECT_EQ(test_case.rows(), 0);
    EXPECT_EQ(test_case.hidden_size(), 1);
    EXPECT_EQ(complexity(test_case), (Complexity{1, 0, 0, 0, 0}));
  }
}

TEST(ShrinkSequence, DropsOutputsOfTheOrigin) {
  Case origin;
  origin.shape = {1, 2};
  origin[Role::input].data.bytes.resize(4);
  origin.outputs.emplace();
  (*origin.outputs)[Role::out].resize(4);
  ASSERT_TRUE(validate(origin).empty());
  for (const Case& candidate : shrink_candidates(origin)) EXPECT_FALSE(candidate.outputs.has_value());
}

TEST(ShrinkCandidates, ListTheSequence) {
  Random random(3);
  const Case origin = small_case(random, 6);
  const std::vector<Case> candidates = shrink_candidates(origin);
  ShrinkSequence sequence(origin);
  for (const Case& candidate : candidates) EXPECT_EQ(sequence.next(), candidate);
  EXPECT_EQ(sequence.next(), std::nullopt);
}

TEST(ShrinkCandidates, KeepTheValuesOfRecipes) {
  Case origin;
  origin.shape = {3, 5};
  origin[Role::input].data.recipe = Recipe{"normal", 7};
  origin.weight_dtype = DType::bf16;
  origin[Role::weight].data.recipe = Recipe{"model_weights", 8};
  const CaseTensors values = materialize(origin);
  bool listed = false;
  for (const Case& candidate : shrink_candidates(origin)) {
    if (candidate.shape == origin.shape && !candidate[Role::input].data.recipe && candidate.weight_dtype) {
      listed = listed || (candidate[Role::input].data.bytes == values[Role::input] &&
                          candidate[Role::weight].data.bytes == values[Role::weight]);
    }
  }
  EXPECT_TRUE(listed);
}

TEST(ShrinkCandidates, RemoveTheSameColumnFromEveryTensor) {
  Case origin;
  origin.operation = Operation::fused_add_rms_norm;
  origin.weight_dtype = DType::fp32;
  origin.shape = {2, 3};
  origin[Role::input].data.bytes.resize(12);
  origin[Role::residual].data.bytes.resize(12);
  origin[Role::weight].data.bytes.resize(12);
  for (std::int64_t i = 0; i < 6; ++i) {
    store_bits(origin[Role::input].data.bytes, DType::bf16, i, static_cast<std::uint32_t>(10 + i));
    store_bits(origin[Role::residual].data.bytes, DType::bf16, i, static_cast<std::uint32_t>(20 + i));
    if (i < 3)
      store_bits(origin[Role::weight].data.bytes, DType::fp32, i, static_cast<std::uint32_t>(30 + i));
  }
  bool found = false;
  for (const Case& candidate : shrink_candidates(origin)) {
    if (candidate.shape != std::vector<std::int64_t>{2, 2} || !candidate.weight_dtype) continue;
    // A companion, which comes from no column, has weight 1.
    if (load_bits(candidate[Role::weight].data.bytes, DType::fp32, 1) == kFp32.one()) continue;
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < 4; ++i) {
      const std::uint32_t input = load_bits(candidate[Role::input].data.bytes, DType::bf16, i);
      EXPECT_EQ(load_bits(candidate[Role::residual].data.bytes, DType::bf16, i), input + 10);
      EXPECT_EQ(load_bits(candidate[Role::weight].data.bytes, DType::fp32, i % 2), 30 + (input - 10) % 3);
      kept += static_cast<std::int64_t>(input);
    }
    found = found || kept == 10 + 12 + 13 + 15;  // without the middle column
  }
  EXPECT_TRUE(found);
}

TEST(Minimize, ReachesTheSimplestCaseWhereEverythingFails) {
  Random random(4);
  for (int i = 0; i < 300; ++i) {
    Case failing = small_case(random, 80);
    if (failing.rows() == 0) continue;
    Case wanted = simplest_case(failing.operation, failing.dtype);
    wanted.quantized_dtype = failing.quantized_dtype;
    const Case found = minimize(failing, [](const Case& candidate) { return candidate.rows() > 0; });
    ASSERT_EQ(complexity(found), complexity(wanted));
    ASSERT_EQ(found, wanted);
  }
}

TEST(Minimize, AsksAtMostItsBudgetAndNeverReturnsWhatDoesNotFail) {
  Random random(5);
  const Case failing = small_case(random, 200);
  std::int64_t calls = 0;
  const auto counts = [&](const Case&) {
    ++calls;
    return false;
  };
  EXPECT_EQ(minimize(failing, counts, 17), failing);
  EXPECT_EQ(calls, 17);
  EXPECT_EQ(minimize(failing, counts, 0), failing);
  EXPECT_EQ(calls, 17);
}

TEST(Minimize, KeepsTheLayoutThatMatters) {
  Case failing;
  failing.shape = {2, 3, 16};
  failing[Role::input].layout = {{16, 40}, 7};
  failing[Role::out].layout = {{60, 20}, 3};
  failing[Role::input].data.recipe = Recipe{"model_rows", 3};
  failing.launch = {KernelPath::scalar, 128};
  failing.schedule = {ThreadOrder::random, 99};
  ASSERT_TRUE(validate(failing).empty());
  // Something that happens with transposed leading dimensions only.
  const Case found = minimize(failing, [](const Case& candidate) {
    return candidate.shape.size() == 3 && candidate.shape[0] > 1 && candidate.shape[1] > 1 &&
           !candidate[Role::input].layout.strides.empty() &&
           candidate[Role::input].layout.strides[0] < candidate[Role::input].layout.strides[1];
  });
  EXPECT_EQ(found.shape, (std::vector<std::int64_t>{2, 2, 1}));
  EXPECT_EQ(found[Role::input].layout, (TensorLayout{{1, 2}, 0}));
  EXPECT_EQ(found[Role::out].layout, TensorLayout{});
  EXPECT_EQ(found.launch, LaunchChoice{});
  EXPECT_EQ(found.schedule, Schedule{});
}

TEST(Minimize, KeepsAnUpperBoundThatMattersAndMakesItPlain) {
  Random random(11);
  CaseLimits limits;
  limits.quantized_dtype = DType::int8;
  limits.scale_ub = true;
  Case failing = random_case(random, limits);
  failing.bits_of(Parameter::scale_ub) = 0x40f20869;
  const auto smallest = [&](auto still_fails) { return minimize(failing, still_fails, 100000); };
  EXPECT_FALSE(smallest([](const Case&) { return true; }).has_scale_ub());
  EXPECT_EQ(smallest([](const Case& each) { return each.has_scale_ub(); }).bits_of(Parameter::scale_ub),
            0x3f800000u);
  const auto is_large = [](const Case& each) { return each.value_of(Parameter::scale_ub) > 2; };
  EXPECT_EQ(smallest([&](const Case& each) {
              return each.has_scale_ub() && is_large(each);
            }).bits_of(Parameter::scale_ub),
            0x40f20869u);
}

TEST(Minimize, FindsTheSmallestGiantStride) {
  Case failing;
  failing.shape = {3, 8};
  failing[Role::input].layout.strides = {(std::int64_t{1} << 32) + 24};
  failing[Role::input].data.recipe = Recipe{"normal", 3};
  const Case found = minimize(failing, [](const Case& candidate) {
    return candidate.rows() > 1 && !candidate[Role::input].layout.strides.empty() &&
           candidate[Role::input].layout.strides[0] >= std::int64_t{1} << 31;
  });
  EXPECT_EQ(found.shape, (std::vector<std::int64_t>{2, 1}));
  // Half the way, as often as it goes, then single steps.
  EXPECT_LT(found[Role::input].layout.strides[0], (std::int64_t{1} << 31) + 1000);
}

TEST(Minimize, FindsTheOneElementAmongMany) {
  for (const std::int64_t hidden : {64, 1000, 4096}) {
    Case failing;
    failing.dtype = DType::fp16;
    failing.shape = {5, hidden};
    failing[Role::input].data.recipe = Recipe{"model_rows", 11};
    failing[Role::input].data.bytes = materialize(failing)[Role::input];
    failing[Role::input].data.recipe.reset();
    const std::int64_t place = 3 * hidden + hidden / 2 + 7;
    store_bits(failing[Role::input].data.bytes, DType::fp16, place, 0x7c01);  // a NaN
    int calls = 0;
    const Case found = minimize(failing, [&](const Case& candidate) {
      ++calls;
      for (std::int64_t i = 0; i < candidate.elements(); ++i) {
        if (kFp16.is_nan(load_bits(candidate[Role::input].data.bytes, DType::fp16, i))) return true;
      }
      return false;
    });
    EXPECT_EQ(found.elements(), 1);
    EXPECT_EQ(load_bits(found[Role::input].data.bytes, DType::fp16, 0), kFp16.quiet_nan());
    EXPECT_LT(calls, 3000) << hidden;
  }
}

TEST(Minimize, ResetsElementsByTheBlock) {
  Case failing;
  failing.shape = {1, 600};
  failing[Role::input].data.recipe = Recipe{"model_rows", 12};
  failing[Role::input].data.bytes = materialize(failing)[Role::input];
  failing[Role::input].data.recipe.reset();
  store_bits(failing[Role::input].data.bytes, DType::bf16, 300, 0x7fc1);
  int calls = 0;
  const Case found = minimize(failing, [&](const Case& candidate) {
    if (candidate.shape != failing.shape) return false;
    ++calls;
    return kBf16.is_nan(load_bits(candidate[Role::input].data.bytes, DType::bf16, 300));
  });
  for (std::int64_t i = 0; i < 600; ++i) {
    ASSERT_EQ(load_bits(found[Role::input].data.bytes, DType::bf16, i),
              i == 300 ? kBf16.quiet_nan() : kBf16.one())
        << i;
  }
  EXPECT_LT(calls, 120);
}

float from_bf16(std::uint32_t bits) { return std::bit_cast<float>(bits << 16); }
float to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

// Whether multiplying the weight in fp32 shows: bug B1.
bool weight_multiply_differs(const Case& test_case) {
  const CaseTensors tensors = materialize(test_case);
  if (test_case.weight_dtype != DType::bf16 || test_case.rows() == 0) return false;
  const std::int64_t hidden = test_case.hidden_size();
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    double squares = 0;
    for (std::int64_t j = 0; j < hidden; ++j) {
      const double x = from_bf16(load_bits(tensors[Role::input], DType::bf16, row * hidden + j));
      squares += x * x;
    }
    const auto r = static_cast<float>(
        1 / std::sqrt(squares / static_cast<double>(hidden) + test_case.value_of(Parameter::epsilon)));
    for (std::int64_t j = 0; j < hidden; ++j) {
      const float n = from_bf16(load_bits(tensors[Role::input], DType::bf16, row * hidden + j)) * r;
      const float w = from_bf16(load_bits(tensors[Role::weight], DType::bf16, j));
      if (to_bf16(to_bf16(n) * w) != to_bf16(n * w)) return true;
    }
  }
  return false;
}

int not_one(const std::vector<std::byte>& data) {
  int count = 0;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(data.size() / 2); ++i) {
    count += load_bits(data, DType::bf16, i) == kBf16.one() ? 0 : 1;
  }
  return count;
}

TEST(Minimize, ReducesAWrongWeightMultiplyToOneRowAndTwoElements) {
  Random random(6);
  CaseLimits limits;
  limits.operation = Operation::rms_norm;
  limits.dtype = DType::bf16;
  limits.weight = WeightKind::activation;
  limits.max_hidden = 600;
  int tried = 0;
  while (tried < 60) {
    const Case failing = random_case(random, limits);
    if (!weight_multiply_differs(failing)) continue;
    ++tried;
    const Case found = minimize(failing, weight_multiply_differs);
    ASSERT_TRUE(weight_multiply_differs(found));
    EXPECT_EQ(found.rows(), 1);
    EXPECT_LE(found.hidden_size(), 2);
    EXPECT_LE(not_one(found[Role::input].data.bytes), 2);
    EXPECT_LE(not_one(found[Role::weight].data.bytes), 1);
    EXPECT_EQ(found[Role::input].layout, TensorLayout{});
    EXPECT_EQ(found.launch, LaunchChoice{});
  }
}

// A bug of many rows is shown by the fewest rows that have it, soon, and without a list of their elements.
TEST(Minimize, FindsTheThresholdOfRowsAndColumns) {
  struct Threshold {
    std::vector<std::int64_t> shape, least;
  };
  const std::vector<Threshold> thresholds = {
      {{300, 6144}, {256, 512}},    {{1025, 16384}, {1024, 1}},       {{1025, 6144}, {65, 6144}},
      {{8388609, 1}, {8388608, 1}}, {{1, 65537, 128}, {1, 65536, 1}}, {{4096, 7000}, {777, 3001}},
  };
  for (const auto& [shape, least] : thresholds) {
    Case failing;
    failing.shape = shape;
    failing.dtype = DType::fp32;
    failing.weight_dtype = DType::fp32;
    failing[Role::input].data.recipe = Recipe{"small_integers", 3};
    failing[Role::weight].data.recipe = Recipe{"model_weights", 4};
    int calls = 0;
    const Case smallest = minimize(failing, [&, wanted = least](const Case& candidate) {
      ++calls;
      if (candidate.shape.size() != wanted.size()) return false;
      for (std::size_t dim = 0; dim < wanted.size(); ++dim)
        if (candidate.shape[dim] < wanted[dim]) return false;
      return true;
    });
    EXPECT_EQ(smallest.shape, least);
    if (smallest.elements() > 4096) {
      EXPECT_EQ(smallest[Role::input].data.recipe, (Recipe{"ones", 0}));
      EXPECT_LT(calls, 150);
    }
    EXPECT_FALSE(smallest.weight_dtype);
  }
}

}  // namespace
}  // namespace normproof
