// Which inverse roots the rows of given outputs show, whatever an honest evaluation can arrive at. Nothing
// here judges: it is for hints at what a kernel did instead.
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/case.h"
#include "oracle/admissible.h"
#include "oracle/policy.h"

namespace normproof::oracle {

struct ShownRow {
  std::vector<float> operands;  // of the variance
  float honest_root = 0;        // canonical; zero, infinity or NaN where the row is special
  RootInterval roots;           // every r that explains the whole row; empty: none does
};
// Of all rows of the case; where `explained`, of none if there is a row that is
// not special and that no r explains.
std::vector<ShownRow> shown_rows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                                 const Policy& policy, bool explained = false);

// The row at the r that explains most of it, among those near the canonical one.
struct RowFit {
  std::uint32_t root = 0;                       // fp32 bits
  std::vector<std::int64_t> differing_columns;  // at that r
};
std::vector<RowFit> best_fits(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                              const Policy& policy);

// Whether an r of the interval is 1 / sqrt(m) of a number m of `format`, but for `ulp_bound` representable
// numbers: what a kernel computes whose variance is rounded to that format.
bool holds_root_of_number(const RootInterval& roots, const Format& format, int ulp_bound);

}  // namespace normproof::oracle
