// Work that is spread over threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace normproof {

// Calls work(index) for the indices 0 to count - 1, on at most `threads` threads, this one among them. Where
// a call throws, no other begins, and what it threw is thrown here.
template <class Work>
void in_parallel(std::int64_t count, std::int64_t threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;  // guards `error`
  std::exception_ptr error;
  const auto run = [&] {
    try {
      for (std::int64_t index = next++; index < count; index = next++) work(index);
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> others;
  for (std::int64_t thread = 1; thread < std::min(threads, count); ++thread) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace normproof
