#include "properties/targets/kernel_target.h"

#include <fmt/format.h>

#include <utility>

#include "properties/targets/guarded_call.h"
#include "properties/targets/named_kernels.h"
#include "properties/targets/shared_library.h"

namespace normproof {
namespace {

thread_local const Case* running_case = nullptr;

class KernelTarget final : public CallableTarget, public NamedKernels {
 public:
  KernelTarget(std::string name, const KernelFunctions& functions)
      : name_(std::move(name)), functions_(functions) {
    set_named_operations(functions.names());
  }
  const std::string& name() const override { return name_; }
  const KernelFunctions& functions() const { return functions_; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    if (!has_kernel(test_case.operation)) return no_kernel(name_, test_case.operation);
    if (test_case.launch.in_graph) {
      RunResult result;
      result.status = RunResult::Status::not_taken;
      result.message = "target " + name_ + " does not take calls in a CUDA graph: it runs on the CPU";
      return result;
    }
    thread_local GuardedCall::Memory memory;
    GuardedCall call(test_case, tensors, memory);
    return result_of(call, invoke(call));
  }
  normproof_status invoke(GuardedCall& call) override {
    running_case = &call.test_case();
    const normproof_status status = call.invoke(functions_);
    running_case = nullptr;
    return status;
  }
  JudgedTarget* judged_target() override { return judged_operations().empty() ? nullptr : this; }
  bool is_canonical() const override { return judging().canonical; }

 private:
  JudgedRun carry_out(NamedCall& call, std::size_t) override {
    return judged_result_of(call, invoke_here(functions_, call, KernelNamedCall(call)));
  }

  std::string name_;
  KernelFunctions functions_;
};

}  // namespace

RunResult CallableTarget::result_of(const GuardedCall& call, normproof_status status) {
  RunResult result;
  result.path = static_cast<KernelPath>(call.report.path);
  result.threads_per_block = call.report.threads_per_block;
  result.message = call.message();
  result.status = status == NORMPROOF_OK              ? RunResult::Status::completed
                  : status == NORMPROOF_LAUNCH_FAILED ? RunResult::Status::failed
                                                      : RunResult::Status::refused;
  result.memory_violations = call.memory_violations(result.status == RunResult::Status::refused);
  if (result.status == RunResult::Status::completed) result.outputs = call.outputs();
  return result;
}

RunResult no_kernel(const std::string& target, Operation operation) {
  RunResult result;
  result.status = RunResult::Status::not_taken;
  result.message = fmt::format("target {} has no kernel for {}", target, name_of(operation));
  return result;
}

const Case* case_being_run() { return running_case; }

KernelFunctions load_kernels(const std::string& library_path) {
  SharedLibrary library(library_path);
  if (!library.problem().empty())
    throw TargetError(fmt::format("cannot load {}: {}", library_path, library.problem()));
  KernelFunctions functions = find_operations(library);
  library.find(functions.set_thread_order, "normproof_set_thread_order");
  if (!library.missing().empty())
    throw TargetError(fmt::format("{} has no symbol {}", library_path, library.missing()));
  return functions;
}

const KernelFunctions* functions_of(const Target& target) {
  const auto* kernels = dynamic_cast<const KernelTarget*>(&target);
  return kernels == nullptr ? nullptr : &kernels->functions();
}

std::unique_ptr<Target> make_kernel_target(std::string name, const KernelFunctions& functions) {
  return std::make_unique<KernelTarget>(std::move(name), functions);
}

}  // namespace normproof
