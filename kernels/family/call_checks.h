// Checks of a call by name: an operation lists rules for its tensors, and gets rows that a kernel can walk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/family/named_call.h"
#include "kernels/norm_arguments.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {

// Dtypes that a tensor may have, as bits.
using DTypes = std::uint32_t;
template <class... Each>
constexpr DTypes dtypes(Each... each) {
  return ((DTypes{1} << static_cast<unsigned>(each)) | ... | 0);
}
inline constexpr DTypes kAnyActivation = dtypes(DType::fp32, DType::fp16, DType::bf16);
inline constexpr DTypes kAnyFp8 =
    dtypes(DType::fp8_e4m3fn, DType::fp8_e5m2, DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz);
inline constexpr DTypes kAnyFp8OrInt8 = kAnyFp8 | dtypes(DType::int8);
inline constexpr DTypes kLikeX = DTypes{1} << 30;  // that of x; together with others: or one of them
inline constexpr DTypes kLikeXOrFp32 = kLikeX | dtypes(DType::fp32);

enum class TensorShape {
  elements,  // that of x, rank 1 to 4
  hidden,    // [H]
  row,       // that of x with 1 in the last dimension, or without the last dimension
  token,     // that of x without its last dimension but one, of any last size
  one,       // one element
  pairs,     // that of x with half as many in the last dimension: bytes of two
  table,     // rank 1 to 4, rows may have gaps; the operation checks its sizes
  other      // rank 1 to 4; the operation checks its sizes
};

struct TensorRule {
  std::string_view role;
  bool written;
  TensorShape shape;
  DTypes dtypes;
  bool optional = false;
  std::string_view in_place_of = {};  // the tensor that it may be the very same memory of
  // It is read or written a chunk at a time, as many elements as x has in 16 bytes, where the call is
  // vectorized.
  bool in_chunks = false;
  // Of shape hidden: it may have the last dimensions of x, two or more of them; row r of x then goes with its
  // row r modulo their number.
  bool may_have_rows = false;
};

// A call that may be carried out.
struct CheckedCall {
  DType dtype = DType::fp32;  // of x
  LeadingDimensions rows;
  std::int64_t hidden = 0;
  bool vectorized = false;
  bool has_rows_of_weights = false;  // a tensor of shape hidden has several; see weight_rows.h

  // Which address and strides a tensor's rows have, for the tensors of shape elements, pairs, row and token,
  // and what the others have for rows of their own; null data where the call has no such tensor.
  struct Rows {
    void* data = nullptr;
    RowStrides strides;
  };
  Rows of(std::string_view role) const;
  // The same into a kernel's arguments; `data` is a pointer to what is there, const or not.
  template <class Pointer>
  void place(std::string_view role, Pointer& data, RowStrides& strides) const {
    const Rows found = of(role);
    data = found.data;
    strides = found.strides;
  }

  std::array<std::string_view, kMostTensors> roles{};
  std::array<Rows, kMostTensors> places{};
  std::size_t count = 0;
};

// Fills `checked` where the status is ok. The first rule is that of x. Refuses, each with the offending value
// and in this order: tensors and numbers without a rule, tensors that are missing; dtypes, ranks, sizes,
// strides, extents, data pointers as arguments.h has them; written tensors that share a byte with another,
// but for in_place_of; launches. A tensor of shape `other` is packed: its rows follow each other without
// gaps.
Status check(const NamedCall& call, std::span<const TensorRule> rules,
             std::span<const std::string_view> numbers, CheckedCall& checked);

}  // namespace normproof::kernels
