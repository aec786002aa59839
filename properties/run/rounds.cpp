#include "properties/run/rounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

namespace normproof {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::size_t size_of(const GuardedTensor::Range& range) {
  return static_cast<std::size_t>(range.end - range.begin);
}

// Calls visit(begin, bytes) for the pieces of a tensor that travel.
template <class Visit>
void for_each_piece(const GuardedTensor& tensor, const Visit& visit) {
  const auto pieces = tensor.pieces();
  if (pieces.empty()) visit(tensor.memory().begin, size_of(tensor.memory()));
  for (const auto& piece : pieces) visit(piece.begin, size_of(piece));
}

// An address of the caller's as one in the regions of its tensors; one that lies in none is passed on as it
// is.
worker::Pointer translate(const void* address, const std::vector<const GuardedTensor*>& tensors, bool as_is) {
  const auto* byte = static_cast<const std::byte*>(address);
  for (std::size_t i = 0; i < tensors.size() && !as_is; ++i) {
    const auto memory = tensors[i]->memory();
    if (byte >= memory.begin && byte < memory.end)
      return {static_cast<std::int32_t>(i), static_cast<std::uint64_t>(byte - memory.begin)};
  }
  return {-1, reinterpret_cast<std::uintptr_t>(address)};
}

worker::Tensor translate(const normproof_tensor* description,
                         const std::vector<const GuardedTensor*>& tensors, bool as_is) {
  if (description == nullptr) return {};
  return {true, *description, translate(description->data, tensors, as_is)};
}

}  // namespace

Rounds::Rounds(WorkerSettings settings) : worker_(std::move(settings)) {
  device_ = worker_.start();
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
  bool was_alone = false;
  Result result = attempt(call, as_is, false, was_alone);
  // Nothing came back, so the call's tensors are as they were.
  if (!result.failure.empty() && !was_alone) result = attempt(call, as_is, true, was_alone);
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

Rounds::Result Rounds::attempt(GuardedCall& call, bool as_is, bool alone, bool& was_alone) {
  const auto tensors = call.tensors();
  Need need;
  for (const GuardedTensor* tensor : tensors) {
    for_each_piece(*tensor, [&](const std::byte*, std::size_t bytes) { need.bytes += aligned(bytes); });
    need.extents += static_cast<std::uint32_t>(tensor->pieces().size());
  }
  if (need.bytes > worker::kDataBytes || need.extents > worker::kMaximumExtents) {
    return {NORMPROOF_OK,
            fmt::format("the case takes {} MiB in {} pieces, the worker has room for {} MiB in {}",
                        need.bytes >> 20, need.extents, worker::kDataBytes >> 20, worker::kMaximumExtents)};
  }
  std::size_t offset = 0;
  std::uint32_t extent = 0;
  const Place place = reserve(need, alone, offset, extent);
  std::byte* data = worker::data_of(worker_.memory(), place.arena);
  worker::Round& round = *worker::round_of(worker_.memory(), place.arena);

  worker::Call& request = round.call[place.call];
  request = {};
  request.operation = static_cast<std::int32_t>(call.test_case().operation);
  request.epsilon = call.test_case().epsilon();
  request.launch = call.launch;
  request.regions = static_cast<std::uint32_t>(tensors.size());
  request.input = translate(call.input, tensors, as_is);
  request.residual = translate(call.residual, tensors, as_is);
  request.weight = translate(call.weight, tensors, as_is);
  request.out = translate(call.out, tensors, as_is);
  request.scale = translate(call.scale, tensors, as_is);
  const std::size_t first_offset = offset;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    worker::Region& region = request.region[i];
    const auto memory = tensors[i]->memory();
    region = {size_of(memory), offset, extent, static_cast<std::uint32_t>(tensors[i]->pieces().size())};
    for_each_piece(*tensors[i], [&](const std::byte* begin, std::size_t bytes) {
      if (region.extents > 0)
        round.extent[extent++] = {{static_cast<std::uint64_t>(begin - memory.begin), bytes}, offset};
      std::memcpy(data + offset, begin, bytes);
      offset += aligned(bytes);
    });
  }

  Result result;
  {
    std::unique_lock lock(mutex_);
    Arena& arena = arenas_[place.arena];
    if (--arena.filling == 0) work_.notify_one();
    changed_.wait(lock, [&] { return arena.state == State::answered; });
    result.failure = arena.failure;
    was_alone = arena.calls == 1;
  }
  std::exception_ptr error = arenas_[place.arena].error;
  if (result.failure.empty() && !error) {
    result.status = request.status;
    call.report = request.report;
    call.set_message(request.message);
    offset = first_offset;
    for (const GuardedTensor* tensor : tensors) {
      for_each_piece(*tensor, [&](std::byte* begin, std::size_t bytes) {
        std::memcpy(begin, data + offset, bytes);
        offset += aligned(bytes);
      });
    }
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
    oldest->failure = std::move(failure);
    oldest->error = error;
    oldest->reading = oldest->calls;
    oldest->state = State::answered;
    changed_.notify_all();
  }
}

}  // namespace normproof
