// The main job: replay the corpus, check the properties, judge random cases until the time is up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/baseline.h"
#include "cli/commands.h"
#include "cli/finding.h"
#include "cli/judged_result.h"
#include "corpus/case.h"
#include "corpus/shard.h"
#include "properties/demands.h"
#include "properties/judging/tally.h"
#include "properties/targets/learned_limits.h"
#include "properties/targets/target.h"

namespace normproof {

struct VerifyOptions {
  std::string target = "host";
  JudgeOptions judge;
  double seconds = 45;                // for everything together
  std::optional<std::int64_t> cases;  // random cases, instead of the time that is left
  std::optional<int> property_cases;  // of each property, instead of its share of the time
  std::uint64_t seed = 0;
  Shard shard;
  std::optional<Operation> operation;
  std::string judged_operation;  // only this one, in place of `operation`; empty: all
  std::optional<DType> dtype;
  std::string corpus;
  std::string findings = "findings";  // folder for the repros
  int threads = 0;  // for the random cases; 0: as many as keep the target and the cores busy
  // Judge the random cases with the witness judge too; not given: where the target is not the CPU's own.
  std::optional<bool> witness;
  std::vector<Promise> demands;  // promises about several calls whose breach is a violation
  bool keep_going = false;       // do not stop at the first violation that is not known; count all
  bool every_cause = false;      // of random cases one finding of each cause, in place of the first few
  std::string baseline;          // file of violations that are known; empty: none is
  bool shrink = true;            // violating cases, before they are stored
};

// One line of the reports: a corpus case, a property, or the random cases of one operation and dtype.
struct Check {
  std::string group;  // "corpus", "promise", "property", "order", "sizes", "random", "judged", "relation"
  std::string name;
  bool passed = true;
  std::int64_t cases = 0;
  double seconds = 0;
  std::string message;    // of a failure
  std::string skipped{};  // why it has no answer, though nothing failed: "not compared: ..."
  bool known = false;     // it failed by known violations alone
};

// What was learnt of the calls that a foreign target does not take.
struct Learnt {
  CallKind kind;
  LearnedLimits found;
};

struct VerifyResult {
  Tally tally;
  JudgedResult judged;  // of a target that has judged operations
  std::vector<Check> checks;
  std::vector<Finding> findings;
  std::int64_t violations = 0;  // corpus cases, properties and random cases; not all need be among `findings`
  std::int64_t known_violations = 0;      // of them, those whose cause is in the baseline
  std::optional<BaselineUse> baseline;    // where one was given
  std::vector<Combination> combinations;  // that the target must reach
  std::vector<Combination>
      uncovered;                    // of these, those that no compared row has reached; of a whole run only
  std::vector<Combination> hidden;  // the same, where each call ended in a known violation
  std::vector<std::string> unchecked;  // corpus files and properties, with the reason
  std::string closing_words;           // of the target
  std::vector<Learnt> learnt;          // where something was
  Observations promises;               // by promise
  std::int64_t corpus_files = 0;       // all that were there, also those of other shards
  Judging judging;
  std::string orders;  // digest of the orders of summation by which was judged; empty: any order was admitted
  double seconds = 0;
  double seconds_to_first_violation = 0;  // of target and judge, before shrinking
  double processor_seconds_to_first_violation = 0;
  std::int64_t cases_to_first_violation = 0;
  bool stopped_early = false;   // at the first violation, or by a signal
  int stopped_by = 0;           // the signal; 0: none
  std::size_t merged_from = 0;  // so many results of shards; 0: not merged
};

// Shrinking takes time: of the random cases that violate, only so many become
// findings, those with the lowest numbers.
inline constexpr std::size_t kMostRandomFindings = 8;

// Throws TargetError where the target cannot be had.
VerifyResult verify(const VerifyOptions& options);

// The closing table for people.
std::string to_text(const VerifyOptions& options, const VerifyResult& result);
// For --json.
std::string to_json_text(const VerifyOptions& options, const VerifyResult& result);
// Written atomically. Throws std::system_error naming the file.
void write_junit(const std::string& path, const VerifyOptions& options, const VerifyResult& result);
// Whether there is a violation that is not known.
bool found_new(const VerifyResult& result);
// Fills in `uncovered` and `hidden`.
void conclude_coverage(VerifyResult& result);
// Adds the combinations of judged operations that no call has reached to what is unchecked.
void conclude_judged_coverage(VerifyResult& result);
// kAllGood, kViolationFound where one was found that is not known, kCouldNotRun where something was left
// unchecked, or that of a signal that stopped the run before a violation was found.
int exit_code_of(const VerifyResult& result);

}  // namespace normproof
