// Inputs of judged operations that break norm kernels, and the smallest of them that still do.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "properties/judged/judge.h"

namespace normproof::judging {

struct CaseDemand {
  const oracle::judged::JudgedOperation* operation = nullptr;
  DType dtype = DType::bf16;
  // Of tensors whose dtype is T or fp32; nothing: left out where they are optional.
  std::optional<DType> weight, bias, rotation;
  std::optional<std::uint32_t> epsilon;  // fp32 bits
  std::int64_t max_rows = 8;
  std::int64_t least_rows = 1;  // wins over max_rows
  std::int64_t max_hidden = 4096;
  std::int64_t hidden_multiple = 1;  // wins over max_hidden
  bool with_optional = false;        // also inputs of the shape of x that may be missing, such as dresidual
  bool with_bound = false;           // also numbers that may be missing: scale_ub
  bool with_rows = false;            // also weights and biases of several rows, where the operation has them
  bool with_statistics = true;  // else without inputs that are computed of others, where these may be missing
  bool finite = false;          // no infinity and no NaN in the tensors
};

// Case `index` of a seed, the same on every machine: no outputs. Half of them are small (H 1 to 8), others
// have the sizes of models; rows are ordinary, far from zero, nearly constant,
// constant, tiny, huge or special.
Call random_call(const CaseDemand& demand, std::uint64_t seed, std::int64_t index);

// The simplest call that still fails, found in at most `seconds`. Dtypes, the tensors that there are and
// epsilon stay. `still_fails` gets calls without outputs; `policy` says which columns belong together.
Call minimized(const Call& failing, const Policy& policy, const std::function<bool(const Call&)>& still_fails,
               double seconds);

// The call without outputs.
Call without_outputs(const Call& call);

// The part of a call with outputs that shows a violation: the row, or the column of a sum over rows.
Call violating_part(const Call& call, const Violation& violation, const Policy& policy);

}  // namespace normproof::judging
