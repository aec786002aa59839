// What an execution certificate says of a target's judged operations: policies, and digests of what fixed
// inputs give. The order of their sums is not established. Schema: EXECUTION_CERTIFICATE.md.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/progress.h"
#include "cli/result_fields.h"
#include "properties/targets/judged_target.h"

namespace normproof {

struct JudgedPolicyStatement {
  std::string call;  // "layer_norm bf16, weight bf16"
  std::string operation;
  std::vector<std::string> policies;  // that explain every call that was made, the best first
  std::int64_t calls = 0;             // that were made
  std::string reason;                 // why there are none
};
struct JudgedInputStatement {
  std::string call, name;
  std::string inputs;       // digest of what went in
  std::string status{};     // "completed", "refused", "failed"
  std::string explained{};  // "policy": by the policy, in some order; "no"
  std::string message{};    // why it went wrong; the first violation where it is not explained
  std::int64_t rows = 0;
  // Of each output, of each of its rows.
  std::vector<std::pair<std::string, std::vector<std::string>>> digests{};
  std::string document{};  // of a short one: the call with its outputs, as `replay` reads it
};
struct JudgedCertificate {
  std::vector<JudgedPolicyStatement> policies;
  std::vector<JudgedInputStatement> inputs;
  std::vector<std::string> not_established;
  bool explained() const;
};

// Prints what it finds as it goes. `operation`: only this one; empty: all. `codes`: of our own kernels, which
// write many, these alone where an operation can.
JudgedCertificate certify_judged(JudgedTarget& target, const std::string& operation,
                                 std::optional<DType> dtype, DType codes, std::uint64_t seed,
                                 Progress& progress);

// "judged_policies" and "judged_inputs".
void add_judged(const JudgedCertificate& certificate, nlohmann::ordered_json& document);
// What such a document says; nothing where it has none. Refuses what cannot be.
JudgedCertificate judged_certificate_of(const ResultFields& document);

struct JudgedDifference {
  std::string cause;  // "policy", "bug", "unknown"
  std::string text;
};
struct JudgedComparison {
  std::int64_t inputs = 0, rows = 0, different_inputs = 0, different_rows = 0;
  std::vector<JudgedDifference> differences;  // one for each kind of call and cause
  std::vector<std::string> not_compared;
};
JudgedComparison compare_judged(const JudgedCertificate& first, const std::string& first_name,
                                const JudgedCertificate& second, const std::string& second_name);

}  // namespace normproof
