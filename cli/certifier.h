// Makes an execution certificate of a target.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/execution_certificate.h"
#include "cli/progress.h"
#include "properties/targets/target.h"

namespace CLI {
class App;
}

namespace normproof {

struct CertifyOptions {
  std::string target = "host";
  std::optional<Operation> operation;
  std::string judged_operation;  // only this one, in place of `operation`; empty: all
  std::optional<DType> dtype;
  DType quantized = DType::fp8_e4m3fn;
  std::uint32_t scale_ub_bits = 0x7f800000u;  // of calls where each row gets a scale; infinity: none
  std::vector<std::int64_t> hidden_sizes = {4096};
  std::vector<std::int64_t> rows = {64, 1};  // of a call
  // What was not asked for gives way to the limits that the target declares.
  bool hidden_is_given = false, rows_are_given = false;
  std::uint64_t seed = 1;
  int threads = 1;
};

// Those of them that say which calls, and how. `options` must outlive the command.
void add_certify_options(CLI::App& command, CertifyOptions& options);

// Prints what it finds as it goes. Throws TargetError where the target answers nothing at all.
ExecutionCertificate certify(Target& target, const CertifyOptions& options, Progress& progress);

}  // namespace normproof
