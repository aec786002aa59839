// Every output bit is what the contract says, nothing else is written, and what must be refused is refused.
// 1. Decode the bytes to a case: operation, dtypes, shape, layout, epsilon, scale, data, launch, thread
// order.
// 2. Run it on the target between guard zones.
// 3. Judge the outputs with the exact oracle; abort on a violation.
#include <cstddef>
#include <cstdint>

#include "fuzz/harness.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  static const CaseLimits limits = small_cases();
  return limits;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  fuzz::check_conformance(fuzz::case_of({data, size}));
  return 0;
}
