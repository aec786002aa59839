// Conformance where one warp is not enough: long rows, large blocks, many rows, strides beyond 2^31 elements.
// Slower by far than the conformance fuzzer, which sees the same arithmetic on short rows.
#include <cstddef>
#include <cstdint>

#include "fuzz/harness.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  static const CaseLimits limits = wide_cases();
  return limits;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  fuzz::check_conformance(fuzz::case_of({data, size}));
  return 0;
}
