// What it costs that a plug-in runs in processes of its own: the same cases, judged by the same judge, on
// target host and on a plug-in that calls the same kernels.
//   isolation PLUGIN [CASES [ROUNDS]]
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "corpus/generate.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/in_parallel.h"
#include "properties/judging/tally.h"
#include "properties/judging/verification_case.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

double processor_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Cost {
  double wall = 0;
  double processor = 0;  // of this process and of the workers, which have ended
  std::int64_t elements = 0;
  std::int64_t violations = 0;
};

// Judges cases 0 to `cases` on a fresh target, on as many threads and as many at a time as `verify` does.
Cost cost_of(const char* name, std::int64_t cases) {
  const auto combinations = all_combinations();
  const double before = processor_seconds(RUSAGE_SELF) + processor_seconds(RUSAGE_CHILDREN);
  const auto start = std::chrono::steady_clock::now();
  std::atomic<std::int64_t> elements{0}, violations{0};
  {
    const auto target = make_target(name);
    target->judge_by({});
    const std::int64_t at_once = target->requests_at_once();
    const auto threads =
        static_cast<std::int64_t>(std::thread::hardware_concurrency()) * target->calls_at_once_per_core();
    in_parallel(cases / at_once, threads, [&](std::int64_t batch) {
      std::vector<Case> batch_cases;
      std::vector<CaseTensors> tensors;
      std::vector<RunRequest> requests;
      for (std::int64_t i = 0; i < at_once; ++i) {
        Case& test_case = batch_cases.emplace_back(verification_case(1, batch * at_once + i, combinations));
        test_case.launch = {};  // a plug-in does not see it
        test_case.schedule = {};
        tensors.push_back(materialize(test_case));
      }
      for (std::size_t i = 0; i < batch_cases.size(); ++i) requests.push_back({&batch_cases[i], &tensors[i]});
      for (const Evaluation& evaluation : evaluate_all(requests, *target)) {
        elements += evaluation.verdict.elements;
        violations += evaluation.violates() ? 1 : 0;
      }
    });
  }
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  return {wall.count(), processor_seconds(RUSAGE_SELF) + processor_seconds(RUSAGE_CHILDREN) - before,
          elements, violations};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(const char* plugin, std::int64_t cases, int rounds) {
  std::vector<double> wall, processor;
  for (int round = 0; round < rounds; ++round) {
    const Cost host = cost_of("host", cases), isolated = cost_of(plugin, cases);
    if (host.violations + isolated.violations > 0 || host.elements != isolated.elements) {
      fmt::print(stderr, "not the same: {} and {} violations, {} and {} elements\n", host.violations,
                 isolated.violations, host.elements, isolated.elements);
      return 1;
    }
    wall.push_back(isolated.wall / host.wall);
    processor.push_back(isolated.processor / host.processor);
    fmt::print("{} cases, {} elements: host {:.2f} s ({:.2f} s of processors), plug-in {:.2f} s ({:.2f} s)\n",
               cases, host.elements, host.wall, host.processor, isolated.wall, isolated.processor);
  }
  fmt::print("plug-in / host, median of {}: {:.3f} of time, {:.3f} of processor time\n", rounds, median(wall),
             median(processor));
  return 0;
}

}  // namespace
}  // namespace normproof

int main(int count, char** arguments) {
  if (count < 2) {
    fmt::print(stderr, "usage: isolation PLUGIN [CASES [ROUNDS]]\n");
    return 2;
  }
  try {
    return normproof::run(arguments[1], count > 2 ? std::atoll(arguments[2]) : 8000,
                          count > 3 ? std::max(1, std::atoi(arguments[3])) : 5);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 3;
  }
}
