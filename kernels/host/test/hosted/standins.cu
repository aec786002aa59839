// Kernels that use CUB, cooperative groups and libcu++, for standins_test.cpp.
#include "standins.h"

#include "outcome.cuh"

#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cuda/barrier>
#include <cuda/cmath>
#include <thrust/tuple.h>
#include <cublas_v2.h>
#include <cuda.h>
#include <cuda_pipeline.h>
#include <cuda_profiler_api.h>
#include <cudnn.h>
#include <curand_kernel.h>
#include <mma.h>

#include <cub/cub.cuh>
#include <cuda/pipeline>
#include <cuda/std/cassert>
#include <cuda/std/limits>
#include <cuda/std/type_traits>
#include <string>

namespace cg = cooperative_groups;

__global__ void block_scan_kernel(float* out) {
  using Scan = cub::BlockScan<float, 96>;
  __shared__ typename Scan::TempStorage storage;
  float inclusive, largest, aggregate;
  Scan(storage).InclusiveSum(float(threadIdx.x + 1), inclusive, aggregate);
  __syncthreads();
  Scan(storage).ExclusiveScan(float(threadIdx.x + 1), largest, 5.f, cub::Max());
  __syncthreads();
  float items[2] = {1, float(threadIdx.x)}, sums[2];
  Scan(storage).ExclusiveSum(items, sums);
  out[threadIdx.x] = inclusive;
  out[96 + threadIdx.x] = largest;
  out[192 + threadIdx.x] = aggregate;
  out[288 + threadIdx.x] = sums[1];
}
Outcome block_scans() {
  std::vector<float> out(384);
  block_scan_kernel<<<1, 96>>>(out.data());
  return outcome_of(out);
}

__global__ void warp_scan_kernel(float* out) {
  using Scan = cub::WarpScan<int, 16>;
  __shared__ Scan::TempStorage storage[2];
  int inclusive, exclusive;
  Scan(storage[threadIdx.x / 16]).InclusiveSum(int(threadIdx.x), inclusive);
  Scan(storage[threadIdx.x / 16]).ExclusiveSum(int(threadIdx.x), exclusive);
  out[threadIdx.x] = float(inclusive * 1000 + exclusive);
}
Outcome warp_scans() {
  std::vector<float> out(32);
  warp_scan_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

template <bool VECTORIZED>
__global__ void load_kernel(const float* in, float* out) {
  using Load =
      cub::BlockLoad<float, 32, 4, VECTORIZED ? cub::BLOCK_LOAD_VECTORIZE : cub::BLOCK_LOAD_TRANSPOSE>;
  using Store = cub::BlockStore<float, 32, 4, cub::BLOCK_STORE_STRIPED>;
  __shared__ union {
    typename Load::TempStorage load;
    typename Store::TempStorage store;
  } storage;
  float items[4];
  if (VECTORIZED) {
    Load(storage.load).Load(in, items);
  } else {
    Load(storage.load).Load(in, items, 100, -1.f);
  }
  __syncthreads();
  for (float& item : items) item = -item;
  Store(storage.store).Store(out, items, 120);
}
Outcome block_load_and_store(bool vectorized, int offset) {
  alignas(16) static float in[160];
  for (int i = 0; i < 160; ++i) in[i] = float(i);
  std::vector<float> out(128);
  if (vectorized) {
    load_kernel<true><<<1, 32>>>(in + offset, out.data());
  } else {
    load_kernel<false><<<1, 32>>>(in + offset, out.data());
  }
  return outcome_of(out);
}

__global__ void label_kernel(float* out) {
  auto tile = cg::tiled_partition<16>(cg::this_thread_block());
  auto group = cg::labeled_partition(tile, tile.thread_rank() % 3);
  float* mine = out + 5 * threadIdx.x;
  mine[0] = float(group.thread_rank());
  mine[1] = float(group.size());
  mine[2] = float(group.meta_group_rank() * 10 + group.meta_group_size());
  mine[3] = float(cg::reduce(group, int(threadIdx.x), cg::plus<int>()));
  mine[4] = float(cg::inclusive_scan(group, int(threadIdx.x)) - cg::exclusive_scan(group, int(threadIdx.x)));
}
Outcome labeled_groups() {
  std::vector<float> out(160);
  label_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

Outcome limits_of_small_types() {
  using cuda::std::numeric_limits;
  static_assert(cuda::std::is_same_v<cuda::std::conditional_t<true, int, float>, int>);
  assert(numeric_limits<float>::has_infinity);
  return outcome_of(
      {float(numeric_limits<__half>::max()), float(numeric_limits<__half>::min()),
       float(numeric_limits<__nv_bfloat16>::epsilon()), float(numeric_limits<__nv_fp8_e4m3>::max()),
       float(numeric_limits<__nv_fp8_e4m3>::lowest()), float(numeric_limits<__nv_fp8_e5m2>::denorm_min()),
       float(-numeric_limits<__half>::infinity())});
}

__global__ void copy_kernel(const float* in, float* out, Wait wait) {
  __shared__ float4 row[2][32];
  if (wait == Wait::pipeline) {
    nvcuda::experimental::pipeline pipe;
    nvcuda::experimental::memcpy_async(row[0][threadIdx.x], reinterpret_cast<const float4*>(in)[threadIdx.x],
                                       pipe);
    pipe.commit_and_wait();
  } else if (wait == Wait::libcu) {
    auto pipe = cuda::make_pipeline();
    for (int stage = 0; stage < 2; ++stage) {
      pipe.producer_acquire();
      cuda::memcpy_async(&row[stage][threadIdx.x], reinterpret_cast<const float4*>(in) + threadIdx.x,
                         sizeof(float4), pipe);
      pipe.producer_commit();
    }
    pipe.consumer_wait();
    pipe.consumer_release();
    out[1] = row[1][threadIdx.x].x;  // of the second stage, which nobody has waited for
  } else {
    __pipeline_memcpy_async(&row[0][threadIdx.x], reinterpret_cast<const float4*>(in) + threadIdx.x,
                            sizeof(float4), 4);
    __pipeline_commit();
    if (wait == Wait::primitives) __pipeline_wait_prior(0);
  }
  __syncthreads();
  if (threadIdx.x == 0) out[0] = row[0][7].x + row[0][31].w;
}
Outcome copied_asynchronously(Wait wait) {
  alignas(16) static float in[128];
  for (int i = 0; i < 128; ++i) in[i] = float(i);
  std::vector<float> out(2);
  copy_kernel<<<1, 32>>>(in, out.data(), wait);
  return outcome_of(out);
}

Outcome library_call(const char* library) {
  cudaProfilerStart();
  if (std::string(library) == "cublas") {
    cublasHandle_t handle = nullptr;
    if (cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS) return {};
  } else if (std::string(library) == "driver") {
    CUcontext context = nullptr;
    int device = -1, processors = 0;
    const char* text = nullptr;
    if (cuInit(0) != CUDA_SUCCESS || cuDeviceGet(&device, 0) != CUDA_SUCCESS) return {};
    if (cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device) != CUDA_SUCCESS ||
        processors != 132)
      return {};
    const CUresult result = cuCtxGetCurrent(&context);
    if (cuGetErrorString(result, &text) != CUDA_SUCCESS || std::string(text) == "no error") return {};
  } else if (std::string(library) == "cudnn") {
    cudnnHandle_t handle = nullptr;
    if (cudnnCreate(&handle) == CUDNN_STATUS_SUCCESS) return {};
  } else {
    cudaGraph_t graph;
    if (cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaSuccess ||
        cudaGraphCreate(&graph, 0) == cudaSuccess)
      return {};
  }
  return outcome_of();
}

__global__ void random_kernel(float* out) {
  curandState state;
  curand_init(1, threadIdx.x, 0, &state);
  out[0] = curand_uniform(&state);
}
Outcome random_numbers() {
  std::vector<float> out(1);
  random_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void matrix_kernel(float* out) {
  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> sums;
  nvcuda::wmma::fill_fragment(sums, 0.f);
  out[0] = sums.x[0];
}
Outcome matrix_operation() {
  std::vector<float> out(1);
  matrix_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

__global__ void one_kernel(float* out) { out[0] = 1; }
Outcome launch_attributes() {
  cudaLaunchAttribute attributes[4] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributePriority;
  attributes[1].val.priority = 1;
  attributes[2].id = cudaLaunchAttributeAccessPolicyWindow;
  attributes[2].val.accessPolicyWindow = {nullptr, 0, 1.f, cudaAccessPropertyPersisting,
                                          cudaAccessPropertyStreaming};
  attributes[3].id = cudaLaunchAttributeMemSyncDomain;
  attributes[3].val.memSyncDomain = cudaLaunchMemSyncDomainRemote;
  cudaLaunchConfig_t config = {};
  config.gridDim = config.blockDim = 1;
  config.attrs = attributes;
  config.numAttrs = 4;
  std::vector<float> out(1);
  cudaLaunchKernelEx(&config, one_kernel, out.data());
  return outcome_of(out);
}

Outcome occupancy() {
  int blocks = 0, grid = 0, threads = 0;
  std::size_t shared = 0;
  cudaFuncAttributes attributes;
  cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&blocks, one_kernel, 256, 0, 0);
  cudaOccupancyMaxPotentialBlockSizeVariableSMem(
      &grid, &threads, one_kernel, [](int size) { return size * 4; }, 512);
  cudaOccupancyAvailableDynamicSMemPerBlock(&shared, one_kernel, 2, 512);
  cudaFuncGetAttributes(&attributes, one_kernel);
  int cluster = 0;
  cudaOccupancyMaxPotentialClusterSize(&cluster, one_kernel, nullptr);
  return outcome_of({float(blocks), float(threads), float(grid), float(shared),
                     float(attributes.maxThreadsPerBlock), float(cluster)});
}

__constant__ float factors[2];
__device__ int counter;
__global__ void factor_kernel(float* out) {
  out[0] = factors[0] * factors[1];
  atomicAdd(&counter, 3);
}
Outcome symbols_and_rectangles() {
  const float given[2] = {3, 5};
  int count = 0, least = 0, greatest = 0;
  std::vector<float> out(8);
  cudaMemcpyToSymbol(factors, given, sizeof given);
  factor_kernel<<<1, 2>>>(out.data());
  cudaMemcpyFromSymbol(&count, counter, sizeof count);
  out[1] = float(count);
  const float rows[] = {1, 2, 3, 9, 4, 5, 6, 9};
  cudaMemcpy2D(out.data() + 2, 3 * sizeof(float), rows, 4 * sizeof(float), 3 * sizeof(float), 2,
               cudaMemcpyDeviceToDevice);
  float* pinned = nullptr;
  cudaHostAlloc(&pinned, sizeof(float), cudaHostAllocDefault);
  cudaFreeHost(pinned);
  cudaDeviceGetStreamPriorityRange(&least, &greatest);
  return outcome_of(out);
}
Outcome too_much_for_a_symbol() {
  const float given[3] = {};
  cudaMemcpyToSymbol(factors, given, sizeof given);
  return outcome_of();
}

__global__ void helpers_kernel(float* out) {
  const thrust::pair<float, int> pair = thrust::make_pair(2.5f, 7);
  const auto tuple = thrust::make_tuple(1, 4.5f);
  __builtin_assume(pair.second == 7);
  out[0] = cuda::ceil_div(9u, 4), out[1] = cuda::round_up(9, 4), out[2] = cuda::round_down(9, 4);
  out[3] = pair.first + float(pair.second), out[4] = thrust::get<1>(tuple);
}
Outcome small_helpers() {
  std::vector<float> out(5);
  helpers_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}
__global__ void barrier_kernel() {
  __shared__ cuda::barrier<cuda::thread_scope_block> barrier;
  barrier.arrive_and_wait();
}
Outcome barrier_of_libcu() {
  barrier_kernel<<<1, 1>>>();
  return outcome_of();
}
