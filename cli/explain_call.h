// `explain` of a call of a judged operation: what goes into one element, what the canonical order of
// summation arrives at, the formulas of the policy, and what comes out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "oracle/judged/call_files.h"

namespace normproof {

// Of the file's outputs, or of those of the target where the file has none. Without a row and a column: the
// first wrong element, else the first. Returns an exit code. Throws as replay_call does.
int explain_call(const std::string& file, oracle::judged::StoredCall stored, const std::string& target,
                 const JudgeOptions& judge, std::optional<std::int64_t> row,
                 std::optional<std::int64_t> column, const std::string& json);

}  // namespace normproof
