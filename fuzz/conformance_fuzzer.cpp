// Every output bit is what the contract says, nothing else is written, and what must be refused is refused.
// 1. Decode the bytes to a case: operation, dtypes, shape, layout, epsilon, scale, data, launch, thread
// order.
// 2. Run it on the target between guard zones.
// 3. Judge the outputs with the exact oracle; abort on a violation.
#include <cstdint>

#include "fuzz/harness.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  static const CaseLimits limits = small_cases();
  return limits;
}

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t) {
  check_conformance(test_case);
  return 0;
}
