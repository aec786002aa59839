// Which columns a kernel left out of its sum of squares, or took twice, if that is what it did: ends of the
// row, aligned blocks, the share of one lane or warp. Plain fp64 arithmetic, for hints.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace normproof::oracle {

struct SummedRow {
  std::span<const float> operands;
  double low = 0, high = 0;  // the sum of squares that the kernel must have had, divided by H as it should
};

struct ColumnHint {
  std::string text;   // "as if columns 256..511 were not summed"
  double causes = 0;  // that were tried up to it: the later, the likelier that it fits by luck
};

// Explanations that fit every row, the simplest first. All rows have the same number of columns.
std::vector<ColumnHint> column_hints(std::span<const SummedRow> rows);

}  // namespace normproof::oracle
