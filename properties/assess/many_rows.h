// Do the sizes that verify runs show the bugs that need many rows, or one
// hidden size? And by the fewest rows?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "properties/assess/study.h"

namespace normproof::assess {

struct ManyRowsFigure {
  std::string bug;
  std::int64_t seeds = 0;
  std::int64_t found = 0;
  std::int64_t fewest_rows =
      0;  // found, and shrunk to the smallest number of rows and the shortest that fail
  std::int64_t rejected_right = 0;  // found, while a kernel without the bug is rejected there too
  std::int64_t cases = 0;           // of the sweep until the bug was found, at most
  bool reached() const { return found == seeds && fewest_rows == seeds && rejected_right == 0; }
};

// One figure for each bug, with so many seeds from that of the options on. `quick`: only bugs of fewer than
// 2^17 rows.
std::vector<ManyRowsFigure> study_many_rows(std::int64_t seeds, bool quick, const StudyOptions& options);

}  // namespace normproof::assess
