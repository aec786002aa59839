// What the harnesses share: the target they run, and how a finding is reported before the fuzzer dies of it.
#pragma once

#include <string>

#include "corpus/case.h"
#include "corpus/generate.h"
#include "properties/run/target.h"

namespace normproof::fuzz {

// The target named by the environment variable NORMPROOF_TARGET; "host" without one. Exits with status 3 and
// a message where it cannot be had.
Target& target();

// The cases that fit one fast execution: few rows, short rows.
const CaseLimits& fuzz_limits();

// Prints `message` and the case as JSON, writes that JSON into the folder named by NORMPROOF_FINDINGS (the
// working folder without one), prints the command that replays it, and aborts: the engine keeps the input
// that did it.
[[noreturn]] void report_finding(const Case& test_case, const std::string& message);

}  // namespace normproof::fuzz
