// What the harnesses share: the target they run, and how a finding is reported before the fuzzer dies of it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "corpus/case.h"
#include "corpus/generate.h"
#include "properties/judging/evaluate.h"
#include "properties/targets/target.h"

namespace normproof::fuzz {

// The target named by the environment variable NORMPROOF_TARGET; "host" without one. Exits with status 3 and
// a message where it cannot be had.
Target& target();

// The cases of a harness whose input is a case in binary form; each such harness defines it. Its mutator
// makes no others.
const CaseLimits& case_limits();
// Cases that fit one fast execution: few rows, short rows, small blocks.
CaseLimits small_cases();
// The same without calls that must be refused.
CaseLimits small_valid_cases();
// Cases that need every kind of kernel: rows beyond one block's registers, blocks of every size, many rows,
// giant strides.
CaseLimits wide_cases();

// The seed of a harness's own random choices: a pure function of the input, so
// that a replay makes the same ones.
std::uint64_t seed_of(std::span<const std::uint8_t> input);

// The case that an input stands for, within what the target takes. Where the environment variable
// NORMPROOF_CASE names a file, the case is written there as JSON before anything is done with it, so that it
// is known even if the process dies.
Case case_of(std::span<const std::uint8_t> input);

// One execution of a harness whose input is a case; each such harness defines it, and case_entry.cpp calls
// it. `seed` is seed_of the input. Returns what the engine is to be told: 0, or -1 for an input that it
// should not keep.
int check_case(const Case& test_case, std::uint64_t seed);

// Runs the case on the target and judges it; a violation is reported as below.
void check_conformance(const Case& test_case);

// Prints `message` and the case as JSON, writes that JSON into the folder named by NORMPROOF_FINDINGS (the
// working folder without one), prints the command that replays it, and aborts: the engine keeps the input
// that did it. Throws KnownViolation instead where the campaign knows the bug.
[[noreturn]] void report_finding(const Case& test_case, const std::string& message);
// The same of what the target did with this case by itself, as judged.
[[noreturn]] void report_violation(const Case& test_case, const Evaluation& evaluation);
// The same from a signal handler: a bug that ends the process, known or not.
[[noreturn]] void report_trap(const Case& test_case, const std::string& message);

// What the target did wrong, written for people, and the input that shows it, as the text of a file that
// `normproof replay` takes.
struct Report {
  std::string kind, message;
  std::string operation;  // for the file's name
  std::string json;
};
// Prints it, writes the file, prints the command that replays it, and aborts.
[[noreturn]] void report(const Report& finding);
// Throws KnownViolation where the campaign knows a bug of that kind, of an input that is no case.
void pass_if_known(const std::string& kind);
// Where the environment variable NORMPROOF_CASE names a file, writes the text there: what the input stands
// for, so that it is known even if the process dies.
void note_input(const std::function<std::string()>& json);

// A violation that the file NORMPROOF_KNOWN lists (known/known_bug.h): the fuzzer goes on.
struct KnownViolation {};

// Executions that met what is known. Kept in the file named by NORMPROOF_KNOWN_TALLY, since a fuzzer may end
// at any time: "VIOLATIONS LEFT_OUT SECONDS".
class KnownTally {
 public:
  void add_violation(double seconds);
  void add_left_out();

 private:
  void write();
  std::int64_t violations_ = 0, left_out_ = 0;
  double seconds_ = 0;
};
// Whether the case lies where a known bug ends the process, so that it is not run.
bool is_left_out(const Case& test_case);

}  // namespace normproof::fuzz
