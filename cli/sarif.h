// Findings in SARIF 2.1.0, the format in which code scanning services take them.
#pragma once

#include <string>
#include <vector>

namespace normproof {

struct SarifResult {
  std::string rule;     // what kind of finding it is; the same words for the same bug
  std::string message;  // what is wrong, with the certificate
  std::string file;     // the repro or the report; a path
  // "new", "unchanged" or "absent", against a baseline; empty: there is none.
  std::string baseline_state{};
};

struct SarifLog {
  std::vector<SarifResult> results;
  std::vector<std::string> not_done;  // what was left unchecked; the log says so
  int exit_code = 0;
  // At which file services show them all, with their own files beside it; empty: at their own files.
  std::string source{};
};

// Throws std::system_error naming the file.
void write_sarif(const std::string& path, const SarifLog& log);

}  // namespace normproof
