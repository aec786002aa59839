// Why an output element is what it is: every step of the contract with its exact and its rounded value, and
// which single change of policy or rounding gives the bits that a kernel gave instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy_rows.h"

namespace normproof::oracle {

// One rounding: where the exact value lies between the neighbouring numbers of the format it is rounded to.
struct ExplainedStep {
  StepRecord record;
  std::uint64_t rounded_bits = 0;
  std::uint64_t below_bits =
      0;  // largest number <= exact; equals above_bits where the value is representable
  std::uint64_t above_bits = 0;
  double fraction =
      0;  // (exact - below) / (above - below); 0 where representable or beyond the finite numbers
  bool is_tie = false;
};

struct ExplainedOutput {
  std::string name;  // of the tensor
  DType dtype = DType::bf16;
  std::uint32_t wanted = 0;
  std::optional<std::uint32_t> got;
  // The single changes that give exactly `got`; empty where got is absent or wanted.
  std::vector<std::string> reproduced_by;
};

struct Explanation {
  std::string subject;  // operation, dtypes, sizes, policy
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::vector<std::string> operands;  // "x = 1.03125 (0x3f84)", ...
  Value exact_sum_of_squares;
  Value canonical_sum_of_squares;
  Value correctly_rounded_inverse_root;  // of the exact mean; r itself is among the steps
  std::vector<ExplainedStep> steps;      // in the order of computation
  std::vector<ExplainedOutput> outputs;
};

// Throws std::invalid_argument where sizes are wrong or the element does not exist.
Explanation explain(const Case& test_case, const CaseTensors& tensors, const std::optional<Outputs>& outputs,
                    std::int64_t row, std::int64_t column, const Policy& policy = native());

std::string to_text(const Explanation& explanation);

}  // namespace normproof::oracle
