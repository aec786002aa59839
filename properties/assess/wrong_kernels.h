// Wrong kernels of many kinds: none of them follows a policy of the table, so none may be given a name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "properties/run/target.h"

namespace normproof::assess {

// What a wrong r is computed from.
struct RowOfCall {
  std::span<const float> operands;                   // of the variance
  std::span<const std::vector<float>> all_operands;  // of every row
  std::size_t row = 0;
  double epsilon = 0;
};

struct WrongKernel {
  std::string_view name;
  // Where one is given, it replaces that part of a kernel that is right otherwise.
  std::function<double(const RowOfCall&)> root;
  std::function<void(const Case&, CaseTensors&)> operands;  // what the kernel reads
  std::function<void(const Case&, Outputs&)> outputs;       // what becomes of right outputs
  bool needs_weight = false;
  bool needs_residual = false;
  // Where it shows in one of 10,000 outputs of fp8 or fewer, which no question of `identify` is sure to meet.
  bool too_small_for_fp8 = false;
  bool takes(const Case& test_case) const;
};

const std::vector<WrongKernel>& wrong_kernels();

// A kernel that is right but for `wrong`, as a foreign target; it must outlive the target.
std::unique_ptr<Target> target_of(const WrongKernel& wrong);

// The outputs of the same.
Outputs outputs_of(const WrongKernel& wrong, const Case& test_case, const CaseTensors& tensors);

}  // namespace normproof::assess
