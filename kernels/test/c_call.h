// A valid call of the C interface with its memory, for tests to spoil.
#pragma once

#include <array>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/normproof_kernels.h"

namespace normproof::kernels {

enum class COperation { rms_norm, fused_add, fp8, fused_add_fp8 };
inline constexpr COperation kCOperations[] = {COperation::rms_norm, COperation::fused_add, COperation::fp8,
                                              COperation::fused_add_fp8};

// For GoogleTest, which finds it by its name.
inline void PrintTo(COperation operation, std::ostream* stream) {
  constexpr const char* kNames[] = {"rms_norm", "fused_add", "fp8", "fused_add_fp8"};
  *stream << kNames[static_cast<std::size_t>(operation)];
}

// Four rows of 16 bf16 elements, all tensors contiguous, in memory blocks that begin on multiples of 64.
struct CCall {
  explicit CCall(COperation chosen) : operation(chosen) {
    for (auto& block : blocks) block.fill(std::byte{0x3e});
    blocks[0].fill(std::byte{0x11});
    out = tensor(0, quantizes() ? NORMPROOF_FP8_E4M3FN : NORMPROOF_BF16);
    input = tensor(1, NORMPROOF_BF16);
    residual = tensor(2, NORMPROOF_BF16);
    weight = tensor(3, NORMPROOF_BF16);
    weight.rank = 1;
    weight.sizes[0] = 16;
    weight.strides[0] = 1;
    scale = reinterpret_cast<const float*>(blocks[4].data());
  }

  bool quantizes() const { return operation == COperation::fp8 || operation == COperation::fused_add_fp8; }
  bool adds() const { return operation == COperation::fused_add || operation == COperation::fused_add_fp8; }
  bool has_out() const { return operation != COperation::fused_add; }

  normproof_status run() {
    const normproof_message message{text.data(), text.size()};
    switch (operation) {
      case COperation::rms_norm:
        return normproof_rms_norm(out_pointer, input_pointer, weight_pointer, 1e-6f, &launch, nullptr,
                                  &report, message);
      case COperation::fused_add:
        return normproof_fused_add_rms_norm(input_pointer, residual_pointer, weight_pointer, 1e-6f, &launch,
                                            nullptr, &report, message);
      case COperation::fp8:
        return normproof_rms_norm_static_fp8_quant(out_pointer, input_pointer, weight_pointer, scale, 1e-6f,
                                                   &launch, nullptr, &report, message);
      default:
        return normproof_fused_add_rms_norm_static_fp8_quant(out_pointer, input_pointer, residual_pointer,
                                                             weight_pointer, scale, 1e-6f, &launch, nullptr,
                                                             &report, message);
    }
  }

  // Stores a number that the enumeration may lack.
  template <class Enumeration>
  static void set_number(Enumeration& enumeration, std::int32_t number) {
    std::memcpy(&enumeration, &number, sizeof number);
  }

  using Block = std::array<std::byte, 512>;
  COperation operation;
  alignas(64) std::array<Block, 5> blocks;
  normproof_tensor out, input, residual, weight;
  const normproof_tensor* out_pointer = &out;
  const normproof_tensor* input_pointer = &input;
  const normproof_tensor* residual_pointer = &residual;
  const normproof_tensor* weight_pointer = &weight;
  const float* scale;
  normproof_launch launch{NORMPROOF_PATH_AUTOMATIC, 0};
  normproof_launch_report report{};
  std::array<char, 512> text{};

 private:
  normproof_tensor tensor(int block, normproof_dtype dtype) {
    return {blocks[static_cast<std::size_t>(block)].data(), dtype, 2, {4, 16}, {16, 1}};
  }
};

}  // namespace normproof::kernels
