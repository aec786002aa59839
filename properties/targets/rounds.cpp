#include "properties/targets/rounds.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <span>
#include <utility>

namespace normproof {

Rounds::Rounds(WorkerSettings settings) : worker_(std::move(settings)) {
  const worker::Greeting& greeting = worker_.start();
  device_ = greeting.device;
  const std::size_t count =
      std::min<std::size_t>(greeting.plugin.named_operations, worker::kMaximumNamedOperations);
  for (const worker::NamedOperation& each : std::span(greeting.plugin.named).first(count))
    named_operations_.emplace_back(each.name, strnlen(each.name, sizeof each.name));
  dispatcher_ = std::thread([this] { dispatch(); });
}

Rounds::~Rounds() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  dispatcher_.join();
}

Rounds::Result Rounds::carry_out(GuardedCall& call, bool as_is) {
  return carry_out(
      {call.tensors(),
       [&](worker::Round& round, std::byte* data, Slot slot) { put_call(call, as_is, round, data, slot); },
       [&](const worker::Call& answer) {
         call.report = answer.report;
         call.set_message(answer.message);
       }});
}

Rounds::Result Rounds::carry_out(NamedCall& call, std::size_t operation) {
  return carry_out({call.tensors(),
                    [&](worker::Round& round, std::byte* data, Slot slot) {
                      put_call(call, operation, round, data, slot);
                    },
                    [&](const worker::Call& answer) { call.set_message(answer.message); }});
}

Rounds::Result Rounds::carry_out(const Request& request) {
  bool was_alone = false;
  Result result = attempt(request, false, was_alone);
  // Nothing came back, so the call's tensors are as they were.
  if (!result.failure.empty() && !was_alone && !result.stopped) result = attempt(request, true, was_alone);
  ++call_count_;
  return result;
}

Rounds::Place Rounds::reserve(const Need& need, bool alone, std::size_t& data_offset,
                              std::uint32_t& first_extent) {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto has_room = [&](std::size_t index) {
      const Arena& arena = arenas_[index];
      const worker::Round& round = *worker::round_of(worker_.memory(), index);
      return arena.state == State::open && !alone && arena.calls < worker::kMaximumCalls &&
             round.data_bytes + need.bytes <= worker::kPinnedBytes &&
             round.extents + need.extents <= worker::kMaximumExtents;
    };
    std::size_t chosen = worker::kArenas;
    for (std::size_t i = 0; i < worker::kArenas && chosen == worker::kArenas; ++i) {
      if (has_room(i)) chosen = i;
    }
    for (std::size_t i = 0; i < worker::kArenas && chosen == worker::kArenas; ++i) {
      if (arenas_[i].state != State::free) continue;
      chosen = i;
      static std::atomic<std::uint64_t> tickets{0};
      arenas_[i] = {};
      arenas_[i].state = alone ? State::closed : State::open;
      arenas_[i].ticket = ++tickets;
      worker::Round& round = *worker::round_of(worker_.memory(), i);
      round.calls = round.extents = 0;
      round.data_bytes = 0;
    }
    if (chosen == worker::kArenas) {
      changed_.wait(lock);
      continue;
    }
    Arena& arena = arenas_[chosen];
    worker::Round& round = *worker::round_of(worker_.memory(), chosen);
    data_offset = round.data_bytes;
    first_extent = round.extents;
    round.data_bytes += need.bytes;
    round.extents += need.extents;
    ++arena.filling;
    round.calls = ++arena.calls;
    return {chosen, arena.calls - 1};
  }
}

Rounds::Result Rounds::attempt(const Request& request, bool alone, bool& was_alone) {
  const Need need = need_of(request.tensors, nullptr);
  if (std::string problem = too_large(need); !problem.empty()) return {NORMPROOF_OK, std::move(problem)};
  std::size_t offset = 0;
  std::uint32_t extent = 0;
  const Place place = reserve(need, alone, offset, extent);
  std::byte* data = worker::data_of(worker_.memory(), place.arena);
  worker::Round& round = *worker::round_of(worker_.memory(), place.arena);

  const worker::Call& answer = round.call[place.call];
  request.put(round, data, {place.call, offset, extent});

  Result result;
  {
    std::unique_lock lock(mutex_);
    Arena& arena = arenas_[place.arena];
    if (--arena.filling == 0) work_.notify_one();
    changed_.wait(lock, [&] { return arena.state == State::answered; });
    result.failure = arena.failure;
    result.stopped = arena.stopped;
    was_alone = arena.calls == 1;
  }
  std::exception_ptr error = arenas_[place.arena].error;
  if (result.failure.empty() && !error) {
    result.status = answer.status;
    request.take_answer(answer);
    take_tensors(request.tensors, data, offset);
  }
  {
    const std::lock_guard lock(mutex_);
    Arena& arena = arenas_[place.arena];
    if (--arena.reading == 0) {
      arena.state = State::free;
      changed_.notify_all();
    }
  }
  if (error) std::rethrow_exception(error);
  return result;
}

void Rounds::dispatch() {
  std::unique_lock lock(mutex_);
  while (true) {
    Arena* oldest = nullptr;
    for (Arena& arena : arenas_) {
      const bool waits = arena.state == State::open || arena.state == State::closed;
      if (waits && (oldest == nullptr || arena.ticket < oldest->ticket)) oldest = &arena;
    }
    if (oldest == nullptr) {
      if (stop_) return;
      work_.wait(lock);
      continue;
    }
    oldest->state = State::closed;
    work_.wait(lock, [&] { return oldest->filling == 0; });
    lock.unlock();
    const auto index = static_cast<std::size_t>(oldest - arenas_.data());
    std::string failure;
    std::exception_ptr error;
    try {
      const int starts = worker_.starts();
      failure = worker_.carry_out(index);
      restarts_ += worker_.starts() - starts;
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    ++round_count_;
    oldest->stopped = !failure.empty() && worker_.stopped();
    oldest->failure = std::move(failure);
    oldest->error = error;
    oldest->reading = oldest->calls;
    oldest->state = State::answered;
    changed_.notify_all();
  }
}

}  // namespace normproof
