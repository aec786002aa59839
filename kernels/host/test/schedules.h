// The schedules that the tests of the executor run under.
#ifndef NORMPROOF_KERNELS_HOST_TEST_SCHEDULES_H
#define NORMPROOF_KERNELS_HOST_TEST_SCHEDULES_H

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "kernels/host/schedule.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NORMPROOF_UNDER_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define NORMPROOF_UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define NORMPROOF_UNDER_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define NORMPROOF_UNDER_ASAN 1
#endif

namespace normproof::host {

inline unsigned max_test_threads() {
#ifdef NORMPROOF_UNDER_TSAN
  return 128;
#else
  return 1024;
#endif
}

inline std::vector<Schedule> all_schedules() {
  std::vector<Schedule> schedules = {{ThreadOrder::kForward}, {ThreadOrder::kReverse}};
  for (std::uint64_t seed = 0; seed < 8; ++seed) schedules.push_back({ThreadOrder::kRandomPriorities, seed});
  return schedules;
}

// GoogleTest finds it by its name.
inline void PrintTo(const Schedule& schedule, std::ostream* stream) {
  switch (schedule.order) {
    case ThreadOrder::kForward:
      *stream << "Forward";
      break;
    case ThreadOrder::kReverse:
      *stream << "Reverse";
      break;
    default:
      *stream << "Random" << schedule.seed;
  }
}

inline std::string schedule_name(const testing::TestParamInfo<Schedule>& info) {
  return testing::PrintToString(info.param);
}

}  // namespace normproof::host

#endif
