#include "kernels/arguments.h"

#include <vector>

#include "kernels/row_shape.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

Status check_overlap(std::vector<Argument> arguments, const Call& call) {
  const auto tensor_of = [](const float* number) {
    return Tensor{const_cast<float*>(number), DType::fp32, 1, {1}, {1}};
  };
  const Tensor scale = tensor_of(call.scale), scale_ub = tensor_of(call.scale_ub);
  if (call.scale != nullptr) arguments.push_back({"scale", &scale, false});
  if (call.scale_ub != nullptr) arguments.push_back({"scale_ub", &scale_ub, false});
  return check_overlap(arguments, [&](const Argument& written, const Argument& other) {
    return written.tensor == call.out && other.tensor == call.input && call.residual == nullptr &&
           !call.quantizes;
  });
}

Status check_dtypes(const Call& call) {
  const auto unsupported = [](const char* name, const Tensor& tensor, const std::string& allowed) {
    return refusal(StatusCode::unsupported_dtype, name, ": dtype is ", text_of(tensor.dtype), ", must be ",
                   allowed);
  };
  const DType dtype = call.input->dtype;
  if (!is_activation(dtype)) return unsupported("input", *call.input, "fp32, fp16 or bf16");
  if (call.residual != nullptr && call.residual->dtype != dtype)
    return unsupported("residual", *call.residual, text_of(dtype) + " like input");
  const bool may_be_int8 = call.scales != nullptr;
  if (call.quantizes && !is_fp8(call.out->dtype) && !(may_be_int8 && call.out->dtype == DType::int8))
    return unsupported("out", *call.out,
                       may_be_int8 ? "one of the fp8 dtypes, or int8" : "one of the fp8 dtypes");
  if (!call.quantizes && call.out->dtype != dtype)
    return unsupported("out", *call.out, text_of(dtype) + " like input");
  if (call.scales != nullptr && call.scales->dtype != DType::fp32)
    return unsupported("scales", *call.scales, "fp32");
  if (call.weight != nullptr && call.weight->dtype != dtype && call.weight->dtype != DType::fp32)
    return unsupported("weight", *call.weight, text_of(dtype) + " like input, or fp32");
  return {};
}

Status check_scales_shape(const Argument& scales, const Argument& input) {
  if (scales.tensor->rank != input.tensor->rank)
    return refusal(StatusCode::invalid_rank, "scales: rank is ", scales.tensor->rank,
                   ", but that of input is ", input.tensor->rank);
  for (int i = 0; i < input.tensor->rank; ++i) {
    const std::int64_t wanted = i == input.leading() ? 1 : input.tensor->sizes[i];
    if (scales.tensor->sizes[i] != wanted)
      return refusal(StatusCode::invalid_size, "scales: sizes[", i, "] is ", scales.tensor->sizes[i],
                     ", must be ", wanted);
  }
  return {};
}

Status check_weight_shape(const Argument& weight, std::int64_t hidden) {
  if (Status status = check_rank(weight, 1, 1); !status.ok()) return status;
  if (weight.tensor->sizes[0] != hidden)
    return refusal(StatusCode::invalid_size, "weight: sizes[0] is ", weight.tensor->sizes[0],
                   ", but the hidden size of input is ", hidden);
  return {};
}

Status check_alignment(const char* name, const float* number) {
  if (reinterpret_cast<std::uintptr_t>(number) % alignof(float) != 0)
    return refusal(StatusCode::misaligned_pointer, name, ": ", number,
                   " is not a multiple of the element size 4");
  return {};
}

Status check_scale(const Call& call) {
  if (!call.quantizes) return {};
  if (call.scales != nullptr) return check_alignment("scale_ub", call.scale_ub);
  if (call.scale == nullptr) return refusal(StatusCode::null_pointer, "scale: is null (0x0)");
  return check_alignment("scale", call.scale);
}

void set_rows(const Call& call, NormArguments& arguments) {
  std::vector<LeadingDimension> dimensions;
  for (int i = 0; i < call.input->rank - 1; ++i)
    dimensions.push_back({call.input->sizes[i], {call.input->strides[i], call.out->strides[i]}});
  const MergedDimensions merged = merge_leading_dimensions(dimensions);
  arguments.rows = merged.rows.count;
  arguments.middle_size = merged.rows.middle_size;
  arguments.inner_size = merged.rows.inner_size;
  arguments.input_strides = merged.strides[0];
  arguments.out_strides = merged.strides[1];
  // Rank 2 wherever there is a residual.
  if (call.residual != nullptr) arguments.residual_strides.inner = call.residual->strides[0];
}

NormArguments norm_arguments(const Call& call, const Argument& input) {
  NormArguments arguments;
  set_row_shape(arguments, row_shape(input.hidden(), input.element_bytes()));
  arguments.input = call.input->data;
  arguments.residual = call.residual != nullptr ? call.residual->data : nullptr;
  arguments.out = call.out->data;
  arguments.weight = call.weight != nullptr ? call.weight->data : nullptr;
  arguments.scale = call.scale;
  if (call.scales != nullptr) {
    arguments.scales = static_cast<float*>(call.scales->data);
    arguments.scales_stride = call.scales->strides[0];
    arguments.scale_ub = call.scale_ub;
  }
  arguments.epsilon = call.epsilon;
  if (call.quantizes) {
    arguments.codes = static_cast<CodeFormat>(static_cast<std::int32_t>(call.out->dtype) -
                                              static_cast<std::int32_t>(DType::fp8_e4m3fn));
  }
  if (!input.empty()) set_rows(call, arguments);
  return arguments;
}

}  // namespace

WeightKind weight_kind(const Tensor* weight, DType activation) {
  if (weight == nullptr) return WeightKind::none;
  return weight->dtype == activation ? WeightKind::same_as_activation : WeightKind::fp32;
}

Status check(const Call& call, Problem& problem) {
  // Of all operations, the fused add alone has no tensor `out`: it writes over input.
  const bool in_place = call.residual != nullptr && !call.quantizes;
  std::vector<Argument> arguments = {{"input", call.input, in_place}};
  if (call.residual != nullptr) arguments.push_back({"residual", call.residual, true});
  if (!in_place) arguments.push_back({"out", call.out, true});
  const std::size_t matrices = arguments.size();
  if (call.scales != nullptr) arguments.push_back({"scales", call.scales, true, false});
  if (call.weight != nullptr) arguments.push_back({"weight", call.weight, false});
  const Argument& input = arguments.front();

  if (Status status = check_dtypes(call); !status.ok()) return status;
  const bool plain = call.residual == nullptr && !call.quantizes;
  if (Status status = check_rank(input, 2, plain ? 4 : 2); !status.ok()) return status;
  if (Status status = check_sizes(input); !status.ok()) return status;
  for (std::size_t i = 1; i < matrices; ++i) {
    if (Status status = check_equal_shape(arguments[i], input); !status.ok()) return status;
  }
  if (call.scales != nullptr) {
    if (Status status = check_scales_shape(arguments[matrices], input); !status.ok()) return status;
  }
  if (call.weight != nullptr) {
    if (Status status = check_weight_shape(arguments.back(), input.hidden()); !status.ok()) return status;
  }
  for (const auto check_one : {check_strides, check_extent, check_data}) {
    for (const Argument& argument : arguments) {
      if (Status status = check_one(argument); !status.ok()) return status;
    }
  }
  if (Status status = check_scale(call); !status.ok()) return status;
  if (Status status = check_overlap(arguments, call); !status.ok()) return status;
  if (Status status = check_launch(call.launch); !status.ok()) return status;
  Status vectorizable = check_vectorizable(arguments);
  if (call.launch.path == Path::vectorized && !vectorizable.ok()) return vectorizable;

  problem.dtype = call.input->dtype;
  problem.weight = weight_kind(call.weight, call.input->dtype);
  problem.quantizes = call.quantizes;
  problem.scales_rows = call.scales != nullptr;
  problem.adds_residual = call.residual != nullptr;
  problem.vectorized = vectorizable.ok() && call.launch.path != Path::scalar;
  problem.arguments = norm_arguments(call, input);
  return {};
}

}  // namespace normproof::kernels
