// The verdict on the outputs of a judged operation: all its parts, on several threads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oracle/judged/operation.h"

namespace normproof::judging {

using oracle::judged::Call;
using oracle::judged::Policy;
using oracle::judged::Violation;

struct PartVerdict {
  std::string_view tensor;
  std::string_view unit;  // "row", "head", "column"
  std::int64_t units = 0;
  std::int64_t conforming = 0;
  std::int64_t elements = 0;
};

struct Judgement {
  std::vector<PartVerdict> parts;
  std::vector<Violation> first_violations;  // confirmed by exact arithmetic
  std::vector<std::string> not_looked_at;
  std::int64_t undecided = 0;  // units that conform because their search was given up
  double wrong_accepted = 0;   // of outputs that conform: the share of wrong ones that would as well
  bool canonical = false;      // judged by the bits of the canonical order; else by a search, in any order
  bool conforms() const;
  std::int64_t units() const;
  std::int64_t conforming() const;
  std::int64_t elements() const;
};

struct JudgeOptions {
  std::int64_t threads = 1;
  std::size_t listed = 8;
  bool doubts = true;      // find wrong_accepted
  bool of_target = false;  // who runs the calls looks at memory and at other calls
  bool canonical = false;  // the bits of the canonical order are demanded
};

// The outputs must be there and fit (require_valid). Of outputs that are not canonical where that is
// demanded, what conforms in no order is listed, if anything.
Judgement judge(const Call& call, const Policy& policy, const JudgeOptions& options = {});

// The call with these outputs as the policy has them in the canonical order
// of summation. The inputs must fit.
Call with_canonical_outputs(Call call, const Policy& policy, std::span<const std::string> outputs);

// The first rows of a call, without its sums over rows.
Call first_rows(const Call& call, std::int64_t rows, const Policy& policy);

// The share of kWrongOutputs outputs with wrong unknowns that would conform in the first units of every part.
double wrong_accepted(const Call& call, const Policy& policy);

// "5 of 8 rows of out conform", part by part.
std::string parts_text(const Judgement& judgement);
// Adds the numbers that the call may have and does not, and the layouts that scales of blocks may have and
// its own do not.
void add_what_is_absent(const Call& call, const Policy& policy, std::vector<std::string>& not_looked_at);
// The lines of a verdict under the subject: parts, doubt, certificates, and what was not looked at. Every
// line is indented by two spaces.
std::string to_text(const Judgement& judgement, const Policy& policy);
// Where "conforms" says little, a line; else empty.
std::string doubt_of(const Judgement& judgement);
// "search judge" or "canonical judge".
std::string_view judge_name(bool canonical);

}  // namespace normproof::judging
