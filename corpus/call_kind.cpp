#include "corpus/call_kind.h"

namespace normproof {

bool CallKind::has(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  return tensor != nullptr && (!tensor->optional || (role == Role::weight && weight_dtype.has_value()));
}

bool CallKind::has_strides(Role role) const {
  const TensorSpec* tensor = find_tensor(operation, role);
  return tensor != nullptr && tensor->extent == Extent::elements;
}

std::vector<Role> CallKind::inputs_with_rows() const {
  std::vector<Role> roles;
  for (const Role role : kRoles)
    if (has_data(role) && has_strides(role)) roles.push_back(role);
  return roles;
}

CallKind call_kind(Operation operation, DType dtype, std::optional<DType> weight_dtype, DType codes) {
  CallKind kind{operation, dtype, weight_dtype, {}};
  if (quantizes(operation)) kind.quantized_dtype = codes;
  return kind;
}

std::vector<CallKind> call_kinds(Operation operation, DType dtype, DType codes) {
  std::vector<CallKind> kinds = {call_kind(operation, dtype, dtype, codes)};
  if (dtype != DType::fp32) kinds.push_back(call_kind(operation, dtype, DType::fp32, codes));
  kinds.push_back(call_kind(operation, dtype, std::nullopt, codes));
  return kinds;
}

std::string kind_text(const CallKind& kind) {
  std::string text(name_of(kind.operation));
  text.append(" ").append(name_of(kind.dtype)).append(", ");
  text += kind.weight_dtype ? "weight " + std::string(name_of(*kind.weight_dtype)) : "no weight";
  if (kind.has_codes()) text.append(", out ").append(name_of(kind.output_dtype()));
  return text;
}

}  // namespace normproof
