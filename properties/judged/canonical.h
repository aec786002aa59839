// The canonical order of summation as a judge: every bit of every output, for kernels that promise it.
#pragma once

#include <span>
#include <string>

#include "properties/judged/judge.h"

namespace normproof::judging {

// The call with what the canonical order gives for these outputs, or all that it has; their dtypes and shapes
// count.
Call as_canonical(Call call, const Policy& policy, std::span<const std::string> outputs);
Call as_canonical(Call call, const Policy& policy);

// What of the outputs has other bits than as_canonical(); of two NaN the bits are not compared.
Judgement compare_with_canonical(const Call& call, const Policy& policy, std::size_t listed);

}  // namespace normproof::judging
