// A call of a judged operation on a target: run, judged, made smaller where it
// violates, and compared with others.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "properties/judged/identify.h"
#include "properties/judged/verification_call.h"

namespace normproof::judging {

struct CallEvaluation {
  enum class Outcome : std::uint8_t { conforms, wrong_bits, failed, memory, disagrees, not_taken };
  Outcome outcome = Outcome::conforms;
  JudgedRun run;
  Judgement judgement;  // of a completed run
  bool violates() const { return outcome != Outcome::conforms && outcome != Outcome::not_taken; }
  // The same for the same bug, whatever the call: "rounding violation in out".
  std::string identity() const;
  // The same in fewer words.
  std::string kind() const;
};
std::string_view name_of(CallEvaluation::Outcome outcome);
// Of a violation: its subject, what the target says, stray writes,
// certificates. Lines, the first not indented.
std::string describe(const Call& call, const CallEvaluation& evaluation);

CallEvaluation evaluate_call(JudgedTarget& target, const Call& call, const Policy& policy,
                             JudgeOptions options = {});

struct SmallerCall {
  Call call;
  CallEvaluation evaluation;
};
// The smallest call that violates in the same way, found in at most `seconds`.
SmallerCall smaller_call(JudgedTarget& target, const Call& failing, const CallEvaluation& seen,
                         const Policy& policy, double seconds);

// Which policies explain what the target does, beside `model`, which does not: lines.
std::string policies_text(JudgedTarget& target, const Combination& combination, const Policy& model,
                          std::uint64_t seed);

// How the bits of two runs differ; empty where they do not, or where one was not completed. With a row the
// second is that row of the first alone, and sums over rows are not compared.
std::string difference_between(const JudgedRun& first, const JudgedRun& second, const Policy& policy,
                               const std::optional<std::int64_t>& row = {});

}  // namespace normproof::judging
