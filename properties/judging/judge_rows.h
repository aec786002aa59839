// Judging the rows of a large case on several threads: the verdict is the one that the judges of oracle/
// give, whatever the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "corpus/case.h"
#include "oracle/canonical_judge.h"
#include "oracle/witness_judge.h"

namespace normproof {

// Some consecutive rows of a case as a case of their own; without data and outputs in the Case itself.
struct RowSlice {
  Case test_case;
  CaseTensors tensors;
  Outputs outputs;
};
// Requires 0 <= first, 0 <= count, first + count <= rows. The slice has rank 2.
RowSlice slice_rows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                    std::int64_t first, std::int64_t count);
// The rows of these numbers, in this order.
RowSlice select_rows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                     std::span<const std::int64_t> rows);

struct JudgeRowsOptions {
  int threads = 1;
  // Called with the rows done so far, from any thread but by one at a time.
  std::function<void(std::int64_t rows)> progress;
};

// Row numbers in the verdict are those of the whole case; row_witnesses are given. Throw as the judges do.
oracle::WitnessVerdict judge_witness_rows(const Case& test_case, const CaseTensors& tensors,
                                          const Outputs& outputs, const oracle::Policy& policy,
                                          const JudgeRowsOptions& options = {});
oracle::Verdict judge_canonical_rows(const Case& test_case, const CaseTensors& tensors,
                                     const Outputs& outputs, const oracle::Policy& policy,
                                     const JudgeRowsOptions& options = {});

// "out[row 3, column 7]: got 0x3f80 (1), the policy says 0x3f81 (1.0078125), 1 ulp apart".
// `authority` is who says what is wanted.
std::string mismatch_line(const oracle::Mismatch& mismatch, std::string_view authority = "the policy");

}  // namespace normproof
