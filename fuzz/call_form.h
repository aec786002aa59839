// Calls by name, as fuzzers make them: what a call is apart from its values, so that any form fits, and a
// call of that form. So whatever a mutation asks for becomes a valid call, of every operation in the table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "corpus/random.h"
#include "oracle/judged/operation.h"
#include "properties/targets/worker/protocol.h"

namespace normproof::fuzz {

using oracle::judged::Call;
using oracle::judged::JudgedOperation;
using Spec = oracle::judged::TensorSpec;

// The calls of a harness.
struct CallSpace {
  std::vector<const JudgedOperation*> operations;  // at least one
  std::int64_t max_hidden = 600;                   // even
  std::int64_t max_elements = 1200;                // of x
};

struct CallForm {
  const JudgedOperation* operation = nullptr;
  DType dtype = DType::bf16;        // of x
  std::vector<std::int64_t> shape;  // of x
  std::int64_t pairs = 0;           // of a head that are rotated
  std::int64_t blocks = 1;          // of a row, where an operation leaves the size of a block open
  // Of those that the numbers of blocks may lie in; of another operation, which of x's leading dimensions
  // weight and bias have.
  std::uint8_t layout = 0;
  bool flat_rows = false;  // numbers for each row come without a last dimension of 1
  // By place in the operation's table: which of dtypes_for() the tensor has; nothing: there is no such
  // tensor.
  std::array<std::optional<std::uint8_t>, worker::kMaximumTensors> choices{};
};

// Those that a tensor may have where x has `dtype`.
std::vector<DType> dtypes_for(const Spec& spec, DType dtype);

// The form that is meant, within the space: what is too large is cut, what is missing is there.
CallForm fitted(CallForm form, const CallSpace& space);
CallForm form_of(const Call& call);

// Where the numbers of blocks lie; of an operation that has some.
oracle::judged::BlockLayout layout_of(const CallForm& form);

// Whether the tensor may be a view [rows, blocks] whose columns lie one after the other.
bool may_lie_by_columns(const Call& call, const Spec& spec);

// A call of a fitted form: inputs are zeros, numbers 1, outputs what lies there before a run.
Call empty_call(const CallForm& form);
// A call of a fitted form, with the values of `from` as far as they fit. What it lacks is drawn; statistics
// of the forward pass are those of x.
Call refitted(const CallForm& form, const Call& from, Random& random);

// Whether it can be run and judged at all.
bool is_valid(const Call& call);
// What our kernels promise of such a call: the native policy, and powers of two as scales in bytes.
oracle::judged::Policy policy_of(const Call& call);

}  // namespace normproof::fuzz
