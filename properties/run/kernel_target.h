// Targets that export the C interface of kernels/normproof_kernels.h, linked in or loaded from a shared
// library.
#pragma once

#include <memory>
#include <string>

#include "kernels/normproof_kernels.h"
#include "properties/run/target.h"

namespace normproof {

struct KernelFunctions {
  decltype(&normproof_rms_norm) rms_norm = nullptr;
  decltype(&normproof_fused_add_rms_norm) fused_add_rms_norm = nullptr;
  decltype(&normproof_rms_norm_static_fp8_quant) rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_fused_add_rms_norm_static_fp8_quant) fused_add_rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_set_thread_order) set_thread_order = nullptr;
};

// The functions that are linked into this program.
KernelFunctions linked_kernels();
// Loads them from a shared library, which stays loaded. Throws TargetError naming the library and the missing
// symbol.
KernelFunctions load_kernels(const std::string& library_path);

class GuardedCall;

// A target whose C interface can be called with arguments that a caller has spoiled.
class CallableTarget : public Target {
 public:
  // Passes the arguments on as they are and fills the call's report and message. For calls that must be
  // refused: what is written by a target in another memory is not seen.
  virtual normproof_status invoke(GuardedCall& call) = 0;

 protected:
  // What came of a call that gave `status`.
  static RunResult result_of(const GuardedCall& call, normproof_status status);
};

// The functions behind a target made here; nullptr for any other target.
const KernelFunctions* functions_of(const Target& target);

// `functions` must take ordinary host pointers.
std::unique_ptr<Target> make_kernel_target(std::string name, const KernelFunctions& functions);

}  // namespace normproof
