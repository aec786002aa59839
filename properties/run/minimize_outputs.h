// The smallest part of outputs that somebody else produced that still violates. They belong to their inputs,
// so only rows and columns can be left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof {

// The first violation of a case with outputs: its row, and the elements that prove it.
struct OutputsViolation {
  std::int64_t row = 0;
  std::vector<std::int64_t> columns;
  bool scale = false;  // wrong only against the row's own scale
  std::string text;    // the certificate
};

// By the witness judge. Requires a valid case with outputs; nothing where it conforms.
std::optional<OutputsViolation> first_violation(const Case& test_case, const oracle::Policy& policy);

struct MinimizedOutputs {
  Case test_case;  // one row: the violation's elements alone, or the whole row
  OutputsViolation violation;
  bool proves_alone = false;  // the violation's elements do without the rest of their row
};

// What two elements prove, they prove without the rest of their row, but for rows whose shortening changes
// their own scale; what the scale of a row proves takes the whole row. Requires a valid case with listed
// values and outputs; nothing where it conforms.
std::optional<MinimizedOutputs> minimize_outputs(const Case& whole, const oracle::Policy& policy);

}  // namespace normproof
