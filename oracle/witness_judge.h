// The witness judge: for outputs of any kernel, whatever its order of summation. A row conforms if there is
// one fp32 number r, the witness, that explains every output element bit for bit and that an honest
// evaluation of 1 / sqrt(mean(x^2) + eps) can arrive at (admissible.h). There is no tolerance.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "corpus/case.h"
#include "oracle/certificate.h"
#include "oracle/policy.h"
#include "oracle/verdict.h"

namespace normproof::oracle {

struct RowWitness {
  std::int64_t row = 0;
  std::optional<ViolationKind> violation;  // nothing: the row conforms
  // Of a conforming row:
  std::uint32_t witness = 0;       // fp32 bits of the explaining r nearest to the correctly rounded one
  std::uint64_t ulp_distance = 0;  // between the two, in representable numbers
  std::uint64_t width = 0;         // how many admissible r explain the row
};

struct WitnessVerdict {
  std::int64_t rows = 0;
  std::int64_t elements = 0;                        // compared, of all outputs
  std::int64_t special_rows = 0;                    // as in Verdict, the mean being the exact one, rounded
  std::int64_t rounding_violations = 0;             // rows
  std::int64_t scale_violations = 0;                // rows
  std::int64_t residual_mismatches = 0;             // elements of a stored sum, which is judged bitwise
  std::uint64_t worst_ulp_distance = 0;             // of the conforming rows
  std::vector<Certificate> first_violations;        // at most kMaximumListed, confirmed by exact arithmetic
  std::vector<Mismatch> first_residual_mismatches;  // at most kMaximumListed, confirmed by exact arithmetic
  std::vector<RowWitness> row_witnesses;            // one per row, where WitnessOptions ask for them
  std::int64_t conforming_rows() const { return rows - rounding_violations - scale_violations; }
  bool conforms() const {
    return rounding_violations == 0 && scale_violations == 0 && residual_mismatches == 0;
  }
};

struct WitnessOptions {
  bool keep_rows = false;
  // How many violating rows, and elements of a stored sum, are listed with their proof. Of the others only
  // the kind of violation is known, which costs no more than a row that conforms.
  std::size_t listed = kMaximumListed;
  // Rows with a violation after which judging stops; `rows` and `elements` then count what was judged.
  std::int64_t stop_after = -1;  // negative: never
  // Whether listed violations are confirmed by exact arithmetic. Only a search that reports none of them, or
  // asks again for those that it reports, may do without.
  bool confirm = true;
};

// Throws std::invalid_argument where tensors or outputs do not have the case's sizes, and std::logic_error
// should exact arithmetic not confirm what is reported.
WitnessVerdict judge_witness(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                             const Policy& policy = native(), const WitnessOptions& options = {});

}  // namespace normproof::oracle
