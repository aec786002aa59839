#include "properties/matrix/tolerance.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "corpus/recipe.h"
#include "oracle/canonical_judge.h"
#include "oracle/exact.h"
#include "properties/bits.h"

namespace normproof::matrix {
namespace {

constexpr std::uint64_t kSeed = 0;  // as the originals

const std::vector<Operation> kNorm = {operation_of({NormStep::normalize})};
const std::vector<Operation> kPlain = {kNorm.front(),
                                       operation_of({NormStep::add_residual, NormStep::normalize})};
const std::vector<Operation> kQuantizing(operations_with(NormStep::quantize).begin(),
                                         operations_with(NormStep::quantize).end());
const std::vector<std::int64_t> kVllmSizes = {8, 768, 769, 5120, 5125, 8192};
const std::vector<std::int64_t> kFlashInferSizes = {111, 500, 1024, 3072, 3584, 4096, 8192, 16384};

std::uint32_t rounded(DType dtype, float value) {
  return static_cast<std::uint32_t>(oracle::round_bits(
      oracle::format_of(dtype), oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(value))));
}

// Multiplies packed data by `factor` in fp32 and rounds to their dtype.
void scale(std::vector<std::byte>& data, DType dtype, float factor) {
  const auto elements = static_cast<std::int64_t>(data.size() / size_of(dtype));
  for (std::int64_t index = 0; index < elements; ++index) {
    const auto value = static_cast<float>(bits::value(dtype, load_bits(data, dtype, index)));
    store_bits(data, dtype, index, rounded(dtype, value * factor));
  }
}

ToleranceCall make_call(const ToleranceTest& test, Operation operation, DType dtype, std::int64_t rows,
                        std::int64_t hidden, float quantization_scale, bool strided) {
  ToleranceCall call;
  Case& how = call.test_case;
  how.kind() = call_kind(operation, dtype, dtype);
  how.bits_of(Parameter::scale) = std::bit_cast<std::uint32_t>(quantization_scale);
  how.shape = {rows, hidden};
  if (strided) how[Role::input].layout.strides = {2 * hidden};
  for (const Role role : how.inputs_with_rows())
    how[role].data.recipe = Recipe{"normal", role == Role::input ? kSeed : kSeed + 1};
  how[Role::weight].data.recipe = Recipe{std::string(test.weights), kSeed + 2};
  call.tensors = materialize(how);
  if (test.small_inputs) {
    const float factor = 1.0f / (2.0f * static_cast<float>(hidden));
    scale(call.tensors[Role::input], dtype, factor);
    scale(call.tensors[Role::residual], dtype, factor);
  }
  if (!test.own_reference) call.reference = oracle::expected_outputs(how, call.tensors);
  return call;
}

// The e4m3fn code nearest to a number within its range, ties to the even code. The differences are exact.
std::uint32_t nearest_code(float number) {
  static const std::vector<double> values = [] {
    std::vector<double> table;
    for (std::uint32_t code = 0; code <= bits::largest(DType::fp8_e4m3fn, false); ++code)
      table.push_back(bits::value(DType::fp8_e4m3fn, code));
    return table;
  }();
  if (std::isnan(number)) return bits::nan(DType::fp8_e4m3fn);
  const double magnitude = std::abs(static_cast<double>(number));
  auto code = static_cast<std::uint32_t>(std::ranges::lower_bound(values, magnitude) - values.begin());
  if (code > 0) {
    const double above = values[code] - magnitude, below = magnitude - values[code - 1];
    if (below < above || (below == above && code % 2 == 1)) --code;
  }
  return code | (std::signbit(number) ? 0x80u : 0u);
}

// What the target's own norm gives, quantized: round(clamp(y * (1 / scale))).
std::optional<Outputs> own_reference(const ToleranceCall& call, Target& target) {
  Case unfused = call.test_case;
  unfused.kind() =
      call_kind(*spec_of(unfused.operation).without_last_step, unfused.dtype, unfused.weight_dtype);
  const RunResult result = target.run(unfused, call.tensors);
  if (result.status != RunResult::Status::completed) return std::nullopt;
  Outputs outputs;
  outputs[normalized_tensor(unfused.operation)] = result.outputs[normalized_tensor(unfused.operation)];
  outputs[Role::out].resize(static_cast<std::size_t>(unfused.elements()));
  const float inverse = 1.0f / call.test_case.value_of(Parameter::scale);
  const auto largest =
      static_cast<float>(bits::value(DType::fp8_e4m3fn, bits::largest(DType::fp8_e4m3fn, false)));
  for (std::int64_t index = 0; index < unfused.elements(); ++index) {
    auto value = static_cast<float>(
        bits::value(unfused.dtype, load_bits(result.outputs[Role::out], unfused.dtype, index)));
    value *= inverse;
    if (value > largest) value = largest;
    if (value < -largest) value = -largest;
    store_bits(outputs[Role::out], DType::fp8_e4m3fn, index, nearest_code(value));
  }
  return outputs;
}

std::optional<std::string> difference(const ToleranceTest& test, std::string_view tensor, DType dtype,
                                      const std::vector<std::byte>& got,
                                      const std::vector<std::byte>& wanted) {
  const auto elements = static_cast<std::int64_t>(wanted.size() / size_of(dtype));
  for (std::int64_t index = 0; index < elements; ++index) {
    const std::uint32_t got_bits = load_bits(got, dtype, index),
                        wanted_bits = load_bits(wanted, dtype, index);
    if (got_bits == wanted_bits && !bits::is_nan(dtype, got_bits)) continue;
    const double value = bits::value(dtype, got_bits), reference = bits::value(dtype, wanted_bits);
    if (std::abs(value - reference) <= test.absolute + test.relative * std::abs(reference)) continue;
    return fmt::format("{}[{}]: got {}, the reference is {}", tensor, index, value, reference);
  }
  return std::nullopt;
}

}  // namespace

std::span<const ToleranceTest> tolerance_tests() {
  using enum DType;
  static const std::vector<ToleranceTest> table = {
      {"vllm 1e-2",
       "vLLM tests/kernels/core/test_layernorm.py, test_rms_norm: T {7, 83, 4096}, atol = rtol = 1e-2",
       "T = 4096 left out, T = 83 up to H = 769",
       1e-2,
       1e-2,
       kPlain,
       {fp16, bf16, fp32},
       {7, 83},
       kVllmSizes,
       {1},
       true,
       "model_weights",
       true,
       false},
      {"vllm fp8 1e-3",
       "vLLM tests/kernels/core/test_layernorm.py, test_fused_rms_norm_quant: against its own unfused "
       "result, atol = "
       "rtol = 1e-3 (residual 1e-2)",
       "T = 4096 left out, T = 83 up to H = 769",
       1e-3,
       1e-3,
       kQuantizing,
       {fp16, bf16, fp32},
       {7, 83},
       kVllmSizes,
       {0.01f, 1, 10},
       true,
       "model_weights",
       true,
       true},
      {"fp16 1e-3",
       "FlashInfer tests/norm/test_norm.py and sgl-kernel tests/test_rmsnorm.py: batch {1, 19, 99, 989}, "
       "fp16 only, "
       "atol = rtol = 1e-3",
       "batch 99 and 989 left out, 19 up to H = 1024",
       1e-3,
       1e-3,
       kPlain,
       {fp16},
       {1, 19},
       kFlashInferSizes,
       {1},
       false,
       "normal",
       false,
       false},
      {"bf16 2e-1",
       "Liger Kernel test/transformers/test_rms_norm.py: bf16, weights 1, atol = 2e-1, rtol = 2e-2",
       "64 rows instead of the product of batch and length",
       2e-1,
       2e-2,
       kNorm,
       {bf16},
       {64},
       {123, 213, 234, 345, 512},
       {1},
       false,
       "ones",
       false,
       false},
      {"bf16 1e-1",
       "QuACK tests/test_rmsnorm.py: bf16, M {1, 37, 199, 8192}, N up to 262144, atol = 1e-1, rtol = 1e-3",
       "M {1, 37}, N up to 16384, 37 up to N = 1128",
       1e-1,
       1e-3,
       kNorm,
       {bf16},
       {1, 37},
       {192, 256, 512, 760, 1024, 1128, 2048, 4096, 8192, 16384},
       {1},
       false,
       "normal",
       false,
       false},
      {"fp8 1",
       "FlashInfer tests/norm/test_norm.py, test_norm_quant and test_fused_add_rmsnorm_quant: atol = rtol = "
       "1",
       "batch 99 and 989 left out, 19 up to H = 1024",
       1,
       1,
       kQuantizing,
       {fp16, bf16},
       {1, 19},
       kFlashInferSizes,
       {0.01f, 1, 10},
       false,
       "normal",
       false,
       false},
  };
  return table;
}

std::vector<ToleranceCall> calls_of(const ToleranceTest& test) {
  constexpr std::int64_t kManyRows = 16;     // more than this only
  constexpr std::int64_t kShortRows = 1128;  // up to this hidden size
  std::vector<ToleranceCall> calls;
  for (const std::int64_t rows : test.rows) {
    for (const std::int64_t hidden : test.hidden_sizes) {
      if (rows > kManyRows && hidden > kShortRows) continue;
      for (const DType dtype : test.dtypes) {
        for (const Operation operation : test.operations) {
          for (const float quantization_scale : test.scales) {
            for (const bool strided : {false, true}) {
              if (strided && !test.strided) continue;
              calls.push_back(make_call(test, operation, dtype, rows, hidden, quantization_scale, strided));
            }
          }
        }
      }
    }
  }
  return calls;
}

std::optional<std::string> failure(const ToleranceTest& test, const ToleranceCall& call, Target& target) {
  const RunResult result = target.run(call.test_case, call.tensors);
  if (result.status != RunResult::Status::completed) return "the call failed: " + result.message;
  const std::optional<Outputs> reference = call.reference ? call.reference : own_reference(call, target);
  if (!reference) return "the unfused call failed";
  if (auto found = difference(test, "out", call.test_case.output_dtype(), result.outputs[Role::out],
                              (*reference)[Role::out]))
    return found;
  ToleranceTest residual_test = test;
  if (test.own_reference) residual_test.absolute = residual_test.relative = 1e-2;
  const Role sum = normalized_tensor(call.test_case.operation);
  return difference(residual_test, name_of(sum), call.test_case.dtype, result.outputs[sum],
                    (*reference)[sum]);
}

}  // namespace normproof::matrix
