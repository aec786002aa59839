// Files of judged operations, for `check` and `identify`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/given_outputs.h"
#include "cli/html_report.h"
#include "corpus/json.h"
#include "oracle/judged/call_files.h"

namespace normproof {

// What a command says of one such file.
struct GivenCallReport {
  nlohmann::ordered_json json;
  HtmlSection html;
  std::string text;  // what is printed: the subject, and lines below it
  bool good = true;
  std::string doubt;
};

// What the file holds where it, or --op, is about such an operation; nothing where not. `with_outputs`: it
// must hold what there is to judge. Throws CaseError and SafetensorsError for files that hold no such call,
// UsageError for an epsilon that is none.
std::optional<oracle::judged::StoredCall> read_given_call(const std::string& file,
                                                          const JudgingOptions& options, bool with_outputs);
// By the policy of the options, else of the file, else native; with the bounds of the options. Throws
// UsageError for options that do not fit the operation, SafetensorsError for a file's policy that does not.
oracle::judged::Policy policy_of_given_call(const std::string& file, const oracle::judged::StoredCall& stored,
                                            const JudgingOptions& options);

// The same; throws UsageError, too, where the call cannot be judged by it.
oracle::judged::Policy fitting_policy(const std::string& file, const oracle::judged::StoredCall& stored,
                                      const JudgingOptions& options);

// The verdict. `rows`: of the first so many alone. Throws as policy_of_given_call does.
GivenCallReport check_given_call(const std::string& file, oracle::judged::StoredCall stored,
                                 const JudgingOptions& options, std::optional<std::int64_t> rows,
                                 std::int64_t threads);
GivenCallReport identify_given_call(const std::string& file, const oracle::judged::StoredCall& stored,
                                    const JudgingOptions& options, std::int64_t rows, std::int64_t threads);

// Names an operation that our own kernels have; says of the others which commands take them.
CLI::Validator is_run_by_targets();
// Names any operation: a plug-in may have it.
CLI::Validator is_run_by_plugins();
// Names a dtype of codes.
CLI::Validator names_codes();
// That of --quantized, which an operation that quantizes must be able to make. Throws UsageError.
DType codes_for(Operation operation, const std::string& quantized);
// The fp32 bits that --scale-ub says, infinity where it is empty. Throws UsageError for a number that is
// none, and where the operation has no upper bound of scales.
std::uint32_t scale_ub_for(Operation operation, const std::string& scale_ub);
// The same, whatever the operation is; nothing where it is no number above 0.
std::optional<std::uint32_t> scale_ub_bits(const std::string& scale_ub);
// What is wrong with that number; empty where nothing is.
std::string objection_to_scale_ub(const std::string& scale_ub);
// Throws UsageError where the operation has no upper bound of scales.
void require_scale_ub(Operation operation);

}  // namespace normproof
