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
#include "properties/run/guarded_tensor.h"
#include "properties/run/kernel_target.h"

namespace normproof {

class GuardedCall {
 public:
  // What the tensors of a call lie in; one call at a time.
  struct Memory {
    TensorMemory input, residual, weight, output, scale;
    void draw_from(MemorySpace* space) {
      for (TensorMemory* each : {&input, &residual, &weight, &output, &scale}) each->draw_from(space);
    }
  };

  // Requires a valid case; it, its tensors and the memory must outlive the call.
  GuardedCall(const Case& test_case, const CaseTensors& tensors, Memory& memory);
  GuardedCall(const GuardedCall&) = delete;
  GuardedCall& operator=(const GuardedCall&) = delete;

  // The arguments of the call: pointers to the descriptions below, null where the case has no such argument.
  const normproof_tensor* input = nullptr;
  const normproof_tensor* residual = nullptr;
  const normproof_tensor* weight = nullptr;
  const normproof_tensor* out = nullptr;
  const float* scale = nullptr;
  normproof_launch launch{};
  normproof_tensor input_description{}, residual_description{}, weight_description{}, out_description{};

  normproof_status invoke(const KernelFunctions& functions);

  // For who carries the call out elsewhere: the case, its tensors in memory, and where the answer's message
  // goes.
  const Case& test_case() const { return test_case_; }
  std::vector<const GuardedTensor*> tensors() const;
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
  bool writes_input_;
  std::vector<std::byte> scale_bytes_;
  GuardedTensor input_tensor_;
  std::optional<GuardedTensor> residual_tensor_, weight_tensor_, out_tensor_, scale_tensor_;
  std::array<char, 512> text_{};
};

}  // namespace normproof
