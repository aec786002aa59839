// The example of `normproof new-target` as it was with version 1 of the interface.
#include "normproof_plugin.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

// --- numbers: every dtype is read and written as its bits ---

float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::uint32_t to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Round to nearest, ties to even: adding half of the last kept bit carries into it, or not.
std::uint16_t to_bf16(float value) {
  if (std::isnan(value)) return 0x7fc0;
  const std::uint32_t bits = to_bits(value);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

bool is_bf16(DLDataType type) { return type.code == kDLBfloat && type.bits == 16; }

float load(const DLTensor* tensor, std::int64_t index) {
  const char* address = static_cast<const char*>(tensor->data) + index * (tensor->dtype.bits / 8);
  if (is_bf16(tensor->dtype)) {
    std::uint16_t bits;
    std::memcpy(&bits, address, sizeof bits);
    return from_bits(static_cast<std::uint32_t>(bits) << 16);
  }
  float value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

void store(const DLTensor* tensor, std::int64_t index, float value) {
  char* address = static_cast<char*>(tensor->data) + index * (tensor->dtype.bits / 8);
  if (is_bf16(tensor->dtype)) {
    const std::uint16_t bits = to_bf16(value);
    std::memcpy(address, &bits, sizeof bits);
  } else {
    std::memcpy(address, &value, sizeof value);
  }
}

// `value`, rounded to a dtype and back.
float rounded(DLDataType type, float value) {
  return is_bf16(type) ? from_bits(static_cast<std::uint32_t>(to_bf16(value)) << 16) : value;
}

// --- the kernel ---

// One row from input to out, which may be the same. Both begin at the given element.
void norm_row(const DLTensor* out, std::int64_t out_begin, const DLTensor* input, std::int64_t input_begin,
              const DLTensor* weight, float epsilon) {
  const std::int64_t columns = input->shape[input->ndim - 1];
  float sum = 0;
  for (std::int64_t j = 0; j < columns; ++j) {
    const float x = load(input, input_begin + j);
    sum += x * x;
  }
  const float r = 1.0f / std::sqrt(sum / static_cast<float>(columns) + epsilon);
  for (std::int64_t j = 0; j < columns; ++j) {
    const float normalized = load(input, input_begin + j) * r;
    // The contract multiplies in the weight's dtype: round first, then multiply.
    const float y = weight == nullptr
                        ? normalized
                        : rounded(weight->dtype, rounded(weight->dtype, normalized) * load(weight, j));
    store(out, out_begin + j, y);
  }
}

int32_t not_taken(const normproof_plugin_call* call, const char* reason) {
  std::snprintf(call->message, call->message_capacity, "%s", reason);
  return NORMPROOF_PLUGIN_NOT_TAKEN;
}

int32_t rms_norm(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                 const normproof_plugin_call* call) {
  // What a kernel cannot do it does not take. Other kernels want aligned pointers here, or contiguous rows.
  if (input->ndim != 2) return not_taken(call, "more than two dimensions");
  for (std::int64_t row = 0; row < input->shape[0]; ++row)
    norm_row(out, row * out->strides[0], input, row * input->strides[0], weight, epsilon);
  return NORMPROOF_PLUGIN_OK;
}

int32_t fused_add_rms_norm(const DLTensor* input, const DLTensor* residual, const DLTensor* weight,
                           float epsilon, const normproof_plugin_call*) {
  for (std::int64_t row = 0; row < input->shape[0]; ++row) {
    const std::int64_t input_begin = row * input->strides[0], residual_begin = row * residual->strides[0];
    for (std::int64_t j = 0; j < input->shape[1]; ++j)
      store(residual, residual_begin + j, load(input, input_begin + j) + load(residual, residual_begin + j));
    norm_row(input, input_begin, residual, residual_begin, weight, epsilon);
  }
  return NORMPROOF_PLUGIN_OK;
}

const normproof_plugin_info info = {
    NORMPROOF_PLUGIN_ABI,
    NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_NO_WEIGHT | NORMPROOF_TAKES_SAME_WEIGHT |
        NORMPROOF_TAKES_FP32_WEIGHT,
    "example",
    kDLCPU,  // kDLCUDA: all pointers are then device pointers, and work goes to call->stream
    &rms_norm,
    &fused_add_rms_norm,
    nullptr,  // rms_norm_static_fp8_quant
    nullptr,  // fused_add_rms_norm_static_fp8_quant
};

}  // namespace

const normproof_plugin_info* normproof_plugin(void) { return &info; }
