// The sum of x and residual that operations with a fused add keep: residual_out, bit for bit.
#pragma once

#include <cstdint>
#include <memory>
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

// Of calls whose rows are judged one by one, and their sums where they have a residual.
template <class RowJudge>
std::vector<Part> parts_of_rows(const Call& call, const Policy& policy) {
  std::vector<Part> result = {{"out", "row", call.rows(), call.hidden_size(), 1,
                               [&call, &policy] { return std::make_unique<RowJudge>(call, policy); }}};
  if (call.has("residual")) result.push_back(residual_part(call));
  return result;
}

}  // namespace normproof::oracle::judged
