#include "properties/targets/cuda_target.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "properties/targets/guarded_call.h"
#include "properties/targets/kernel_target.h"
#include "properties/targets/named_kernels.h"

namespace normproof {
namespace {

class CudaTarget final : public CallableTarget, public NamedKernels {
 public:
  explicit CudaTarget(const WorkerSettings& settings) : rounds_(settings) {
    set_named_operations(rounds_.named_operations());
  }
  const std::string& name() const override { return name_; }

  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    if (!has_kernel(test_case.operation)) return no_kernel(name_, test_case.operation);
    thread_local GuardedCall::Memory memory;
    GuardedCall call(test_case, tensors, memory);
    const Rounds::Result answer = rounds_.carry_out(call, false);
    if (answer.failure.empty()) return result_of(call, answer.status);
    RunResult result;
    result.status = answer.stopped ? RunResult::Status::not_taken : RunResult::Status::failed;
    result.message = answer.failure;
    return result;
  }

  normproof_status invoke(GuardedCall& call) override {
    const Rounds::Result answer = rounds_.carry_out(call, true);
    if (answer.failure.empty()) return answer.status;
    if (answer.stopped) throw TargetError(answer.failure);
    call.set_message(answer.failure);
    return NORMPROOF_LAUNCH_FAILED;
  }

  bool replays_graphs() const override { return true; }
  bool prefers_long_cases() const override { return true; }
  int calls_at_once_per_core() const override { return 4; }

  JudgedTarget* judged_target() override { return judged_operations().empty() ? nullptr : this; }
  bool is_canonical() const override { return judging().canonical; }

  std::string closing_words() const override {
    const normproof_device_info& device = rounds_.device();
    return fmt::format("{}, driver {}: {} calls in {} rounds, worker restarted {} times\n", device.name,
                       device.driver, rounds_.calls(), rounds_.rounds(), rounds_.restarts());
  }

 private:
  JudgedRun carry_out(NamedCall& call, std::size_t operation) override {
    const Rounds::Result answer = rounds_.carry_out(call, operation);
    if (answer.failure.empty()) return judged_result_of(call, answer.status);
    return {answer.stopped ? RunResult::Status::not_taken : RunResult::Status::failed, answer.failure};
  }

  std::string name_ = "cuda";
  Rounds rounds_;
};

std::filesystem::path beside_program(const char* variable, const char* file) {
  if (const char* path = std::getenv(variable)) return path;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path(file) : program.parent_path() / file;
}

}  // namespace

WorkerSettings default_worker_settings() {
  WorkerSettings settings;
  settings.program = beside_program("NORMPROOF_WORKER", "normproof-worker");
  settings.library = beside_program("NORMPROOF_KERNELS_CUDA", "libkernels_cuda.so");
  if (const char* text = std::getenv("NORMPROOF_PATIENCE")) {
    char* end = nullptr;
    const double seconds = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0.01 && seconds <= 1e6))
      throw TargetError(fmt::format("NORMPROOF_PATIENCE is '{}', must be seconds from 0.01 to 1e6", text));
    settings.patience = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  }
  return settings;
}

std::unique_ptr<Target> make_cuda_target(const WorkerSettings& settings) {
  if (!std::filesystem::exists(settings.library)) {
    throw TargetError(
        fmt::format("there are no kernels for the GPU at {}: build with -DNORMPROOF_CUDA=ON (preset cuda), "
                    "or name the library in NORMPROOF_KERNELS_CUDA",
                    settings.library.string()));
  }
  return std::make_unique<CudaTarget>(settings);
}

}  // namespace normproof
