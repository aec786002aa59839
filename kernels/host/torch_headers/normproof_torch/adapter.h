// A plug-in from functions that take torch tensors: the adapter says how each of its operations is called,
// and this turns DLPack's tensors into torch's, and what is thrown into findings. See kernels/host/README.md.
//
//   // Of the source:
//   void rms_norm(torch::Tensor& out, torch::Tensor& input, torch::Tensor& weight, double epsilon);
//   NORMPROOF_TORCH_PLUGIN(
//       "mine", NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_SAME_WEIGHT,
//       .rms_norm = [](auto call) { rms_norm(call.out, call.input, call.weight, call.epsilon); },
//       .limits = {.hidden_multiple = 8})  // where it has some: Limits
#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <limits>
#include <optional>

#include "kernels/host/runtime_errors.h"
#include "normproof_plugin.h"

#include <normproof_torch/all.h>

namespace normproof_torch {

// Becomes a pointer to whatever a launcher takes.
struct AnyPointer {
  void* address;
  template <class T>
  operator T*() const {
    return static_cast<T*>(address);
  }
  // For (float*)call.pointer(...), which the source pass makes a checked cast of.
  explicit operator std::uintptr_t() const { return reinterpret_cast<std::uintptr_t>(address); }
};

// What a call of the plug-in brings, as torch has it. What an operation has no use for, and an absent weight,
// is undefined.
struct Call {
  at::Tensor out, input, residual, weight;  // input: also the x of layer_norm
  at::Tensor bias, mean, rstd;              // of layer_norm; mean and rstd: outputs, one fp32 number a row
  at::Tensor scale;                         // one fp32 number
  at::Tensor scales;                        // an output, one fp32 number a row
  at::Tensor scale_ub;  // where NORMPROOF_TAKES_ROW_SCALE_UB is said, or undefined: one fp32 number
  double epsilon = 0;
  bool has_weight() const { return weight.defined(); }
  std::optional<at::Tensor> optional_weight() const {
    return weight.defined() ? std::optional(weight) : std::nullopt;
  }
  bool has_bias() const { return bias.defined(); }
  std::optional<at::Tensor> optional_bias() const {
    return bias.defined() ? std::optional(bias) : std::nullopt;
  }
  bool has_scale_ub() const { return scale_ub.defined(); }
  std::optional<at::Tensor> optional_scale_ub() const {
    return scale_ub.defined() ? std::optional(scale_ub) : std::nullopt;
  }
  // For a launcher that must have one: no bound.
  at::Tensor scale_ub_or_infinity() const {
    if (scale_ub.defined()) return scale_ub;
    return at::full({1}, std::numeric_limits<double>::infinity(), scales.options());
  }
  std::optional<at::Tensor> optional_residual() const {
    return residual.defined() ? std::optional(residual) : std::nullopt;
  }

  // What a launcher must have, or does not give: other calls are not taken.
  static void needs(const at::Tensor& tensor, const char* name) {
    TORCH_CHECK_NOT_IMPLEMENTED(tensor.defined(), "a missing ", name);
  }
  static void has_no(const at::Tensor& tensor, const char* why) {
    TORCH_CHECK_NOT_IMPLEMENTED(!tensor.defined(), why);
  }
  void has_no_bound_of_int8() const {
    TORCH_CHECK_NOT_IMPLEMENTED(!scale_ub.defined() || out.scalar_type() != c10::kChar,
                                "an upper bound of scales beside int8");
  }
  // For a launcher whose pointer is to int8, or to other codes, beside one of the other kind.
  void has_codes_of_int8(bool wanted) const {
    TORCH_CHECK_NOT_IMPLEMENTED((out.scalar_type() == c10::kChar) == wanted,
                                wanted ? "codes that are not int8" : "int8 codes");
  }
  // For a launcher that always writes it: memory of its own where nobody asks for it.
  at::Tensor for_each_row(const at::Tensor& tensor) const {
    return tensor.defined() ? tensor : at::empty({rows()}, at::kFloat);
  }

  // For launchers that take pointers and sizes. An absent tensor is null.
  static AnyPointer pointer(const at::Tensor& tensor) {
    return {tensor.defined() ? tensor.data_ptr() : nullptr};
  }
  std::int64_t columns() const { return input.size(-1); }
  std::int64_t rows() const { return columns() == 0 ? 0 : input.numel() / columns(); }
  // Calls use(T()) with CUDA's type of the input: one of Types, else the call is not taken.
  template <class... Types, class Use>
  void with(Use use) const {
    const bool taken = ((type_of<Types>() == input.scalar_type() && (use(Types()), true)) || ...);
    TORCH_CHECK_NOT_IMPLEMENTED(taken, "not for ", input.scalar_type());
  }

 private:
  template <class T>
  static constexpr c10::ScalarType type_of() {
    if (std::is_same_v<T, __half>) return c10::kHalf;
    if (std::is_same_v<T, __nv_bfloat16>) return c10::kBFloat16;
    return c10::CppTypeToScalarType<T>::value;
  }
};
using Operation = void (*)(Call call);

// normproof_plugin_limits, each member with the value that limits nothing.
struct Limits {
  std::int64_t hidden_multiple = 0;
  std::int64_t greatest_hidden = 0;
  std::int64_t greatest_rank = 0;
  std::int64_t least_rows = 0;
  std::int64_t greatest_rows = 0;
  std::int64_t alignment = 0;
  bool contiguous = false;
  bool not_in_place = false;
  std::optional<float> epsilon = {};  // the kernel's own
  bool operator==(const Limits&) const = default;
};

// Null where there is none. `limits` are those of all: where there are some, a call inside must be taken.
struct Operations {
  Operation rms_norm = nullptr;
  Operation fused_add_rms_norm = nullptr;
  Operation rms_norm_static_fp8_quant = nullptr;
  Operation fused_add_rms_norm_static_fp8_quant = nullptr;
  Operation rms_norm_dynamic_quant = nullptr;
  Operation fused_add_rms_norm_dynamic_quant = nullptr;
  Operation layer_norm = nullptr;
  Limits limits = {};
};

inline c10::ScalarType scalar_type_of(const DLDataType& type) {
  if (type.bits == 8) {
    switch (type.code) {
      case NORMPROOF_DL_FLOAT8_E5M2:
        return c10::kFloat8_e5m2;
      case NORMPROOF_DL_FLOAT8_E4M3FNUZ:
        return c10::kFloat8_e4m3fnuz;
      case NORMPROOF_DL_FLOAT8_E5M2FNUZ:
        return c10::kFloat8_e5m2fnuz;
      case kDLInt:
        return c10::kChar;
      default:
        return c10::kFloat8_e4m3fn;
    }
  }
  if (type.code == kDLBfloat) return c10::kBFloat16;
  return type.bits == 16 ? c10::kHalf : type.bits == 64 ? c10::kDouble : c10::kFloat;
}

inline at::Tensor tensor_of(const DLTensor* tensor) {
  if (tensor == nullptr) return {};
  return {static_cast<char*>(tensor->data) + tensor->byte_offset,
          {tensor->shape, tensor->shape + tensor->ndim},
          {tensor->strides, tensor->strides + tensor->ndim},
          scalar_type_of(tensor->dtype)};
}

inline Call given_by(const normproof_plugin_call* call) {
  const auto tensor = [&](const char* role) { return tensor_of(normproof_tensor_of(call, role)); };
  Call given;
  given.out = tensor("out");
  given.input = tensor("input");
  if (!given.input.defined()) given.input = tensor("x");
  given.bias = tensor("bias");
  given.mean = tensor("mean");
  given.rstd = tensor("rstd");
  given.residual = tensor("residual");
  given.weight = tensor("weight");
  given.scale = tensor("scale");
  given.scales = tensor("scales");
  given.scale_ub = tensor("scale_ub");
  given.epsilon = static_cast<double>(normproof_parameter_of(call, "epsilon"));
  return given;
}

// Runs the operation; what it throws, and a launch that failed, become the call's result.
inline std::int32_t run(Operation operation, const normproof_plugin_call* call) {
  const auto say = [&](const char* what) {
    std::snprintf(call->message, call->message_capacity, "%s", what);
  };
  try {
    operation(given_by(call));
    return NORMPROOF_PLUGIN_OK;
  } catch (const c10::NotImplementedError& error) {
    say(error.what());
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  } catch (const std::exception& error) {
    say(error.what());
    return NORMPROOF_PLUGIN_FAILED;
  }
}

// The operations of the one plug-in of the library.
template <class Tag>
struct Plugin {
  static inline Operations operations;
  static inline normproof_plugin_limits limits;

  template <Operation Operations::* member>
  static std::int32_t run_member(const normproof_plugin_call* call) {
    return run(operations.*member, call);
  }

  template <Operation Operations::* member>
  static const normproof_plugin_operation* entry(const char* name) {
    static const normproof_plugin_operation entry = {sizeof entry, name, &run_member<member>,
                                                     operations.limits == Limits{} ? nullptr : &limits};
    return operations.*member == nullptr ? nullptr : &entry;
  }

  static const normproof_plugin_info* info(const char* name, std::uint32_t takes, const Operations& given) {
    operations = given;
    const Limits& own = given.limits;
    limits = {sizeof limits,
              own.hidden_multiple,
              own.greatest_hidden,
              own.greatest_rank,
              own.least_rows,
              own.greatest_rows,
              own.alignment,
              own.contiguous,
              own.not_in_place,
              own.epsilon.has_value(),
              own.epsilon.value_or(0.0f)};
    static const normproof_plugin_operation* listed[8] = {};
    std::size_t count = 0;
    for (const normproof_plugin_operation* each :
         {entry<&Operations::rms_norm>("rms_norm"),
          entry<&Operations::fused_add_rms_norm>("fused_add_rms_norm"),
          entry<&Operations::rms_norm_static_fp8_quant>("rms_norm_static_fp8_quant"),
          entry<&Operations::fused_add_rms_norm_static_fp8_quant>("fused_add_rms_norm_static_fp8_quant"),
          entry<&Operations::rms_norm_dynamic_quant>("rms_norm_dynamic_quant"),
          entry<&Operations::fused_add_rms_norm_dynamic_quant>("fused_add_rms_norm_dynamic_quant"),
          entry<&Operations::layer_norm>("layer_norm")}) {
      if (each != nullptr) listed[count++] = each;
    }
    static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI, takes, name, kDLCPU,
                                               sizeof info,          listed};
    return &info;
  }
};

}  // namespace normproof_torch

// Exports normproof_plugin(). takes: NORMPROOF_TAKES_...; then the operations, .rms_norm = [](auto call) {
// ... }, and .limits = {...} behind them.
#define NORMPROOF_TORCH_PLUGIN(name, takes, ...)                                                             \
  struct normproof_torch_tag;                                                                                \
  extern "C" NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void) {                   \
    return ::normproof_torch::Plugin<normproof_torch_tag>::info(name, takes,                                 \
                                                                ::normproof_torch::Operations{__VA_ARGS__}); \
  }
