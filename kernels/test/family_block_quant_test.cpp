// The GPU's kernels that hold rows in registers and quantize them block by block, run on the CPU as the GPU's
// side of the library chooses them: the bits of the general kernel, which properties/judged/test holds
// against the oracle.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/configurations.h"
#include "kernels/family/block_quant.h"
#include "kernels/family/named_call.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {

// As launch.cu finds them out.
bool supports_clusters() { return true; }
bool goes_quick_ways() { return true; }
int multiprocessors() { return 2; }

namespace {

struct Kind {
  const char* operation;
  DType codes, scales;
  std::int64_t block;
  bool column_major = false, swizzled = false;
};
constexpr Kind kKinds[] = {
    {"rms_norm_block_quant", DType::fp8_e4m3fn, DType::fp32, 128},
    {"rms_norm_block_quant", DType::fp8_e5m2, DType::uint8, 64, true},
    {"rms_norm_mx_quant", DType::fp8_e4m3fn, DType::uint8, 32},
    {"rms_norm_mx_quant", DType::uint8, DType::uint8, 32, false, true},
    {"rms_norm_mx_quant", DType::uint8, DType::fp32, 32},
    {"rms_norm_nvfp4_quant", DType::uint8, DType::fp8_e4m3fn, 16, false, true},
};

struct Tensors {
  std::vector<NamedTensor> named;
  std::vector<std::unique_ptr<std::vector<std::byte>>> memory;

  std::byte* add(std::string_view role, DType dtype, std::vector<std::int64_t> sizes) {
    std::int64_t count = 1;
    for (const std::int64_t size : sizes) count *= size;
    memory.push_back(std::make_unique<std::vector<std::byte>>(
        static_cast<std::size_t>(count * size_of(dtype)) + 64, std::byte{0x77}));
    const auto address = reinterpret_cast<std::uintptr_t>(memory.back()->data());
    std::byte* data = memory.back()->data() + (16 - address % 16) % 16;
    Tensor tensor{data, dtype, static_cast<int>(sizes.size()), {}, {}};
    std::int64_t stride = 1;
    for (std::size_t i = sizes.size(); i-- > 0; stride *= sizes[i])
      tensor.sizes[i] = sizes[i], tensor.strides[i] = stride;
    named.push_back({role, tensor});
    return data;
  }
  std::vector<std::byte> bytes(std::string_view role) const {
    for (const NamedTensor& each : named) {
      if (each.role != role) continue;
      std::int64_t count = size_of(each.tensor.dtype);
      for (int i = 0; i < each.tensor.rank; ++i) count *= each.tensor.sizes[static_cast<std::size_t>(i)];
      const auto* data = static_cast<const std::byte*>(each.tensor.data);
      return {data, data + count};
    }
    return {};
  }
};

// A number of T nearby, as bits; NaN stays.
std::uint32_t bits_in(DType dtype, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (dtype == DType::fp32) return bits;
  if (dtype == DType::bf16) return std::isnan(value) ? 0x7fc0 : bits >> 16;
  if (std::isnan(value)) return 0x7e00;
  const float size = std::fabs(value);
  const std::uint32_t sign = std::signbit(value) ? 0x8000 : 0;
  if (size >= 65504) return sign | (std::isinf(value) ? 0x7c00 : 0x7bff);
  if (size < 0x1p-14f) return sign | static_cast<std::uint32_t>(size * 0x1p24f);
  return sign | ((std::bit_cast<std::uint32_t>(size) >> 13) - (112u << 10));
}

// Rows of which every block has a size of its own: tiny, huge, zero, and now and then no number.
void fill_rows(std::byte* data, DType dtype, std::int64_t rows, std::int64_t hidden, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto kind = random() % 8;
    float scale = 1;
    for (std::int64_t i = 0; i < hidden; ++i) {
      if (i % 16 == 0) {
        const int spread = kind < 4 ? 4 : kind == 4 ? 30 : 130;
        scale =
            random() % 16 == 0
                ? 0.0f
                : std::ldexp(1.0f, static_cast<int>(random() % (2 * spread)) - spread - (kind == 5 ? 20 : 0));
      }
      float value = normal(random) * scale;
      if (kind == 6 && random() % 400 == 0) value = INFINITY;
      if (kind == 7 && random() % 400 == 0) value = NAN;
      if (kind == 3) value = std::ldexp(std::round(value * 2), -1);  // ties
      const std::uint32_t bits = bits_in(dtype, value);
      const std::size_t size = static_cast<std::size_t>(size_of(dtype));
      std::memcpy(data + static_cast<std::size_t>(row * hidden + i) * size, &bits, size);
    }
  }
}

struct Given {
  Kind kind;
  DType dtype;
  bool adds;
  std::int64_t rows, hidden;
};

Tensors tensors_of(const Given& given, std::uint32_t seed) {
  std::mt19937 random(seed);
  Tensors tensors;
  const std::vector<std::int64_t> shape = {given.rows, given.hidden};
  fill_rows(tensors.add("x", given.dtype, shape), given.dtype, given.rows, given.hidden, random);
  if (given.adds) {
    fill_rows(tensors.add("residual", given.dtype, shape), given.dtype, given.rows, given.hidden, random);
    tensors.add("residual_out", given.dtype, shape);
  }
  std::byte* weight = tensors.add("weight", given.dtype, {given.hidden});
  std::normal_distribution<float> normal(1.0f, 0.3f);
  for (std::int64_t i = 0; i < given.hidden; ++i) {
    const std::uint32_t bits = bits_in(given.dtype, normal(random));
    std::memcpy(weight + i * size_of(given.dtype), &bits, static_cast<std::size_t>(size_of(given.dtype)));
  }
  const std::int64_t blocks = (given.hidden - 1) / given.kind.block + 1;
  const bool packed = given.kind.codes == DType::uint8;
  tensors.add("out", given.kind.codes, {given.rows, packed ? given.hidden / 2 : given.hidden});
  if (given.kind.swizzled) {
    tensors.add("scales", given.kind.scales, {128, (blocks + 3) / 4 * 4});
  } else if (given.kind.column_major) {
    tensors.add("scales", given.kind.scales, {blocks, (given.rows + 3) / 4 * 4});
  } else {
    tensors.add("scales", given.kind.scales, {given.rows, blocks});
  }
  if (seed % 2 == 0) tensors.add("normalized", given.dtype, shape);
  if (given.kind.scales == DType::fp8_e4m3fn) {  // NVFP4
    const float global = 400.0f;
    std::memcpy(tensors.add("global_scale", DType::fp32, {1}), &global, sizeof global);
  }
  if (given.kind.block >= 64 && seed % 3 == 0) {
    const float bound = 2.5f;
    std::memcpy(tensors.add("scale_ub", DType::fp32, {1}), &bound, sizeof bound);
  }
  return tensors;
}

void run_call(const Given& given, const Tensors& tensors, int threads) {
  const std::string operation = (given.adds ? "fused_add_" : "") + std::string(given.kind.operation);
  const NamedNumber epsilon{"epsilon", 1e-6f};
  const Status status =
      run({operation, tensors.named, {&epsilon, 1}, {Path::automatic, threads}}, nullptr, nullptr);
  EXPECT_TRUE(status.ok()) << status.message;
}

constexpr const char* kShapeNames[] = {
#define NORMPROOF_BLOCK_SHAPE(name, ...) #name,
#include "kernels/family/block_quant_shapes.inc"
#undef NORMPROOF_BLOCK_SHAPE
};

// The first element that differs; NaN is NaN.
std::string difference(DType dtype, const std::vector<std::byte>& wanted, const std::vector<std::byte>& got) {
  const auto size = static_cast<std::size_t>(size_of(dtype));
  for (std::size_t at = 0; at < wanted.size(); at += size) {
    std::uint32_t a = 0, b = 0;
    std::memcpy(&a, &wanted[at], size);
    std::memcpy(&b, &got[at], size);
    const auto is_nan = [](std::uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; };
    if (a == b || (dtype == DType::fp32 && is_nan(a) && is_nan(b))) continue;
    std::ostringstream text;
    text << "element " << at / size << " is " << std::hex << b << ", not " << a;
    return text.str();
  }
  return {};
}

bool takes_rows(const Given& given, const ForcedBlockQuantShape& forced) {
  BlockQuantArguments arguments;
  arguments.codes = given.kind.codes == DType::uint8        ? CodeFormat::e2m1
                    : given.kind.codes == DType::fp8_e4m3fn ? CodeFormat::e4m3fn
                                                            : CodeFormat::e5m2;
  if (given.kind.scales == DType::fp8_e4m3fn) arguments.scaling.rule = BlockScaleRule::global;
  std::byte residual{};
  NormArguments& norm = arguments.norm;
  norm.residual = given.adds ? &residual : nullptr;
  norm.rows = given.rows;
  norm.chunks = given.hidden * size_of(given.dtype) / 16;
  norm.groups = static_cast<int>(std::min<std::int64_t>((norm.chunks + 31) / 32, 32));
  const auto in_warp = static_cast<unsigned>(std::min<std::int64_t>(norm.chunks, 32));
  norm.row_threads_log2 = std::bit_width(std::bit_ceil(in_warp)) - 1;
  return holds_rows(forced, given.dtype, arguments);
}

void expect_bits(const Given& given, const Tensors& wanted, const Tensors& got, std::size_t shape) {
  for (const NamedTensor& each : wanted.named)
    EXPECT_EQ(difference(each.tensor.dtype, wanted.bytes(each.role), got.bytes(each.role)), "")
        << each.role << " of " << given.kind.operation << ", codes " << text_of(given.kind.codes) << ", "
        << text_of(given.dtype) << ", " << given.rows << " x " << given.hidden << " in "
        << kShapeNames[shape];
}

// The names of the shapes that took some rows.
std::set<std::string> compare_all_shapes(DType dtype, bool adds) {
  std::set<std::string> taken;
  std::uint32_t seed = 1;
  for (const Kind& kind : kKinds) {
    std::set<std::size_t> of_kind;
    for (const std::int64_t chunks : {2, 24, 32, 33, 64, 128, 256, 448, 512, 900, 1024, 1040, 2048}) {
      const std::int64_t hidden = chunks * 16 / size_of(dtype), rows = chunks <= 64 && chunks != 33 ? 9 : 1;
      const Given given{kind, dtype, adds, rows, hidden};
      ++seed;
      std::optional<Tensors> wanted;
      for (std::size_t shape = 0; shape < std::size(kShapeNames); ++shape) {
        // For the test's time a long row once in each shape.
        if (chunks > 64 && of_kind.contains(shape)) continue;
        // All threads of a cluster, which on the CPU is one block.
        const bool is_cluster = std::string_view(kShapeNames[shape]).starts_with("cluster");
        if (is_cluster && chunks > 512) continue;
        const ForcedBlockQuantShape forced{
            static_cast<BlockQuantShape>(shape),
            is_cluster ? static_cast<int>(std::min<std::int64_t>((chunks + 31) / 32 * 32, 512)) : 0};
        if (!takes_rows(given, forced)) continue;
        if (!wanted) {
          wanted = tensors_of(given, seed);
          run_call(given, *wanted, 32);  // threads that are asked for are the general kernel's
        }
        force_block_quant_shape(&forced);
        const Tensors got = tensors_of(given, seed);
        run_call(given, got, 0);
        force_block_quant_shape(nullptr);
        EXPECT_EQ(last_block_quant_shape(), forced.shape);
        taken.insert(kShapeNames[shape]);
        if (chunks > 64) of_kind.insert(shape);
        expect_bits(given, *wanted, got, shape);
        if (testing::Test::HasFailure()) return taken;
      }
    }
  }
  return taken;
}

TEST(BlockQuantRegisters, GiveTheGeneralKernelsBits) {
  EXPECT_EQ(compare_all_shapes(DType::bf16, false).size(), std::size(kShapeNames));
}
TEST(BlockQuantRegisters, GiveTheGeneralKernelsBitsWithAResidual) {
  constexpr std::size_t kRings = 2;  // which have none
  EXPECT_EQ(compare_all_shapes(DType::bf16, true).size(), std::size(kShapeNames) - kRings);
}
TEST(BlockQuantRegisters, GiveTheGeneralKernelsBitsInOtherDtypes) {
  for (const DType dtype : {DType::fp16, DType::fp32})
    EXPECT_GE(compare_all_shapes(dtype, dtype == DType::fp32).size(), 4u);
}

// Of two multiprocessors: each block has several rows, and some have one more.
TEST(BlockQuantRegisters, RowsThatStreamGiveTheGeneralKernelsBits) {
  Kind in_rows = kKinds[5];
  in_rows.swizzled = false;
  std::uint32_t seed = 200;
  for (const BlockQuantShape shape : {BlockQuantShape::ring_4, BlockQuantShape::ring_7}) {
    for (const Kind& kind : {kKinds[5], in_rows}) {
      const bool by_fours = shape == BlockQuantShape::ring_4;
      const Given given{kind, DType::bf16, false, by_fours ? 50 : 70, by_fours ? 2048 : 1792};
      const ForcedBlockQuantShape forced{shape, 0};
      ASSERT_TRUE(takes_rows(given, forced));
      const Tensors wanted = tensors_of(given, ++seed);
      run_call(given, wanted, 32);
      force_block_quant_shape(&forced);
      const Tensors got = tensors_of(given, seed);
      run_call(given, got, 0);
      force_block_quant_shape(nullptr);
      EXPECT_EQ(last_block_quant_shape(), shape);
      expect_bits(given, wanted, got, static_cast<std::size_t>(shape));
    }
  }
}

// Whatever is chosen: blocks that are too short for a kernel in registers, or too long.
TEST(BlockQuantRegisters, BlocksOfAnySizeGiveTheGeneralKernelsBits) {
  std::uint32_t seed = 100;
  for (const DType dtype : {DType::bf16, DType::fp32}) {
    for (const std::int64_t block : {4, 8, 16, 32, 96, 256, 512}) {
      for (const std::int64_t rows : {1, 9}) {
        const Kind kind{"rms_norm_block_quant", DType::fp8_e4m3fn, DType::fp32, block};
        const Given given{kind, dtype, false, rows, block == 96 ? 1920 : 2048};
        const Tensors wanted = tensors_of(given, ++seed);
        run_call(given, wanted, 32);
        const Tensors got = tensors_of(given, seed);
        run_call(given, got, 0);
        for (const NamedTensor& each : wanted.named)
          EXPECT_EQ(difference(each.tensor.dtype, wanted.bytes(each.role), got.bytes(each.role)), "")
              << each.role << " of blocks of " << block << ", " << text_of(dtype) << ", " << rows << " rows";
      }
    }
  }
}

// What a call says in which one tensor is another, or has another shape.
std::string refusal_of(const Kind& kind, std::string_view role, DType dtype,
                       const std::vector<std::int64_t>& sizes) {
  Tensors tensors = tensors_of({kind, DType::bf16, false, 3, 320}, 1);
  std::erase_if(tensors.named, [&](const NamedTensor& each) { return each.role == role; });
  if (!sizes.empty()) tensors.add(role, dtype, sizes);
  return run({kind.operation, tensors.named, {}, {}}, nullptr, nullptr).message;
}

TEST(BlockQuant, RefusesTensorsThatDoNotFit) {
  const auto contains = [](const std::string& text, std::string_view part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  EXPECT_EQ(refusal_of(kKinds[0], "scales", DType::fp32, {3, 3}), "");
  EXPECT_EQ(refusal_of(kKinds[0], "scales", DType::fp32, {5, 16}), "");  // by columns, padded
  EXPECT_EQ(refusal_of(kKinds[0], "scales", DType::fp32, {3, 4}), "");   // groups of 80
  contains(refusal_of(kKinds[0], "scales", DType::fp32, {3, 7}),
           "scales: sizes (3 x stride 7, 7 x stride 1)");
  contains(refusal_of(kKinds[0], "scales", DType::fp32, {4, 5}), "each of 3 rows");
  contains(refusal_of(kKinds[0], "scales", DType::fp16, {3, 3}), "scales: dtype is fp16");
  contains(refusal_of(kKinds[0], "scales", DType::fp32, {}), "scales: the call has no such tensor");
  contains(refusal_of(kKinds[0], "out", DType::uint8, {3, 160}), "out: dtype is uint8");
  contains(refusal_of(kKinds[2], "scales", DType::uint8, {3, 11}), "each block of 32 of 320 elements");
  contains(refusal_of(kKinds[3], "out", DType::uint8, {3, 320}), "must be 160, half of that of x");
  contains(refusal_of(kKinds[5], "global_scale", DType::fp32, {}), "global_scale: the call has no such");
  contains(refusal_of(kKinds[5], "scale_ub", DType::fp32, {1}), "has no tensor 'scale_ub'");
}

}  // namespace
}  // namespace normproof::kernels
