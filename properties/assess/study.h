// What the studies of an assessment share: how they are run and in parts that do not
// depend on the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/operation.h"
#include "oracle/policy.h"
#include "properties/judging/in_parallel.h"

namespace normproof::assess {

struct StudyOptions {
  std::uint64_t seed = 1;
  int threads = 1;
  // Plants a fault in the assessment itself: the judge gets a policy that the rows do not follow. Figures
  // that do not get worse by it would mean nothing.
  bool wrong_policy = false;
  // Rows are drawn of these operations alone; empty: of all that a study knows.
  std::vector<std::string> operations;
  bool asks_for(std::string_view operation) const {
    return operations.empty() || std::ranges::find(operations, operation) != operations.end();
  }
  // Called with the parts done so far, from any thread but by one at a time.
  std::function<void(std::int64_t done, std::int64_t parts)> progress;
};

// Of the operations that the program runs by themselves, those of which rows are drawn.
inline std::vector<Operation> operations_asked_for(const StudyOptions& options) {
  std::vector<Operation> asked;
  for (const Operation operation : all_operations())
    if (options.asks_for(name_of(operation))) asked.push_back(operation);
  return asked;
}

// The policy that the judge is given for rows that follow `policy`.
inline oracle::Policy judged_policy(oracle::Policy policy, const StudyOptions& options) {
  if (!options.wrong_policy) return policy;
  const bool plus_one = policy.weight == oracle::WeightPolicy::fp32_plus_one;
  policy.weight = plus_one ? oracle::WeightPolicy::native : oracle::WeightPolicy::fp32_plus_one;
  return policy;
}

// Result of study(0) + study(1) + ... + study(parts - 1), in this order, with
// `+=`. Rethrows what a part threw.
template <typename Result>
Result run_parts(std::int64_t parts, const StudyOptions& options,
                 const std::function<Result(std::int64_t part)>& study) {
  std::vector<Result> results(static_cast<std::size_t>(parts));
  std::atomic<std::int64_t> next = 0;
  std::int64_t done = 0;
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&] {
    for (;;) {
      const std::int64_t part = next++;
      if (part >= parts) return;
      try {
        results[static_cast<std::size_t>(part)] = study(part);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
        next = parts;
        return;
      }
      const std::lock_guard lock(mutex);
      ++done;
      if (options.progress) options.progress(done, parts);
    }
  };
  on_threads(options.threads, work);
  if (error) std::rethrow_exception(error);
  Result total;
  for (const Result& result : results) total += result;
  return total;
}

}  // namespace normproof::assess
