// What judging costs on conforming rows at H = 4096, one core: the canonical judge, and beside it a plain
// evaluation of the same rows in Boost's quad float. "per_element" is the figure; the tables in the README
// quote it.
#include <benchmark/benchmark.h>

#include <bit>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include "oracle/canonical_judge.h"
#include "oracle/witness_judge.h"

namespace normproof::oracle {
namespace {

using boost::multiprecision::cpp_bin_float_quad;

constexpr std::int64_t kHiddenSize = 4096;
constexpr std::int64_t kRows = 64;

std::uint32_t bits_near(DType dtype, double value) {
  // Truncation is enough: these are inputs, not results.
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  if (dtype == DType::fp32) return bits;
  if (dtype == DType::bf16) return bits >> 16;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  return magnitude < 0x38800000u ? sign : sign | ((magnitude - 0x38000000u) >> 13);
}

std::vector<std::byte> gaussian(DType dtype, std::int64_t count, double mean, double deviation) {
  std::mt19937_64 random(42);
  std::normal_distribution<double> normal(mean, deviation);
  std::vector<std::byte> data(static_cast<std::size_t>(count) * size_of(dtype));
  for (std::int64_t i = 0; i < count; ++i) store_bits(data, dtype, i, bits_near(dtype, normal(random)));
  return data;
}

const Operation kNorm = operation_of({NormStep::normalize});

struct Subject {
  Case test_case;
  CaseTensors tensors;
  Outputs outputs;
};

Subject make_subject(Operation operation, DType dtype, std::int64_t rows) {
  Subject subject;
  Case& c = subject.test_case;
  c.kind() = call_kind(operation, dtype, dtype);
  c.shape = {rows, kHiddenSize};
  for (const Role role : c.inputs_with_rows())
    subject.tensors[role] = gaussian(dtype, rows * kHiddenSize, 0, 1);
  subject.tensors[Role::weight] = gaussian(dtype, kHiddenSize, 1, 0.1);
  subject.outputs = expected_outputs(c, subject.tensors);
  return subject;
}

void report(benchmark::State& state, std::int64_t elements) {
  state.counters["per_element"] =
      benchmark::Counter(static_cast<double>(elements),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void canonical_judge(benchmark::State& state, Operation operation, DType dtype) {
  const Subject subject = make_subject(operation, dtype, kRows);
  for ([[maybe_unused]] auto _ : state) {
    const Verdict verdict = judge_canonical(subject.test_case, subject.tensors, subject.outputs);
    if (!verdict.conforms()) state.SkipWithError("the rows do not conform");
    benchmark::DoNotOptimize(verdict);
  }
  report(state, kRows * kHiddenSize);
}

// What one would write without a fast path: every value of the formula in quad precision, rounded to bf16 by
// the library.
void plain_quad(benchmark::State& state) {
  const Subject subject = make_subject(kNorm, DType::bf16, 1);
  const auto as_float = [](std::uint32_t bits) { return std::bit_cast<float>(bits << 16); };
  const auto to_bf16 = [](const cpp_bin_float_quad& value) {
    using Eight = boost::multiprecision::number<
        boost::multiprecision::cpp_bin_float<8, boost::multiprecision::digit_base_2>>;
    return value.convert_to<Eight>().convert_to<float>();
  };
  for ([[maybe_unused]] auto _ : state) {
    cpp_bin_float_quad sum = 0;
    std::vector<cpp_bin_float_quad> x(kHiddenSize);
    for (std::int64_t j = 0; j < kHiddenSize; ++j) {
      x[static_cast<std::size_t>(j)] = as_float(load_bits(subject.tensors[Role::input], DType::bf16, j));
      sum += x[static_cast<std::size_t>(j)] * x[static_cast<std::size_t>(j)];
    }
    const cpp_bin_float_quad m = sum / kHiddenSize + subject.test_case.value_of(Parameter::epsilon);
    const cpp_bin_float_quad r = cpp_bin_float_quad(1 / sqrt(m)).convert_to<float>();
    std::int64_t different = 0;
    for (std::int64_t j = 0; j < kHiddenSize; ++j) {
      const float n = to_bf16(cpp_bin_float_quad(x[static_cast<std::size_t>(j)] * r).convert_to<float>());
      const float w = as_float(load_bits(subject.tensors[Role::weight], DType::bf16, j));
      const float y = to_bf16(cpp_bin_float_quad(n) * w);
      different +=
          std::bit_cast<std::uint32_t>(y) >> 16 != load_bits(subject.outputs[Role::out], DType::bf16, j) ? 1
                                                                                                         : 0;
    }
    benchmark::DoNotOptimize(different);
  }
  report(state, kHiddenSize);
}

void witness_judge(benchmark::State& state, Operation operation, DType dtype) {
  const Subject subject = make_subject(operation, dtype, kRows);
  for ([[maybe_unused]] auto _ : state) {
    const WitnessVerdict verdict = judge_witness(subject.test_case, subject.tensors, subject.outputs);
    if (!verdict.conforms()) state.SkipWithError("the rows do not conform");
    benchmark::DoNotOptimize(verdict);
  }
  report(state, kRows * kHiddenSize);
}

// What a test with a tolerance does, in C++: the reference in fp64, |got - wanted| <= atol + rtol * |wanted|.
void fp64_and_allclose(benchmark::State& state, DType dtype) {
  const Subject subject = make_subject(kNorm, dtype, kRows);
  const auto widen = [dtype](const std::vector<std::byte>& data) {
    std::vector<double> values(data.size() / size_of(dtype));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::bf16) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, data.data() + 2 * i, 2);
        values[i] = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
      } else {
        float value = 0;
        std::memcpy(&value, data.data() + 4 * i, 4);
        values[i] = static_cast<double>(value);
      }
    }
    return values;
  };
  for ([[maybe_unused]] auto _ : state) {
    const std::vector<double> x = widen(subject.tensors[Role::input]);
    const std::vector<double> w = widen(subject.tensors[Role::weight]);
    const std::vector<double> got = widen(subject.outputs[Role::out]);
    std::int64_t outside = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      double sum = 0;
      for (std::size_t j = 0; j < kHiddenSize; ++j)
        sum += x[row * kHiddenSize + j] * x[row * kHiddenSize + j];
      const double r = 1 / std::sqrt(sum / kHiddenSize +
                                     static_cast<double>(subject.test_case.value_of(Parameter::epsilon)));
      for (std::size_t j = 0; j < kHiddenSize; ++j) {
        const double wanted = x[row * kHiddenSize + j] * r * w[j];
        outside += std::fabs(got[row * kHiddenSize + j] - wanted) <= 1e-2 + 1e-2 * std::fabs(wanted) ? 0 : 1;
      }
    }
    if (outside != 0) state.SkipWithError("outside of the tolerance");
  }
  report(state, kRows * kHiddenSize);
}

// Each operation in bf16, the plain norm in every dtype: "witness_judge/rms_norm_bf16".
const bool kJudgesAreAdded = [] {
  for (const auto& [name, judge] :
       {std::pair("canonical_judge", &canonical_judge), std::pair("witness_judge", &witness_judge)}) {
    for (const Operation operation : all_operations()) {
      for (const DType dtype : kActivationDTypes) {
        if (dtype != DType::bf16 && operation != kNorm) continue;
        const std::string full =
            std::string(name) + "/" + std::string(name_of(operation)) + "_" + std::string(name_of(dtype));
        benchmark::RegisterBenchmark(full.c_str(), judge, operation, dtype);
      }
    }
  }
  return true;
}();
BENCHMARK(plain_quad);
BENCHMARK_CAPTURE(fp64_and_allclose, bf16, DType::bf16);
BENCHMARK_CAPTURE(fp64_and_allclose, fp32, DType::fp32);

}  // namespace
}  // namespace normproof::oracle
