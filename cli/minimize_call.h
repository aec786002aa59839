// `minimize` of a call of a judged operation.
#pragma once

#include <string>

#include "cli/given_outputs.h"
#include "oracle/judged/call_files.h"

namespace normproof {

struct MinimizeCallOptions {
  std::string file;
  JudgingOptions judging;
  std::string target;  // empty: the outputs of the file
  double seconds = 0;  // with a target: how long to look for smaller calls
  std::string output, json;
};
// With a target everything may shrink, because it gives new outputs; else what is left is the row, or the
// column of a sum over rows, that shows the violation. Returns an exit code. Throws as policy_of_given_call
// does, TargetError where the target has no such operation.
int minimize_call(oracle::judged::StoredCall stored, const MinimizeCallOptions& options);

}  // namespace normproof
