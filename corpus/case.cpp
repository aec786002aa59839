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
    case DType::int8:
    case DType::uint8:
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

ParameterBits usual_parameters() {
  ParameterBits bits{};
  for (const Parameter parameter : kParameters)
    bits[static_cast<std::size_t>(parameter)] = spec_of(parameter).usual_bits;
  return bits;
}

float Case::value_of(Parameter parameter) const { return std::bit_cast<float>(bits_of(parameter)); }

Role Case::memory_of(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  if (tensor == nullptr) return role;
  const bool overwrites =
      tensor->aliasing == Aliasing::always || (tensor->aliasing == Aliasing::may && in_place);
  return overwrites ? tensor->aliased : role;
}

bool Case::has_scale_ub() const {
  return normproof::has(operation, Parameter::scale_ub) &&
         bits_of(Parameter::scale_ub) != spec_of(Parameter::scale_ub).usual_bits;
}

bool Case::has_layout(Role role) const {
  return has(role) && memory_of(role) == role && !holds_parameter(role);
}

std::string Case::why_no(Role role) const {
  if (find_tensor(operation, role) != nullptr)
    return "the case has no " + std::string(name_of(role)) + (role == Role::weight ? "_dtype" : "");
  return std::string(name_of(operation)) + " has no " + std::string(name_of(role));
}

std::string Case::what_no_target_has() const {
  const std::string beside = " beside " + std::string(name_of(dtype)) + " activations";
  if (fp32_output) return "fp32 outputs" + beside;
  if (fp32_residual) return "fp32 residuals" + beside;
  return {};
}

DType Case::dtype_of(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  switch (tensor == nullptr ? DTypeRule::activation : tensor->dtype) {
    case DTypeRule::activation:
      return dtype;
    case DTypeRule::weight:
      return weight_dtype.value_or(dtype);
    case DTypeRule::output:
      return fp32_output ? DType::fp32 : dtype;
    case DTypeRule::codes:
      return quantized_dtype.value_or(dtype);
    case DTypeRule::residual:
      return fp32_residual ? DType::fp32 : dtype;
    case DTypeRule::fp32:
      return DType::fp32;
  }
  return dtype;
}

void Case::set_dtype(const TensorSpec& tensor, DType given) {
  switch (tensor.dtype) {
    case DTypeRule::weight:
      weight_dtype = given;
      break;
    case DTypeRule::output:
      fp32_output = given != dtype;
      break;
    case DTypeRule::codes:
      quantized_dtype = given;
      break;
    case DTypeRule::residual:
      fp32_residual = given != dtype;
      break;
    case DTypeRule::activation:
    case DTypeRule::fp32:
      break;
  }
}

std::vector<std::int64_t> Case::shape_of(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  switch (tensor == nullptr ? Extent::elements : tensor->extent) {
    case Extent::elements:
      return shape;
    case Extent::hidden:
      return {hidden_size()};
    case Extent::row: {
      std::vector<std::int64_t> sizes = shape;
      sizes.back() = 1;
      return sizes;
    }
    case Extent::one:
      return {1};
  }
  return shape;
}

bool Case::has_rows(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  switch (tensor == nullptr ? Extent::elements : tensor->extent) {
    case Extent::elements:
    case Extent::row:
      return true;
    case Extent::hidden:
    case Extent::one:
      return false;
  }
  return false;
}

std::int64_t Case::rows_of(Role role) const { return has_rows(role) ? rows() : 1; }

std::int64_t Case::columns_of(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  switch (tensor == nullptr ? Extent::elements : tensor->extent) {
    case Extent::elements:
    case Extent::hidden:
      return hidden_size();
    case Extent::row:
    case Extent::one:
      return 1;
  }
  return 1;
}

std::int64_t Case::elements_of(Role role) const {
  return has(role) ? saturating_product(rows_of(role), columns_of(role)) : 0;
}

std::size_t Case::bytes_of(Role role) const {
  return static_cast<std::size_t>(elements_of(role)) * size_of(dtype_of(role));
}

void set_data(Case& test_case, const CaseTensors& values) {
  for (const Role role : kRoles) test_case[role].data = {values[role], std::nullopt};
}

void forget_data(Case& test_case) { set_data(test_case, {}); }

void make_plain(Case& test_case) {
  for (CaseTensor& tensor : test_case.tensors) tensor.layout = {};
  test_case.in_place = false;
  test_case.launch = {};
  test_case.schedule = {};
}

void shift(Case& test_case, std::int64_t offset) {
  for (const Role role : kRoles)
    if (test_case.has_layout(role)) test_case[role].layout.offset = offset;
}

void keep_what_it_has(Case& test_case) {
  const Operation operation = test_case.operation;
  if (!has(operation, DTypeRule::output)) test_case.fp32_output = false;
  if (!has(operation, DTypeRule::residual)) test_case.fp32_residual = false;
  if (test_case.has_codes() && !may_quantize_to(operation, test_case.output_dtype()))
    test_case.kind() = call_kind(operation, test_case.dtype, test_case.weight_dtype);
  for (const Parameter parameter : kParameters)
    if (!has(operation, parameter)) test_case.bits_of(parameter) = spec_of(parameter).usual_bits;
  if (!may_be_in_place(operation)) test_case.in_place = false;
  for (const Role role : kRoles) {
    if (!test_case.has_data(role)) test_case[role].data = {};
    if (!test_case.has_layout(role)) test_case[role].layout = {};
  }
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
