// Weights, biases and statistics of rows, as a checked call has them.
#pragma once

#include <string_view>

#include "kernels/family/affine.cuh"
#include "kernels/family/call_checks.h"
#include "kernels/family/layer_norm_arguments.h"

namespace normproof::kernels {

inline Affine affine_of(const NamedCall& call, std::string_view role, DType of_x) {
  const Tensor* tensor = call.find(role);
  if (tensor == nullptr) return {};
  return {tensor->data, tensor->dtype == of_x ? AffineKind::like_x : AffineKind::fp32};
}

inline RowStatistic statistic_of(const NamedCall& call, std::string_view role, const CheckedCall& checked) {
  const Tensor* tensor = call.find(role);
  if (tensor == nullptr) return {};
  return {tensor->data, checked.of(role).strides, tensor->dtype == DType::fp32};
}

}  // namespace normproof::kernels
