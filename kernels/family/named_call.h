// NamedCall: a call of an operation of the norm family, with tensors by role and numbers by name. Roles and
// names are those of oracle/judged/README.md.
#pragma once

#include <span>
#include <string_view>

#include "kernels/rms_norm.h"

namespace normproof::kernels {

struct NamedTensor {
  std::string_view role;
  Tensor tensor;
};
struct NamedNumber {
  std::string_view name;
  float value = 0;
};

struct NamedCall {
  std::string_view operation;
  std::span<const NamedTensor> tensors;
  std::span<const NamedNumber> numbers;
  Launch launch;

  // Null where the call has none.
  const Tensor* find(std::string_view role) const {
    for (const NamedTensor& each : tensors)
      if (each.role == role) return &each.tensor;
    return nullptr;
  }
  // Of a tensor that is one number in fp32; null where the call has none.
  const float* address_of_number(std::string_view role) const {
    const Tensor* tensor = find(role);
    return tensor == nullptr ? nullptr : static_cast<const float*>(tensor->data);
  }
  // `otherwise` where the call has none.
  float number(std::string_view name, float otherwise = 0) const {
    for (const NamedNumber& each : numbers)
      if (each.name == name) return each.value;
    return otherwise;
  }
};

// Runs the call on `stream`; what it says and when it returns is as in rms_norm.h.
Status run(const NamedCall& call, Stream stream, LaunchReport* report);

// An operation that run() knows: a row of the table in operations.cpp.
struct FamilyOperation {
  std::string_view name;
  // Of a call whose tensors fulfil the operation's rules (call_checks.h)
  // or not: it checks them.
  Status (*run)(const NamedCall& call, Stream stream, LaunchReport* report);
};
std::span<const FamilyOperation> family_operations();

}  // namespace normproof::kernels
