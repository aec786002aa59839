#include "kernels/host/async_copies.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/host/aligned_access.h"
#include "kernels/host/block_collectives.h"
#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

constexpr std::size_t kMostCopies = 64;
constexpr int kPoison = 0xFF;

struct Copy {
  void* to;
  const void* from;
  std::uint32_t bytes, zeros;
  std::uint32_t group;
};

// The copies of one CUDA thread that are still to do, oldest first. It lies in the block's memory, which
// starts as 0xFF in every block: a count that can not be is none.
struct Queue {
  std::uint32_t count;
  std::uint32_t group;
  Copy copies[kMostCopies];
};

Queue& queue_of_thread() {
  static const char declaration = 0;
  const std::size_t threads = std::size_t{blockDim.x} * blockDim.y * blockDim.z;
  auto* queues = static_cast<Queue*>(shared_memory(&declaration, threads * sizeof(Queue), alignof(Queue)));
  Queue& queue = queues[threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)];
  if (queue.count > kMostCopies) queue.count = queue.group = 0;
  return queue;
}

// Does the oldest `count` copies.
void finish(Queue& queue, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const Copy& copy = queue.copies[i];
    std::memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
    std::memset(static_cast<char*>(copy.to) + (copy.bytes - copy.zeros), 0, copy.zeros);
  }
  std::copy(queue.copies + count, queue.copies + queue.count, queue.copies);
  queue.count -= count;
}

}  // namespace

void copy_later(void* to, const void* from, std::size_t bytes, std::size_t zeros) {
  if (bytes == 4 || bytes == 8 || bytes == 16) {
    for (const void* address : {static_cast<const void*>(to), from}) {
      if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0)
        report_misaligned_access(address, bytes, bytes);
    }
  }
  Queue& queue = queue_of_thread();
  if (queue.count == kMostCopies) finish(queue, 1);
  std::memset(to, kPoison, bytes);
  queue.copies[queue.count++] = {to, from, static_cast<std::uint32_t>(bytes),
                                 static_cast<std::uint32_t>(std::min(zeros, bytes)), queue.group};
}

void end_copy_group() { ++queue_of_thread().group; }

void wait_for_copies(std::size_t groups) {
  Queue& queue = queue_of_thread();
  std::uint32_t done = 0;
  while (done < queue.count && queue.copies[done].group + groups < queue.group) ++done;
  finish(queue, done);
}

void wait_for_all_copies() {
  Queue& queue = queue_of_thread();
  finish(queue, queue.count);
}

}  // namespace normproof::host
