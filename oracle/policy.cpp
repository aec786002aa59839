// The table of axes, the named policies, and the policies that a search tries.
#include "oracle/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "oracle/policy_rows.h"

namespace normproof::oracle {
namespace {

bool always(const Case&) { return true; }
bool with_weight(const Case& test_case) { return test_case.weight_dtype.has_value(); }
bool with_residual(const Case& test_case) { return adds_residual(test_case.operation); }
bool with_quantization(const Case& test_case) { return test_case.quantized_dtype.has_value(); }
bool with_int8(const Case& test_case) { return test_case.quantized_dtype == DType::int8; }
bool with_fp8(const Case& test_case) { return with_quantization(test_case) && !with_int8(test_case); }
bool with_row_scale(const Case& test_case) { return quantizes_by_row(test_case.operation); }
bool with_fnuz(const Case& test_case) { return test_case.quantized_dtype == DType::fp8_e4m3fnuz; }

template <auto kMember, typename Rows>
PolicyAxis axis(std::string_view name, const Rows& rows, std::size_t combined, bool (*applies)(const Case&)) {
  using Enum = std::remove_cvref_t<decltype(Policy().*kMember)>;
  PolicyAxis result{name,
                    {},
                    combined,
                    [](const Policy& policy) { return static_cast<std::size_t>(policy.*kMember); },
                    [](Policy& policy, std::size_t value) { policy.*kMember = static_cast<Enum>(value); },
                    applies};
  for (const auto& row : rows) result.values.push_back(row.text);
  return result;
}

using enum Operation;
constexpr std::string_view kFlashInfer =
    "weight=fp32_plus_zero,sum=fp32,before_quantization=unrounded,fp8_nan=saturate";
constexpr std::optional<Operation> kAny;
constexpr std::array kNamed = {
    NamedPolicy{"native", "weight=native", "this contract", kAny},
    NamedPolicy{"apex.rms_norm", "weight=native", "Apex", rms_norm},
    NamedPolicy{"deepspeed.rms_norm", "root=activation", "DeepSpeed inference kernels", rms_norm},
    NamedPolicy{"flashinfer.rms_norm", "weight=fp32_plus_zero", "FlashInfer", rms_norm},
    NamedPolicy{"flashinfer.gemma_rms_norm", "weight=fp32_plus_one", "FlashInfer, weight_bias 1", rms_norm},
    NamedPolicy{"flashinfer.fused_add_rms_norm", "weight=fp32_plus_zero,sum=fp32", "FlashInfer",
                fused_add_rms_norm},
    NamedPolicy{"flashinfer.rms_norm_static_fp8_quant",
                "weight=fp32_plus_zero,before_quantization=unrounded,fp8_nan=saturate", "FlashInfer",
                rms_norm_static_fp8_quant},
    NamedPolicy{"flashinfer.fused_add_rms_norm_static_fp8_quant", kFlashInfer, "FlashInfer",
                fused_add_rms_norm_static_fp8_quant},
    NamedPolicy{"gemma.rms_norm", "weight=fp32_plus_one", "Gemma", rms_norm},
    NamedPolicy{"hugging_face.llama_rms_norm", "weight=activation", "Hugging Face LlamaRMSNorm", rms_norm},
    NamedPolicy{"liger.rms_norm", "weight=native", "Liger, casting mode llama", rms_norm},
    NamedPolicy{"liger.rms_norm_none", "variance=activation", "Liger, casting mode none", rms_norm},
    NamedPolicy{"liger.fused_add_rms_norm", "weight=native", "Liger, casting mode llama", fused_add_rms_norm},
    NamedPolicy{"onnx.rms_norm", "root=divide,weight=activation", "ONNX, the operator's definition",
                rms_norm},
    NamedPolicy{"openvino.rms_norm", "root=activation,weight=cast", "OpenVINO fp16", rms_norm},
    NamedPolicy{"pytorch.rms_norm", "weight=fp32", "PyTorch F.rms_norm, CUDA", rms_norm},
    NamedPolicy{"quack.rms_norm", "weight=fp32", "QuACK", rms_norm},
    NamedPolicy{"quack.fused_add_rms_norm", "weight=fp32,sum=fp32", "QuACK", fused_add_rms_norm},
    NamedPolicy{"sglang.rms_norm", "weight=fp32", "SGLang", rms_norm},
    NamedPolicy{"tensorrt_llm.rms_norm", "weight=fp32", "TensorRT-LLM", rms_norm},
    NamedPolicy{"transformer_engine.rms_norm", "weight=fp32", "TransformerEngine", rms_norm},
    NamedPolicy{"vllm.rms_norm", "weight=fp32", "vLLM CUDA, mid 2026", rms_norm},
    NamedPolicy{"vllm.fused_add_rms_norm", "weight=fp32", "vLLM CUDA, mid 2026", fused_add_rms_norm},
    NamedPolicy{"vllm.rms_norm_static_fp8_quant", "weight=fp32,fp8_nan=saturate", "vLLM CUDA, mid 2026",
                rms_norm_static_fp8_quant},
    NamedPolicy{"vllm.fused_add_rms_norm_static_fp8_quant", "weight=fp32,fp8_nan=saturate",
                "vLLM CUDA, mid 2026", fused_add_rms_norm_static_fp8_quant},
    NamedPolicy{"vllm.rms_norm_dynamic_quant", "scaling=divide,fp8_nan=saturate,maximum_nan=drop",
                "vLLM CUDA, mid 2026, fp8, built without fast math", rms_norm_dynamic_quant},
    NamedPolicy{"vllm.fused_add_rms_norm_dynamic_quant",
                "sum=fp32,scaling=divide,fp8_nan=saturate,maximum_nan=drop",
                "vLLM CUDA, mid 2026, fp8, built without fast math", fused_add_rms_norm_dynamic_quant},
    NamedPolicy{"vllm_int8.rms_norm_dynamic_quant", "maximum_nan=drop",
                "vLLM CUDA, mid 2026, int8, built without fast math", rms_norm_dynamic_quant},
    NamedPolicy{"vllm_int8.fused_add_rms_norm_dynamic_quant", "sum=fp32,maximum_nan=drop",
                "vLLM CUDA, mid 2026, int8, built without fast math", fused_add_rms_norm_dynamic_quant},
    NamedPolicy{"vllm_fast_math.rms_norm_dynamic_quant",
                "scaling=approximate_inverse,fp8_nan=saturate,maximum_nan=drop,row_scale=product",
                "vLLM CUDA, mid 2026, fp8 and int8, built with fast math", rms_norm_dynamic_quant},
    NamedPolicy{"vllm_fast_math.fused_add_rms_norm_dynamic_quant",
                "sum=fp32,scaling=approximate_inverse,fp8_nan=saturate,maximum_nan=drop,row_scale=product",
                "vLLM CUDA, mid 2026, fp8 and int8, built with fast math", fused_add_rms_norm_dynamic_quant},
    NamedPolicy{"vllm_rocm.rms_norm_dynamic_quant",
                "scaling=divide,fp8_nan=saturate,range=fnuz_224,maximum_nan=drop", "vLLM ROCm, mid 2026",
                rms_norm_dynamic_quant},
    NamedPolicy{"vllm_rocm.fused_add_rms_norm_dynamic_quant",
                "sum=fp32,scaling=divide,fp8_nan=saturate,range=fnuz_224,maximum_nan=drop",
                "vLLM ROCm, mid 2026", fused_add_rms_norm_dynamic_quant},
    NamedPolicy{"vllm_rocm.rms_norm_static_fp8_quant", "weight=fp32,fp8_nan=saturate,range=fnuz_224",
                "vLLM ROCm, mid 2026", rms_norm_static_fp8_quant},
    NamedPolicy{"vllm_rocm.fused_add_rms_norm_static_fp8_quant",
                "weight=fp32,fp8_nan=saturate,range=fnuz_224", "vLLM ROCm, mid 2026",
                fused_add_rms_norm_static_fp8_quant},
    NamedPolicy{"pytorch.rms_norm_dynamic_quant", "weight=fp32,scaling=divide,scale_floor=none",
                "F.rms_norm, then torch.amax, a division and a cast", rms_norm_dynamic_quant},
    NamedPolicy{"vllm_0.19.rms_norm", "weight=native", "vLLM CUDA <= 0.19.1", rms_norm},
    NamedPolicy{"vllm_0.19.fused_add_rms_norm", "weight=native", "vLLM CUDA <= 0.19.1", fused_add_rms_norm},
    NamedPolicy{"vllm_ir.rms_norm", "weight=native", "vLLM IR spec", rms_norm},
    NamedPolicy{"vllm_ir.fused_add_rms_norm", "sum=fp32", "vLLM IR spec", fused_add_rms_norm},
    NamedPolicy{"vllm_cpu.fused_add_rms_norm", "sum=mixed", "vLLM CPU kernels", fused_add_rms_norm},
    NamedPolicy{"mlx_metal.rms_norm", "weight=fp32", "MLX, Metal kernel", rms_norm},
    NamedPolicy{"mlx_cuda.rms_norm", "weight=native", "MLX, CUDA kernel", rms_norm},
    NamedPolicy{"mlx_cpu.rms_norm", "weight=native", "MLX, CPU kernel", rms_norm},
    // The names of before, of whole engines.
    NamedPolicy{"hugging_face_llama", "weight=activation", "Hugging Face LlamaRMSNorm", kAny},
    NamedPolicy{"gemma", "weight=fp32_plus_one", "Gemma", kAny},
    NamedPolicy{"vllm_ir", "sum=fp32", "vLLM IR spec", kAny},
    NamedPolicy{"vllm_cpu", "sum=mixed", "vLLM CPU kernels", kAny},
    NamedPolicy{"flashinfer", kFlashInfer, "FlashInfer CUDA kernels", kAny},
};

const PolicyAxis& axis_at(std::size_t index) {
  if (index >= policy_axes().size())
    throw std::invalid_argument(fmt::format("policy: there is no axis {}", index));
  return policy_axes()[index];
}

}  // namespace

std::span<const NamedPolicy> named_policies() { return kNamed; }

std::span<const PolicyAxis> policy_axes() {
  static const std::array axes = {
      axis<&Policy::weight>("weight", weight_rows(), 4, with_weight),
      axis<&Policy::variance>("variance", variance_rows(), 2, always),
      axis<&Policy::mean>("mean", mean_rows(), 1, always),
      axis<&Policy::epsilon>("epsilon", epsilon_rows(), 1, always),
      axis<&Policy::root>("root", root_rows(), 1, always),
      axis<&Policy::rounding>("rounding", rounding_rows(), 1, always),
      axis<&Policy::sum>("sum", sum_rows(), 3, with_residual),
      axis<&Policy::before_quantization>("before_quantization", before_quantization_rows(), 2,
                                         with_quantization),
      axis<&Policy::scaling>("scaling", scaling_rows(), 2, with_quantization),
      axis<&Policy::fp8_rounding>("fp8_rounding", fp8_rounding_rows(), 1, with_fp8),
      axis<&Policy::fp8_nan>("fp8_nan", fp8_nan_rows(), 2, with_fp8),
      axis<&Policy::range>("range", range_rows(), 1, with_fnuz),
      axis<&Policy::row_maximum>("row_maximum", row_maximum_rows(), 1, with_row_scale),
      axis<&Policy::maximum_nan>("maximum_nan", maximum_nan_rows(), 1, with_row_scale),
      axis<&Policy::row_scale>("row_scale", row_scale_rows(), 1, with_row_scale),
      axis<&Policy::scale_floor>("scale_floor", scale_floor_rows(), 1, with_row_scale),
      axis<&Policy::int8_low>("int8_low", int8_low_rows(), 1, with_int8),
  };
  return axes;
}

std::size_t axis_value(const Policy& policy, std::size_t axis) { return axis_at(axis).get(policy); }

Policy with_axis_value(Policy policy, std::size_t axis, std::size_t value) {
  if (value >= axis_at(axis).values.size()) {
    throw std::invalid_argument(fmt::format("policy: there is no value {} on axis {}", value, axis));
  }
  axis_at(axis).set(policy, value);
  return policy;
}

bool axis_applies(std::size_t axis, const Case& test_case) { return axis_at(axis).applies(test_case); }

std::vector<Policy> all_policies(const Case& test_case) {
  std::vector<Policy> policies = {native()};
  for (const PolicyAxis& axis : policy_axes()) {
    if (!axis.applies(test_case)) continue;
    const std::size_t known = policies.size();
    for (std::size_t value = 1; value < axis.combined; ++value) {
      for (std::size_t i = 0; i < known; ++i) {
        policies.push_back(policies[i]);
        axis.set(policies.back(), value);
      }
    }
  }
  const auto add = [&](Policy policy) {
    for (const PolicyAxis& axis : policy_axes()) {
      if (!axis.applies(test_case)) axis.set(policy, 0);
    }
    if (std::ranges::find(policies, policy) == policies.end()) policies.push_back(policy);
  };
  for (const Policy& policy : neighbours(native(), test_case)) add(policy);
  for (const NamedPolicy& named : kNamed) {
    if (!named.operation || named.operation == test_case.operation) add(parse_policy(named.text));
  }
  return policies;
}

bool is_widespread(const Policy& policy) {
  return std::ranges::all_of(policy_axes(),
                             [&](const PolicyAxis& axis) { return axis.get(policy) < axis.combined; });
}

std::vector<Policy> neighbours(const Policy& policy, const Case& test_case) {
  std::vector<Policy> result;
  for (const PolicyAxis& axis : policy_axes()) {
    if (!axis.applies(test_case)) continue;
    for (std::size_t value = 0; value < axis.values.size(); ++value) {
      if (value == axis.get(policy)) continue;
      result.push_back(policy);
      axis.set(result.back(), value);
    }
  }
  return result;
}

}  // namespace normproof::oracle
