// A third example in somebody else's style: operators of a torch extension, launched from tensors, with
// torch's checks, dispatch macros and registration.
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/all.h>

#include <optional>

namespace {

__device__ __forceinline__ float sum_of_block(float value) {
  __shared__ float of_warp[32];
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < (blockDim.x + 31) / 32; ++warp) sum += of_warp[warp];
  __syncthreads();
  return sum;
}

// One block a row. `residual`, where there is one, has the sum with the input added to it first.
template <typename scalar_t, bool HAS_RESIDUAL>
__global__ void rms_norm_kernel(scalar_t* __restrict__ out, const int64_t out_stride, const scalar_t* input,
                                const int64_t input_stride, scalar_t* residual, const int64_t residual_stride,
                                const scalar_t* __restrict__ weight, const float epsilon,
                                const int hidden_size) {
  using opmath_t = at::opmath_type<scalar_t>;
  const scalar_t* in = input + blockIdx.x * input_stride;
  scalar_t* res = HAS_RESIDUAL ? residual + blockIdx.x * residual_stride : nullptr;
  opmath_t squares = 0;
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x) {
    scalar_t x = in[i];
    if constexpr (HAS_RESIDUAL) {
      x = x + res[i];
      res[i] = x;
    }
    squares += static_cast<opmath_t>(x) * static_cast<opmath_t>(x);
  }
  const float inverse_rms = rsqrtf(static_cast<float>(sum_of_block(squares)) / hidden_size + epsilon);
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x) {
    const scalar_t x = HAS_RESIDUAL ? res[i] : in[i];
    const scalar_t normalized = static_cast<scalar_t>(static_cast<opmath_t>(x) * inverse_rms);
    out[blockIdx.x * out_stride + i] = weight == nullptr ? normalized : normalized * weight[i];
  }
}

void launch(at::Tensor& out, const at::Tensor& input, const std::optional<at::Tensor>& residual,
            const std::optional<at::Tensor>& weight, double epsilon) {
  const int hidden_size = static_cast<int>(input.size(-1));
  TORCH_CHECK(input.stride(-1) == 1, "the last dimension must be contiguous");
  TORCH_CHECK_NOT_IMPLEMENTED(input.dim() == 2 || (input.is_contiguous() && out.is_contiguous()),
                              "rows of many dimensions must be contiguous");
  const auto rows = input.view({-1, hidden_size});
  if (rows.numel() == 0) return;
  auto out_rows = out.view({-1, hidden_size});
  const dim3 grid(rows.size(0)), block(std::min(hidden_size + 31, 256) / 32 * 32);
  const at::cuda::OptionalCUDAGuard guard(device_of(input));
  const cudaStream_t stream = at::cuda::getCurrentCUDAStream();
  AT_DISPATCH_SWITCH(
      input.scalar_type(), "rms_norm_kernel", AT_DISPATCH_CASE(at::ScalarType::Float, [&] {
        const float* w = weight ? weight->data_ptr<float>() : nullptr;
        if (residual) {
          rms_norm_kernel<float, true><<<grid, block, 0, stream>>>(
              out_rows.data_ptr<float>(), out_rows.stride(0), rows.data_ptr<float>(), rows.stride(0),
              residual->data_ptr<float>(), residual->stride(0), w, epsilon, hidden_size);
        } else {
          rms_norm_kernel<float, false><<<grid, block, 0, stream>>>(
              out_rows.data_ptr<float>(), out_rows.stride(0), rows.data_ptr<float>(), rows.stride(0), nullptr,
              0, w, epsilon, hidden_size);
        }
      }) AT_DISPATCH_CASE_REDUCED_FLOATING_TYPES([&] {
        const scalar_t* w = weight ? weight->data_ptr<scalar_t>() : nullptr;
        if (residual) {
          rms_norm_kernel<scalar_t, true><<<grid, block, 0, stream>>>(
              out_rows.data_ptr<scalar_t>(), out_rows.stride(0), rows.data_ptr<scalar_t>(), rows.stride(0),
              residual->data_ptr<scalar_t>(), residual->stride(0), w, epsilon, hidden_size);
        } else {
          rms_norm_kernel<scalar_t, false><<<grid, block, 0, stream>>>(
              out_rows.data_ptr<scalar_t>(), out_rows.stride(0), rows.data_ptr<scalar_t>(), rows.stride(0),
              nullptr, 0, w, epsilon, hidden_size);
        }
      }));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

void rms_norm(at::Tensor& out, at::Tensor& input, const std::optional<at::Tensor>& weight, double epsilon) {
  TORCH_CHECK(out.sizes() == input.sizes(), "out has ", out.sizes(), ", input ", input.sizes());
  launch(out, input, std::nullopt, weight, epsilon);
}
void fused_add_rms_norm(at::Tensor& input, at::Tensor& residual, const std::optional<at::Tensor>& weight,
                        double epsilon) {
  launch(input, input, residual, weight, epsilon);
}

TORCH_LIBRARY(norms, m) {
  m.def("rms_norm(Tensor! out, Tensor input, Tensor? weight, float epsilon) -> ()");
  m.impl("rms_norm", torch::kCUDA, &rms_norm);
  m.def("fused_add_rms_norm(Tensor! input, Tensor! residual, Tensor? weight, float epsilon) -> ()");
  m.impl("fused_add_rms_norm", torch::kCUDA, &fused_add_rms_norm);
}
