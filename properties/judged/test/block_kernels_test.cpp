// Our kernels of the operations that quantize block by block, on the CPU: they give the canonical bits, in
// every dtype, layout of scales and alignment, for rows that break kernels.
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/family/named_call.h"
#include "oracle/blocks/scale_layout.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"
#include "properties/judged/cases.h"
#include "properties/targets/interface_dtype.h"
#include "properties/targets/judged_target.h"
#include "properties/targets/target.h"

namespace normproof::judging {
namespace {

using oracle::ScaleLayout;
using oracle::judged::Tensor;

// A tensor in memory of its own, rows `stride` elements apart; without it they follow each other.
class Placed {
 public:
  Placed(const Tensor& tensor, std::int64_t offset, std::int64_t gap) : tensor_(tensor) {
    const auto rank = static_cast<int>(tensor.shape.size());
    const std::int64_t columns = tensor.shape.back();
    stride_ = columns + gap;
    const std::int64_t rows = columns == 0 ? 0 : tensor.elements() / columns, size = element_bytes();
    memory_.assign(static_cast<std::size_t>((rows * stride_ + offset) * size) + 16, std::byte{0xa5});
    void* aligned = memory_.data();
    std::size_t space = memory_.size();
    first_ = static_cast<std::byte*>(std::align(16, space - 16, aligned, space)) + offset * size;
    copy(rows, [](std::byte* here, std::byte* there, std::size_t bytes) { std::memcpy(there, here, bytes); });
    described_ = {first_, static_cast<kernels::DType>(interface_dtype(tensor.dtype)), rank, {}, {}};
    std::int64_t step = 1;
    for (int i = rank; i-- > 0;) {
      const auto at = static_cast<std::size_t>(i);
      described_.sizes[at] = tensor.shape[at];
      described_.strides[at] = step;
      step *= i == rank - 1 ? stride_ : tensor.shape[at];
    }
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  const kernels::Tensor& described() const { return described_; }
  Tensor contents() {
    const std::int64_t rows = tensor_.elements() / tensor_.shape.back();
    copy(rows, [](std::byte* here, std::byte* there, std::size_t bytes) { std::memcpy(here, there, bytes); });
    return tensor_;
  }

 private:
  std::int64_t element_bytes() const { return static_cast<std::int64_t>(size_of(tensor_.dtype)); }
  template <typename Copy>
  void copy(std::int64_t rows, const Copy& one) {
    const std::int64_t size = element_bytes(), bytes = tensor_.shape.back() * size;
    for (std::int64_t row = 0; row < rows; ++row)
      one(tensor_.bytes.data() + row * bytes, first_ + row * stride_ * size, static_cast<std::size_t>(bytes));
  }

  Tensor tensor_;
  std::int64_t stride_ = 0;
  std::vector<std::byte> memory_;
  std::byte* first_ = nullptr;
  kernels::Tensor described_;
};

Tensor blank(DType dtype, std::vector<std::int64_t> shape) {
  Tensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.resize(static_cast<std::size_t>(tensor.elements()) * size_of(dtype), std::byte{0x5a});
  return tensor;
}

struct Drawn {
  Call call;  // with blank outputs
  std::string policy = "native";
  ScaleLayout layout;
  kernels::Path path = kernels::Path::automatic;
  int threads = 0;
  std::int64_t offset = 0, gap = 0;
};

template <typename Each>
const Each& one_of(Random& random, const std::vector<Each>& all) {
  return all[static_cast<std::size_t>(random.below(all.size()))];
}

Drawn drawn(const oracle::judged::JudgedOperation& operation, std::uint64_t seed, std::int64_t index) {
  Random random(seed * 1'000'003 + static_cast<std::uint64_t>(index));
  const bool is_block = operation.name.find("block") != std::string_view::npos;
  const bool is_mx = operation.name.find("mx") != std::string_view::npos;
  CaseDemand demand;
  demand.operation = &operation;
  demand.dtype = one_of<DType>(random, {DType::bf16, DType::bf16, DType::fp16, DType::fp32});
  demand.weight =
      one_of<std::optional<DType>>(random, {demand.dtype, demand.dtype, DType::fp32, std::nullopt});
  demand.max_rows = 3;
  demand.max_hidden = 600;
  Drawn result;
  result.call = random_call(demand, seed, index);
  Call& call = result.call;
  const std::int64_t rows = call.rows(), hidden = call.hidden_size();
  const std::int64_t block = is_block ? one_of<std::int64_t>(random, {64, 128}) : is_mx ? 32 : 16;
  const std::int64_t blocks = (hidden - 1) / block + 1;
  if (is_block) {
    result.policy += ",group_size=" + std::to_string(block);
    // Where the number of blocks says another size, it is left to say it.
    if (block == 64 && (hidden - 1) / 128 + 1 == blocks) result.policy = "native,group_size=128";
  }
  DType codes = DType::uint8, scales = DType::fp8_e4m3fn;
  if (is_block) {
    codes = one_of<DType>(
        random, {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz, DType::int8});
    scales = one_of<DType>(random, {DType::fp32, DType::uint8});
    if (scales == DType::uint8) result.policy += ",scale_type=ue8m0_ceil";
    if (random.chance(1, 3)) {
      Tensor bound = blank(DType::fp32, {1});
      store_bits(bound.bytes, DType::fp32, 0,
                 std::bit_cast<std::uint32_t>(one_of<float>(random, {0.01f, 1.0f, 3.7f, 1e30f})));
      call.tensors["scale_ub"] = std::move(bound);
    }
  } else if (is_mx) {
    codes = one_of<DType>(random, {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::uint8, DType::uint8});
    if (codes == DType::uint8 && hidden % 2 != 0) codes = DType::fp8_e4m3fn;
    scales = one_of<DType>(random, {DType::uint8, DType::uint8, DType::fp32});
  }
  std::vector<std::int64_t> shape = call.at("x").shape;
  if (codes == DType::uint8) shape.back() /= 2;
  call.tensors["out"] = blank(codes, shape);
  using Kind = ScaleLayout::Kind;
  const bool may_be_padded = blocks > 1 && rows != blocks;
  switch (random.below(may_be_padded ? is_block ? 3 : 4 : 1)) {
    case 0:
      result.layout = {Kind::row_major, rows, blocks, 0};
      break;
    case 1:
      result.layout = {Kind::column_major, rows, blocks, rows};
      break;
    case 2:
      result.layout = {Kind::column_major, rows, blocks, (rows + 3) / 4 * 4};
      break;
    default:
      result.layout = {Kind::swizzled, rows, blocks, 0};
  }
  call.tensors["scales"] = blank(scales, result.layout.shape());
  if (random.chance(1, 2)) call.tensors["normalized"] = blank(call.dtype(), call.at("x").shape);
  if (call.has("residual")) call.tensors["residual_out"] = blank(call.dtype(), call.at("x").shape);
  result.path = one_of<kernels::Path>(random, {kernels::Path::automatic, kernels::Path::scalar});
  result.threads = one_of<int>(random, {0, 0, 64, 96});
  result.offset = random.chance(1, 3) ? random.between(1, 9) : 0;
  result.gap = random.chance(1, 3) ? random.between(1, 17) : random.chance(1, 2) ? 16 : 0;
  return result;
}

kernels::Status run_on_kernels(const Drawn& what, Call& call) {
  std::map<std::string, std::unique_ptr<Placed>> placed;
  std::vector<kernels::NamedTensor> tensors;
  for (const auto& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr) continue;
    const bool has_rows = tensor->shape.size() == 2 && spec.name != "scales";
    auto& place = placed[std::string(spec.name)];
    place = std::make_unique<Placed>(*tensor, has_rows ? what.offset : 0, has_rows ? what.gap : 0);
    tensors.push_back({spec.name, place->described()});
  }
  const kernels::NamedNumber epsilon{"epsilon", std::bit_cast<float>(call.epsilon)};
  kernels::LaunchReport report;
  const kernels::Status status = kernels::run(
      {call.operation->name, tensors, {&epsilon, 1}, {what.path, what.threads}}, nullptr, &report);
  for (auto& [name, place] : placed) call.tensors[name] = place->contents();
  return status;
}

std::string text_of(const Drawn& what) {
  const Call& call = what.call;
  return oracle::judged::subject_of(call) + ", codes " + std::string(name_of(call.at("out").dtype)) +
         ", scales " + std::string(name_of(call.at("scales").dtype)) + " in layout " +
         std::to_string(static_cast<int>(what.layout.kind)) + ", " + what.policy;
}

std::uint32_t bits_at(const Tensor& tensor, std::int64_t index) {
  return load_bits(tensor.bytes, tensor.dtype, index);
}

// Scales where they lie, and everything else element by element.
void expect_equal(const Call& wanted, const Call& got, const ScaleLayout& layout) {
  for (const auto& spec : wanted.operation->tensors) {
    if (spec.direction != Direction::out || !wanted.has(spec.name)) continue;
    const Tensor& right = wanted.at(spec.name);
    const Tensor& ours = got.at(spec.name);
    if (spec.name == "scales") {
      for (std::int64_t i = 0; i < layout.rows * layout.blocks; ++i) {
        const std::int64_t place = layout.index(i / layout.blocks, i % layout.blocks);
        const std::uint32_t expected = bits_at(right, place), found = bits_at(ours, place);
        ASSERT_TRUE(right.dtype == DType::uint8 ? expected == found
                                                : oracle::same(right.dtype, expected, found))
            << "scale " << i << ": " << std::hex << expected << ", got " << found;
      }
      continue;
    }
    ASSERT_EQ(right.bytes.size(), ours.bytes.size());
    const bool has_nan = right.dtype != DType::uint8 && right.dtype != DType::int8;
    for (std::int64_t i = 0; i < right.elements(); ++i) {
      const std::uint32_t expected = bits_at(right, i), found = bits_at(ours, i);
      ASSERT_TRUE(has_nan ? oracle::same(right.dtype, expected, found) : expected == found)
          << spec.name << "[" << i << "]: " << std::hex << expected << ", got " << found;
    }
  }
}

void check(const Drawn& what) {
  SCOPED_TRACE(text_of(what));
  Call got = what.call;
  const kernels::Status status = run_on_kernels(what, got);
  ASSERT_TRUE(status.ok()) << status.message;
  const bool judged_alone = got.at("scales").dtype == DType::fp32 && what.policy == "native";
  if (judged_alone) {
    const auto policy = oracle::judged::parse_policy(*got.operation, "native");
    for (const auto& part : got.operation->parts(got, policy)) {
      const auto judge = part.judge();
      for (std::int64_t unit = 0; unit < part.units; ++unit)
        ASSERT_TRUE(judge->conforms(unit)) << judge->violation(unit).text();
    }
    return;
  }
  Call wanted = what.call;
  std::vector<std::string> outputs;
  for (const auto& spec : wanted.operation->tensors)
    if (spec.direction == Direction::out && wanted.has(spec.name)) outputs.emplace_back(spec.name);
  wanted.operation->fill(wanted, oracle::judged::parse_policy(*wanted.operation, what.policy), outputs);
  expect_equal(wanted, got, what.layout);
}

class BlockKernels : public testing::TestWithParam<const char*> {};

TEST_P(BlockKernels, GiveTheCanonicalBits) {
  const oracle::StandardFloatEnvironment environment;
  const auto* operation = oracle::judged::find_judged_operation(GetParam());
  ASSERT_NE(operation, nullptr);
  const char* asked = std::getenv("NORMPROOF_BLOCK_CALLS");
  const std::int64_t calls = asked == nullptr ? 150 : std::stoll(asked);
  for (std::int64_t index = 0; index < calls; ++index) {
    SCOPED_TRACE("call " + std::to_string(index));
    check(drawn(*operation, 24, index));
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, BlockKernels,
                         testing::Values("rms_norm_block_quant", "fused_add_rms_norm_block_quant",
                                         "rms_norm_mx_quant", "fused_add_rms_norm_mx_quant",
                                         "rms_norm_nvfp4_quant", "fused_add_rms_norm_nvfp4_quant"),
                         [](const auto& each) { return std::string(each.param); });

// Found by named_kernels_fuzzer: scales of two leading sizes, the inner one 0, were refused.
TEST(BlockKernelsOfNoRows, TakeEveryShape) {
  const auto target = make_target("host");
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{0, 64}, {2, 0, 64}, {0, 3, 64}, {0, 0, 0, 64}}) {
    Call call;
    call.operation = oracle::judged::find_judged_operation("rms_norm_block_quant");
    call.tensors["x"] = blank(DType::bf16, shape);
    call.tensors["out"] = blank(DType::fp8_e4m3fn, shape);
    std::vector<std::int64_t> blocks = shape;
    blocks.back() = 1;
    call.tensors["scales"] = blank(DType::fp32, blocks);
    const JudgedRun run = target->judged_target()->run_judged(call, kCanary);
    EXPECT_EQ(run.status, RunResult::Status::completed) << run.message;
  }
}

}  // namespace
}  // namespace normproof::judging
