// A call by name in the making, for tests: tensors with roles, numbers with names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/family/named_call.h"
#include "test_tensor.h"

namespace normproof::kernels {

struct FamilyCall {
  std::string operation;
  std::vector<NamedTensor> tensors;
  std::vector<NamedNumber> numbers;
  Launch launch;

  Status run(LaunchReport* report = nullptr) const {
    return kernels::run(NamedCall{operation, tensors, numbers, launch}, nullptr, report);
  }
  Tensor& at(std::string_view role) {
    for (NamedTensor& each : tensors)
      if (each.role == role) return each.tensor;
    throw std::out_of_range(std::string(role));
  }
};

}  // namespace normproof::kernels
