// Inputs for relations between calls, and what is done to tensors to relate them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "properties/judged/verification_call.h"

namespace normproof::judging {

// Small integers, and H a power of two: every sum of a row is exact in fp32, in any order, and so is a mean.
std::optional<Call> call_with_exact_sums(const Combination& combination, Random& random);
// Numbers from 1/4 to 8: nothing overflows or gets subnormal if they are scaled by 2^-3 to 2^3.
std::optional<Call> moderate_call(const Combination& combination, Random& random);

// Multiplies each element by a number; the products must be exact. Tensors that
// the call does not have stay away.
void scale(Call& call, std::initializer_list<std::string_view> tensors, double factor);
// Overwrites the elements of a tensor that `chosen` says.
void overwrite(oracle::judged::Tensor& tensor, const std::function<bool(std::int64_t)>& chosen,
               const std::function<double(std::int64_t)>& value);
// The columns of all tensors that have a row's columns moved to the right, `distance` of them around.
Call with_columns_rotated(Call call, std::int64_t distance);

// The numbers of an output: two for each byte of e2m1, the exponent's byte for a scale in e8m0.
std::vector<double> values_of(const oracle::judged::TensorSpec& spec, const oracle::judged::Tensor& tensor);
// The first value of the second call's outputs that is not what `wanted` makes of the first's: nothing is not
// compared; +0 and -0 are the same, and any NaN.
using Wanted = std::function<std::optional<double>(const oracle::judged::TensorSpec& spec,
                                                   const std::vector<double>& first, std::int64_t index)>;
std::string first_difference(const Call& first, const Call& second, const Wanted& wanted);

}  // namespace normproof::judging
