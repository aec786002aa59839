// The sum of x and residual that operations with a fused add keep: residual_out, bit for bit.
#pragma once

#include <cstdint>
#include <vector>

#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

// fl(x + residual) of a row, and that rounded to T.
struct RowSum {
  std::vector<float> unrounded;
  std::vector<std::byte> rounded;
};
RowSum sum_of_row(const Call& call, std::int64_t row);

// Judges residual_out row by row.
Part residual_part(const Call& call);

}  // namespace normproof::oracle::judged
