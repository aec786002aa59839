// What `normproof certify` writes: which arithmetic a target computes, as far as it could be established, and
// digests of its outputs on fixed inputs. Two of them can be compared without either target.
// Schema: EXECUTION_CERTIFICATE.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/judged_certificate.h"
#include "cli/order_document.h"
#include "corpus/case.h"

namespace normproof {

std::string call_text(const CallKind& kind, std::int64_t offset);  // kind_text(), "aligned" or "shifted"

struct PolicyStatement {
  CallKind kind;
  std::int64_t hidden_size = 0;
  std::int64_t offset = 0;  // elements by which the tensors are shifted: another path of many kernels
  // Those that explain every row, the best first; several where the outputs do not tell them apart.
  std::vector<std::string> policies;
  std::string reason;  // why there are none, or which case refutes the one that is named
};

// A fixed input and what the target gave of it.
struct InputStatement {
  Case test_case;         // with recipes; short rows with their outputs
  std::string status;     // "completed", "refused", "failed"
  std::string explained;  // "order", "policy": by the policy and its certified order, or by the policy in any
                          // order; "no"
  std::string message;    // why it was refused or failed; the first violation where it is not explained
  // Of each output a digest of each row.
  std::vector<std::pair<Role, std::vector<std::string>>> digests;
};

struct ExecutionCertificate {
  std::string target, version, compiler, target_digest;
  std::uint64_t seed = 1;
  std::uint32_t scale_ub_bits = 0x7f800000u;  // of the calls that can have one; infinity: none
  std::vector<PolicyStatement> policies;
  std::vector<OrderEntry> orders;
  std::vector<InputStatement> inputs;
  JudgedCertificate judged;  // of a target that has judged operations
  std::vector<std::string> not_established;
};

// The inputs of one kind of call: short rows of values that tell roundings apart,
// and rows of each size and number; with this upper bound of scales where the operation has one.
std::vector<Case> fixed_inputs(const CallKind& kind, const std::vector<std::int64_t>& hidden_sizes,
                               const std::vector<std::int64_t>& rows, std::uint64_t seed,
                               std::uint32_t scale_ub_bits);
void set_scale_ub(Case& test_case, std::uint32_t bits);

std::string to_json(const ExecutionCertificate& certificate);

}  // namespace normproof
