// Derived cases: what properties that relate two runs change about a case, and running the result.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "properties/property.h"

namespace normproof {

// Thrown where a foreign target is not made for a call.
struct NotTaken {};

// A call, ready to run: the case says how, the tensors hold the data (the case's own data are ignored).
struct Call {
  Case how;
  CaseTensors tensors;
};
Call call_of(const Case& test_case);
// The call as a case that lists its data.
Case case_of(const Call& call);

// The rows that a run normalized: those of x, or of the sum that it stored.
const std::vector<std::byte>& normalized_rows(const Call& call, const Outputs& outputs);

// The call as rank 2 with contiguous rows, out of place, its launch chosen automatically. Data as they are.
Call flattened(const Call& call);
// A flattened call of the given rows of `call`, in this order.
Call with_rows(const Call& call, const std::vector<std::int64_t>& rows);
// The same data, layout and scalars through another operation. A residual that the operation does not add is
// dropped, and so is a quantization that it does not do; requires that `operation` adds and does no more.
Call through(const Call& call, Operation operation);
// Row-wise norm of other data: `call` as rms_norm or rms_norm_static_fp8_quant of `input`.
Call norm_of(const Call& call, Operation operation, std::vector<std::byte> input);

// Every element of packed `data` replaced by f(bits).
template <class Function>
std::vector<std::byte> map_bits(const std::vector<std::byte>& data, DType dtype, Function function) {
  std::vector<std::byte> result(data.size());
  const auto elements = static_cast<std::int64_t>(data.size() / size_of(dtype));
  for (std::int64_t index = 0; index < elements; ++index)
    store_bits(result, dtype, index, function(load_bits(data, dtype, index)));
  return result;
}

// Runs a call that the contract allows. A run that does not complete throws std::runtime_error that says
// which call it was and what the target says.
RunResult run(const Call& call, Target& target);

// One-line summary for messages: operation, shape, layout, launch.
std::string summary(const Case& test_case);

}  // namespace normproof
