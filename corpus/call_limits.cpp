// Limits of calls: what is outside, and how a case gets inside.
#include "corpus/call_limits.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace normproof {
namespace {

// So many elements are the alignment of the tensor.
std::int64_t aligned_elements(const CallLimits& limits, const Case& test_case, Role role) {
  const auto bytes = static_cast<std::int64_t>(size_of(test_case.dtype_of(role)));
  return std::max<std::int64_t>(limits.alignment / std::gcd(limits.alignment, bytes), 1);
}

// Whether the tensor's address, and every row's, is a multiple of so many elements.
bool is_aligned(const Case& test_case, Role role, std::int64_t elements) {
  const TensorLayout& layout = test_case[role].layout;
  if (layout.offset % elements != 0) return false;
  if (!test_case.has_strides(role)) return true;
  if (layout.strides.empty()) return test_case.rows() <= 1 || test_case.hidden_size() % elements == 0;
  for (std::size_t dim = 0; dim < layout.strides.size(); ++dim)
    if (test_case.shape[dim] > 1 && layout.strides[dim] % elements != 0) return false;
  return true;
}

// Strides that take a row up to the next aligned element.
std::vector<std::int64_t> aligned_strides(const Case& test_case, std::int64_t elements) {
  std::vector<std::int64_t> strides(test_case.shape.size() - 1);
  std::int64_t step = (test_case.hidden_size() + elements - 1) / elements * elements;
  for (std::size_t dim = strides.size(); dim-- > 0; step *= std::max<std::int64_t>(test_case.shape[dim], 1))
    strides[dim] = step;
  return strides;
}

void fit_shape(const CallLimits& limits, Case& test_case) {
  const std::int64_t hidden = hidden_inside(limits, test_case.hidden_size());
  const bool ranks_fit =
      limits.greatest_rank == 0 || static_cast<std::int64_t>(test_case.shape.size()) <= limits.greatest_rank;
  const std::int64_t rows = test_case.rows();
  const std::int64_t wanted = rows_inside(limits, rows);
  if (!ranks_fit || wanted != rows) {
    test_case.shape = {wanted, hidden};
    for (CaseTensor& tensor : test_case.tensors) tensor.layout.strides.clear();
  } else if (hidden != test_case.hidden_size()) {
    // Rows may overlap at the old strides.
    if (hidden > test_case.hidden_size())
      for (CaseTensor& tensor : test_case.tensors) tensor.layout.strides.clear();
    test_case.shape.back() = hidden;
  }
}

// Values that are listed follow the shape: what is beyond it goes, what is missing repeats what is there.
void fit_values(std::int64_t old_rows, std::int64_t old_hidden, Case& test_case) {
  const std::int64_t hidden = test_case.hidden_size();
  for (const Role role : kRoles) {
    std::vector<std::byte>& bytes = test_case[role].data.bytes;
    if (bytes.empty() || !test_case.has_data(role)) continue;
    const bool has_rows = find_tensor(test_case.operation, role)->extent == Extent::elements;
    const std::int64_t rows = has_rows ? test_case.rows() : 1;
    const DType dtype = test_case.dtype_of(role);
    std::vector<std::byte> fitted(static_cast<std::size_t>(rows * hidden) * size_of(dtype));
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t column = 0; column < hidden; ++column) {
        const std::int64_t from = (has_rows ? row % old_rows : 0) * old_hidden + column % old_hidden;
        store_bits(fitted, dtype, row * hidden + column, load_bits(bytes, dtype, from));
      }
    bytes = std::move(fitted);
  }
}

}  // namespace

std::int64_t hidden_inside(const CallLimits& limits, std::int64_t hidden) {
  if (limits.greatest_hidden > 0) hidden = std::min(hidden, limits.greatest_hidden);
  if (limits.hidden_multiple > 0)
    hidden = std::max(hidden / limits.hidden_multiple, std::int64_t{1}) * limits.hidden_multiple;
  return hidden;
}

std::int64_t rows_inside(const CallLimits& limits, std::int64_t rows) {
  rows = std::max(rows, limits.least_rows);
  return limits.greatest_rows > 0 ? std::min(rows, limits.greatest_rows) : rows;
}

std::string what_is_outside(const CallLimits& limits, const Case& test_case) {
  if (limits == CallLimits{}) return {};  // as nearly all kernels have
  const std::int64_t hidden = test_case.hidden_size(), rows = test_case.rows();
  const auto rank = static_cast<std::int64_t>(test_case.shape.size());
  const auto text = [](std::int64_t value) { return std::to_string(value); };
  const auto over = [](std::int64_t value, std::int64_t limit) { return limit > 0 && value > limit; };
  if (limits.hidden_multiple > 0 && hidden % limits.hidden_multiple != 0)
    return "hidden sizes that are no multiple of " + text(limits.hidden_multiple);
  if (over(hidden, limits.greatest_hidden)) return "hidden sizes above " + text(limits.greatest_hidden);
  if (over(rank, limits.greatest_rank)) return "more than " + text(limits.greatest_rank) + " dimensions";
  if (rows < limits.least_rows) return "fewer than " + text(limits.least_rows) + " rows";
  if (over(rows, limits.greatest_rows)) return "more than " + text(limits.greatest_rows) + " rows";
  for (const Role role : kRoles) {
    if (!test_case.has_layout(role)) continue;
    if (limits.contiguous && !test_case[role].layout.strides.empty()) return "rows with gaps";
    if (limits.alignment > 0 && !is_aligned(test_case, role, aligned_elements(limits, test_case, role)))
      return "addresses and rows that are not aligned to " + text(limits.alignment) + " bytes";
  }
  if (limits.not_in_place && test_case.in_place) return "calls in place";
  if (limits.epsilon_is_set &&
      test_case.bits_of(Parameter::epsilon) != std::bit_cast<std::uint32_t>(limits.epsilon))
    return "an epsilon that is not its own";
  return {};
}

void fit_to(const CallLimits& limits, Case& test_case) {
  if (limits == CallLimits{}) return;
  const std::int64_t rows = test_case.rows(), hidden = test_case.hidden_size();
  fit_shape(limits, test_case);
  if (test_case.rows() != rows || test_case.hidden_size() != hidden) fit_values(rows, hidden, test_case);
  if (limits.not_in_place) test_case.in_place = false;
  if (limits.epsilon_is_set)
    test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(limits.epsilon);
  for (const Role role : kRoles) {
    if (!test_case.has_layout(role)) continue;
    TensorLayout& layout = test_case[role].layout;
    if (limits.contiguous) layout.strides.clear();
    if (limits.alignment == 0) continue;
    const std::int64_t elements = aligned_elements(limits, test_case, role);
    layout.offset -= layout.offset % elements;
    if (is_aligned(test_case, role, elements)) continue;
    layout.strides.clear();
    if (!is_aligned(test_case, role, elements) && !limits.contiguous)
      layout.strides = aligned_strides(test_case, elements);
  }
}

void give_values(Case& test_case) {
  for (const Role role : kRoles) {
    TensorData& data = test_case[role].data;
    if (test_case.has_data(role) && test_case.elements_of(role) > 0 && data.bytes.empty() && !data.recipe)
      data.recipe = Recipe{"normal", 0};
  }
}

}  // namespace normproof
