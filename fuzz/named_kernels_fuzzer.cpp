// Kernels that are called by name give every bit that the canonical order gives, wherever the tensors lie and
// in whatever order the threads run, and touch nothing else.
// 1. Decode the bytes to a call: operation, dtypes, shape, optional tensors, numbers, places, thread order.
// 2. Run it on the target between guard zones and judge the outputs with the exact oracle.
// 3. Run it twice more, elsewhere and in another order of the threads, with every tensor's end, then every
//    tensor's beginning, at a page that may not be touched, inputs on pages that may only be read. The bits
//    are the same.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/call_bytes.h"
#include "fuzz/call_harness.h"
#include "fuzz/guard_pages.h"
#include "fuzz/harness.h"
#include "fuzz/known/known_bug.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/call_evaluation.h"
#include "properties/targets/kernel_target.h"
#include "properties/targets/named_kernels.h"

namespace normproof::fuzz {

const CallSpace& call_space() {
  static const CallSpace space = [] {
    JudgedTarget* const judged = target().judged_target();
    const auto all = oracle::judged::judged_operations();
    CallSpace result;
    result.operations = judged == nullptr ? std::vector(all.begin(), all.end()) : judged->judged_operations();
    return result;
  }();
  return space;
}

namespace {

using judging::CallEvaluation;
using oracle::judged::Policy;

constexpr judging::JudgeOptions kOptions = {1, 4, false};
constexpr double kSecondsToShrink = 2;

std::string json_of(const Call& call) { return call_to_json(call, to_string(policy_of(call))); }

// In words fit for a file's name, and the same for the same bug.
std::string kind_in(const Call& call, const std::string& message) {
  return fmt::format("{}-{}", call.operation->name, kind_of(message));
}

[[noreturn]] void report_call(const Call& call, const std::string& kind, const std::string& message) {
  pass_if_known(kind);
  report({kind, message, std::string(call.operation->name), json_of(call)});
}

[[noreturn]] void report_violation(JudgedTarget& judged, const Call& call, const CallEvaluation& evaluation) {
  const std::string kind = kind_in(call, evaluation.kind());
  pass_if_known(kind);
  const auto small = judging::smaller_call(judged, call, evaluation, policy_of(call), kSecondsToShrink);
  const bool completed = small.evaluation.run.status == RunResult::Status::completed;
  const Call stored = completed ? small.evaluation.run.call : judging::without_contents(small.call);
  note_input([&] { return json_of(stored); });
  report_call(stored, kind, describe(small.call, small.evaluation));
}

// The target's kernels on tensors beside guard pages.
class GuardPagesKernels final : public NamedKernels {
 public:
  GuardPagesKernels(const KernelFunctions& functions, GuardPages::Side side)
      : functions_(functions), side_(side) {
    set_named_operations(functions.names());
  }
  std::string describe(const void* address, std::string_view access) const {
    for (const GuardPages& pages : pages_)
      if (std::string what = pages.describe(address, access); !what.empty()) return what;
    return {};
  }

 private:
  JudgedRun carry_out(NamedCall& call, std::size_t) override {
    KernelNamedCall named(call);
    std::size_t page = 0;
    for (const GuardedTensor* tensor : call.tensors()) {
      bool is_written = false;
      for (const NamedCall::Argument& argument : call.arguments())
        is_written = is_written || (argument.tensor == tensor && argument.spec->direction == Direction::out);
      std::byte* const data = pages_[page++].move_in(*tensor, side_, !is_written);
      for (std::size_t i = 0; i < call.arguments().size(); ++i)
        if (call.arguments()[i].tensor == tensor) named.set_data(i, data);
    }
    const normproof_status status = invoke_here(functions_, call, named);
    while (page > 0) pages_[--page].move_out();
    return judged_result_of(call, status);
  }

  KernelFunctions functions_;
  GuardPages::Side side_;
  std::array<GuardPages, worker::kMaximumTensors> pages_;
};

// The kernels beside the pages of one side, and of the other; nothing for a target whose tensors lie
// elsewhere.
std::span<GuardPagesKernels> kernels_beside_pages() {
  static const KernelFunctions* const functions = functions_of(target());
  if (functions == nullptr) return {};
  static std::array<GuardPagesKernels, 2> both = {
      {{*functions, GuardPages::Side::end}, {*functions, GuardPages::Side::beginning}}};
  static const bool handled = [] {
    handle_traps({.describe =
                      [](const void* address, std::string_view access) {
                        std::string what;
                        for (const GuardPagesKernels& each : both)
                          if (what.empty()) what = each.describe(address, access);
                        return judged_call_being_run() == nullptr ? std::string() : what;
                      },
                  .report =
                      [](const std::string& what) {
                        const std::string message = "memory access outside the tensors\n  " + what;
                        report_call(*judged_call_being_run(), kind_in(*judged_call_being_run(), message),
                                    message);
                      }});
    return true;
  }();
  (void)handled;
  return both;
}

// The call somewhere else, or with its threads in another order.
Call related(const Call& call, Random& random) {
  Call other = random.chance(1, 2) ? judging::lying_elsewhere({}, call, random) : call;
  other.thread_order = call.thread_order == 0 ? 1 + random.below(1u << 16) : random.below(2);
  return other;
}

void check_related(JudgedTarget& judged, JudgedTarget& beside, const JudgedRun& first, const Call& call) {
  const JudgedRun run = beside.run_judged(call, kCanary);
  const std::string difference = judging::difference_between(first, run, policy_of(call));
  if (run.status == RunResult::Status::completed && run.memory_violations.empty() && difference.empty())
    return;
  const CallEvaluation plain = evaluate_call(judged, call, policy_of(call), kOptions);
  if (plain.violates()) report_violation(judged, call, plain);
  std::string message = fmt::format("other bits elsewhere, {}\n  {}\n", subject_of(call), difference);
  for (const std::string& violation : run.memory_violations) message += fmt::format("  {}\n", violation);
  if (!run.message.empty()) message += fmt::format("  the target says: {}\n", run.message);
  report_call(call, kind_in(call, message), message);
}

// Whether the target takes the call.
bool check(const Call& call, std::uint64_t seed) {
  JudgedTarget* const judged = target().judged_target();
  if (judged == nullptr) return false;
  const CallEvaluation evaluation = evaluate_call(*judged, call, policy_of(call), kOptions);
  if (evaluation.outcome == CallEvaluation::Outcome::not_taken) return false;
  if (evaluation.violates()) report_violation(*judged, call, evaluation);
  Random random(seed);
  const auto beside = kernels_beside_pages();
  for (GuardPagesKernels& kernels : beside)
    check_related(*judged, kernels, evaluation.run, related(call, random));
  if (beside.empty()) check_related(*judged, *judged, evaluation.run, related(call, random));
  return true;
}

}  // namespace
}  // namespace normproof::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  using Clock = std::chrono::steady_clock;
  constexpr int kNotKept = -1;  // the engine is to start from nothing that is not run
  static fuzz::KnownTally known;
  const auto begin = Clock::now();
  const fuzz::Call call = fuzz::call_from_bytes({data, size}, fuzz::call_space());
  if (!fuzz::is_valid(call)) return kNotKept;
  fuzz::note_input([&] { return fuzz::json_of(call); });
  try {
    return fuzz::check(call, fuzz::seed_of({data, size})) ? 0 : kNotKept;
  } catch (const fuzz::KnownViolation&) {
    known.add_violation(std::chrono::duration<double>(Clock::now() - begin).count());
    return 0;
  }
}
