// GuardedCall: a case as a call of the C interface on guarded tensors. The arguments lie open, so that a
// caller may spoil one before the call.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "kernels/normproof_kernels.h"
#include "properties/targets/guarded_tensor.h"
#include "properties/targets/kernel_target.h"

namespace normproof {

class GuardedCall {
 public:
  // What the tensors of a call lie in; one call at a time.
  struct Memory {
    std::array<TensorMemory, kRoles.size()> tensors;
    TensorMemory& operator[](Role role) { return tensors[static_cast<std::size_t>(role)]; }
    void draw_from(MemorySpace* space) {
      for (TensorMemory& each : tensors) each.draw_from(space);
    }
  };

  // Requires a valid case; it, its tensors and the memory must outlive the call.
  GuardedCall(const Case& test_case, const CaseTensors& tensors, Memory& memory);
  GuardedCall(const GuardedCall&) = delete;
  GuardedCall& operator=(const GuardedCall&) = delete;

  // The arguments of the call: pointers to the descriptions, null where the case has no such argument. An
  // output that is written over an input has that input's description.
  const normproof_tensor*& argument(Role role) { return arguments_[role]; }
  const normproof_tensor* argument(Role role) const { return arguments_[role]; }
  normproof_tensor& description(Role role) { return descriptions_[static_cast<std::size_t>(role)]; }
  const normproof_tensor& description(Role role) const {
    return descriptions_[static_cast<std::size_t>(role)];
  }
  normproof_launch launch{};

  normproof_status invoke(const KernelFunctions& functions);

  // For who carries the call out elsewhere: the case, its tensors in memory, and
  // where the answer's message goes.
  const Case& test_case() const { return test_case_; }
  std::vector<const GuardedTensor*> tensors() const;
  // Null where it has no memory of its own.
  const GuardedTensor* tensor(Role role) const {
    const auto& guarded = guarded_[static_cast<std::size_t>(role)];
    return guarded ? &*guarded : nullptr;
  }
  void set_message(std::string_view text);

  // After the call.
  normproof_launch_report report{};
  std::string message() const { return text_.data(); }
  // Bytes written outside the outputs and inputs modified; after a refusal every byte written.
  std::vector<std::string> memory_violations(bool refused) const;
  Outputs outputs() const;

 private:
  const Case& test_case_;
  const CaseTensors& tensors_;
  // What the tensor holds before the call.
  std::vector<std::byte> values_before(Role role) const;
  bool is_written(Role memory) const;
  KernelTensors arguments_;
  std::array<normproof_tensor, kRoles.size()> descriptions_{};
  std::array<std::optional<GuardedTensor>, kRoles.size()> guarded_;
  std::array<char, 512> text_{};
};

}  // namespace normproof
