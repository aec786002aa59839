// Calls that quantize by blocks as the plain kernel computes them, and what an honest one may arrive at.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "oracle/admissible.h"
#include "properties/assess/family/block_calls.h"

namespace normproof::assess::blocks {

const std::vector<Kind>& all_kinds();

// Rows of a kind of kernel, without outputs.
struct Drawn {
  const Kind* kind;
  Config config;  // its policy is the call's
  Call call;
  std::string text() const;
  Policy policy() const { return parse_policy(*call.operation, config.policy); }
};
Drawn random_call(const Kind& kind, const StudyOptions& options, std::int64_t most_hidden, Random& random);
// Kinds that are asked for. Of the approximate logarithm more conforms than the plain kernel writes.
std::vector<const Kind*> kinds_of(const StudyOptions& options, bool with_approximate_logarithm);

// The admissible r of a row, from the model of the contract.
oracle::Admissible window_of(const Call& call, const std::vector<float>& operands, int ulp_bound = 2);
// The row with one NaN for all: any equals any.
Row with_one_nan(Row row, const Config& config);
// A row that an honest kernel did not write: a code or a scale that is off, half of it with another r, or all
// of it with an r near the ends of what is admissible.
Row faulty_row(Kernel& kernel, const std::vector<float>& operands, const std::vector<float>& weight,
               const oracle::Admissible& window, const Config& config, Random& random);

}  // namespace normproof::assess::blocks
