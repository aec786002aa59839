// What the studies of judges of whole calls have in common.
#pragma once

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "oracle/box_search/random_rows.h"
#include "oracle/judged/operation.h"
#include "properties/assess/study.h"

namespace normproof::assess::family {

inline oracle::judged::Tensor tensor_of(DType dtype, std::vector<std::int64_t> shape,
                                        std::vector<float> values) {
  return {dtype, std::move(shape), oracle::box_search::packed(std::move(values), dtype)};
}

// The policy that the judge is given for rows that follow `policy`.
inline oracle::judged::Policy judged_policy(oracle::judged::Policy policy, const StudyOptions& options) {
  if (!options.wrong_policy) return policy;
  const auto axes = policy.operation->axes;
  const auto weight = std::ranges::find(axes, std::string_view("weight"), &oracle::judged::Axis::name);
  const auto plus_one =
      std::ranges::find(weight->values, std::string_view("fp32_plus_one"), &oracle::judged::AxisValue::name);
  const auto number = static_cast<std::size_t>(plus_one - weight->values.begin());
  std::size_t& value = policy.values[static_cast<std::size_t>(weight - axes.begin())];
  value = value == number ? 0 : number;
  return policy;
}

}  // namespace normproof::assess::family
