// A plug-in in device memory: one block per row, an order of summation of its own, CUDA's own types. With a
// fault on demand: NORMPROOF_FAULT is "illegal-address", "hang", "fp32-weight", or "FAULT:HIDDEN".
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "properties/plugin/normproof_plugin.h"

namespace {

constexpr int kThreads = 256;

__device__ float load(const __nv_bfloat16* data, int64_t index) { return __bfloat162float(data[index]); }
__device__ float load(const float* data, int64_t index) { return data[index]; }
__device__ void store(__nv_bfloat16* data, int64_t index, float value) {
  data[index] = __float2bfloat16_rn(value);
}
__device__ void store(float* data, int64_t index, float value) { data[index] = value; }
__device__ float rounded(const __nv_bfloat16*, float value) {
  return __bfloat162float(__float2bfloat16_rn(value));
}
__device__ float rounded(const float*, float value) { return value; }

enum class Fault { none, illegal_address, hang, fp32_weight };

// The sum of the block's values, in every thread.
__device__ float block_sum(float value) {
  __shared__ float of_warp[kThreads / 32];
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffff, value, step);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < kThreads / 32; ++warp) sum += of_warp[warp];
  return sum;
}

template <class T>
__global__ void norm_rows(T* out, int64_t out_stride, const T* input, int64_t input_stride, const T* weight,
                          int64_t columns, float epsilon, Fault fault) {
  const T* x = input + blockIdx.x * input_stride;
  T* y = out + blockIdx.x * out_stride;
  if (fault == Fault::illegal_address) y = nullptr;
  while (fault == Fault::hang) __nanosleep(1000);
  float squares = 0;
  for (int64_t j = threadIdx.x; j < columns; j += kThreads)
    squares = __fmaf_rn(load(x, j), load(x, j), squares);
  const float r = rsqrtf(__fadd_rn(__fdiv_rn(block_sum(squares), static_cast<float>(columns)), epsilon));
  for (int64_t j = threadIdx.x; j < columns; j += kThreads) {
    const float normalized = __fmul_rn(load(x, j), r);
    if (weight == nullptr) {
      store(y, j, normalized);
    } else if (fault == Fault::fp32_weight) {
      store(y, j, __fmul_rn(normalized, load(weight, j)));
    } else {
      store(y, j, __fmul_rn(rounded(weight, normalized), load(weight, j)));
    }
  }
}

Fault fault_for(int64_t columns) {
  const char* text = std::getenv("NORMPROOF_FAULT");
  const std::string wanted = text != nullptr ? text : "";
  const auto is = [&](const char* name) {
    return wanted == name || wanted == std::string(name) + ":" + std::to_string(columns);
  };
  if (is("illegal-address")) return Fault::illegal_address;
  if (is("hang")) return Fault::hang;
  return is("fp32-weight") ? Fault::fp32_weight : Fault::none;
}

template <class T>
void launch(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon, void* stream) {
  const int64_t columns = input->shape[1];
  norm_rows<T><<<static_cast<unsigned>(input->shape[0]), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      static_cast<T*>(out->data), out->strides[0], static_cast<const T*>(input->data), input->strides[0],
      weight == nullptr ? nullptr : static_cast<const T*>(weight->data), columns, epsilon,
      fault_for(columns));
}

int32_t rms_norm(const normproof_plugin_call* call) {
  const DLTensor* out = normproof_tensor_of(call, "out");
  const DLTensor* input = normproof_tensor_of(call, "input");
  const DLTensor* weight = normproof_tensor_of(call, "weight");
  const float epsilon = normproof_parameter_of(call, "epsilon");
  if (input->ndim != 2) {
    std::snprintf(call->message, call->message_capacity, "more than two dimensions");
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  }
  if (input->shape[0] == 0) return NORMPROOF_PLUGIN_OK;
  if (input->dtype.code == kDLBfloat) {
    launch<__nv_bfloat16>(out, input, weight, epsilon, call->stream);
  } else {
    launch<float>(out, input, weight, epsilon, call->stream);
  }
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return NORMPROOF_PLUGIN_OK;
  std::snprintf(call->message, call->message_capacity, "%s", cudaGetErrorString(error));
  return NORMPROOF_PLUGIN_FAILED;
}

}  // namespace

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_operation entry = {sizeof entry, "rms_norm", &rms_norm, nullptr};
  static const normproof_plugin_operation* const operations[] = {&entry, nullptr};
  static const normproof_plugin_info info = {
      NORMPROOF_PLUGIN_ABI,
      NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_NO_WEIGHT | NORMPROOF_TAKES_SAME_WEIGHT,
      "one block per row",
      kDLCUDA,
      sizeof info,
      operations,
  };
  return &info;
}
