// The judges that search: LayerNorm, its gradient and RMSNorm's, q/k norm with rotary embedding. Honest rows
// in the canonical order, and rows with one element off by one number; per_element is the time on one core.
#include <benchmark/benchmark.h>

#include <bit>
#include <cmath>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "corpus/random.h"
#include "oracle/box_search/layer_norm.h"
#include "oracle/box_search/norm_gradient.h"
#include "oracle/box_search/qk_norm_rope.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {
namespace {

constexpr std::int64_t kRows = 16;

// About normal, packed; the mean is at `offset` deviations.
std::vector<std::byte> numbers(Random& random, DType dtype, std::int64_t count, float offset,
                               float deviation = 1) {
  std::vector<float> values;
  for (std::int64_t j = 0; j < count; ++j) {
    std::int64_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += random.between(-(1 << 22), 1 << 22);
    values.push_back(deviation * (static_cast<float>(sum) * 0x1.bb67aep-23f + offset));
  }
  const auto index = static_cast<std::size_t>(dtype);
  row_kernels().round_values[index](values.data(), count, ActivationRounding::nearest_even);
  std::vector<std::byte> packed(values.size() * size_of(dtype));
  row_kernels().pack[index](values.data(), count, packed.data());
  return packed;
}

// One element of a row becomes the next number.
void spoil(Random& random, DType dtype, std::vector<std::byte>& packed) {
  const auto count = static_cast<std::uint64_t>(packed.size() / size_of(dtype));
  const auto at = static_cast<std::int64_t>(random.below(count));
  store_bits(packed, dtype, at,
             static_cast<std::uint32_t>(next_up(format_of(dtype), load_bits(packed, dtype, at))));
}

void report(benchmark::State& state, std::int64_t elements) {
  state.counters["per_element"] =
      benchmark::Counter(static_cast<double>(elements),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

enum class Rows { canonical, serial, faulty };

// The statistics of one loop over the row, each operation rounded.
LayerNormJudge::Canonical serial_statistics(std::span<const float> x, float epsilon) {
  const auto count = static_cast<float>(x.size());
  float sum = 0;
  for (const float value : x) sum += value;
  const float mean = sum / count;
  float squares = 0;
  for (const float value : x) squares += (value - mean) * (value - mean);
  return {mean, 1 / std::sqrt(squares / count + epsilon)};
}

void layer_norm(benchmark::State& state, DType dtype, std::int64_t size, float offset, Rows rows) {
  const bool faulty = rows == Rows::faulty;
  const StandardFloatEnvironment environment;
  Random random(1);
  LayerNormRule rule;
  rule.activation = dtype;
  rule.weight = rule.bias = dtype;
  rule.epsilon = std::bit_cast<std::uint32_t>(1e-5f);
  LayerNormJudge judge(rule, size, numbers(random, dtype, size, 10, 0.1f), numbers(random, dtype, size, 0));
  std::vector<std::vector<std::byte>> x, out;
  for (std::int64_t row = 0; row < kRows; ++row) {
    x.push_back(numbers(random, dtype, size, offset));
    LayerNormJudge::Canonical statistics = judge.canonical_statistics(x.back());
    if (rows == Rows::serial) statistics = serial_statistics(judge.operands(), 1e-5f);
    out.push_back(judge.outputs(x.back(), statistics.mean, statistics.inverse_root));
    if (faulty) spoil(random, dtype, out.back());
  }
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t row = 0; row < kRows; ++row) {
      const RowVerdict verdict = judge.judge(x[row], out[row], {}, false);
      if (!faulty && !verdict.conforms) state.SkipWithError("a row does not conform");
      benchmark::DoNotOptimize(verdict);
    }
  }
  report(state, kRows * size);
}

void gradient(benchmark::State& state, DType dtype, std::int64_t size, bool centred, bool faulty) {
  const StandardFloatEnvironment environment;
  Random random(2);
  NormGradientRule rule;
  rule.activation = dtype;
  rule.weight = dtype;
  rule.centred = centred;
  rule.contraction = GradientContraction::correction;
  NormGradientJudge judge(rule, size, numbers(random, dtype, size, 10, 0.1f));
  std::vector<std::vector<std::byte>> dy, x, out;
  std::vector<GradientOperands> operands;
  for (std::int64_t row = 0; row < kRows; ++row) {
    dy.push_back(numbers(random, dtype, size, 0));
    x.push_back(numbers(random, dtype, size, 0));
  }
  for (std::size_t row = 0; row < kRows; ++row) {
    operands.push_back({dy[row], x[row], {}, 0.001f, 1.003f});
    const NormGradientJudge::Canonical c = judge.canonical_unknowns(operands[row]);
    out.push_back(judge.outputs(operands[row], c.c1, c.c2));
    if (faulty) spoil(random, dtype, out.back());
  }
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t row = 0; row < kRows; ++row) {
      const RowVerdict verdict = judge.judge(operands[row], out[row], false);
      if (!faulty && !verdict.conforms) state.SkipWithError("a row does not conform");
      benchmark::DoNotOptimize(verdict);
    }
  }
  report(state, kRows * size);
}

void rope(benchmark::State& state, DType dtype, std::int64_t size, bool faulty) {
  const StandardFloatEnvironment environment;
  Random random(3);
  QkNormRopeRule rule;
  rule.activation = dtype;
  rule.weight = dtype;
  rule.order = NormOrder::factor_first;
  rule.epsilon = std::bit_cast<std::uint32_t>(1e-6f);
  QkNormRopeJudge judge(rule, size, size, numbers(random, dtype, size, 10, 0.1f));
  std::vector<float> cosine, sine;
  for (std::int64_t i = 0; i < size / 2; ++i) {
    const double angle = 1000 * std::pow(10000.0, -2 * static_cast<double>(i) / static_cast<double>(size));
    cosine.push_back(static_cast<float>(std::cos(angle)));
    sine.push_back(static_cast<float>(std::sin(angle)));
  }
  judge.set_rotation(std::as_bytes(std::span(cosine)), std::as_bytes(std::span(sine)));
  std::vector<std::vector<std::byte>> x, out;
  for (std::int64_t head = 0; head < kRows; ++head) {
    x.push_back(numbers(random, dtype, size, 0));
    out.push_back(judge.outputs(x.back(), judge.canonical_root(x.back())));
    if (faulty) spoil(random, dtype, out.back());
  }
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t head = 0; head < kRows; ++head) {
      const RowVerdict verdict = judge.judge(x[head], out[head], false);
      if (!faulty && !verdict.conforms) state.SkipWithError("a head does not conform");
      benchmark::DoNotOptimize(verdict);
    }
  }
  report(state, kRows * size);
}

BENCHMARK_CAPTURE(layer_norm, bf16_128, DType::bf16, 128, 0.5f, Rows::canonical);
BENCHMARK_CAPTURE(layer_norm, bf16_1024, DType::bf16, 1024, 0.5f, Rows::canonical);
BENCHMARK_CAPTURE(layer_norm, bf16_4096, DType::bf16, 4096, 0.5f, Rows::canonical);
BENCHMARK_CAPTURE(layer_norm, bf16_4096_serial, DType::bf16, 4096, 0.5f, Rows::serial);
BENCHMARK_CAPTURE(layer_norm, bf16_4096_offset_30, DType::bf16, 4096, 30.0f, Rows::canonical);
BENCHMARK_CAPTURE(layer_norm, bf16_4096_faulty, DType::bf16, 4096, 0.5f, Rows::faulty);
BENCHMARK_CAPTURE(layer_norm, fp16_4096, DType::fp16, 4096, 0.5f, Rows::canonical);
BENCHMARK_CAPTURE(layer_norm, fp32_4096, DType::fp32, 4096, 0.5f, Rows::canonical);
BENCHMARK_CAPTURE(layer_norm, fp32_4096_serial, DType::fp32, 4096, 0.5f, Rows::serial);
BENCHMARK_CAPTURE(layer_norm, fp32_4096_faulty, DType::fp32, 4096, 0.5f, Rows::faulty);
BENCHMARK_CAPTURE(gradient, rms_norm_bf16_4096, DType::bf16, 4096, false, false);
BENCHMARK_CAPTURE(gradient, rms_norm_fp32_4096, DType::fp32, 4096, false, false);
BENCHMARK_CAPTURE(gradient, layer_norm_bf16_4096, DType::bf16, 4096, true, false);
BENCHMARK_CAPTURE(gradient, layer_norm_bf16_4096_faulty, DType::bf16, 4096, true, true);
BENCHMARK_CAPTURE(gradient, layer_norm_fp32_4096, DType::fp32, 4096, true, false);
BENCHMARK_CAPTURE(rope, bf16_64, DType::bf16, 64, false);
BENCHMARK_CAPTURE(rope, bf16_128, DType::bf16, 128, false);
BENCHMARK_CAPTURE(rope, bf16_128_faulty, DType::bf16, 128, true);
BENCHMARK_CAPTURE(rope, fp32_128, DType::fp32, 128, false);

}  // namespace
}  // namespace normproof::oracle::box_search
