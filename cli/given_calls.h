// Files of judged operations, for which there are no kernels of ours: for `check` and `identify`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/given_outputs.h"
#include "cli/html_report.h"

namespace normproof {

// What a command says of one such file.
struct GivenCallReport {
  nlohmann::ordered_json json;
  HtmlSection html;
  std::string text;  // what is printed: the subject, and lines below it
  bool good = true;
  std::string doubt;
};

// Whether the file, or --op, is about such an operation. Throws as the readers of dumps do.
bool is_given_call(const std::string& file, const JudgingOptions& options);

// The verdict. `rows`: of the first so many alone. Throws CaseError and SafetensorsError for files that hold
// no call with outputs, UsageError for options that do not fit.
GivenCallReport check_given_call(const std::string& file, const JudgingOptions& options,
                                 std::optional<std::int64_t> rows, std::int64_t threads);
GivenCallReport identify_given_call(const std::string& file, const JudgingOptions& options,
                                    std::int64_t rows);

// Names an operation that our own kernels have; says of the others which commands take them.
CLI::Validator is_run_by_targets();
// Names any operation: a plug-in may have it.
CLI::Validator is_run_by_plugins();

}  // namespace normproof
