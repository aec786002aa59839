// Ordinary CUDA, for hosted_test.cpp.
#include "outcome.cuh"

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_fp16.h>

#include <cub/cub.cuh>

namespace cg = cooperative_groups;

namespace {

template <int THREADS>
__global__ void block_sum_kernel(float* out, int valid) {
  using Reduce = cub::BlockReduce<float, THREADS>;
  __shared__ typename Reduce::TempStorage storage;
  const float sum = Reduce(storage).Reduce(float(threadIdx.x + 1), cub::Sum(), valid);
  out[threadIdx.x] = sum;
}

__global__ void warp_sum_kernel(float* out) {
  using Reduce = cub::WarpReduce<int, 16>;
  __shared__ Reduce::TempStorage storage[2];
  const int sum = Reduce(storage[threadIdx.x / 16]).Sum(int(threadIdx.x));
  if (threadIdx.x % 16 == 0) out[threadIdx.x / 16] = float(sum);
}

__global__ void tile_kernel(float* out) {
  auto block = cg::this_thread_block();
  auto tile = cg::tiled_partition<8>(block);
  const float value = float(block.thread_rank());
  out[threadIdx.x] = cg::reduce(tile, value, cg::plus<float>());
  out[32 + threadIdx.x] = cg::reduce(tile, value, cg::greater<float>());
  out[64 + threadIdx.x] = float(tile.meta_group_rank() * 100 + tile.thread_rank());
  tile.sync();
  block.sync();
}

struct Pair {
  float a;
  int b;
};

template <typename T, int N>
__global__ void shared_kernel(float* out) {
  __shared__ T tile[N][N + 1], single;
  __shared__ Pair pair;
  __shared__ __align__(16) unsigned char raw[sizeof(float4)];
  const int i = threadIdx.x;
  tile[i % N][i / N] = T(i);
  if (i == 0) {
    single = T(7);
    pair.a = 0.5f;
    pair.b = 3;
    *reinterpret_cast<float4*>(raw) = make_float4(1, 2, 3, 4);
  }
  __syncthreads();
  out[i] = tile[i % N][i / N] + single + pair.a + float(pair.b) + reinterpret_cast<float*>(raw)[i % 4];
}

extern __shared__ float outside[];

__global__ void dynamic_kernel(float* out, int count) {
  extern __shared__ __align__(16) float inside[];
  for (int i = threadIdx.x; i < count; i += blockDim.x) inside[i] = float(i);
  __syncthreads();
  if (threadIdx.x == 0) out[0] = outside[count - 1];
}

__global__ void misaligned_kernel(const float* in, float* out, Access access) {
  const float4* unused = reinterpret_cast<const float4*>(in + 1);
  const float4* vectors = reinterpret_cast<const float4*>(in);
  if (access == Access::member) out[0] = vectors->y;
  if (access == Access::copy) {
    const float4 copied = vectors[0];
    out[0] = copied.y;
  }
  if (access == Access::c_cast) {
    float4 copied = *(const float4*)in;
    out[0] = copied.y;
  }
  if (access == Access::word) {
    const char* bytes = reinterpret_cast<const char*>(vectors);
    out[0] = float(*reinterpret_cast<const unsigned short*>(bytes + 7) >> 8 != 0 && unused != nullptr) + 5;
  }
  __syncthreads();
  out[1] = 1;
}
__global__ void null_kernel(const float* in, float* out) { out[0] = in == nullptr ? 0.f : *in; }
__global__ void divergent_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncwarp();
    __syncthreads();
  }
}

template <typename T>
__global__ void deduced_kernel(T* out, double scale, const float* absent) {
  out[threadIdx.x] = T(scale) + (absent == nullptr ? 1.f : 0.f);
}
[[maybe_unused]] __global__ void deduced_kernel(int) {}

}  // namespace

Outcome cub_block_sum(int threads, int valid) {
  std::vector<float> out(1024);
  block_sum_kernel<1024><<<1, threads>>>(out.data(), valid);
  return outcome_of(out);
}

Outcome cub_warp_sums() {
  std::vector<float> out(2);
  warp_sum_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

Outcome tile_sums() {
  std::vector<float> out(96);
  tile_kernel<<<dim3(1), dim3(8, 4)>>>(out.data());
  std::vector<float> none;
  tile_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

Outcome shared_forms() {
  std::vector<float> out(16);
  shared_kernel<float, 4><<<1, 16>>>(out.data());
  return outcome_of(out);
}

Outcome dynamic_shared(int bytes, Way way, bool ask_first) {
  std::vector<float> out(1);
  float* pointer = out.data();
  int count = bytes / int(sizeof(float));
  if (ask_first) cudaFuncSetAttribute(dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (way == Way::brackets) dynamic_kernel<<<1, 64, bytes>>>(pointer, count);
  if (way == Way::launch_kernel) {
    void* arguments[] = {&pointer, &count};
    cudaLaunchKernel(dynamic_kernel, dim3(1), dim3(64), arguments, bytes, nullptr);
  }
  if (way == Way::launch_kernel_ex) {
    cudaLaunchConfig_t config = {};
    config.gridDim = 1;
    config.blockDim = 64;
    config.dynamicSmemBytes = bytes;
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = 1;
    cudaLaunchKernelEx(&config, dynamic_kernel, pointer, count);
  }
  return outcome_of(out);
}

Outcome cooperative_launch() {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = config.blockDim = 1;
  config.attrs = &attribute;
  config.numAttrs = 1;
  cudaLaunchKernelEx(&config, divergent_kernel);
  return outcome_of();
}

Outcome misaligned(int offset, Access access) {
  alignas(16) static float in[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<float> out(2);
  misaligned_kernel<<<2, 64>>>(in + offset, out.data(), access);
  return outcome_of(out);
}

Outcome null_pointer() {
  std::vector<float> out(1);
  null_kernel<<<1, 1>>>(nullptr, out.data());
  return outcome_of(out);
}

Outcome divergent() {
  divergent_kernel<<<1, 64>>>();
  return outcome_of();
}

Outcome converted_arguments() {
  std::vector<float> out(4);
  int evaluated = 0;
  deduced_kernel<<<1, 4>>>(out.data(), ++evaluated, nullptr);
  return outcome_of(out);
}
