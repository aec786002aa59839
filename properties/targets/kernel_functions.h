// The C interface of kernels/normproof_kernels.h as pointers, linked into this program or loaded from a
// shared library; and a call of it by role. The one place that knows each operation's function.
#pragma once

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "corpus/operation.h"
#include "kernels/normproof_kernels.h"

namespace normproof {

struct KernelFunctions {
  decltype(&normproof_rms_norm) rms_norm = nullptr;
  decltype(&normproof_fused_add_rms_norm) fused_add_rms_norm = nullptr;
  decltype(&normproof_rms_norm_static_fp8_quant) rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_fused_add_rms_norm_static_fp8_quant) fused_add_rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_rms_norm_dynamic_quant) rms_norm_dynamic_quant = nullptr;
  decltype(&normproof_fused_add_rms_norm_dynamic_quant) fused_add_rms_norm_dynamic_quant = nullptr;
  decltype(&normproof_set_thread_order) set_thread_order = nullptr;
  // Calls by name; null in a library that has none.
  decltype(&normproof_run) run = nullptr;
  decltype(&normproof_named_operations) named_operations = nullptr;

  // What `run` takes.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    if (run == nullptr || named_operations == nullptr) return names;
    for (const char* const* name = named_operations(); *name != nullptr; ++name) names.emplace_back(*name);
    return names;
  }
};

// Whether the C interface has a function for it.
inline bool has_kernel(Operation operation) {
  switch (operation) {
    case Operation::rms_norm:
    case Operation::fused_add_rms_norm:
    case Operation::rms_norm_static_fp8_quant:
    case Operation::fused_add_rms_norm_static_fp8_quant:
    case Operation::rms_norm_dynamic_quant:
    case Operation::fused_add_rms_norm_dynamic_quant:
      return true;
  }
  return false;
}

// The functions that are linked into this program.
inline KernelFunctions linked_kernels() {
  return {&normproof_rms_norm,
          &normproof_fused_add_rms_norm,
          &normproof_rms_norm_static_fp8_quant,
          &normproof_fused_add_rms_norm_static_fp8_quant,
          &normproof_rms_norm_dynamic_quant,
          &normproof_fused_add_rms_norm_dynamic_quant,
          &normproof_set_thread_order,
          &normproof_run,
          &normproof_named_operations};
}

// The operations' functions of a SharedLibrary, which remembers what is missing.
template <class Library>
KernelFunctions find_operations(Library& library) {
  KernelFunctions functions;
  library.find(functions.rms_norm, "normproof_rms_norm");
  library.find(functions.fused_add_rms_norm, "normproof_fused_add_rms_norm");
  library.find(functions.rms_norm_static_fp8_quant, "normproof_rms_norm_static_fp8_quant");
  library.find(functions.fused_add_rms_norm_static_fp8_quant,
               "normproof_fused_add_rms_norm_static_fp8_quant");
  library.find(functions.rms_norm_dynamic_quant, "normproof_rms_norm_dynamic_quant");
  library.find(functions.fused_add_rms_norm_dynamic_quant, "normproof_fused_add_rms_norm_dynamic_quant");
  library.find_if_there(functions.run, "normproof_run");
  library.find_if_there(functions.named_operations, "normproof_named_operations");
  return functions;
}

// The tensors of a call by role, null where one is not passed. Of a tensor that holds a parameter only the
// address is passed.
class KernelTensors {
 public:
  const normproof_tensor*& operator[](Role role) { return tensors_[static_cast<std::size_t>(role)]; }
  const normproof_tensor* operator[](Role role) const { return tensors_[static_cast<std::size_t>(role)]; }

 private:
  std::array<const normproof_tensor*, kRoles.size()> tensors_{};
};

struct KernelCall {
  KernelTensors tensors;
  float epsilon = 0;
  const normproof_launch* launch = nullptr;
  normproof_stream stream = nullptr;
  normproof_launch_report* report = nullptr;
  normproof_message message{};
};

// Of an operation that has_kernel().
inline normproof_status call_kernel(const KernelFunctions& functions, Operation operation,
                                    const KernelCall& call) {
  const normproof_tensor *input = call.tensors[Role::input], *residual = call.tensors[Role::residual],
                         *weight = call.tensors[Role::weight], *out = call.tensors[Role::out];
  const normproof_tensor* scales = call.tensors[Role::scales];
  const auto number_in = [](const normproof_tensor* tensor) {
    return tensor == nullptr ? nullptr : static_cast<const float*>(tensor->data);
  };
  const float *scale = number_in(call.tensors[Role::scale]),
              *scale_ub = number_in(call.tensors[Role::scale_ub]);
  switch (operation) {
    case Operation::rms_norm:
      return functions.rms_norm(out, input, weight, call.epsilon, call.launch, call.stream, call.report,
                                call.message);
    case Operation::fused_add_rms_norm:
      return functions.fused_add_rms_norm(input, residual, weight, call.epsilon, call.launch, call.stream,
                                          call.report, call.message);
    case Operation::rms_norm_static_fp8_quant:
      return functions.rms_norm_static_fp8_quant(out, input, weight, scale, call.epsilon, call.launch,
                                                 call.stream, call.report, call.message);
    case Operation::fused_add_rms_norm_static_fp8_quant:
      return functions.fused_add_rms_norm_static_fp8_quant(out, input, residual, weight, scale, call.epsilon,
                                                           call.launch, call.stream, call.report,
                                                           call.message);
    case Operation::rms_norm_dynamic_quant:
      return functions.rms_norm_dynamic_quant(out, scales, input, weight, scale_ub, call.epsilon, call.launch,
                                              call.stream, call.report, call.message);
    case Operation::fused_add_rms_norm_dynamic_quant:
      return functions.fused_add_rms_norm_dynamic_quant(out, scales, input, residual, weight, scale_ub,
                                                        call.epsilon, call.launch, call.stream, call.report,
                                                        call.message);
  }
  std::abort();
}

}  // namespace normproof
