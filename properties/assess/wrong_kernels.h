// Wrong kernels of many kinds. Most follow no policy of the table and may not be given a name; some do, and
// must be given theirs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "properties/assess/plain_kernel.h"
#include "properties/targets/target.h"

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
  Fault fault = Fault::none;  // of a rounding to T
  // That of the table which describes the kernel, if one does: the kernel follows
  // it and is wrong in nothing else.
  std::string_view policy;
  // Whether the case has what the kernel does wrong.
  bool takes(const Case& test_case) const;
  void make_right();
};

const std::vector<WrongKernel>& wrong_kernels();

// A kernel that is right but for `wrong`, as a foreign target; it must outlive the target.
std::unique_ptr<Target> target_of(const WrongKernel& wrong);

// The outputs of the same.
Outputs outputs_of(const WrongKernel& wrong, const Case& test_case, const CaseTensors& tensors);

}  // namespace normproof::assess
