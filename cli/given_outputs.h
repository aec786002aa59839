// Outputs that somebody else produced, with their inputs, and the options by which commands judge them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof {

// What the command line says about the files to judge. Where the file says something else, the option wins.
struct JudgingOptions {
  std::string operation;  // empty: as the file says
  std::string epsilon;
  std::string policy;
  std::optional<int> inverse_root_ulp;
  std::optional<std::int64_t> sum_depth;
  bool flush_to_zero = false;
  std::string order;  // a file of orders of summation; empty: none
};
// `with_policy`: whether the command judges by one policy, and so has --policy.
void add_judging_options(CLI::App& command, JudgingOptions& options, bool with_policy);

struct GivenOutputs {
  Case test_case;  // its tensors' data lie in `tensors` and `outputs` only
  CaseTensors tensors;
  Outputs outputs;
  // Of the option, else of the file, else native; with the options' inverse root, and the order of --order.
  oracle::Policy policy;
  bool policy_of_file = false;     // no option said otherwise
  bool canonical_of_file = false;  // the file demands the canonical order, whatever the options say
};

// Whether it is FILE#MODULE, a call of a dump of a model.
bool is_call_of_model(const std::string& file);
// The same files; for a dump of a model "FILE#MODULE" of each of its calls. A file that cannot be read stays.
std::vector<std::string> with_calls_of_models(const std::vector<std::string>& files);

// Reads a case file (*.json) with outputs, or a dump (any other name; see DUMP.md), of a model one call:
// FILE#MODULE. Throws UsageError for an option that makes no sense, CaseError and SafetensorsError naming
// file and field, std::system_error where the file cannot be read.
GivenOutputs read_given_outputs(const std::string& file, const JudgingOptions& options);

// The same as a case with all its data, for shrinking and writing.
Case whole_case(const GivenOutputs& given);

}  // namespace normproof
