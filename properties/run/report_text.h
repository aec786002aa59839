// Judgements as text for people: what the program prints, its HTML page shows and the Python package returns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"
#include "properties/run/identify.h"

namespace normproof {

// "rms_norm bf16, weight bf16, 8 x 4096, epsilon 1e-06".
std::string subject_of(const Case& test_case);

// Every line of `text` behind `by`.
std::string indented(const std::string& text, const std::string& by);

// Thousands apart: 12 345 678.
std::string with_spaces(std::int64_t number);

// "r within 2 ulp, any order of summation".
std::string model_text(const oracle::InverseRootModel& model);

// A line for a verdict "conforms" that says little, because so large a share of wrong outputs would conform
// as well (wrong_outputs_accepted()); empty where it says something.
std::string says_little_text(double wrong_accepted);

// The policy's axes; how r may be computed was an assumption, not a finding.
std::string axes_text(oracle::Policy policy);

// The formula behind a value of an axis, and who computes it; empty for unknown names.
std::string formula_text(std::string_view axis_name, std::string_view value_name);

// "rows 0-7, 12", "row 3".
std::string rows_text(const std::vector<std::int64_t>& rows);

// The policy, then axis by axis what survives and why the rest does not. Every line is indented by two
// spaces.
std::string to_text(const Identification& found, const Case& test_case);

}  // namespace normproof
