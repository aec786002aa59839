// The kernels that stream rows through shared memory against the general ones, which the oracle is held
// against elsewhere: the same bits in every shape, of units of every length, whatever the block does beside.
#include "kernels/family/norm_gradient.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

struct Buffer {
  std::vector<std::uint32_t> words;  // aligned well enough for chunks, as new aligns them
  Tensor tensor;
};

// Elements of all magnitudes, and now and then a special one.
std::uint32_t random_bits(DType dtype, std::mt19937_64& random) {
  const auto number = static_cast<float>(std::normal_distribution<double>()(random)) *
                      std::exp2(static_cast<float>(random() % 7) - 3);
  const std::uint64_t special = random() % 4000;
  const float value = special == 0 ? INFINITY : special == 1 ? 0x1p-149f : special < 20 ? -0.0f : number;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (dtype == DType::fp32) return bits;
  if (dtype == DType::bf16) return bits >> 16;
  return static_cast<std::uint32_t>(random() % 200 == 0 ? random() & 0xffff : (random() & 0x83ff) | 0x3800);
}

Buffer buffer(DType dtype, std::vector<std::int64_t> sizes, std::mt19937_64& random) {
  Buffer result;
  std::int64_t count = 1;
  result.tensor.dtype = dtype;
  result.tensor.rank = static_cast<int>(sizes.size());
  for (std::size_t i = sizes.size(); i-- > 0;) {
    result.tensor.sizes[i] = sizes[i];
    result.tensor.strides[i] = count;
    count *= sizes[i];
  }
  const auto bytes = static_cast<std::size_t>(count * size_of(dtype));
  result.words.resize(bytes / sizeof(std::uint32_t) + 4);
  auto* data = reinterpret_cast<char*>(result.words.data());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t bits = random_bits(dtype, random);
    std::memcpy(data + i * size_of(dtype), &bits, static_cast<std::size_t>(size_of(dtype)));
  }
  return result;
}

struct Scene {
  DType dtype = DType::bf16;
  bool centred = false;
  std::int64_t rows = 0, hidden = 0;
  bool has_weight = true, has_added = false, has_dx = true, has_dweight = true, in_place = false;
  std::uint64_t seed = 0;
};

std::ostream& operator<<(std::ostream& out, const Scene& scene) {
  return out << text_of(scene.dtype) << (scene.centred ? ", LayerNorm, " : ", RMSNorm, ") << scene.rows
             << " rows of " << scene.hidden << ", weight " << scene.has_weight << ", dresidual "
             << scene.has_added << ", dx " << scene.has_dx << ", dweight " << scene.has_dweight
             << ", in place " << scene.in_place << ", seed " << scene.seed;
}

// The bytes of all outputs.
std::vector<std::uint32_t> run(const Scene& scene, const GradientChoice* choice, LaunchReport* report) {
  std::mt19937_64 random(scene.seed);
  Buffer dy = buffer(scene.dtype, {scene.rows, scene.hidden}, random);
  Buffer x = buffer(scene.dtype, {scene.rows, scene.hidden}, random);
  Buffer weight = buffer(random() % 2 == 0 ? DType::fp32 : scene.dtype, {scene.hidden}, random);
  Buffer rstd = buffer(DType::fp32, {scene.rows, 1}, random),
         mean = buffer(scene.dtype, {scene.rows}, random);
  Buffer added = buffer(scene.dtype, {scene.rows, scene.hidden}, random);
  Buffer dx = buffer(scene.dtype, {scene.rows, scene.hidden}, random);
  Buffer dweight = buffer(random() % 2 == 0 ? DType::fp32 : scene.dtype, {scene.hidden}, random);
  Buffer dbias = buffer(DType::fp32, {scene.hidden}, random);
  std::vector<NamedTensor> tensors = {{"dy", dy.tensor}, {"x", x.tensor}, {"rstd", rstd.tensor}};
  std::vector<Buffer*> buffers = {&dy, &x, &rstd};
  const auto give = [&](bool wanted, const char* role, Buffer& given) {
    if (!wanted) return;
    tensors.push_back({role, given.tensor});
    buffers.push_back(&given);
  };
  give(scene.has_weight, "weight", weight);
  give(scene.centred, "mean", mean);
  give(scene.has_added, "dresidual", added);
  give(scene.has_dx, "dx", scene.in_place ? dy : dx);
  give(scene.has_dweight, "dweight", dweight);
  give(scene.centred && scene.has_dweight, "dbias", dbias);
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].tensor.data = buffers[i]->words.data();
  NamedCall call;
  call.operation = scene.centred ? "layer_norm_backward" : "rms_norm_backward";
  call.tensors = tensors;
  const Status status = run_norm_backward(call, {scene.centred}, choice, nullptr, report);
  EXPECT_TRUE(status.ok()) << status.message;
  std::vector<std::uint32_t> result;
  for (const Buffer* out : {&dy, &dx, &dweight, &dbias}) {
    for (const std::uint32_t word : out->words) {
      const bool is_nan = out->tensor.dtype == DType::fp32 && std::isnan(std::bit_cast<float>(word));
      result.push_back(is_nan ? 0x7fffffffu : word);  // NaN is NaN
    }
  }
  return result;
}

// Chunks of 16 bytes that a kernel takes, and how many threads of it.
struct Shape {
  GradientKernels kernels;
  std::int64_t chunks;
  int threads;
};
constexpr Shape kShapes[] = {{GradientKernels::one_slot, 1, 32},       {GradientKernels::one_slot, 33, 64},
                             {GradientKernels::one_slot, 96, 96},      {GradientKernels::two_slots, 5, 32},
                             {GradientKernels::two_slots, 64, 32},     {GradientKernels::two_slots, 97, 64},
                             {GradientKernels::two_rounds, 1030, 1024}};
// Those of groups, of which each block has one.
constexpr Shape kGroupShapes[] = {{GradientKernels::group, 1, 32},
                                  {GradientKernels::group, 31, 32},
                                  {GradientKernels::group, 33, 64},
                                  {GradientKernels::group, 96, 96}};

TEST(NormGradient, EveryShapeGivesTheBitsOfTheGeneralKernels) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 42; ++i) {
    const Shape& shape = kShapes[i % 7];
    if (shape.chunks > 1000 && i % 35 != 6) continue;  // a thousand fibers
    Scene scene;
    scene.dtype = std::array{DType::bf16, DType::fp16, DType::fp32}[random() % 3];
    scene.centred = random() % 2 == 0;
    scene.rows = shape.chunks > 1000 ? 3 : static_cast<std::int64_t>(random() % (i % 7 == 0 ? 300 : 70));
    scene.hidden = shape.chunks * 16 / size_of(scene.dtype);
    scene.has_weight = random() % 4 != 0;
    scene.has_added = random() % 2 == 0;
    scene.has_dx = random() % 4 != 0;
    scene.has_dweight = !scene.has_dx || random() % 4 != 0;
    scene.in_place = scene.has_dx && random() % 3 == 0;
    scene.seed = random();
    GradientChoice choice{shape.kernels, shape.threads,
                          scene.has_dweight ? 3 + static_cast<int>(random() % 4) : 0,
                          2 + static_cast<int>(random() % 3), 1 + static_cast<int>(random() % 2)};
    const int steps = choice.unit_rows_log2 - kGroupRowsLog2;  // of the tree over groups
    choice.workspace_steps = steps > 0 ? static_cast<int>(random() % static_cast<unsigned>(steps + 1)) : 0;
    GradientChoice general{GradientKernels::general, 32, scene.rows % 2 == 0 ? 3 : 6};
    LaunchReport report;
    EXPECT_EQ(run(scene, &choice, &report), run(scene, &general, nullptr))
        << scene << "; " << shape.threads << " threads, units of 2^" << choice.unit_rows_log2 << " rows, "
        << choice.stages << " stages, " << choice.workspace_steps << " steps in the workspace";
    if (scene.rows > 0) {
      EXPECT_EQ(report.threads_per_block, shape.threads);
    }
    if (HasFailure()) return;
  }
}

// Units of other sizes leave other sums to be joined, as many as 138 here.
TEST(NormGradient, AsManyUnitsAsThereAreGiveTheSameSums) {
  for (const std::int64_t hidden : {12, 13, 40}) {
    Scene scene;
    scene.dtype = DType::fp32;
    scene.centred = true;
    scene.rows = 1100;
    scene.hidden = hidden;
    scene.has_dx = false;
    scene.has_dweight = true;
    scene.seed = 5;
    const auto of_units = [&](int unit_rows_log2) {
      const GradientChoice choice{GradientKernels::general, 32, unit_rows_log2};
      return run(scene, &choice, nullptr);
    };
    const auto expected = of_units(3);
    for (const int unit_rows_log2 : {4, 5, 7, 11})
      EXPECT_EQ(of_units(unit_rows_log2), expected) << "H " << hidden << ", units of 2^" << unit_rows_log2;
  }
}

TEST(NormGradient, GroupsOfRowsInRegistersGiveTheBitsOfTheGeneralKernels) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 48; ++i) {
    const Shape& shape = kGroupShapes[i % 4];
    Scene scene;
    scene.dtype = std::array{DType::bf16, DType::fp16, DType::fp32}[random() % 3];
    scene.centred = random() % 2 == 0;
    scene.rows = i % 3 == 0 ? 1 : static_cast<std::int64_t>(random() % 40);
    scene.hidden = shape.chunks * 16 / size_of(scene.dtype);
    scene.has_weight = random() % 4 != 0;
    scene.has_added = random() % 2 == 0;
    scene.has_dx = random() % 4 != 0;
    scene.has_dweight = !scene.has_dx || random() % 4 != 0;
    scene.in_place = scene.has_dx && random() % 3 == 0;
    scene.seed = random();
    const bool by_row = scene.rows == 1 || !scene.has_dweight;
    const GradientChoice choice{shape.kernels, shape.threads, by_row ? 0 : 3, 0, 0};
    const GradientChoice general{GradientKernels::general, 32, 3};
    LaunchReport report;
    EXPECT_EQ(run(scene, &choice, &report), run(scene, &general, nullptr)) << scene;
    if (scene.rows > 0) {
      EXPECT_EQ(report.blocks, by_row ? scene.rows : (scene.rows + 7) / 8);
    }
    if (HasFailure()) return;
  }
}

// All products of the row underflow to -0, lanes without elements have +0: so c1 is +0, and the sign of dx
// shows it.
TEST(NormGradient, ASumThatUnderflowsIsPlusZero) {
  const GradientChoice choices[] = {{GradientKernels::general, 32, 3},
                                    {GradientKernels::one_slot, 32, 3, 2, 1},
                                    {GradientKernels::two_slots, 32, 3, 2, 1},
                                    {GradientKernels::group, 32, 0},
                                    {GradientKernels::group, 32, 3}};
  for (const GradientChoice& choice : choices) {
    alignas(16) float x[4] = {0x1p-80f, 1, 1, 1}, dy[4] = {-0x1p-80f, -0.0f, -0.0f, -0.0f}, dx[4] = {};
    float rstd[1] = {1};
    const auto tensor = [](float* data, std::int64_t hidden) {
      return Tensor{data, DType::fp32, 2, {1, hidden}, {hidden, 1}};
    };
    const std::vector<NamedTensor> tensors = {
        {"dy", tensor(dy, 4)}, {"x", tensor(x, 4)}, {"rstd", tensor(rstd, 1)}, {"dx", tensor(dx, 4)}};
    ASSERT_TRUE(
        run_norm_backward({"rms_norm_backward", tensors, {}, {}}, {}, &choice, nullptr, nullptr).ok());
    EXPECT_EQ(dx[0], dy[0]);
    for (int i = 1; i < 4; ++i) EXPECT_TRUE(dx[i] == 0 && std::signbit(dx[i])) << i;
  }
}

// In fp32 an element of 1 that is normalized without a weight is rstd.
TEST(NormGradient, WithoutStatisticsTheyAreThoseOfTheForwardPass) {
  std::mt19937_64 random(10);
  for (const std::int64_t hidden : {1, 5, 64, 300, 5000}) {
    for (const bool centred : {false, true}) {
      const std::int64_t rows = 7;
      Buffer x = buffer(DType::fp32, {rows, hidden}, random),
             dy = buffer(DType::fp32, {rows, hidden}, random);
      Buffer out = buffer(DType::fp32, {rows, hidden}, random), rstd = buffer(DType::fp32, {rows, 1}, random);
      Buffer mean = buffer(DType::fp32, {rows, 1}, random), dx = out;
      Buffer dweight = buffer(DType::fp32, {hidden}, random), other_dweight = dweight;
      for (Buffer* each : {&x, &dy, &out, &rstd, &mean, &dx, &dweight, &other_dweight})
        each->tensor.data = each->words.data();
      const auto stride = static_cast<std::size_t>(hidden);
      for (std::size_t row = 0; row < 7; ++row) x.words[row * stride] = std::bit_cast<std::uint32_t>(1.0f);
      const std::vector<NamedNumber> epsilon = {{"epsilon", 1e-3f}};
      const auto run_named = [](std::string_view operation, const std::vector<NamedTensor>& tensors,
                                std::span<const NamedNumber> numbers) {
        const Status status = kernels::run({operation, tensors, numbers, {}}, nullptr, nullptr);
        ASSERT_TRUE(status.ok()) << status.message;
      };
      std::vector<NamedTensor> forward = {{"x", x.tensor}, {"out", out.tensor}};
      if (centred) {
        forward.insert(forward.end(), {{"mean", mean.tensor}, {"rstd", rstd.tensor}});
        run_named("layer_norm", forward, epsilon);
      } else {
        ASSERT_TRUE(rms_norm(out.tensor, x.tensor, nullptr, 1e-3f, {}, nullptr, nullptr).ok());
        for (std::size_t row = 0; row < 7; ++row) rstd.words[row] = out.words[row * stride];
      }
      const std::string_view operation = centred ? "layer_norm_backward" : "rms_norm_backward";
      const std::vector<NamedTensor> own = {
          {"x", x.tensor}, {"dy", dy.tensor}, {"dx", out.tensor}, {"dweight", dweight.tensor}};
      std::vector<NamedTensor> given = {{"x", x.tensor},
                                        {"dy", dy.tensor},
                                        {"dx", dx.tensor},
                                        {"dweight", other_dweight.tensor},
                                        {"rstd", rstd.tensor}};
      if (centred) given.push_back({"mean", mean.tensor});
      run_named(operation, own, epsilon);
      run_named(operation, given, {});
      EXPECT_EQ(out.words, dx.words) << operation << ", " << hidden;
      EXPECT_EQ(dweight.words, other_dweight.words) << operation << ", " << hidden;
    }
  }
}

TEST(NormGradient, WithoutStatisticsAnEpsilonIsDemandedAndNoMeanIsTaken) {
  std::mt19937_64 random(11);
  Buffer x = buffer(DType::bf16, {2, 8}, random), mean = buffer(DType::fp32, {2, 1}, random), dx = x;
  for (Buffer* each : {&x, &mean, &dx}) each->tensor.data = each->words.data();
  std::vector<NamedTensor> tensors = {{"dy", x.tensor}, {"x", x.tensor}, {"dx", dx.tensor}};
  const std::vector<NamedNumber> epsilon = {{"epsilon", 1e-6f}};
  Status status = kernels::run({"layer_norm_backward", tensors, {}, {}}, nullptr, nullptr);
  EXPECT_EQ(status.message, "rstd: the call has neither it nor an epsilon to compute it by");
  tensors.push_back({"mean", mean.tensor});
  status = kernels::run({"layer_norm_backward", tensors, epsilon, {}}, nullptr, nullptr);
  EXPECT_EQ(status.message, "rstd: the call has a mean, and no rstd");
}

TEST(NormGradient, NoRowsHaveNoGradient) {
  std::mt19937_64 random(8);
  Buffer x = buffer(DType::bf16, {0, 8}, random), rstd = buffer(DType::fp32, {0, 1}, random);
  Buffer dweight = buffer(DType::bf16, {8}, random);
  dweight.tensor.data = dweight.words.data();
  const std::vector<NamedTensor> tensors = {
      {"dy", x.tensor}, {"x", x.tensor}, {"rstd", rstd.tensor}, {"dweight", dweight.tensor}};
  ASSERT_TRUE(run_norm_backward({"rms_norm_backward", tensors, {}, {}}, {}, nullptr, nullptr, nullptr).ok());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(dweight.words[static_cast<std::size_t>(i)], 0u);
}

TEST(NormGradient, NoRowsNeedNoStatistics) {
  std::mt19937_64 random(8);
  Buffer x = buffer(DType::bf16, {2, 0, 8}, random);
  x.tensor.strides[0] = 8;
  const std::vector<NamedTensor> tensors = {{"dy", x.tensor}, {"x", x.tensor}, {"dx", x.tensor}};
  const std::vector<NamedNumber> epsilon = {{"epsilon", 1e-6f}};
  const Status status = kernels::run({"layer_norm_backward", tensors, epsilon, {}}, nullptr, nullptr);
  EXPECT_TRUE(status.ok()) << status.message;
}

TEST(NormGradient, AnOutputIsDemanded) {
  std::mt19937_64 random(9);
  Buffer x = buffer(DType::bf16, {2, 8}, random), rstd = buffer(DType::fp32, {2, 1}, random);
  x.tensor.data = x.words.data();
  rstd.tensor.data = rstd.words.data();
  const std::vector<NamedTensor> tensors = {{"dy", x.tensor}, {"x", x.tensor}, {"rstd", rstd.tensor}};
  const Status status =
      run_norm_backward({"rms_norm_backward", tensors, {}, {}}, {}, nullptr, nullptr, nullptr);
  EXPECT_EQ(status.code, StatusCode::null_pointer);
  EXPECT_NE(status.message.find("no output"), std::string::npos) << status.message;
}

}  // namespace
}  // namespace normproof::kernels
