// Judgements as text for people: what the program prints, its HTML page shows and the Python package returns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof {

// ", scale_ub 1.5"; empty where there is none.
std::string upper_bound_text(const Case& test_case);
// "rms_norm bf16, weight bf16, 8 x 4096, epsilon 1e-06".
std::string subject_of(const Case& test_case);

// Every line of `text` behind `by`.
std::string indented(const std::string& text, const std::string& by);

// Thousands apart: 12 345 678.
std::string with_spaces(std::int64_t number);

// "r within 2 ulp, any order of summation".
std::string model_text(const oracle::InverseRootModel& model);

// The policy's axes; how r may be computed was an assumption, not a finding.
std::string axes_text(oracle::Policy policy);

// The formula behind a value of an axis, and who computes it; empty for unknown names.
std::string formula_text(std::string_view axis_name, std::string_view value_name);

// "rows 0-7, 12", "row 3".
std::string rows_text(const std::vector<std::int64_t>& rows);

}  // namespace normproof
