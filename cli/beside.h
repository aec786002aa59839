// `check FUSED --beside UNFUSED`: two dumps of one input. How many codes of the fused kernel may legally
// differ from those of the unfused computation, and which of those that differ are not legal?
#pragma once

#include <optional>
#include <string>

#include "cli/given_outputs.h"
#include "corpus/json.h"

namespace normproof {

struct BesideOptions {
  std::string file;    // the unfused dump
  std::string policy;  // of it; empty: as the file says, else that of the fused one
  JudgingOptions judging;
  std::optional<std::int64_t> rows;
  int threads = 1;
};

struct BesideReport {
  nlohmann::ordered_json json;
  std::string text;
  std::string diagnosis;  // a line, where something is not legal
  bool good = true;
};

// Throws UsageError where the two are not of one input, and what the readers of files throw.
BesideReport check_beside(const std::string& fused, const BesideOptions& options);

}  // namespace normproof
