// How much it says that a policy explains given outputs: how many wrong outputs it would explain as well.
#pragma once

#include <cstdint>

#include "corpus/case.h"
#include "oracle/policy.h"
#include "oracle/row_roots.h"

namespace normproof {

inline constexpr int kWrongOutputs = 16;
// Rows, the first ones, of which it is measured.
inline constexpr std::int64_t kPowerRows = 16;
// A policy that explains a larger share of the wrong outputs says nothing.
inline constexpr double kMostWrongExplained = 0.1;

struct PolicyPower {
  double within_bounds = 0;  // share of the wrong outputs whose r lies within the policy's bounds
  double explained = 0;      // share of those for which follows_variance() holds as well
  bool says_something() const { return explained <= kMostWrongExplained; }
  bool bounds_say_something() const { return within_bounds <= kMostWrongExplained; }
};

// Of kWrongOutputs outputs that follow the policy but for an r off by a factor from 1/4 to 4, the same in
// every row.
PolicyPower power_of(const oracle::Policy& policy, const Case& test_case, const CaseTensors& tensors,
                     std::uint64_t seed);

// The share of the wrong outputs that the witness judge would accept in place of the first kPowerRows rows of
// `outputs`; no rows: 1.
double wrong_outputs_accepted(const oracle::Policy& policy, const Case& test_case, const CaseTensors& tensors,
                              const Outputs& outputs, std::uint64_t seed = 1);

// Whether the r that the row shows is one of a variance rounded as the policy says, which the bounds of the
// witness judge leave open.
bool follows_variance(const oracle::Policy& policy, const Case& test_case, const oracle::ShownRow& row);
bool follows_variance(const oracle::Policy& policy, const Case& test_case, const CaseTensors& tensors,
                      const Outputs& outputs);

}  // namespace normproof
