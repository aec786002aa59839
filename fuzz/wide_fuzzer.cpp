// Conformance where one warp is not enough: long rows, large blocks, many rows, strides beyond 2^31 elements.
// Slower by far than the conformance fuzzer, which sees the same arithmetic on short rows.
#include <cstdint>

#include "fuzz/harness.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  static const CaseLimits limits = wide_cases();
  return limits;
}

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t) {
  check_conformance(test_case);
  return 0;
}
