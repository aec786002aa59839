// The detective: which rounding policies explain given outputs, and why not the others.
#pragma once

#include <cstdint>
#include <optional>
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

// A policy whose bounds on r admit every row, and which is not named all the same.
struct LoosePolicy {
  oracle::Policy policy;
  std::optional<double> wrong_admitted;  // share of wrong outputs that it admits as well, see PolicyPower
  std::string reason;                    // why it is not named
};
// So many are shown, with that share; of the others it is not measured.
inline constexpr std::size_t kShownLoose = 3;

// "admits the r of every row, and 97 % of random outputs, so this says nothing".
std::string reason_of(const LoosePolicy& loose);

// Rows that follow one policy, of outputs that do not follow one as a whole.
struct RowGroup {
  std::optional<oracle::Policy> policy;  // nothing: none of the known ones
  std::vector<std::int64_t> rows;
};

struct Identification {
  std::int64_t rows = 0;
  std::int64_t policies = 0;              // that were tried; the same arithmetic counts once
  std::vector<oracle::Policy> survivors;  // that every row conforms to, one per arithmetic, the best first
  // The identified policy: of the survivors the one that leaves r the least freedom, and then the nearest to
  // native; without survivors the one that most rows conform to, and then most elements.
  oracle::Policy best;
  std::int64_t best_rows = 0;  // that conform to it
  double wrong_explained = 0;  // with survivors: the share of wrong outputs that it explains, see PolicyPower
  std::vector<AxisFinding> axes;  // those that the case has; empty without survivors
  std::vector<LoosePolicy> loose;
  // Without survivors:
  std::string best_certificate;            // the best policy's first violation
  std::int64_t best_differing = 0;         // elements of the rows looked at for them, at the r that fits best
  std::int64_t best_compared = 0;          // elements of these rows
  std::vector<std::int64_t> best_columns;  // all columns in which they differ
  std::vector<RowGroup> split;             // where few policies share the rows
  std::vector<std::string> hints;          // "native with r off by a factor 2.5 in every row"
  bool identified() const { return !survivors.empty(); }
  // The survivors that make the outputs from x, w and r otherwise than the best: these outputs do not tell
  // them apart, and all of them are to be named. Not those that merely leave r more
  // freedom or arrive at it otherwise.
  std::vector<oracle::Policy> rivals() const;
  bool unique() const { return identified() && rivals().empty(); }
};

// Judges the outputs under every policy of the table with the given model of the inverse root. A policy that
// explains many wrong outputs too, drawn from `seed`, is not named. Without a survivor, what is said of rows
// comes from the first `sample_rows`. `threads`: of the search; it finds the same on any number. Throws as
// judge_witness().
Identification identify(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                        const oracle::InverseRootModel& inverse_root = {}, std::int64_t sample_rows = 256,
                        std::uint64_t seed = 1, std::int64_t threads = 1);

// Names from oracle::named_policies() and implementations from the table that are
// the same arithmetic as `policy`.
std::vector<std::string> known_as(const oracle::Policy& policy, const Case& test_case);

}  // namespace normproof
