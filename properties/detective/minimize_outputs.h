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
  // A bit of a stored sum; elements that no r explains; an r that is not the row's own.
  enum class Kind : std::uint8_t { residual, rounding, scale };
  Kind kind = Kind::rounding;
  std::string text;  // the certificate
};

// By the witness judge. Requires a valid case with outputs; nothing where it conforms.
std::optional<OutputsViolation> first_violation(const Case& test_case, const oracle::Policy& policy);

struct MinimizedOutputs {
  Case test_case;                     // one row, or a part of it
  std::vector<std::int64_t> columns;  // of it, ascending
  OutputsViolation violation;
};

// The first violating row, cut down while it tells the same: the same kind of violation, the same policy
// identified or none, elements as far off. That takes columns whose mean square is that of the row, since the
// outputs came of the row's r (see row_part.h). What the scale of a row proves takes the whole row. Requires
// a valid case with listed values and outputs; nothing where it conforms.
std::optional<MinimizedOutputs> minimize_outputs(const Case& whole, const oracle::Policy& policy);

}  // namespace normproof
