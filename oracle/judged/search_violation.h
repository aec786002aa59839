// What a search found, as a violation; and fp32 numbers out of packed tensors.
#pragma once

#include <algorithm>
#include <bit>
#include <functional>
#include <span>
#include <string_view>

#include "corpus/case.h"
#include "oracle/box_search/row_search.h"
#include "oracle/exact.h"
#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

// Kind, reason, columns and window of a row, head or the like that does not conform.
Violation violation_of(const box_search::RowVerdict& verdict, std::span<const std::string_view> unknowns,
                       const std::function<std::int64_t(std::int64_t)>& column_of = {});

// Says in the violation which unknowns would explain the whole row, had an honest evaluation arrived at them;
// `usual`: what the canonical order arrives at. The kind is then "scale".
void tell_witness(const std::optional<box_search::Point>& witness, const box_search::Point& usual,
                  std::span<const std::string_view> unknowns, Violation& violation);

// From a quarter of a positive number to four times it; both ends are finite.
inline box_search::Side around(float number) {
  return {box_search::order_of(number / 4),
          std::min(box_search::order_of(number * 4), box_search::kPlusInfinity - 1)};
}
// From number - reach to number + reach.
inline box_search::Side around(float number, float reach) {
  return {std::max(box_search::order_of(number - reach), box_search::kMinusInfinity + 1),
          std::min(box_search::order_of(number + reach), box_search::kPlusInfinity - 1)};
}

// Element `index` of a tensor, or of the tensor's row.
inline NamedBits named(std::string_view name, const Tensor& tensor, std::int64_t index) {
  return {name, tensor.dtype, load_bits(tensor.bytes, tensor.dtype, index)};
}

inline NamedBits named(std::string_view name, float number) {
  return {name, DType::fp32, std::bit_cast<std::uint32_t>(number)};
}

inline float number_at(const Tensor& tensor, std::int64_t index) {
  return static_cast<float>(to_double(decode(tensor.dtype, load_bits(tensor.bytes, tensor.dtype, index))));
}
inline std::span<const std::byte> bytes_of(const Tensor* tensor) {
  return tensor == nullptr ? std::span<const std::byte>() : std::span<const std::byte>(tensor->bytes);
}
inline std::optional<DType> dtype_of(const Tensor* tensor) {
  return tensor == nullptr ? std::nullopt : std::optional(tensor->dtype);
}

// In [-1, 1].
inline double signed_unit(Random& random) {
  return static_cast<double>(random.between(-(1 << 24), 1 << 24)) * 0x1p-24;
}

// Hidden elements one by one.
std::vector<ColumnGroup> single_columns(const Call& call, const Policy& policy);
// The bounds of r, and of sums over a row.
inline constexpr Bound kInverseRootUlp = {"inverse_root_ulp", 0, 1 << 20, 2};
inline constexpr Bound kSumDepth = {"sum_depth", 0, std::int64_t{1} << 40, std::nullopt};

// A weight, or a bias, that may have a row for each row of x, or for each of a few.
constexpr TensorSpec with_rows(TensorSpec spec, HiddenRows rows = HiddenRows::any) {
  spec.rows = rows;
  return spec;
}
// What a judge is made with: the first row of a weight or bias, zeros where it has none.
inline std::vector<std::byte> first_hidden_row(const Call& call, std::string_view name) {
  const Tensor* tensor = call.find(name);
  if (tensor == nullptr) return {};
  const std::span<const std::byte> row = call.hidden_row(name, 0);
  std::vector<std::byte> bytes(row.begin(), row.end());
  bytes.resize(static_cast<std::size_t>(call.hidden_size()) * size_of(tensor->dtype));
  return bytes;
}
// An element of a weight or bias that row `row` of x reads.
inline NamedBits named_hidden(const Call& call, std::string_view name, const Tensor& tensor, std::int64_t row,
                              std::int64_t column) {
  return named(name, tensor, call.hidden_index(tensor, row, column));
}

inline constexpr TensorSpec kWeightSpec = {"weight",       Direction::in,
                                           Extent::hidden, DTypeRule::activation_or_fp32,
                                           Need::optional, "the weight; without one: 1"};

}  // namespace normproof::oracle::judged
