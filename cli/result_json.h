// --json of the commands that look at single cases: identify, replay, explain, minimize.
#pragma once

#include <string>

#include "corpus/case.h"
#include "corpus/json.h"
#include "oracle/explain.h"
#include "properties/detective/identify.h"

namespace normproof {

using ResultJson = nlohmann::ordered_json;

// {"normproof_COMMAND": 1, "command": the command line}: how each of these documents begins.
ResultJson result_document(const std::string& command);

// The policy, who computes it, the survivors, the axes with their reasons; where none is identified, what the
// rows look like.
ResultJson to_json(const Identification& found, const Case& test_case);

// The steps with their exact and rounded values, and what reproduces the bits that were got.
ResultJson to_json(const oracle::Explanation& explanation);

void write_result(const std::string& file, const ResultJson& document);

}  // namespace normproof
