// The order in which threads run changes no bit; under ThreadSanitizer also: every access to memory that two
// threads share is ordered by a barrier, whether or not the bits show it.
// 1. Decode the bytes to a case: blocks of several warps, rows of several groups, more rows than blocks.
// 2. Run it in ten orders of its threads.
// 3. Hold the outputs against those of the first run.
#include <cstdint>

#include "fuzz/harness.h"
#include "fuzz/related_runs.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  static const CaseLimits limits = [] {
    CaseLimits several_warps = small_valid_cases();
    several_warps.max_rows = 40;
    several_warps.max_hidden = 1100;
    several_warps.max_elements = 40 * 512;
    several_warps.max_threads_per_block = 128;  // more than ThreadSanitizer can tell apart is refused
    return several_warps;
  }();
  return limits;
}

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t) {
  check_relation(test_case, thread_order_changes_nothing);
  return 0;
}
