// A row's bits are the row's own: the same among other rows and many of them, in another layout, in place, on
// another path, with blocks of another size.
// 1. Decode the bytes to a case.
// 2. Run it, and the same rows in one of these ways, which the input's hash chooses: a quarter of the time
// among
//    others, a quarter with other launches, which take long, and half of the time in other layouts.
// 3. Hold the rows of every run against those of the first. No oracle takes part.
#include <cstdint>

#include "fuzz/harness.h"
#include "fuzz/related_runs.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  // Rows of up to three groups of lanes, so that the size of a block matters.
  static const CaseLimits limits = [] {
    CaseLimits few_groups = small_valid_cases();
    few_groups.max_hidden = 300;
    few_groups.max_elements = 300;
    return few_groups;
  }();
  return limits;
}

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t seed) {
  switch (seed % 4) {
    case 0:
      check_relation(test_case, rows_are_independent);
      break;
    case 1:
      check_relation(test_case, launch_changes_nothing);
      break;
    default:
      check_relation(test_case, layout_changes_nothing);
  }
  return 0;
}
