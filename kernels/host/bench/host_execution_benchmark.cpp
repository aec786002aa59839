// What running a CUDA block on the CPU costs: fiber switches, barriers, shuffles, and the exact intrinsics.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/host/launch.h"

#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

// Every barrier suspends every thread once.
__global__ void many_barriers(int count) {
  for (int i = 0; i < count; ++i) __syncthreads();
}

void BM_FiberSwitch(benchmark::State& state) {
  const int barriers = 100;
  const auto threads = static_cast<unsigned>(state.range(0));
  for ([[maybe_unused]] auto _ : state) {
    if (!launch({.grid = 1, .block = threads}, many_barriers, barriers)) state.SkipWithError("launch failed");
  }
  state.counters["per_switch"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * barriers * threads,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_FiberSwitch)->Arg(2)->Arg(32)->Arg(256)->Arg(1024);

// The shape of a row reduction: five shuffles, a barrier, five shuffles, a barrier.
__global__ void two_barriers_ten_shuffles(float* sums) {
  NORMPROOF_SHARED(float, partial, 32);
  float value = static_cast<float>(threadIdx.x);
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_xor_sync(0xffffffffu, value, delta);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x % 32 < blockDim.x / 32 ? partial[threadIdx.x % 32] : 0.0f;
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_xor_sync(0xffffffffu, value, delta);
  __syncthreads();
  if (threadIdx.x == 0) sums[blockIdx.x] = value;
}

void BM_Block(benchmark::State& state) {
  const auto threads = static_cast<unsigned>(state.range(0));
  const Schedule schedule{static_cast<ThreadOrder>(state.range(1)), 1};
  std::vector<float> sums(16);
  for ([[maybe_unused]] auto _ : state) {
    if (!launch({.grid = 16, .block = threads, .schedule = schedule}, two_barriers_ten_shuffles,
                sums.data())) {
      state.SkipWithError("launch failed");
    }
  }
  state.counters["per_block"] = benchmark::Counter(static_cast<double>(state.iterations()) * 16,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Block)->ArgNames({"threads", "order"})->ArgsProduct({{32, 256, 1024}, {0, 1, 2}});

__global__ void nothing() {}

void BM_EmptyLaunch(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) {
    if (!launch({.grid = 1, .block = static_cast<unsigned>(state.range(0))}, nothing)) {
      state.SkipWithError("launch failed");
    }
  }
}
BENCHMARK(BM_EmptyLaunch)->Arg(1)->Arg(32);

std::vector<float> sample_floats() {
  std::vector<float> values(4096);
  std::uint32_t bits = 1;
  for (float& value : values) {
    bits = bits * 1664525u + 1013904223u;
    value = __uint_as_float(0x3f000000u | (bits >> 9));
  }
  return values;
}

void BM_FmaChain(benchmark::State& state) {
  const std::vector<float> values = sample_floats();
  for ([[maybe_unused]] auto _ : state) {
    float sum = 0;
    for (const float value : values) sum = __fmaf_rn(value, value, sum);
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(values.size()));
}
BENCHMARK(BM_FmaChain);

void BM_InverseSquareRoot(benchmark::State& state) {
  const std::vector<float> values = sample_floats();
  for ([[maybe_unused]] auto _ : state) {
    for (const float value : values) benchmark::DoNotOptimize(__frsqrt_rn(value));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(values.size()));
}
BENCHMARK(BM_InverseSquareRoot);

}  // namespace
}  // namespace normproof::host

BENCHMARK_MAIN();
