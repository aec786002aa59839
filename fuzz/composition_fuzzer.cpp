// Fused operations are what their parts are, one after the other, on the same target.
// 1. Decode the bytes to a case of a fused operation; others are of no interest.
// 2. Run it and the operations that it is made of.
// 3. Hold their outputs against each other, the additions and quantizations done exactly.
#include <cstdint>

#include "fuzz/harness.h"
#include "fuzz/related_runs.h"

const normproof::CaseLimits& normproof::fuzz::case_limits() {
  static const CaseLimits limits = small_valid_cases();
  return limits;
}

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t) {
  constexpr int kNotForTheCorpus = -1;
  if (!bits_are_determined(target())) {
    check_conformance(test_case);
    return 0;
  }
  if (!has_parts(test_case.operation)) return kNotForTheCorpus;
  check_relation(test_case, is_what_its_parts_are);
  return 0;
}
