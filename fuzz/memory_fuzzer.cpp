// Not one byte outside a tensor is read or written, and no byte of an input is written, even for a moment.
// 1. Decode the bytes to a case.
// 2. Run it with every tensor's end, and then every tensor's beginning, at a page that may not be touched,
//    inputs on pages that may only be read. A trap is a finding that names tensor and byte.
// 3. Judge both runs' outputs and guard zones as ever.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/guard_pages.h"
#include "fuzz/harness.h"
#include "properties/judging/evaluate.h"
#include "properties/targets/guarded_call.h"
#include "properties/targets/kernel_target.h"

namespace normproof::fuzz {

const CaseLimits& case_limits() {
  // All kinds of kernel, of rows within a warp and beyond.
  static const CaseLimits limits = [] {
    CaseLimits several_warps = small_valid_cases();
    several_warps.max_hidden = 600;
    several_warps.max_elements = 1200;
    return several_warps;
  }();
  return limits;
}

namespace {

// target()'s kernels on tensors beside guard pages.
class GuardPagesTarget final : public CallableTarget {
 public:
  GuardPagesTarget(const KernelFunctions& functions, GuardPages::Side side)
      : functions_(functions), side_(side) {}
  const std::string& name() const override { return target().name(); }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    GuardedCall call(test_case, tensors, memory_);
    return result_of(call, invoke(call));
  }
  normproof_status invoke(GuardedCall& call) override {
    const Case& test_case = call.test_case();
    std::size_t page = 0;
    for (const Role memory : kRoles) {
      const GuardedTensor* tensor = call.tensor(memory);
      if (tensor == nullptr) continue;
      const auto lies_there = [&](Role role) {
        return test_case.has(role) && test_case.memory_of(role) == memory;
      };
      const bool read_only = std::ranges::none_of(
          kRoles, [&](Role role) { return test_case.has_output(role) && lies_there(role); });
      std::byte* const data = pages_[page++].move_in(*tensor, side_, read_only);
      for (const Role role : kRoles)
        if (lies_there(role)) call.description(role).data = data;
    }
    running_ = &test_case;
    const normproof_status status = call.invoke(functions_);
    running_ = nullptr;
    while (page > 0) pages_[--page].move_out();
    return status;
  }

  // The case that is in the kernels now, or null.
  const Case* running() const { return running_; }
  std::string describe(const void* address, std::string_view access) const {
    for (const GuardPages& pages : pages_) {
      if (std::string what = pages.describe(address, access); !what.empty()) return what;
    }
    return {};
  }

 private:
  KernelFunctions functions_;
  GuardPages::Side side_;
  GuardedCall::Memory memory_;
  std::array<GuardPages, kRoles.size()> pages_;
  const Case* running_ = nullptr;
};

GuardPagesTarget* current = nullptr;  // the one that runs

void check(const Case& test_case) {
  static const KernelFunctions* const functions = functions_of(target());
  if (functions == nullptr) return check_conformance(test_case);  // a worker process has the tensors
  static GuardPagesTarget at_end(*functions, GuardPages::Side::end);
  static GuardPagesTarget at_beginning(*functions, GuardPages::Side::beginning);
  static const bool handled = [] {
    handle_traps({.describe =
                      [](const void* address, std::string_view access) {
                        return current == nullptr || current->running() == nullptr
                                   ? std::string()
                                   : current->describe(address, access);
                      },
                  .report =
                      [](const std::string& what) {
                        report_trap(*current->running(), "memory access outside the tensors\n  " + what);
                      }});
    return true;
  }();
  (void)handled;
  for (GuardPagesTarget* beside : {&at_end, &at_beginning}) {
    current = beside;
    const Evaluation evaluation = evaluate(test_case, *beside);
    if (evaluation.violates()) report_violation(test_case, evaluation);
  }
}

}  // namespace
}  // namespace normproof::fuzz

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t) {
  check(test_case);
  return 0;
}
