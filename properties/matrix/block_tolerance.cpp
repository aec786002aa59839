#include "properties/matrix/block_tolerance.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "corpus/recipe.h"
#include "oracle/judged/block_quant.h"
#include "properties/bits.h"
#include "properties/judged/canonical.h"
#include "properties/judged/verification_call.h"

namespace normproof::matrix {
namespace {

using oracle::judged::BlockReader;
using oracle::judged::Call;
using oracle::judged::Policy;
using oracle::judged::Tensor;
using Inputs = BlockToleranceTest::Inputs;
using Scales = BlockToleranceTest::Scales;

constexpr std::uint64_t kSeed = 0;

// --- Numbers that came out. ---

double scale_of(DType storage, std::uint32_t bits) {
  if (storage != DType::uint8) return bits::value(storage, bits);
  return bits == 255 ? std::numeric_limits<double>::quiet_NaN()
                     : std::ldexp(1.0, static_cast<int>(bits) - 127);
}

double number_of(DType codes, std::uint8_t code) {
  if (codes == DType::int8) return static_cast<std::int8_t>(code);
  if (codes != DType::uint8) return bits::value(codes, code);
  constexpr std::array<double, 8> kE2m1 = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return (code & 8) != 0 ? -kE2m1[code & 7u] : kE2m1[code & 7u];
}

// Of all rows: scales, codes as numbers, and their products.
struct Numbers {
  std::vector<double> scales, codes, products;
  std::vector<std::uint8_t> bits;
};
Numbers numbers_of(const Call& call, const Policy& policy) {
  const BlockReader reader(call, policy);
  const DType storage = call.at("scales").dtype, codes = call.at("out").dtype;
  const std::int64_t block = block_shape_of(call, &policy).block;
  Numbers result;
  for (std::int64_t row = 0; row < call.rows(); ++row) {
    const oracle::BlockOutputs outputs = reader.row(row);
    for (const std::uint32_t scale : outputs.scales) result.scales.push_back(scale_of(storage, scale));
    for (std::size_t j = 0; j < outputs.codes.size(); ++j) {
      result.bits.push_back(outputs.codes[j]);
      result.codes.push_back(number_of(codes, outputs.codes[j]));
      const std::size_t at = j / static_cast<std::size_t>(block);
      result.products.push_back(result.codes.back() * scale_of(storage, outputs.scales[at]));
    }
  }
  return result;
}

std::vector<double> values_of(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.elements(); ++i)
    values.push_back(bits::value(tensor.dtype, load_bits(tensor.bytes, tensor.dtype, i)));
  return values;
}

// torch.allclose: !(|got - wanted| <= absolute + relative * |wanted|), which a NaN always is.
std::optional<std::string> apart(std::string_view what, std::span<const double> got,
                                 std::span<const double> wanted, double absolute, double relative) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (std::abs(got[i] - wanted[i]) <= absolute + relative * std::abs(wanted[i])) continue;
    return fmt::format("{}[{}]: got {}, the reference is {}", what, i, got[i], wanted[i]);
  }
  return std::nullopt;
}

// --- The tests. ---

std::optional<std::string> residual_apart(const Call& got, const Call& reference) {
  const Tensor* sum = got.find("residual_out");
  if (sum == nullptr) return std::nullopt;
  return apart("residual_out", values_of(*sum), values_of(reference.at("residual_out")), 1e-8, 1e-5);
}

std::optional<std::string> vllm(const Call& got, const Call& reference, const Policy& policy) {
  const Numbers one = numbers_of(got, policy), other = numbers_of(reference, policy);
  const bool is_int8 = got.at("out").dtype == DType::int8;
  if (auto found = apart("scales", one.scales, other.scales, is_int8 ? 1e-6 : 1e-8, 1e-5)) return found;
  auto found = apart("out", one.codes, other.codes, is_int8 ? 1 : 1e-6, 1e-5);
  if (found && !is_int8) found = apart("out * scales", one.products, other.products, 5e-2, 5e-2);
  return found ? found : residual_apart(got, reference);
}

// What is read back, beside the norm as it is before it is quantized.
template <int kTenths>
std::optional<std::string> flashinfer(const Call& got, const Call& reference, const Policy& policy) {
  return apart("out * scales", numbers_of(got, policy).products, values_of(reference.at("normalized")),
               0.1 * kTenths, 0.3);
}

// Of codes of fp8, one apart is few, two apart none. Of int8 the published function compares a tensor with
// itself, and the signs.
std::optional<std::string> sglang(const Call& got, const Call& reference, const Policy& policy) {
  const Numbers one = numbers_of(got, policy), other = numbers_of(reference, policy);
  const bool is_int8 = got.at("out").dtype == DType::int8;
  std::size_t next = 0;
  for (std::size_t i = 0; i < one.bits.size(); ++i) {
    const int distance = std::abs(int{one.bits[i]} - int{other.bits[i]});
    const bool crosses = is_int8 && other.codes[i] >= 0 && one.codes[i] < 0;
    if ((!is_int8 && distance > 1) || crosses)
      return fmt::format("out[{}]: code {}, that of the reference is {}", i, one.bits[i], other.bits[i]);
    next += !is_int8 && distance == 1 ? 1 : 0;
  }
  const double share = static_cast<double>(next) / static_cast<double>(one.bits.size());
  if (share >= 0.005 && (share >= 0.04 || one.bits.size() > 4096))
    return fmt::format("out: {} of {} codes are one apart", next, one.bits.size());
  return apart("scales", one.scales, other.scales, 1e-5, 1e-3);
}

// --- Calls. ---

Tensor drawn(std::string_view recipe, std::uint64_t seed, DType dtype, std::int64_t rows,
             std::int64_t columns) {
  Tensor tensor{dtype, {rows, columns}, {}};
  generate({std::string(recipe), seed}, dtype, rows, columns, tensor.bytes);
  return tensor;
}

template <class Change>
void change(Tensor& tensor, const Change& changed) {
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    const double value = changed(i, bits::value(tensor.dtype, load_bits(tensor.bytes, tensor.dtype, i)));
    const auto wide = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    store_bits(tensor.bytes, tensor.dtype, i,
               static_cast<std::uint32_t>(
                   oracle::round_bits(oracle::format_of(tensor.dtype), oracle::decode(DType::fp32, wide))));
  }
}

Call inputs_of(const BlockToleranceTest& test, std::string_view operation, DType dtype, std::int64_t rows,
               std::int64_t hidden) {
  Call call;
  call.operation = oracle::judged::find_judged_operation(operation);
  call.epsilon = std::bit_cast<std::uint32_t>(1e-6f);
  std::uint64_t seed = kSeed;
  for (const std::string_view name : {"x", "residual"}) {
    if (find_tensor(*call.operation, name) == nullptr) continue;
    Tensor& tensor = call.tensors[std::string(name)] = drawn("normal", seed++, dtype, rows, hidden);
    if (test.inputs == Inputs::small)
      change(tensor, [&](std::int64_t, double value) { return value / static_cast<double>(hidden); });
    if (test.inputs == Inputs::spiky)
      change(tensor, [](std::int64_t i, double value) { return i % 1009 == 500 ? 10 * value : value; });
  }
  if (test.inputs != Inputs::spiky) {
    const bool is_near_one = test.inputs == Inputs::small;
    Tensor weight = drawn(is_near_one ? "model_weights" : "normal", kSeed + 2, dtype, 1, hidden);
    weight.shape = {hidden};
    call.tensors["weight"] = std::move(weight);
  }
  if (find_tensor(*call.operation, "global_scale") != nullptr) {
    Tensor& one = call.tensors["global_scale"] = drawn("ones", 0, DType::fp32, 1, 1);
    one.shape = {1};
  }
  return call;
}

BlockToleranceCall with_reference(Call call, std::string_view policy, DType codes) {
  BlockToleranceCall result{std::move(call), {}};
  result.policy = parse_policy(*result.call.operation, policy);
  std::vector<std::string> outputs;
  for (const auto& spec : result.call.operation->tensors)
    if (spec.direction == Direction::out) outputs.emplace_back(spec.name);
  result.call.tensors["out"] = {codes, {}, {}};
  result.call = judging::as_canonical(std::move(result.call), result.policy, outputs);
  return result;
}

void place(BlockToleranceCall& call, Scales scales, bool strided) {
  const std::int64_t rows = call.call.rows();
  if (strided) call.call.places["x"].gap = call.call.hidden_size();
  if (scales == Scales::by_rows) return;
  const std::int64_t padded = scales == Scales::by_columns ? rows : (rows + 3) / 4 * 4;
  call.call.places["scales"] = {0, padded - rows, false, true};
}

bool fits(const BlockToleranceTest& test, std::int64_t rows, std::int64_t hidden, Scales scales,
          DType codes) {
  constexpr std::int64_t kFewRows = 4, kShortRows = 1024;
  const bool is_published = scales != Scales::by_padded_columns || codes != DType::int8;
  return is_published && (rows <= kFewRows || hidden <= kShortRows || test.rows.size() == 1);
}

}  // namespace

std::span<const BlockToleranceTest> block_tolerance_tests() {
  using enum DType;
  static const std::vector<BlockToleranceTest> table = {
      {"vllm blocks 5e-2",
       "vLLM tests/kernels/core/test_fused_quant_layernorm.py, test_rms_norm with groups of 64 and 128: "
       "scales rtol = 1e-5, int8 codes atol = 1, fp8 codes atol = 1e-6, or else what is read back "
       "atol = rtol = 5e-2",
       "T = 2048 and 4096 left out, 7 rows up to H = 1024 in their place",
       {"rms_norm_block_quant", "fused_add_rms_norm_block_quant"},
       {"group_size=64", "group_size=128"},
       {bf16, fp32},
       {int8, fp8_e4m3fn},
       {1, 7},
       {64, 128, 1024, 5120},
       Inputs::small,
       {Scales::by_columns, Scales::by_padded_columns},
       true,
       vllm},
      {"nvfp4 5e-1",
       "FlashInfer tests/norm/test_rmsnorm_fp4_quant_cute_dsl.py and test_add_rmsnorm_fp4_quant_cute_dsl.py, "
       "NVFP4: what is read back beside the norm, atol = 0.5, rtol = 0.3",
       "batch {1, 4, 7} of {1, ..., 16384}, 7 up to H = 1024, no H = 8192",
       {"rms_norm_nvfp4_quant", "fused_add_rms_norm_nvfp4_quant"},
       {"native"},
       {fp16, bf16},
       {uint8},
       {1, 4, 7},
       {64, 128, 256, 512, 1024, 1536, 2048, 4096},
       Inputs::normal,
       {Scales::by_rows},
       false,
       flashinfer<5>},
      {"mxfp4 7e-1",
       "FlashInfer, the same files, MXFP4: atol = 0.7, rtol = 0.3",
       "batch {1, 4, 7} of {1, ..., 8192}, 7 up to H = 1024",
       {"rms_norm_mx_quant", "fused_add_rms_norm_mx_quant"},
       {"native"},
       {fp16, bf16},
       {uint8},
       {1, 4, 7},
       {128, 256, 512, 1536, 2048, 4096},
       Inputs::normal,
       {Scales::by_rows},
       false,
       flashinfer<7>},
      {"sglang blocks",
       "SGLang sgl-kernel/tests/test_per_token_group_quant_8bit.py, groups of 128, on a fused norm: "
       "fewer than 0.5 % of the codes one apart, scales rtol = 1e-3; int8 codes are compared with themselves",
       "T {1, 4, 16} of {1, ..., 8192}, 16 up to H = 1024, H up to 4096",
       {"rms_norm_block_quant"},
       {"group_size=128", "group_size=128,scale_type=ue8m0_ceil"},
       {bf16},
       {fp8_e4m3fn, int8},
       {1, 4, 16},
       {512, 1024, 1536, 2048, 4096},
       Inputs::spiky,
       {Scales::by_rows, Scales::by_columns, Scales::by_padded_columns},
       false,
       sglang},
  };
  return table;
}

std::vector<BlockToleranceCall> calls_of(const BlockToleranceTest& test) {
  std::vector<BlockToleranceCall> calls;
  for (const std::int64_t rows : test.rows)
    for (const std::int64_t hidden : test.hidden_sizes)
      for (const DType dtype : test.dtypes)
        for (const std::string_view operation : test.operations) {
          const Call inputs = inputs_of(test, operation, dtype, rows, hidden);
          for (const std::string_view policy : test.policies)
            for (const DType codes : test.codes) {
              if (hidden % 128 != 0 && policy.starts_with("group_size=128")) continue;
              const BlockToleranceCall made = with_reference(inputs, policy, codes);
              for (const Scales scales : test.scales)
                for (const bool strided : {false, true}) {
                  if ((strided && !test.strided) || !fits(test, rows, hidden, scales, codes)) continue;
                  place(calls.emplace_back(made), scales, strided);
                }
            }
        }
  return calls;
}

bool takes(JudgedTarget& target, const BlockToleranceCall& call) {
  const auto operations = target.judged_operations();
  const JudgedTakes taken = target.judged_takes();
  // Without a word of its own a target has blocks, and scales, as its policy says.
  Call usual = call.call;
  usual.tensors.erase("scales");
  const Policy native = parse_policy(*usual.operation, "native");
  const bool is_bytes = family_of(*usual.operation) == oracle::judged::BlockFamily::block &&
                        call.call.at("scales").dtype == DType::uint8;
  const bool is_usual =
      !is_bytes && block_shape_of(usual, &native).block == block_shape_of(call.call, &call.policy).block;
  return std::ranges::count(operations, call.call.operation) > 0 &&
         std::ranges::count(taken.dtypes, call.call.dtype()) > 0 &&
         std::ranges::count(taken.codes, call.call.at("out").dtype) > 0 &&
         (call.call.has("weight") ? taken.same_weight : taken.no_weight) && (is_usual || taken.scale_layouts);
}

std::optional<std::string> failure(const BlockToleranceTest& test, const BlockToleranceCall& call,
                                   JudgedTarget& target) {
  Call asked = judging::without_contents(call.call);
  asked.tensors.erase("normalized");
  if (!target.judged_takes().scale_views) asked.places.erase("scales");
  const JudgedRun run = target.run_judged(asked, kCanary);
  if (run.status == RunResult::Status::not_taken) return std::nullopt;
  if (run.status != RunResult::Status::completed) return "the call failed: " + run.message;
  return test.comparison(run.call, call.call, call.policy);
}

}  // namespace normproof::matrix
