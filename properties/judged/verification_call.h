// Calls of judged operations that a run of verify makes on a target, within what the target takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "properties/judged/judge.h"
#include "properties/targets/judged_target.h"

namespace normproof::judging {

// Whether the calls of a gradient have the statistics of the forward pass.
enum class GivenStatistics : std::uint8_t { always, mostly, never };

// What a run must reach: an operation with an activation dtype, a weight and, where it quantizes, codes.
struct Combination {
  const oracle::judged::JudgedOperation* operation = nullptr;
  DType dtype = DType::bf16;
  std::optional<DType> weight;
  CallLimits limits = {};
  std::optional<DType> codes = {};
  Policy policy = {};  // by which it is judged; it may say the shapes of outputs. By default native
  // Whether there are calls with an upper bound of scales, and with scales in every layout.
  bool scale_ub = false, scale_layouts = false;
  bool scale_views = false;  // and in views by columns
  bool weight_rows = false;  // and with weights of several rows
  GivenStatistics statistics = GivenStatistics::always;
};
std::string to_string(const Combination& combination);

// A combination that a target without says_what_it_takes() did not take, and what it said.
struct Declined {
  const oracle::judged::JudgedOperation* operation = nullptr;
  std::string reason;
};
// Of all that the target takes, or of one operation or dtype. A target that does not say what it takes is
// asked by a few calls.
std::vector<Combination> combinations_of(JudgedTarget& target,
                                         const oracle::judged::JudgedOperation* operation = nullptr,
                                         std::optional<DType> dtype = {},
                                         std::vector<Declined>* declined = nullptr);

// The same combination where a target takes no call with statistics that it may take without; nothing for
// others.
std::optional<Combination> without_statistics(Combination combination);

// Of operations that write these codes in some combination, those combinations alone.
void keep_codes(std::vector<Combination>& combinations, DType codes);

// Call `index` of a seed: first one of each size where kernels change how they work, then random ones. With
// the outputs that are asked for, and places in memory. Nothing where no such call lies inside the limits.
std::optional<Call> verification_call(const Combination& combination, std::uint64_t seed, std::int64_t index);
// Of these calls so many are of chosen sizes.
std::int64_t chosen_sizes();
// An ordinary call with as many rows and columns as tell policies apart; other numbers are others: shorter,
// and with rows that are not ordinary. With statistics, unless the combination never has them.
std::optional<Call> telling_call(const Combination& combination, std::uint64_t seed, std::int64_t index = 0);

// A call of about this size, with outputs asked for and places, whose values do not matter.
std::optional<Call> call_of_size(const Combination& combination, std::int64_t rows, std::int64_t hidden,
                                 Random& random);

// A call of at most so many rows and columns, of any values, with outputs asked for and places.
std::optional<Call> call_within(const Combination& combination, std::int64_t rows, std::int64_t hidden,
                                Random& random);

// The call with outputs asked for: those of `like`; all that the operation has.
Call asking_like(Call inputs, const Call& like, const Policy& policy);
Call asking_for_all(Call inputs, const Policy& policy);
// The call with outputs that hold what lies there before a run.
Call without_contents(Call call);
// A row, or token, of the call as a call of its own, with the outputs that do not sum over rows; nothing
// where there are none.
std::optional<Call> row_alone(const Call& call, std::int64_t row, const Policy& policy);
// The same call with its tensors elsewhere, as usual or not, within the limits.
Call lying_elsewhere(const Combination& combination, Call call, Random& random);

}  // namespace normproof::judging
