// Judged operations behind the kernels' C interface (normproof_run): calls by name.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/normproof_kernels.h"
#include "properties/targets/judged_target.h"
#include "properties/targets/kernel_functions.h"
#include "properties/targets/named_call.h"

namespace normproof {

// A call as normproof_run takes it; the call must outlive it.
class KernelNamedCall {
 public:
  explicit KernelNamedCall(const NamedCall& call);
  KernelNamedCall(const KernelNamedCall&) = delete;
  KernelNamedCall& operator=(const KernelNamedCall&) = delete;
  const normproof_named_call& description() const { return description_; }
  // Argument `index` of the call lies there, as it lay in its guarded tensor.
  void set_data(std::size_t index, void* data) { tensors_[index].tensor.data = data; }

 private:
  std::vector<normproof_named_tensor> tensors_;
  std::vector<normproof_named_number> numbers_;
  normproof_named_call description_{};
};

// Of our own kernels. What they take shows when they are called: a dtype or a tensor that they are not made
// for is not taken; refusing anything else is a failure, for every call is valid. They promise the bits of
// the canonical order.
class NamedKernels : public JudgedTarget {
 public:
  std::vector<const oracle::judged::JudgedOperation*> judged_operations() const override;
  JudgedTakes judged_takes() const override;
  CallLimits judged_limits(const oracle::judged::JudgedOperation&) const override { return {}; }
  bool says_what_it_takes() const override { return false; }
  JudgedRun run_judged(const oracle::judged::Call& call, std::byte fill) override;

 protected:
  // The names of the operations, those that the table lacks included.
  void set_named_operations(std::vector<std::string> names) { names_ = std::move(names); }
  // Carries the call out. `operation` is its place among the names.
  virtual JudgedRun carry_out(NamedCall& call, std::size_t operation) = 0;
  // Runs the call in this thread and fills its message. `functions` must take ordinary host pointers.
  static normproof_status invoke_here(const KernelFunctions& functions, NamedCall& call,
                                      const KernelNamedCall& named);
  // What came of a call that gave `status`.
  static JudgedRun judged_result_of(const NamedCall& call, normproof_status status);

 private:
  std::vector<std::string> names_;
};

// The call that kernels are carrying out in the calling thread, for reports of a crash; null outside a run.
const oracle::judged::Call* judged_call_being_run();

}  // namespace normproof
