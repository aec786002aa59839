// Verdict: what a judge says of the outputs of one case.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/case.h"

namespace normproof::oracle {

// One output element that is not what the contract demands.
struct Mismatch {
  Role tensor = Role::out;
  std::int64_t row = 0;
  std::int64_t column = 0;
  DType dtype = DType::bf16;
  std::uint32_t got = 0;     // bits
  std::uint32_t wanted = 0;  // bits
  // Representable values between the two (0 to 0 counts +0 and -0 as one step); max uint64 where one is NaN.
  std::uint64_t ulp_distance = 0;
};

struct Verdict {
  std::int64_t rows = 0;      // rows judged
  std::int64_t elements = 0;  // compared, of all outputs
  // Rows with a NaN, infinity, -0 or subnormal number in input or residual, or whose mean square, in the
  // canonical order, is zero, infinite or NaN. Weights, which all rows share, do not count.
  std::int64_t special_rows = 0;
  std::int64_t mismatches = 0;             // elements
  std::vector<Mismatch> first_mismatches;  // at most kMaximumListed, in row-major order, exact path confirmed
  bool conforms() const { return mismatches == 0; }
};
inline constexpr std::size_t kMaximumListed = 8;

}  // namespace normproof::oracle
