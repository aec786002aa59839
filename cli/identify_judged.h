// `identify --target` of a target's judged operations: which policy each of its calls follows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/html_report.h"
#include "cli/progress.h"
#include "cli/result_json.h"
#include "properties/targets/judged_target.h"

namespace normproof {

struct JudgedQuestions {
  std::string operation, dtype, weight;  // only this one; empty: all
  std::optional<int> inverse_root_ulp;
  std::optional<std::int64_t> sum_depth;
  std::uint64_t seed = 1;
  std::optional<DType> codes{};  // of our own kernels, which write many, these alone where an operation can
  std::int64_t threads = 1;
};
struct JudgedAnswers {
  int asked = 0, unexplained = 0, failed = 0, damaging = 0, not_taken = 0;
  bool one_policy = true;  // of each operation, in all its dtypes and weights
  std::vector<IdentifiedCall> calls;
  ResultJson json = ResultJson::array();  // of each call
};
// Prints what it finds as it goes.
JudgedAnswers identify_judged(JudgedTarget& target, const JudgedQuestions& questions, Progress& progress);

}  // namespace normproof
