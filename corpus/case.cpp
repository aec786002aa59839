// The vocabulary of a Case: names, element sizes, element counts, and bits in packed data.
#include "corpus/case.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "corpus/case_names.h"

namespace normproof {
namespace {

template <class Value, class Names>
std::optional<Value> find_value(const Names& names, std::string_view name) {
  const auto found = std::ranges::find(names, name, [](const auto& entry) { return entry.second; });
  if (found == names.end()) return std::nullopt;
  return found->first;
}

// a * b for non-negative numbers, or the largest number where that does not fit.
std::int64_t saturating_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::numeric_limits<std::int64_t>::max();
  return product;
}

}  // namespace

std::string_view name_of(DType dtype) { return find_name(kDTypeNames, dtype); }

std::optional<DType> dtype_from_name(std::string_view name) { return find_value<DType>(kDTypeNames, name); }

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return 4;
    case DType::fp16:
    case DType::bf16:
      return 2;
    case DType::fp8_e4m3fn:
    case DType::fp8_e5m2:
    case DType::fp8_e4m3fnuz:
    case DType::fp8_e5m2fnuz:
      return 1;
  }
  return 1;
}

std::int64_t Case::rows() const {
  if (shape.empty()) return 0;
  const auto hidden = shape.end() - 1;
  // An empty dimension empties the tensor, however large the others are.
  if (std::any_of(shape.begin(), hidden, [](std::int64_t size) { return size <= 0; })) return 0;
  std::int64_t rows = 1;
  for (auto size = shape.begin(); size != hidden; ++size) rows = saturating_product(rows, *size);
  return rows;
}

std::int64_t Case::elements() const {
  if (shape.empty() || shape.back() <= 0) return 0;
  return saturating_product(rows(), shape.back());
}

void make_plain(Case& test_case) {
  test_case.input_layout = test_case.residual_layout = test_case.output_layout = {};
  test_case.weight_offset = 0;
  test_case.in_place = false;
  test_case.launch = {};
  test_case.schedule = {};
}

bool Case::has(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  return tensor != nullptr && (!tensor->optional || weight_dtype.has_value());
}

Role Case::memory_of(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  if (tensor == nullptr) return role;
  const bool overwrites =
      tensor->aliasing == Aliasing::always || (tensor->aliasing == Aliasing::may && in_place);
  return overwrites ? tensor->aliased : role;
}

float Case::epsilon() const { return std::bit_cast<float>(epsilon_bits); }
float Case::scale() const { return std::bit_cast<float>(scale_bits); }

void keep_what_it_has(Case& test_case) {
  const Operation operation = test_case.operation;
  if (!quantizes(operation)) test_case.quantized_dtype.reset();
  if (!has(operation, Parameter::scale)) test_case.scale_bits = spec_of(Parameter::scale).usual_bits;
  if (!may_be_in_place(operation)) test_case.in_place = false;
  if (!has(operation, Role::residual)) {
    test_case.residual = {};
    test_case.residual_layout = {};
  }
  if (test_case.memory_of(Role::out) != Role::out) test_case.output_layout = {};
}

std::uint32_t load_bits(std::span<const std::byte> data, DType dtype, std::int64_t index) {
  const std::size_t size = size_of(dtype);
  const std::byte* element = data.data() + static_cast<std::size_t>(index) * size;
  std::uint32_t bits = 0;
  for (std::size_t byte = 0; byte < size; ++byte) {
    bits |= std::to_integer<std::uint32_t>(element[byte]) << (8 * byte);
  }
  return bits;
}

void store_bits(std::vector<std::byte>& data, DType dtype, std::int64_t index, std::uint32_t bits) {
  const std::size_t size = size_of(dtype);
  std::byte* element = data.data() + static_cast<std::size_t>(index) * size;
  for (std::size_t byte = 0; byte < size; ++byte) element[byte] = static_cast<std::byte>(bits >> (8 * byte));
}

}  // namespace normproof
