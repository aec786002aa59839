// The production kernels behind the plug-in interface: everything is taken. On the CPU, or, where
// NORMPROOF_KERNELS_PLUGIN_DEVICE is set, in device memory. NORMPROOF_PLUGIN_LIMITS is "kept" where rms_norm
// has limits, and what lies outside ends the process; "broken" where it does not take what lies inside.
// NORMPROOF_PLUGIN_ROWS is "fp8" where it is as old plug-ins are: neither int8 nor scale_ub may come, or it
// ends the process; "unbounded" where it does not look at scale_ub; "declining" where rms_norm_dynamic_quant
// has limits, and takes no scale_ub beside int8.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "kernels/normproof_kernels.h"
#include "properties/plugin/normproof_plugin.h"

namespace {

normproof_dtype dtype_of(DLDataType type) {
  switch (type.code) {
    case kDLBfloat:
      return NORMPROOF_BF16;
    case NORMPROOF_DL_FLOAT8_E4M3FN:
      return NORMPROOF_FP8_E4M3FN;
    case NORMPROOF_DL_FLOAT8_E5M2:
      return NORMPROOF_FP8_E5M2;
    case NORMPROOF_DL_FLOAT8_E4M3FNUZ:
      return NORMPROOF_FP8_E4M3FNUZ;
    case NORMPROOF_DL_FLOAT8_E5M2FNUZ:
      return NORMPROOF_FP8_E5M2FNUZ;
    case kDLInt:
      return NORMPROOF_INT8;
    default:
      return type.bits == 16 ? NORMPROOF_FP16 : NORMPROOF_FP32;
  }
}

// A DLTensor, null included, as the kernels' own.
class Tensor {
 public:
  explicit Tensor(const DLTensor* tensor) : present_(tensor != nullptr) {
    if (!present_) return;
    description_.data = static_cast<char*>(tensor->data) + tensor->byte_offset;
    description_.dtype = dtype_of(tensor->dtype);
    description_.rank = tensor->ndim;
    for (int dim = 0; dim < tensor->ndim; ++dim) {
      description_.sizes[dim] = tensor->shape[dim];
      description_.strides[dim] = tensor->strides[dim];
    }
  }
  operator const normproof_tensor*() const { return present_ ? &description_ : nullptr; }

 private:
  bool present_;
  normproof_tensor description_{};
};

int32_t plugin_status(normproof_status status) {
  return status == NORMPROOF_OK ? NORMPROOF_PLUGIN_OK : NORMPROOF_PLUGIN_FAILED;
}

normproof_message message_of(const normproof_plugin_call* call) {
  return {call->message, call->message_capacity};
}

Tensor tensor(const normproof_plugin_call* call, const char* role) {
  return Tensor(normproof_tensor_of(call, role));
}

float epsilon(const normproof_plugin_call* call) { return normproof_parameter_of(call, "epsilon"); }

// Null where the call has none.
const float* number(const normproof_plugin_call* call, const char* role) {
  const DLTensor* tensor = normproof_tensor_of(call, role);
  return tensor == nullptr ? nullptr : static_cast<const float*>(tensor->data);
}

const float* scale(const normproof_plugin_call* call) { return number(call, "scale"); }

bool rows_are(const char* how) {
  const char* rows = std::getenv("NORMPROOF_PLUGIN_ROWS");
  return rows != nullptr && std::string_view(rows) == how;
}

const float* scale_ub(const normproof_plugin_call* call) {
  const float* bound = number(call, "scale_ub");
  if (rows_are("fp8") && (bound != nullptr || normproof_tensor_of(call, "out")->dtype.code == kDLInt))
    std::abort();
  return rows_are("unbounded") ? nullptr : bound;
}

constexpr normproof_plugin_limits kLimits = {.struct_size = sizeof(normproof_plugin_limits),
                                             .hidden_multiple = 12,
                                             .greatest_hidden = 2400,
                                             .greatest_rank = 3,
                                             .least_rows = 2,
                                             .greatest_rows = 100,
                                             .alignment = 16,
                                             .contiguous = 0,
                                             .not_in_place = 1,
                                             .epsilon_is_set = 1,
                                             .epsilon = 1e-5f};

bool has_limits(const char* how) {
  const char* limits = std::getenv("NORMPROOF_PLUGIN_LIMITS");
  return limits != nullptr && (how == nullptr || std::string_view(limits) == how);
}

bool is_aligned(const DLTensor* tensor) {
  const int64_t bytes = tensor->dtype.bits / 8;
  bool aligned = reinterpret_cast<uintptr_t>(tensor->data) % 16 == 0;
  for (int dim = 0; dim + 1 < tensor->ndim; ++dim)
    aligned = aligned && (tensor->shape[dim] < 2 || tensor->strides[dim] * bytes % 16 == 0);
  return aligned;
}

bool lies_inside(const normproof_plugin_call* call) {
  const DLTensor *input = normproof_tensor_of(call, "input"), *out = normproof_tensor_of(call, "out");
  int64_t rows = 1;
  for (int dim = 0; dim + 1 < input->ndim; ++dim) rows *= input->shape[dim];
  const int64_t hidden = input->shape[input->ndim - 1];
  return hidden % 12 == 0 && hidden <= 2400 && input->ndim <= 3 && rows >= 2 && rows <= 100 &&
         is_aligned(input) && is_aligned(out) && input->data != out->data && epsilon(call) == 1e-5f;
}

int32_t rms_norm(const normproof_plugin_call* call) {
  if (has_limits(nullptr) && !lies_inside(call)) std::abort();
  if (has_limits("broken")) {
    std::snprintf(call->message, call->message_capacity, "not today");
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  }
  return plugin_status(normproof_rms_norm(tensor(call, "out"), tensor(call, "input"), tensor(call, "weight"),
                                          epsilon(call), nullptr, call->stream, nullptr, message_of(call)));
}

int32_t fused_add_rms_norm(const normproof_plugin_call* call) {
  return plugin_status(normproof_fused_add_rms_norm(tensor(call, "input"), tensor(call, "residual"),
                                                    tensor(call, "weight"), epsilon(call), nullptr,
                                                    call->stream, nullptr, message_of(call)));
}

int32_t rms_norm_static_fp8_quant(const normproof_plugin_call* call) {
  return plugin_status(normproof_rms_norm_static_fp8_quant(tensor(call, "out"), tensor(call, "input"),
                                                           tensor(call, "weight"), scale(call), epsilon(call),
                                                           nullptr, call->stream, nullptr, message_of(call)));
}

int32_t fused_add_rms_norm_static_fp8_quant(const normproof_plugin_call* call) {
  return plugin_status(normproof_fused_add_rms_norm_static_fp8_quant(
      tensor(call, "out"), tensor(call, "input"), tensor(call, "residual"), tensor(call, "weight"),
      scale(call), epsilon(call), nullptr, call->stream, nullptr, message_of(call)));
}

// Limits that limit nothing.
const normproof_plugin_limits kAny = [] {
  normproof_plugin_limits limits{};
  limits.struct_size = sizeof limits;
  return limits;
}();

int32_t rms_norm_dynamic_quant(const normproof_plugin_call* call) {
  if (rows_are("declining") && scale_ub(call) != nullptr &&
      normproof_tensor_of(call, "out")->dtype.code == kDLInt)
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  return plugin_status(normproof_rms_norm_dynamic_quant(
      tensor(call, "out"), tensor(call, "scales"), tensor(call, "input"), tensor(call, "weight"),
      scale_ub(call), epsilon(call), nullptr, call->stream, nullptr, message_of(call)));
}

int32_t fused_add_rms_norm_dynamic_quant(const normproof_plugin_call* call) {
  return plugin_status(normproof_fused_add_rms_norm_dynamic_quant(
      tensor(call, "out"), tensor(call, "scales"), tensor(call, "input"), tensor(call, "residual"),
      tensor(call, "weight"), scale_ub(call), epsilon(call), nullptr, call->stream, nullptr,
      message_of(call)));
}

normproof_plugin_operation entry(const char* name, int32_t (*run)(const normproof_plugin_call*),
                                 const normproof_plugin_limits* limits = nullptr) {
  return {sizeof(normproof_plugin_operation), name, run, limits};
}
const normproof_plugin_operation kEntries[] = {
    entry("rms_norm", &rms_norm, has_limits(nullptr) ? &kLimits : nullptr),
    entry("weight_norm", &rms_norm),  // of a later program
    entry("fused_add_rms_norm", &fused_add_rms_norm),
    entry("rms_norm_static_fp8_quant", &rms_norm_static_fp8_quant),
    entry("fused_add_rms_norm_static_fp8_quant", &fused_add_rms_norm_static_fp8_quant),
    entry("rms_norm_dynamic_quant", &rms_norm_dynamic_quant, rows_are("declining") ? &kAny : nullptr),
    entry("fused_add_rms_norm_dynamic_quant", &fused_add_rms_norm_dynamic_quant)};
const normproof_plugin_operation* const kOperations[] = {&kEntries[0], &kEntries[1], &kEntries[2],
                                                         &kEntries[3], &kEntries[4], &kEntries[5],
                                                         &kEntries[6], nullptr};

}  // namespace

const normproof_plugin_info* normproof_plugin(void) {
  // NORMPROOF_TAKES_INT8 and NORMPROOF_TAKES_SCALE_UB are of judged operations.
  constexpr uint32_t kFp8 = ((1u << 10) - 1) | NORMPROOF_TAKES_INT8 | NORMPROOF_TAKES_SCALE_UB;
  const uint32_t rows = rows_are("fp8") ? 0 : NORMPROOF_TAKES_ROW_INT8 | NORMPROOF_TAKES_ROW_SCALE_UB;
  static const normproof_plugin_info info = {
      NORMPROOF_PLUGIN_ABI,
      kFp8 | rows,
      "the production kernels",
      std::getenv("NORMPROOF_KERNELS_PLUGIN_DEVICE") != nullptr ? kDLCUDA : kDLCPU,
      sizeof(normproof_plugin_info),
      kOperations,
  };
  return &info;
}
