// The C++ interface of the production kernels: the operations of the numeric contract on strided
// tensors. Every function checks its arguments before anything is written and says what it refuses. Pointers
// are device pointers in the CUDA build (work is enqueued on `stream`), ordinary pointers in the host build
// (work is done when the function returns). normproof_kernels.h is the same in C.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace normproof::kernels {

// The values are those of normproof_dtype.
// uint8 holds bytes that are something else:
// two e2m1 numbers, or a scale in e8m0, of calls by name alone.
enum class DType : std::int32_t {
  fp32,
  fp16,
  bf16,
  fp8_e4m3fn,
  fp8_e5m2,
  fp8_e4m3fnuz,
  fp8_e5m2fnuz,
  int8,
  uint8
};

// The values and meanings are those of normproof_status.
enum class StatusCode : std::int32_t {
  ok,
  null_pointer,
  invalid_rank,
  invalid_size,
  invalid_stride,
  size_overflow,
  unsupported_dtype,
  misaligned_pointer,
  overlap,
  invalid_launch,
  launch_failed,
  unknown_name,
};

struct Status {
  StatusCode code = StatusCode::ok;
  std::string message;  // empty exactly where code is ok; names the argument and its value
  bool ok() const { return code == StatusCode::ok; }
};

// A strided tensor of rank 1 to 4. Sizes and strides count elements; the last stride is 1.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::fp32;
  int rank = 0;
  std::array<std::int64_t, 4> sizes{};
  std::array<std::int64_t, 4> strides{};
};

// Which of the kernels' code paths runs. No choice changes a bit of the result.
enum class Path : std::int32_t { automatic, vectorized, scalar };
struct Launch {
  Path path = Path::automatic;
  int threads_per_block = 0;  // 0: automatic; otherwise a multiple of 32 from 32 to 1024
};

// What was launched. Zero rows launch nothing: automatic path, no blocks.
struct LaunchReport {
  Path path = Path::automatic;
  int threads_per_block = 0;
  int rows_per_block = 0;  // rows that a block handles at the same time
  std::int64_t blocks = 0;
};

// cudaStream_t in the CUDA build; ignored by the host build.
using Stream = void*;

// out = rms_norm(input, weight, epsilon): y = rnd_T(rnd_W(rnd_W(fl(x * r)) * w)) with
// r = rsqrt(mean(x^2) + epsilon) in fp32. Rank 2 to 4, equal shapes, any epsilon. `weight` is null (no
// weight) or of rank 1 and size H, with the dtype of `input` or fp32. `out` may be the very tensor `input`.
Status rms_norm(const Tensor& out, const Tensor& input, const Tensor* weight, float epsilon,
                const Launch& launch = {}, Stream stream = nullptr, LaunchReport* report = nullptr);

// In place: residual = s = rnd_T(input + residual); input = rms_norm(s, weight, epsilon). Rank 2.
Status fused_add_rms_norm(const Tensor& input, const Tensor& residual, const Tensor* weight, float epsilon,
                          const Launch& launch = {}, Stream stream = nullptr, LaunchReport* report = nullptr);

// out (fp8) = rnd_Q(clamp(fl(y * fl(1 / scale)), -max_Q, max_Q)) with y = rms_norm(input, weight, epsilon).
// Rank 2. `scale` points to one fp32 beside the tensors, so its value cannot be
// refused; see normproof_kernels.h.
Status rms_norm_static_fp8_quant(const Tensor& out, const Tensor& input, const Tensor* weight,
                                 const float* scale, float epsilon, const Launch& launch = {},
                                 Stream stream = nullptr, LaunchReport* report = nullptr);

// residual = s = rnd_T(input + residual); out (fp8) = the quantized rms_norm(s, weight, epsilon). Rank 2.
// `input` is only read.
Status fused_add_rms_norm_static_fp8_quant(const Tensor& out, const Tensor& input, const Tensor& residual,
                                           const Tensor* weight, const float* scale, float epsilon,
                                           const Launch& launch = {}, Stream stream = nullptr,
                                           LaunchReport* report = nullptr);

// scales = s, one for each row: fl(a / max_Q) with a = max |y| of the row, y as above, and at least
// fl(1 / (512 max_Q)); out (fp8) = y quantized by it, as above. Rank 2; `scales` is fp32, [rows, 1]. out may
// be int8: max_Q is 127, the least scale 2^-23, the codes end at -128 and 127, and NaN becomes 0. `scale_ub`
// points to one fp32 beside the tensors, the upper bound of a; null: none.
Status rms_norm_dynamic_quant(const Tensor& out, const Tensor& scales, const Tensor& input,
                              const Tensor* weight, const float* scale_ub, float epsilon,
                              const Launch& launch = {}, Stream stream = nullptr,
                              LaunchReport* report = nullptr);

// residual = s = rnd_T(input + residual); out and scales as above, of rms_norm(s, weight, epsilon). Rank 2.
Status fused_add_rms_norm_dynamic_quant(const Tensor& out, const Tensor& scales, const Tensor& input,
                                        const Tensor& residual, const Tensor* weight, const float* scale_ub,
                                        float epsilon, const Launch& launch = {}, Stream stream = nullptr,
                                        LaunchReport* report = nullptr);

// "host" or "cuda".
const char* backend();

// Host build only: the order in which later launches of the calling OS thread resume the threads of a block.
// 0 forward, 1 reverse, 2 random priorities drawn from `seed`; any other value is forward.
void set_thread_order(std::int32_t order, std::uint64_t seed);

}  // namespace normproof::kernels
