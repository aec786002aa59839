#include "properties/targets/plugin_target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "properties/targets/cuda_target.h"
#include "properties/targets/guarded_call.h"
#include "properties/targets/judged_target.h"
#include "properties/targets/library_file.h"
#include "properties/targets/worker_call.h"
#ifdef NORMPROOF_IN_PROCESS_PLUGINS
#include "properties/targets/in_process_worker.h"
#endif

namespace normproof {
namespace {

constexpr std::size_t kDefaultMemoryLimit = std::size_t{2048} << 20;
// To start the process and load the library takes time by itself, more on a busy machine.
constexpr std::chrono::milliseconds kLeastStartPatience{5000};
// Different reasons that are counted; a plug-in may put a size or an address into each.
constexpr std::size_t kMaximumReasons = 8;
// Calls that go to the worker together. Their tensors are laid out where the worker finds them, while there
// is room at the beginning of its memory; what is larger is copied behind that, as far as it goes together.
constexpr std::int64_t kRequestsAtOnce = 32;
constexpr std::size_t kSpaceBytes = std::size_t{4} << 20;
constexpr std::size_t kRoundBytes = std::size_t{1} << 20;
constexpr std::size_t kArena = 0;  // the one of the worker's that is used

bool contains(std::uint32_t set, auto value) { return (set >> static_cast<unsigned>(value) & 1) != 0; }

// With fp32 activations a weight of their dtype is a fp32 weight.
bool takes_weight(const worker::PluginDescription& plugin, const Case& test_case) {
  if (!test_case.weight_dtype) return plugin.no_weight != 0;
  return (plugin.same_weight && *test_case.weight_dtype == test_case.dtype) ||
         (plugin.fp32_weight && *test_case.weight_dtype == DType::fp32);
}

bool takes_codes(const worker::PluginDescription& plugin, DType codes) {
  return codes == DType::int8 ? plugin.row_int8 != 0 : contains(plugin.dtypes, codes);
}

}  // namespace

std::string what_is_not_taken(const worker::PluginDescription& plugin, const Case& test_case) {
  if (!contains(plugin.operations, test_case.operation)) return std::string(name_of(test_case.operation));
  if (!contains(plugin.dtypes, test_case.dtype)) return std::string(name_of(test_case.dtype));
  if (!takes_weight(plugin, test_case)) {
    if (!test_case.weight_dtype) return "a missing weight";
    return fmt::format("a {} weight with {}", name_of(*test_case.weight_dtype), name_of(test_case.dtype));
  }
  if (test_case.has_codes() && !takes_codes(plugin, test_case.output_dtype()))
    return std::string(name_of(test_case.output_dtype()));
  if (test_case.has_scale_ub() && plugin.row_scale_ub == 0) return "an upper bound of scales (scale_ub)";
  return {};
}

namespace {

std::string text_of(const char* text, std::size_t capacity) { return {text, strnlen(text, capacity)}; }

std::unique_ptr<Worker> make_worker(const WorkerSettings& settings) {
#ifdef NORMPROOF_IN_PROCESS_PLUGINS
  if (is_host_executed(settings.library)) return make_in_process_worker(settings.library);
#endif
  return std::make_unique<WorkerProcess>(settings);
}

using oracle::judged::find_judged_operation;
using oracle::judged::JudgedOperation;

class PluginTarget final : public Target, public JudgedTarget {
 public:
  PluginTarget(std::string_view name, const WorkerSettings& settings) : name_(name), settings_(settings) {
    auto first = make_worker(settings_);
    plugin_ = first->start().plugin;
    idle_.push_back(std::move(first));
  }
  const std::string& name() const override { return name_; }
  bool is_foreign() const override { return true; }
  bool takes(const Case& test_case) const override { return what_is_not_taken(plugin_, test_case).empty(); }
  CallLimits limits_of(Operation operation) const override {
    return plugin_.limits[static_cast<std::size_t>(operation)];
  }
  bool replays_graphs() const override { return plugin_.on_device != 0; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override;
  std::vector<RunResult> run_all(std::span<const RunRequest> requests) override;
  // While one waits for its worker, another works.
  int calls_at_once_per_core() const override { return plugin_.on_device ? 1 : 2; }
  // To go to another process and back takes longer than a small case.
  std::int64_t requests_at_once() const override { return plugin_.on_device ? 1 : kRequestsAtOnce; }
  std::string closing_words() const override;

  JudgedTarget* judged_target() override { return judged_operations().empty() ? nullptr : this; }
  std::vector<const JudgedOperation*> judged_operations() const override;
  JudgedTakes judged_takes() const override;
  CallLimits judged_limits(const JudgedOperation& operation) const override {
    return plugin_.named[*place_of(operation)].limits;
  }
  JudgedRun run_judged(const oracle::judged::Call& call, std::byte fill) override;

 private:
  // What came of one try: `failure` where the worker did not survive it.
  struct Attempt {
    std::string failure = {};
    worker::PluginAnswer answer = worker::PluginAnswer::failed;
    std::int32_t status = 0;
    std::string printed = {};
    bool stopped = false;  // this program is to stop, and did not wait for the answer
  };
  // A call and what came of it; nothing yet.
  struct Pending {
    RunRequest request;
    GuardedCall::Memory* memory = nullptr;
    std::unique_ptr<GuardedCall> call = {};
    std::size_t data_offset = 0;  // in its round
    Attempt attempt = {};
    // Lays the tensors out, in a place of their own unless the memory draws from elsewhere.
    void lay_out() { call = std::make_unique<GuardedCall>(*request.test_case, *request.tensors, *memory); }
    void lay_out_elsewhere() {
      memory->draw_from(nullptr);
      lay_out();
    }
  };
  // The same of a judged operation.
  struct PendingNamed {
    const oracle::judged::Call* request;
    std::byte fill;
    std::size_t operation;  // its place in the plug-in's list
    NamedCall::Memory* memory = nullptr;
    std::unique_ptr<NamedCall> call = {};
    std::size_t data_offset = 0;
    Attempt attempt = {};
    void lay_out() { call = std::make_unique<NamedCall>(*request, fill, *memory); }
    void lay_out_elsewhere() {
      memory->draw_from(nullptr);
      lay_out();
    }
  };
  static void put(const Pending& pending, worker::Round& round, std::byte* data, Slot slot) {
    put_call(*pending.call, false, round, data, slot);
  }
  static void put(const PendingNamed& pending, worker::Round& round, std::byte* data, Slot slot) {
    put_call(*pending.call, pending.operation, round, data, slot);
  }
  // Bytes at the beginning of a round's data in which tensors are laid out; a device has its own memory.
  std::size_t space_bytes() const { return plugin_.on_device ? 0 : kSpaceBytes; }
  template <class AnyPending>
  std::size_t put_round(Worker& worker, std::span<AnyPending> calls);
  template <class AnyPending>
  static Attempt answer_of(const Worker& worker, std::size_t index, AnyPending& pending);
  template <class AnyPending>
  Attempt attempt(Worker& worker, AnyPending& pending);
  template <class AnyPending>
  Attempt attempt_twice(Worker& worker, AnyPending& pending);
  template <class AnyPending>
  Attempt repeated_alone(Worker& worker, AnyPending& pending, Attempt first, bool was_alone);
  void attempt_all(Worker& worker, std::span<Pending> calls);
  RunResult result_of(const Pending& pending);
  RunResult answer_to(const Attempt& answer, std::string message, bool has_limits);
  static RunResult not_taken(std::string reason);
  void count_reason(const std::string& reason);
  std::unique_ptr<Worker> take_worker();
  void give_back(std::unique_ptr<Worker> worker);
  std::optional<std::size_t> place_of(const JudgedOperation& operation) const;

  const std::string name_;
  const WorkerSettings settings_;
  worker::PluginDescription plugin_;
  std::atomic<std::int64_t> calls_{0}, failures_{0};
  std::atomic<bool> stopped_{false};  // a call was not waited for, and no other will be
  mutable std::mutex mutex_;          // guards what follows
  std::vector<std::unique_ptr<Worker>> idle_;
  std::map<std::string, std::int64_t> reasons_;  // why cases were not taken
  std::int64_t other_reasons_ = 0;               // cases that were not taken for more reasons
};

// Puts as many of the calls into one round as it is to have: the first, whatever its size, and none where
// even that is too large. Returns how many.
template <class AnyPending>
std::size_t PluginTarget::put_round(Worker& worker, std::span<AnyPending> calls) {
  worker::Round& round = *worker::round_of(worker.memory(), kArena);
  std::byte* data = worker::data_of(worker.memory(), kArena);
  round.current_call = 0;
  // Counted here: a thread that the plug-in left behind may write to the round.
  std::uint32_t count = 0, extents = 0;
  std::size_t bytes = space_bytes();
  for (AnyPending& pending : calls) {
    const Need need = need_of(pending.call->tensors(), data);
    const Need total{bytes + need.bytes, extents + need.extents};
    if (!too_large(total).empty()) break;
    if (count > 0 && (count == kRequestsAtOnce || total.bytes > space_bytes() + kRoundBytes)) break;
    pending.data_offset = bytes;
    put(pending, round, data, {count, bytes, extents});
    ++count;
    bytes = total.bytes;
    extents = total.extents;
  }
  round.calls = count;
  round.extents = extents;
  round.data_bytes = bytes;
  return count;
}

// What the worker says of the call of that index of its round.
template <class AnyPending>
PluginTarget::Attempt PluginTarget::answer_of(const Worker& worker, std::size_t index, AnyPending& pending) {
  const worker::Call& answer = worker::round_of(worker.memory(), kArena)->call[index];
  pending.call->set_message(text_of(answer.message, sizeof answer.message));
  take_tensors(pending.call->tensors(), worker::data_of(worker.memory(), kArena), pending.data_offset);
  return {{}, answer.plugin_answer, answer.plugin_status, {}};
}

template <class AnyPending>
PluginTarget::Attempt PluginTarget::attempt(Worker& worker, AnyPending& pending) {
  if (put_round(worker, std::span(&pending, 1)) == 0) {
    Need need = need_of(pending.call->tensors(), worker::data_of(worker.memory(), kArena));
    need.bytes += space_bytes();
    return {.failure = too_large(need)};
  }
  ++calls_;
  std::string failure = worker.carry_out(kArena);
  if (worker.stopped()) stopped_ = true;
  if (!failure.empty()) return {.failure = std::move(failure), .stopped = worker.stopped()};
  Attempt attempt = answer_of(worker, 0, pending);
  attempt.printed = worker.printed();
  return attempt;
}

template <class AnyPending>
PluginTarget::Attempt PluginTarget::attempt_twice(Worker& worker, AnyPending& pending) {
  const bool fresh = worker.rounds() == 0;
  Attempt first = attempt(worker, pending);
  if (first.failure.empty()) return first;
  return repeated_alone(worker, pending, std::move(first), fresh);
}

// A call that the worker does not survive is repeated alone in a fresh one: an
// earlier call may have done the damage.
template <class AnyPending>
PluginTarget::Attempt PluginTarget::repeated_alone(Worker& worker, AnyPending& pending, Attempt first,
                                                   bool was_alone) {
  pending.lay_out_elsewhere();
  if (first.stopped) return first;
  ++failures_;
  if (was_alone || worker.hung()) return first;
  Attempt second = attempt(worker, pending);
  if (second.stopped) return first;
  if (!second.failure.empty()) return second;
  first.failure +=
      "; it happened after other calls of the same process, in a fresh one the case passes: an earlier call "
      "may have done the damage";
  return first;
}

// Calls together, and alone what is too large, what the worker did not survive, and what may have printed.
void PluginTarget::attempt_all(Worker& worker, std::span<Pending> calls) {
  while (!calls.empty()) {
    if (stopped_) {
      for (Pending& pending : calls) pending.attempt = {.stopped = true};
      return;
    }
    const bool fresh = worker.rounds() == 0;
    const std::size_t count = calls.size() > 1 ? put_round(worker, calls) : 1;
    if (count <= 1) {
      calls[0].attempt = attempt_twice(worker, calls[0]);
      calls = calls.subspan(1);
      continue;
    }
    calls_ += static_cast<std::int64_t>(count);
    std::string failure = worker.carry_out(kArena);
    const worker::Round& round = *worker::round_of(worker.memory(), kArena);
    const bool alone = failure.empty() && !worker.printed().empty();
    const std::size_t answered =
        failure.empty() ? count : std::min<std::size_t>(round.current_call, count - 1);
    for (std::size_t i = 0; i < answered; ++i) {
      if (alone) {
        calls[i].lay_out_elsewhere();
        calls[i].attempt = attempt_twice(worker, calls[i]);
      } else {
        calls[i].attempt = answer_of(worker, i, calls[i]);
      }
    }
    calls = calls.subspan(answered);
    if (failure.empty()) continue;
    if (worker.stopped()) {
      stopped_ = true;
      continue;
    }
    calls[0].attempt =
        repeated_alone(worker, calls[0], {.failure = std::move(failure)}, fresh && answered == 0);
    calls = calls.subspan(1);
    // Whatever it did may have reached the tensors beside its own.
    for (Pending& pending : calls) pending.lay_out_elsewhere();
  }
}

RunResult PluginTarget::not_taken(std::string reason) {
  RunResult result;
  result.status = RunResult::Status::not_taken;
  result.message = std::move(reason);
  return result;
}

// Of cases; who runs judged operations counts for itself.
void PluginTarget::count_reason(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  const auto known = reasons_.find(reason);
  if (known != reasons_.end()) {
    ++known->second;
  } else if (reasons_.size() < kMaximumReasons) {
    reasons_.emplace(reason, 1);
  } else {
    ++other_reasons_;
  }
}

RunResult PluginTarget::run(const Case& test_case, const CaseTensors& tensors) {
  const RunRequest request{&test_case, &tensors};
  return std::move(run_all({&request, 1}).front());
}

std::vector<RunResult> PluginTarget::run_all(std::span<const RunRequest> requests) {
  std::vector<RunResult> results(requests.size());
  std::vector<Pending> calls;
  std::vector<std::size_t> places;  // of the calls among the results
  thread_local std::vector<std::unique_ptr<GuardedCall::Memory>> memory;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Case& test_case = *requests[i].test_case;
    std::string what = what_is_not_taken(plugin_, test_case);
    if (what.empty()) what = what_is_outside(limits_of(test_case.operation), test_case);
    if (what.empty() && test_case.launch.in_graph && !replays_graphs())
      what = "calls in a CUDA graph: it runs on the CPU";
    if (!what.empty()) {
      results[i] = not_taken("it does not take " + what);
      count_reason(results[i].message);
      continue;
    }
    if (memory.size() == calls.size()) memory.push_back(std::make_unique<GuardedCall::Memory>());
    calls.push_back({requests[i], memory[calls.size()].get()});
    places.push_back(i);
  }
  if (calls.empty()) return results;
  std::unique_ptr<Worker> worker = take_worker();
  MemorySpace space(worker::data_of(worker->memory(), kArena), kSpaceBytes);
  for (Pending& pending : calls) {
    pending.memory->draw_from(plugin_.on_device ? nullptr : &space);
    pending.lay_out();
  }
  attempt_all(*worker, calls);
  // While the worker's memory is this thread's.
  for (std::size_t i = 0; i < calls.size(); ++i) {
    RunResult& result = results[places[i]] = result_of(calls[i]);
    if (result.status == RunResult::Status::not_taken) count_reason(result.message);
    calls[i].memory->draw_from(nullptr);
  }
  give_back(std::move(worker));
  return results;
}

std::unique_ptr<Worker> PluginTarget::take_worker() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return make_worker(settings_);
  std::unique_ptr<Worker> worker = std::move(idle_.back());
  idle_.pop_back();
  return worker;
}

void PluginTarget::give_back(std::unique_ptr<Worker> worker) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(worker));
}

// --- judged operations ---

std::optional<std::size_t> PluginTarget::place_of(const JudgedOperation& operation) const {
  const std::size_t count = std::min<std::size_t>(plugin_.named_operations, worker::kMaximumNamedOperations);
  for (std::size_t i = 0; i < count; ++i)
    if (text_of(plugin_.named[i].name, sizeof plugin_.named[i].name) == operation.name) return i;
  return std::nullopt;
}

std::vector<const JudgedOperation*> PluginTarget::judged_operations() const {
  std::vector<const JudgedOperation*> present;
  for (const JudgedOperation* operation : oracle::judged::judged_operations())
    if (place_of(*operation)) present.push_back(operation);
  return present;
}

JudgedTakes PluginTarget::judged_takes() const {
  JudgedTakes takes{{}, plugin_.no_weight != 0, plugin_.same_weight != 0, plugin_.fp32_weight != 0};
  for (const DType dtype : kActivationDTypes)
    if (contains(plugin_.dtypes, dtype)) takes.dtypes.push_back(dtype);
  for (const DType dtype : {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz,
                            DType::int8, DType::uint8})
    if (contains(plugin_.dtypes, dtype)) takes.codes.push_back(dtype);
  takes.scale_ub = plugin_.scale_ub != 0;
  takes.scale_layouts = plugin_.scale_layouts != 0;
  takes.scale_views = plugin_.scale_views != 0;
  takes.weight_rows = plugin_.weight_rows != 0;
  takes.no_statistics = plugin_.no_statistics != 0;
  return takes;
}

JudgedRun PluginTarget::run_judged(const oracle::judged::Call& call, std::byte fill) {
  const std::optional<std::size_t> place = place_of(*call.operation);
  std::string what =
      place ? what_is_outside(plugin_.named[*place].limits, call) : std::string(call.operation->name);
  if (what.empty() && !contains(plugin_.dtypes, call.dtype())) what = name_of(call.dtype());
  if (what.empty()) what = NamedCall::what_does_not_fit(call);
  if (!what.empty())
    return {RunResult::Status::not_taken, not_taken("it does not take " + what).message, {}, {}};
  thread_local NamedCall::Memory memory;
  std::unique_ptr<Worker> worker = take_worker();
  MemorySpace space(worker::data_of(worker->memory(), kArena), kSpaceBytes);
  memory.draw_from(plugin_.on_device ? nullptr : &space);
  PendingNamed pending{&call, fill, *place, &memory};
  pending.lay_out();
  const Attempt answer = stopped_ ? Attempt{.stopped = true} : attempt_twice(*worker, pending);
  // Which optional tensors it takes no limits say, so it may decline a call inside.
  RunResult result = answer_to(answer, pending.call->message(), false);
  JudgedRun run{result.status, std::move(result.message), {}, {}};
  // While the worker's memory is this thread's.
  if (answer.failure.empty() && !answer.stopped) {
    const bool completed = run.status == RunResult::Status::completed;
    if (completed) run.call = pending.call->with_outputs();
    run.memory_violations = pending.call->memory_violations(!completed);
  }
  pending.call.reset();
  memory.draw_from(nullptr);
  give_back(std::move(worker));
  return run;
}

RunResult PluginTarget::result_of(const Pending& pending) {
  const GuardedCall& call = *pending.call;
  const Attempt& answer = pending.attempt;
  const Case& test_case = call.test_case();
  // Upper bounds are said to be taken once, for all operations and codes, and so one may be declined.
  const bool has_limits =
      plugin_.has_limits[static_cast<std::size_t>(test_case.operation)] != 0 && !test_case.has_scale_ub();
  RunResult result = answer_to(answer, call.message(), has_limits);
  if (answer.stopped || !answer.failure.empty()) return result;
  if (result.status == RunResult::Status::completed) result.outputs = call.outputs();
  result.memory_violations = call.memory_violations(result.status != RunResult::Status::completed);
  return result;
}

// Status and message of what came back.
RunResult PluginTarget::answer_to(const Attempt& answer, std::string message, bool has_limits) {
  RunResult result;
  result.message = std::move(message);
  if (answer.stopped) return not_taken("it had not answered when the run was stopped");
  if (!answer.failure.empty()) {
    result.status = RunResult::Status::failed;
    result.message = answer.failure;
    return result;
  }
  if (!answer.printed.empty()) {
    result.status = RunResult::Status::failed;
    result.message = fmt::format(
        "it printed to standard output, which is its caller's (standard error is free): "
        "{}",
        answer.printed);
  } else if (answer.answer == worker::PluginAnswer::not_taken && has_limits) {
    result.status = RunResult::Status::failed;
    result.message = fmt::format("its limits say that it takes the call, but it does not: {}",
                                 result.message.empty() ? "it gives no reason" : result.message);
  } else if (answer.answer == worker::PluginAnswer::not_taken) {
    result = not_taken(result.message.empty() ? "it gives no reason" : result.message);
  } else if (answer.answer != worker::PluginAnswer::completed) {
    result.status = RunResult::Status::failed;
    if (answer.answer == worker::PluginAnswer::not_a_status) {
      result.message = fmt::format("it returned {}, which is no normproof_plugin_status", answer.status);
    } else if (result.message.empty()) {
      result.message = "it says that the call failed, and gives no reason";
    }
  }
  return result;
}

std::string PluginTarget::closing_words() const {
  std::string text =
      fmt::format("{} ({}): {} calls in a process of its own{}\n", text_of(plugin_.name, sizeof plugin_.name),
                  plugin_.on_device ? "device memory" : "host memory", calls_.load(),
                  failures_ == 0 ? "" : fmt::format(", {} of which ended it", failures_.load()));
  const std::lock_guard lock(mutex_);
  for (const auto& [reason, count] : reasons_)
    text += fmt::format("not taken, {} case{}: {}\n", count, count == 1 ? "" : "s", reason);
  std::vector<std::string> unknown;
  for (const worker::NamedOperation& named :
       std::span(plugin_.named)
           .first(std::min<std::size_t>(plugin_.named_operations, worker::kMaximumNamedOperations))) {
    std::string operation = text_of(named.name, sizeof named.name);
    if (find_judged_operation(operation) == nullptr) unknown.push_back(std::move(operation));
  }
  if (!unknown.empty())
    text += fmt::format("it also has what this program does not know: {}\n", fmt::join(unknown, ", "));
  if (other_reasons_ > 0) text += fmt::format("not taken, {} cases: for other reasons\n", other_reasons_);
  return text;
}

}  // namespace

bool names_a_plugin(std::string_view target_name) {
  return target_name.find('/') != std::string_view::npos || target_name.ends_with(".so");
}

WorkerSettings plugin_worker_settings(std::string_view library) {
  WorkerSettings settings = default_worker_settings();
  settings.device_library = settings.library;
  settings.library = std::filesystem::absolute(library);
  settings.start_patience = std::max(settings.patience, kLeastStartPatience);
  settings.memory_limit = kDefaultMemoryLimit;
  settings.preload = address_sanitizer_runtime(settings.library, settings.program);
  settings.title = fmt::format("target {}", library);
  if (const char* text = std::getenv("NORMPROOF_MEMORY")) {
    char* end = nullptr;
    const double mebibytes = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(mebibytes >= 1 && mebibytes <= 1e9))
      throw TargetError(fmt::format("NORMPROOF_MEMORY is '{}', must be MiB from 1 to 1e9", text));
    settings.memory_limit = static_cast<std::size_t>(mebibytes * (1 << 20));
  }
  return settings;
}

std::unique_ptr<Target> make_plugin_target(std::string_view name, const WorkerSettings& settings) {
  std::error_code error;
  if (!std::filesystem::exists(settings.library, error))
    throw TargetError(fmt::format("target {}: there is no such file", name));
  if (!std::filesystem::is_regular_file(settings.library, error))
    throw TargetError(fmt::format("target {}: this is not a file", name));
  return std::make_unique<PluginTarget>(name, settings);
}

}  // namespace normproof
