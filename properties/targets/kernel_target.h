// Targets that export the C interface of kernels/normproof_kernels.h, linked in
// or loaded from a shared library.
#pragma once

#include <memory>
#include <string>

#include "properties/targets/kernel_functions.h"
#include "properties/targets/target.h"

namespace normproof {

// Loads the functions from a shared library, which stays loaded. Throws TargetError naming the library and
// the missing symbol.
KernelFunctions load_kernels(const std::string& library_path);

// What a target without a function for the operation answers: not taken, and why.
RunResult no_kernel(const std::string& target, Operation operation);

class GuardedCall;

// A target whose C interface can be called with arguments that a caller has spoiled.
class CallableTarget : public Target {
 public:
  bool takes(const Case& test_case) const override { return has_kernel(test_case.operation); }
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
