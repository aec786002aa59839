// Work that is spread over threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace normproof {

// Calls work() on `threads` threads, this one among them, and returns when all have. Where the system has no
// more threads (`ulimit -u`, a container's limit) fewer do the work, and standard error says so, once. `work`
// must not throw.
template <class Work>
void on_threads(std::int64_t threads, const Work& work) {
  std::vector<std::thread> others;
  if (threads > 1) others.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (std::int64_t thread = 1; thread < threads; ++thread) others.emplace_back(work);
  } catch (const std::system_error& error) {
    static std::atomic<bool> said{false};
    if (!said.exchange(true)) {
      std::fprintf(stderr, "normproof: %zu of %lld threads do the work, no more can be started: %s\n",
                   others.size() + 1, static_cast<long long>(threads), error.code().message().c_str());
    }
  }
  work();
  for (std::thread& other : others) other.join();
}

// Calls work(index) for the indices 0 to count - 1, on at most `threads` threads, this one among them. Where
// a call throws, no other begins, and what it threw is thrown here.
template <class Work>
void in_parallel(std::int64_t count, std::int64_t threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;  // guards `error`
  std::exception_ptr error;
  on_threads(std::min(threads, count), [&] {
    try {
      for (std::int64_t index = next++; index < count; index = next++) work(index);
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      next = count;
    }
  });
  if (error) std::rethrow_exception(error);
}

// The same; report(index) is called for each index in order, one at a time, as soon as the work before it is
// done.
template <class Work, class Report>
void in_parallel_in_order(std::int64_t count, std::int64_t threads, const Work& work, const Report& report) {
  std::vector<bool> done(static_cast<std::size_t>(count));
  std::size_t reported = 0;
  std::mutex mutex;  // guards both
  in_parallel(count, threads, [&](std::int64_t index) {
    work(index);
    const std::lock_guard lock(mutex);
    done[static_cast<std::size_t>(index)] = true;
    for (; reported < done.size() && done[reported]; ++reported) report(static_cast<std::int64_t>(reported));
  });
}

}  // namespace normproof
