#include "kernels/rms_norm.h"

#include "kernels/arguments.h"
#include "kernels/configurations.h"
#include "kernels/instances.h"
#include "kernels/launch.h"

namespace normproof::kernels {
namespace {

KernelFunction find_row_scaling_kernel(DType dtype, const Selection& selection) {
  switch (dtype) {
    case DType::bf16:
      return bf16_to_scaled_rows_kernel(selection);
    case DType::fp16:
      return fp16_to_scaled_rows_kernel(selection);
    default:
      return fp32_to_scaled_rows_kernel(selection);
  }
}

KernelFunction find_kernel(const Problem& problem, const Configuration& configuration) {
  const Selection selection{problem.weight, problem.adds_residual, problem.vectorized, configuration.shape};
  if (problem.scales_rows) return find_row_scaling_kernel(problem.dtype, selection);
  switch (problem.dtype) {
    case DType::bf16:
      return problem.quantizes ? bf16_to_fp8_kernel(selection) : bf16_kernel(selection);
    case DType::fp16:
      return problem.quantizes ? fp16_to_fp8_kernel(selection) : fp16_kernel(selection);
    default:
      return problem.quantizes ? fp32_to_fp8_kernel(selection) : fp32_kernel(selection);
  }
}

// What all operations do: check, choose, launch.
Status carry_out(const Call& call, Stream stream, LaunchReport* report) {
  if (report != nullptr) *report = {};
  Problem problem;
  if (Status status = check(call, problem); !status.ok()) return status;
  if (problem.arguments.rows == 0) return {};
  const Configuration configuration = choose_configuration(problem, call.launch.threads_per_block);
  if (Status status = launch(find_kernel(problem, configuration), problem.arguments, configuration, stream);
      !status.ok())
    return status;
  if (report != nullptr) {
    *report = {problem.vectorized ? Path::vectorized : Path::scalar, configuration.threads_per_block,
               configuration.rows_per_block, configuration.blocks};
  }
  return {};
}

}  // namespace

Status rms_norm(const Tensor& out, const Tensor& input, const Tensor* weight, float epsilon,
                const Launch& launch, Stream stream, LaunchReport* report) {
  return carry_out({.out = &out, .input = &input, .weight = weight, .epsilon = epsilon, .launch = launch},
                   stream, report);
}

Status fused_add_rms_norm(const Tensor& input, const Tensor& residual, const Tensor* weight, float epsilon,
                          const Launch& launch, Stream stream, LaunchReport* report) {
  return carry_out({.out = &input,
                    .input = &input,
                    .residual = &residual,
                    .weight = weight,
                    .epsilon = epsilon,
                    .launch = launch},
                   stream, report);
}

Status rms_norm_static_fp8_quant(const Tensor& out, const Tensor& input, const Tensor* weight,
                                 const float* scale, float epsilon, const Launch& launch, Stream stream,
                                 LaunchReport* report) {
  return carry_out({.out = &out,
                    .input = &input,
                    .weight = weight,
                    .scale = scale,
                    .quantizes = true,
                    .epsilon = epsilon,
                    .launch = launch},
                   stream, report);
}

Status fused_add_rms_norm_static_fp8_quant(const Tensor& out, const Tensor& input, const Tensor& residual,
                                           const Tensor* weight, const float* scale, float epsilon,
                                           const Launch& launch, Stream stream, LaunchReport* report) {
  return carry_out({.out = &out,
                    .input = &input,
                    .residual = &residual,
                    .weight = weight,
                    .scale = scale,
                    .quantizes = true,
                    .epsilon = epsilon,
                    .launch = launch},
                   stream, report);
}

Status rms_norm_dynamic_quant(const Tensor& out, const Tensor& scales, const Tensor& input,
                              const Tensor* weight, const float* scale_ub, float epsilon,
                              const Launch& launch, Stream stream, LaunchReport* report) {
  return carry_out({.out = &out,
                    .input = &input,
                    .weight = weight,
                    .scales = &scales,
                    .scale_ub = scale_ub,
                    .quantizes = true,
                    .epsilon = epsilon,
                    .launch = launch},
                   stream, report);
}

Status fused_add_rms_norm_dynamic_quant(const Tensor& out, const Tensor& scales, const Tensor& input,
                                        const Tensor& residual, const Tensor* weight, const float* scale_ub,
                                        float epsilon, const Launch& launch, Stream stream,
                                        LaunchReport* report) {
  return carry_out({.out = &out,
                    .input = &input,
                    .residual = &residual,
                    .weight = weight,
                    .scales = &scales,
                    .scale_ub = scale_ub,
                    .quantizes = true,
                    .epsilon = epsilon,
                    .launch = launch},
                   stream, report);
}

}  // namespace normproof::kernels
