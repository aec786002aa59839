// Norms of somebody's who ported them from GPUs whose warps have 32 lanes: each has one bug that only waves of 64
// show, but for the first. WAVE_BUG in the environment says which; all conform where waves have 32 lanes, also
// one after the other, "all-in-turn".
#include <hip/hip_runtime.h>

#include <cstdlib>
#include <cstring>

#include <normproof_torch/adapter.h>

enum class Bug {
  kNone,
  kHalfWaveSummed,      // B36: sums begin at 16 lanes apart, so the other half of a wave is left out
  kMaskOf32Bits,        // B38: shuffles with a mask of 32 bits
  kWavesCountedAs32,    // B16: a wave is thread / 32, so the sum of each is added twice
  kLaneIdOf5Bits,       // B16: a lane is thread & 31, and lane 32 passes for the first of a wave
  kBallotIn32Bits,      // what __ballot gives is kept in 32 bits: the lanes above count as idle
  kWidthOf32,           // shuffles with a width of 32: the halves are never added
  kSharedFor32Lanes,    // B16: a constant of 32 lanes, for which shared memory is made
  kMovesWithoutTheLast, // B36: by data-parallel moves without row_bcast:31, read from lane 31
};
constexpr const char* kNames[] = {"none", "half-wave-summed", "mask-of-32-bits", "waves-counted-as-32", "lane-id-of-5-bits",
                                  "ballot-in-32-bits", "width-of-32", "shared-for-32-lanes", "moves-without-the-last"};
constexpr int kCudaWarp = 32;

template <int control>
__device__ float moved(float value) {
  return __builtin_amdgcn_update_dpp(0.f, value, control, 0xf, 0xf, true);
}

template <Bug bug>
__device__ float wave_sum(float value) {
  if constexpr (bug == Bug::kSharedFor32Lanes) {
    __shared__ float of_lane[1024 / 64][kCudaWarp + 1];
    const int wave = threadIdx.x / warpSize, lane = threadIdx.x % warpSize;
    of_lane[wave][lane] = value;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < warpSize; ++i) sum += of_lane[wave][i];
    __syncthreads();
    return sum;
  } else if constexpr (bug == Bug::kBallotIn32Bits) {
    const unsigned with_values = __ballot(value != 0);
    float sum = 0;
    for (int lane = 0; lane < warpSize; ++lane) {
      const float other = __shfl(value, lane);
      if (lane < 32 && (with_values >> lane & 1) != 0) sum += other;
    }
    return sum;
  } else if constexpr (bug == Bug::kMovesWithoutTheLast) {
    value += moved<0x111>(value);
    value += moved<0x112>(value);
    value += moved<0x114>(value);
    value += moved<0x118>(value);
    // By the other half of the 32 lanes, as row_bcast:15 does it where there is one.
    value += __shfl_up(value, 16, 32);
    return __builtin_amdgcn_readlane(value, 31);
  } else {
    for (int lanes = bug == Bug::kHalfWaveSummed ? 16 : warpSize / 2; lanes > 0; lanes /= 2) {
      if constexpr (bug == Bug::kMaskOf32Bits) value += __shfl_xor_sync(0xffffffff, value, lanes);
      else if constexpr (bug == Bug::kWidthOf32) value += lanes < 32 ? __shfl_xor(value, lanes, 32) : 0.f;
      else value += __shfl_xor(value, lanes);
    }
    return value;
  }
}

template <Bug bug>
__device__ float block_sum(float value) {
  __shared__ float of_wave[1024 / 32];
  constexpr bool counts = bug == Bug::kWavesCountedAs32;
  const int lanes = counts ? 32 : warpSize;
  const int wave = threadIdx.x / lanes;
  const int lane = bug == Bug::kLaneIdOf5Bits ? threadIdx.x & 31 : threadIdx.x % lanes;
  const int waves = (blockDim.x + lanes - 1) / lanes;
  value = wave_sum<bug>(value);
  if (lane == 0) of_wave[wave] = value;
  __syncthreads();
  return wave_sum<bug>(lane < waves ? of_wave[lane] : 0.f);
}

template <Bug bug>
__global__ void rms_norm_kernel(float* out, const float* in, const float* weight, float epsilon, int hidden_size) {
  const float* row = in + (long long)(blockIdx.x) * hidden_size;
  float squares = 0.f;
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x) squares += row[i] * row[i];
  const float inverse_rms = rsqrtf(block_sum<bug>(squares) / hidden_size + epsilon);
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x)
    out[(long long)(blockIdx.x) * hidden_size + i] = row[i] * inverse_rms * weight[i];
}

template <int bug = 0>
void launch(const char* name, float* out, const float* in, const float* weight, float epsilon, int rows, int hidden_size) {
  constexpr int count = sizeof kNames / sizeof kNames[0];
  if constexpr (bug == count) {
    throw std::runtime_error(std::string("WAVE_BUG: no bug is called ") + name);
  } else if (std::strcmp(name, kNames[bug]) == 0) {
    rms_norm_kernel<Bug(bug)><<<rows, 128>>>(out, in, weight, epsilon, hidden_size);
  } else {
    launch<bug + 1>(name, out, in, weight, epsilon, rows, hidden_size);
  }
}

NORMPROOF_TORCH_PLUGIN(
    "ported to waves of 64 lanes", NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_SAME_WEIGHT,
    .rms_norm = [](normproof_torch::Call call) {
      const char* name = std::getenv("WAVE_BUG");
      static int calls = 0;
      constexpr int count = sizeof kNames / sizeof kNames[0];
      if (name == nullptr) name = kNames[0];
      if (std::strcmp(name, "abort") == 0) std::abort();
      if (std::strcmp(name, "all-in-turn") == 0) name = kNames[calls++ % count];
      launch(name, (float*)call.pointer(call.out), (const float*)call.pointer(call.input),
             (const float*)call.pointer(call.weight), float(call.epsilon), int(call.rows()), int(call.columns()));
    },
    .limits = {.greatest_hidden = 512, .least_rows = 1, .greatest_rows = 16, .contiguous = true})
