// Rounds: gathers the calls of many threads into rounds that a worker process carries out on the device, so
// that copies and waiting are paid for once per round. When a round fails, each of its calls is repeated
// alone: the guilty one gets the failure, the others their results.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "properties/targets/guarded_call.h"
#include "properties/targets/worker_call.h"
#include "properties/targets/worker_process.h"

namespace normproof {

class Rounds {
 public:
  // Starts the worker. Throws TargetError where that is not possible.
  explicit Rounds(WorkerSettings settings);
  ~Rounds();
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;

  struct Result {
    normproof_status status = NORMPROOF_OK;
    std::string failure;   // of the device or the worker; then no output came back
    bool stopped = false;  // that is since the program is to stop, and did not wait for the answer
  };
  // Carries out the call on copies of its tensors in the device's memory and writes the copies back over
  // them; fills the call's report and message. `as_is`: pointers are passed on as they are, not translated to
  // the device's memory, for calls that must be refused. Throws TargetError where no worker can be started
  // any more.
  Result carry_out(GuardedCall& call, bool as_is);
  // The same of a call by name; `operation`: its place in named_operations().
  Result carry_out(NamedCall& call, std::size_t operation);
  // Those of the library.
  const std::vector<std::string>& named_operations() const { return named_operations_; }

  const normproof_device_info& device() const { return device_; }
  // So far.
  std::int64_t rounds() const { return round_count_; }
  std::int64_t calls() const { return call_count_; }
  int restarts() const { return restarts_; }

 private:
  enum class State {
    free,      // nothing in it
    open,      // takes calls
    closed,    // full, or taken by the dispatcher
    answered,  // results are read
  };
  struct Arena {
    State state = State::free;
    std::uint32_t calls = 0;
    std::uint32_t filling = 0;  // calls whose bytes are still being copied in
    std::uint32_t reading = 0;  // calls whose results have not been read
    std::uint64_t ticket = 0;   // counts its uses
    std::string failure;        // of the whole round
    bool stopped = false;       // this program is to stop, and did not wait for the answer
    std::exception_ptr error;   // no worker can be started
  };
  struct Place {
    std::size_t arena;
    std::uint32_t call;
  };
  // A call of either kind.
  struct Request {
    std::vector<const GuardedTensor*> tensors;
    std::function<void(worker::Round&, std::byte*, Slot)> put;
    std::function<void(const worker::Call&)> take_answer;
  };
  Result carry_out(const Request& request);
  Result attempt(const Request& request, bool alone, bool& was_alone);
  Place reserve(const Need& need, bool alone, std::size_t& data_offset, std::uint32_t& first_extent);
  void dispatch();

  WorkerProcess worker_;
  normproof_device_info device_{};
  std::vector<std::string> named_operations_;
  std::mutex mutex_;
  std::condition_variable changed_;  // for callers
  std::condition_variable work_;     // for the dispatcher
  std::array<Arena, worker::kArenas> arenas_;
  bool stop_ = false;
  std::atomic<std::int64_t> round_count_{0}, call_count_{0};
  std::atomic<int> restarts_{0};
  std::thread dispatcher_;
};

}  // namespace normproof
