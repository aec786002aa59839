// What an operation is, as data: its tensors by role, its parameters, its steps. One row of the table in
// operation.cpp says it; whatever asks "does it have a residual, where does the output lie, which ranks"
// reads that row.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"

namespace normproof {

enum class Operation : std::uint8_t {
  rms_norm,
  fused_add_rms_norm,
  rms_norm_static_fp8_quant,
  fused_add_rms_norm_static_fp8_quant,
  rms_norm_dynamic_quant,
  fused_add_rms_norm_dynamic_quant,
};

// What a tensor is to an operation.
enum class Role : std::uint8_t { input, residual, out, residual_out, weight, scale, scales, scale_ub };
inline constexpr std::array kRoles = {Role::input,  Role::residual, Role::out,    Role::residual_out,
                                      Role::weight, Role::scale,    Role::scales, Role::scale_ub};

enum class Direction : std::uint8_t { in, out };

// How many elements a tensor has, and how they are laid out.
enum class Extent : std::uint8_t {
  elements,  // the shape of the case, rows with strides
  hidden,    // [H], without gaps
  row,       // one element for each row: the shape of the case with 1 for H, without gaps
  one        // [1]
};

// Which dtype a tensor has.
enum class DTypeRule : std::uint8_t {
  activation,  // T
  weight,      // W: T or fp32
  output,      // T, or fp32 where the case says so
  codes,       // Q
  residual,    // T, or fp32 where the case says so
  fp32
};

// How an output lies to an input.
enum class Aliasing : std::uint8_t {
  never,   // memory of its own
  may,     // the case chooses, by `in_place`
  always,  // it is written over the input
};

struct TensorSpec {
  Role role;
  Direction direction;
  Extent extent;
  DTypeRule dtype;
  bool optional = false;  // a case may do without it
  Aliasing aliasing = Aliasing::never;
  Role aliased = Role::input;  // the input that an output may or must overwrite
};

// A number of the call. Its fp32 bits stand in the case. scale_ub is the upper bound of the maxima that
// scales of rows are made of: a number above 0, or infinity, which is none.
enum class Parameter : std::uint8_t { epsilon, scale, scale_ub };
inline constexpr std::array kParameters = {Parameter::epsilon, Parameter::scale, Parameter::scale_ub};
struct ParameterSpec {
  Parameter parameter;
  std::string_view name;
  std::uint32_t usual_bits;     // what a case has that does not say
  std::optional<Role> lies_in;  // the tensor of one element that holds it; otherwise it is passed by value
};

// The steps of an operation in order. The oracle has a formula for each.
enum class NormStep : std::uint8_t {
  add_residual,
  normalize,
  quantize,        // by one scale that is given
  quantize_by_row  // by the row's largest value, which gives the scale that comes out
};

struct OperationSpec {
  Operation operation;
  std::string_view name;
  std::string_view sentence;
  std::span<const TensorSpec> tensors;  // in the order of the C call
  std::span<const Parameter> parameters;
  std::span<const NormStep> steps;
  std::size_t greatest_rank;  // of the shape; the least is 2
  // It computes the same as this operation followed by its own last step, or preceded by its own first one.
  std::optional<Operation> without_last_step;
  std::optional<Operation> without_first_step;
};

// The table, in the order of the enumeration.
std::span<const OperationSpec> operation_specs();
const OperationSpec& spec_of(Operation operation);
const ParameterSpec& spec_of(Parameter parameter);

// Whether these fp32 bits may be an upper bound of scales.
inline bool is_upper_bound(std::uint32_t bits) { return bits != 0 && bits <= 0x7f800000u; }

std::string_view name_of(Operation operation);
std::optional<Operation> operation_from_name(std::string_view name);
std::string_view name_of(Role role);
// In the order of the table.
std::span<const Operation> all_operations();
std::span<const Operation> operations_that_quantize();
std::span<const Operation> operations_with(NormStep step);

// The one that has these steps and no others. Throws std::invalid_argument where there is none.
Operation operation_of(std::initializer_list<NormStep> steps);
// Without its last step and its first one, as far as there are such operations.
Operation smallest_part(Operation operation);

// nullptr where the operation has no such tensor.
const TensorSpec* find_tensor(Operation operation, Role role);
inline bool has(Operation operation, Role role) { return find_tensor(operation, role) != nullptr; }
bool has(Operation operation, NormStep step);
bool has(Operation operation, Parameter parameter);
// Whether a call may do without a number that the operation has: it lies in a tensor that is optional.
bool may_lack(Operation operation, Parameter parameter);
bool has(Operation operation, DTypeRule rule);
// Whether a case may choose that the output is written over the input, and whether it always is.
bool may_be_in_place(Operation operation);
bool overwrites_input(Operation operation);
// Whether a case holds values for the tensor: an input that is more than the place of a parameter.
bool is_data(Operation operation, Role role);
bool is_output(Operation operation, Role role);
// Whether the tensor is the place of a parameter.
bool holds_parameter(Role role);

inline bool adds_residual(Operation operation) { return has(operation, NormStep::add_residual); }
// The tensor whose rows are normalized: x, or the sum with the residual as it is stored.
inline Role normalized_tensor(Operation operation) {
  return adds_residual(operation) ? Role::residual_out : Role::input;
}
// Whether `out` has a quantized dtype.
inline bool quantizes(Operation operation) { return has(operation, DTypeRule::codes); }
inline bool quantizes_by_row(Operation operation) { return has(operation, NormStep::quantize_by_row); }
// The dtypes that `out` may have where it is quantized: fp8 first, and int8 where rows get scales of their
// own; none where it is not.
std::vector<DType> code_dtypes(Operation operation);
bool may_quantize_to(Operation operation, DType dtype);

}  // namespace normproof
