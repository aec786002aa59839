// What the harnesses share: the target they run, and how a finding is reported before the fuzzer dies of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "corpus/case.h"
#include "corpus/generate.h"
#include "properties/run/target.h"

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

// The seed of a harness's own random choices: a pure function of the input, so that a replay makes the same
// ones.
std::uint64_t seed_of(std::span<const std::uint8_t> input);

// The case that an input stands for. Where the environment variable NORMPROOF_CASE names a file, the case is
// written there as JSON before anything is done with it, so that it is known even if the process dies.
Case case_of(std::span<const std::uint8_t> input);

// Runs the case on the target and judges it; a violation is reported as below.
void check_conformance(const Case& test_case);

// Prints `message` and the case as JSON, writes that JSON into the folder named by NORMPROOF_FINDINGS (the
// working folder without one), prints the command that replays it, and aborts: the engine keeps the input
// that did it.
[[noreturn]] void report_finding(const Case& test_case, const std::string& message);

}  // namespace normproof::fuzz
