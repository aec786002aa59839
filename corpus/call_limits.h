// Which calls an operation of somebody else's kernel is made for, as it declares; and cases that lie inside.
#pragma once

#include <cstdint>
#include <string>

#include "corpus/case.h"

namespace normproof {

// 0: any.
struct CallLimits {
  std::int64_t hidden_multiple = 0;
  std::int64_t greatest_hidden = 0;
  std::int64_t greatest_rank = 0;
  std::int64_t least_rows = 0;
  std::int64_t greatest_rows = 0;
  std::int64_t alignment = 0;  // bytes: of every address, and of the distance of rows
  bool contiguous = false;     // rows without gaps
  bool not_in_place = false;
  bool epsilon_is_set = false;  // it has one epsilon, whatever the call says
  float epsilon = 0;
  friend bool operator==(const CallLimits&, const CallLimits&) = default;
};

// The sizes inside the limits that are nearest to these: smaller where that is possible.
std::int64_t hidden_inside(const CallLimits& limits, std::int64_t hidden);
std::int64_t rows_inside(const CallLimits& limits, std::int64_t rows);

// What of the case lies outside, as "hidden sizes that are no multiple of 8"; empty where nothing does.
std::string what_is_outside(const CallLimits& limits, const Case& test_case);

// Changes shape, layouts and epsilon so that the case lies inside, and nothing that does already. Listed
// values are cut, or repeat. A hidden size gets larger only where it is below the least multiple.
void fit_to(const CallLimits& limits, Case& test_case);

// Values for tensors that have none, as after fit_to() of a case without rows.
void give_values(Case& test_case);

}  // namespace normproof
