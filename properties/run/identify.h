// The detective: which rounding policies explain given outputs, and why not the others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof {

struct AxisValueFinding {
  std::string_view name;
  bool survives = false;
  // Rejected: the certificate. Surviving beside the identified value: why the outputs do not tell them apart.
  std::string reason;
};

struct AxisFinding {
  std::string_view name;
  std::vector<AxisValueFinding> values;  // in the order of oracle::policy_axes()
};

struct Identification {
  std::int64_t rows = 0;
  std::int64_t policies = 0;              // that were tried; the same arithmetic counts once
  std::vector<oracle::Policy> survivors;  // that every row conforms to, one per arithmetic, the best first
  // The identified policy: of the survivors the one that leaves r the least freedom, and then the nearest to
  // native; without survivors the one that most rows conform to.
  oracle::Policy best;
  std::int64_t best_rows = 0;     // that conform to it
  std::string best_certificate;   // without survivors: its first violation
  std::vector<AxisFinding> axes;  // those that the case has; empty without survivors
  bool identified() const { return !survivors.empty(); }
  // Whether exactly one arithmetic explains the outputs, not counting those that merely leave r more freedom.
  bool unique() const;
};

// Judges the outputs under every policy of the table with the given model of the inverse root. Without a
// survivor, the shares of rows come from the first `sample_rows`. Throws as judge_witness().
Identification identify(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                        const oracle::InverseRootModel& inverse_root = {}, std::int64_t sample_rows = 256);

// Names from oracle::named_policies() and implementations from the table that are the same arithmetic as
// `policy`.
std::vector<std::string> known_as(const oracle::Policy& policy, const Case& test_case);

}  // namespace normproof
