// The kinds of wrong kernels, each one row of a table.
#include "properties/assess/wrong_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "oracle/policy.h"
#include "properties/assess/plain_kernel.h"
#include "properties/bits.h"
#include "properties/detective/policy_class.h"

namespace normproof::assess {
namespace {

using Row = RowOfCall;

double squares(std::span<const float> operands) {
  double sum = 0;
  for (const float x : operands) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum;
}
double size(const Row& row) { return static_cast<double>(row.operands.size()); }
double mean(const Row& row) { return squares(row.operands) / size(row); }
double right(const Row& row) { return 1 / std::sqrt(mean(row) + row.epsilon); }
double root_of_sum(const Row& row, double sum) { return 1 / std::sqrt(sum / size(row) + row.epsilon); }
double with_divisor(const Row& row, double divisor) {
  return 1 / std::sqrt(squares(row.operands) / divisor + row.epsilon);
}
double with_epsilon(const Row& row, double epsilon) { return 1 / std::sqrt(mean(row) + epsilon); }
// r without the squares of the columns that `left_out` names.
template <typename LeftOut>
double without(const Row& row, LeftOut left_out) {
  double sum = 0;
  for (std::size_t column = 0; column < row.operands.size(); ++column) {
    const auto x = static_cast<double>(row.operands[column]);
    if (!left_out(column)) sum += x * x;
  }
  return root_of_sum(row, sum);
}
double root_of_bits(const Row& row, int bits) {
  int exponent = 0;
  const double fraction = std::frexp(right(row), &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}
double quick_root(const Row& row) {
  const auto m = static_cast<float>(mean(row) + row.epsilon);
  const float guess = std::bit_cast<float>(0x5f3759dfu - (std::bit_cast<std::uint32_t>(m) >> 1));
  return static_cast<double>(guess * (1.5f - 0.5f * m * guess * guess));
}
double of_other_row(const Row& row, std::size_t other) {
  Row changed = row;
  changed.operands = row.all_operands[other];
  return right(changed);
}
double of_all_rows(const Row& row) {
  double sum = 0;
  for (const auto& operands : row.all_operands) sum += squares(operands);
  return 1 / std::sqrt(sum / size(row) / static_cast<double>(row.all_operands.size()) + row.epsilon);
}
double centered(const Row& row, double divisor) {
  double sum = 0;
  for (const float x : row.operands) sum += static_cast<double>(x);
  return 1 / std::sqrt((squares(row.operands) - sum * sum / size(row)) / divisor + row.epsilon);
}
double of_magnitudes(const Row& row) {
  double sum = 0;
  for (const float x : row.operands) sum += std::abs(static_cast<double>(x));
  return 1 / (sum / size(row) + row.epsilon);
}
double of_largest(const Row& row) {
  double largest = 0;
  for (const float x : row.operands) largest = std::max(largest, std::abs(static_cast<double>(x)));
  return 1 / (largest + row.epsilon);
}

// Calls change(bits, column) for every output and stores what it returns.
template <typename Change>
void change_each(const Case& test_case, Outputs& outputs, Change change) {
  const DType dtype = test_case.output_dtype();
  for (std::int64_t index = 0; index < test_case.elements(); ++index)
    store_bits(outputs[Role::out], dtype, index, change(load_bits(outputs[Role::out], dtype, index), index));
}
std::uint32_t next_from_zero(DType dtype, std::uint32_t bits) {
  return bits::is_nan(dtype, bits) || bits::is_infinite(dtype, bits) ? bits : bits + 1;
}
// Every `period`th element one number away from zero.
void move_each(const Case& test_case, Outputs& outputs, std::int64_t period) {
  change_each(test_case, outputs, [&](std::uint32_t value, std::int64_t index) {
    return index % period == 0 ? next_from_zero(test_case.output_dtype(), value) : value;
  });
}
// Output (row, column) becomes that of source(row, column).
template <typename Source>
void permute(const Case& test_case, Outputs& outputs, Source source) {
  const Outputs right_ones = outputs;
  const DType dtype = test_case.output_dtype();
  const std::int64_t hidden = test_case.hidden_size();
  change_each(test_case, outputs, [&](std::uint32_t, std::int64_t index) {
    const auto [row, column] = source(index / hidden, index % hidden);
    return load_bits(right_ones[Role::out], dtype, row * hidden + column);
  });
}
// Weight (column) becomes that of source(column).
template <typename Source>
void permute_weight(const Case& test_case, CaseTensors& tensors, Source source) {
  const std::vector<std::byte> weight = tensors[Role::weight];
  for (std::int64_t column = 0; column < test_case.hidden_size(); ++column)
    store_bits(tensors[Role::weight], *test_case.weight_dtype, column,
               load_bits(weight, *test_case.weight_dtype, source(column)));
}

std::vector<WrongKernel> make_kernels() {
  std::vector<WrongKernel> kernels;
  const auto root = [&](std::string_view name, std::function<double(const Row&)> function) {
    kernels.push_back(
        {.name = name, .root = std::move(function), .operands = {}, .outputs = {}, .policy = {}});
  };
  const auto weight = [&](std::string_view name, std::function<void(const Case&, CaseTensors&)> function) {
    kernels.push_back({.name = name,
                       .root = {},
                       .operands = std::move(function),
                       .outputs = {},
                       .needs_weight = true,
                       .policy = {}});
  };
  const auto output = [&](std::string_view name, std::function<void(const Case&, Outputs&)> function) {
    kernels.push_back(
        {.name = name, .root = {}, .operands = {}, .outputs = std::move(function), .policy = {}});
  };
  using Index = std::size_t;
  root("r times 2.5", [](const Row& row) { return 2.5 * right(row); });
  root("r times 0.5", [](const Row& row) { return 0.5 * right(row); });
  root("r times 1.01", [](const Row& row) { return 1.01 * right(row); });
  root("root of 12 bits", [](const Row& row) { return root_of_bits(row, 12); });
  root("root of 16 bits", [](const Row& row) { return root_of_bits(row, 16); });
  kernels.back().too_small_for_fp8 = true;
  root("magic constant and one Newton step", quick_root);
  root("half of the row summed", [](const Row& row) {
    return without(row, [&](Index column) { return 2 * column >= row.operands.size() && column > 0; });
  });
  root("columns from 256 on not summed",
       [](const Row& row) { return without(row, [](Index column) { return column >= 256; }); });
  root("last column not summed", [](const Row& row) {
    return without(row, [&](Index column) { return column + 1 == row.operands.size() && column > 0; });
  });
  root("first column not summed",
       [](const Row& row) { return without(row, [](Index column) { return column == 0; }); });
  root("first column summed twice", [](const Row& row) {
    const auto first = static_cast<double>(row.operands[0]);
    return root_of_sum(row, squares(row.operands) + first * first);
  });
  root("odd columns not summed",
       [](const Row& row) { return without(row, [](Index column) { return column % 2 == 1; }); });
  root("one warp not summed",
       [](const Row& row) { return without(row, [](Index column) { return column / 32 % 4 == 3; }); });
  root("variance about the mean", [](const Row& row) { return centered(row, size(row)); });
  root("variance about the mean, by H - 1",
       [](const Row& row) { return centered(row, std::max(size(row) - 1, 1.0)); });
  root("mean of magnitudes", of_magnitudes);
  root("largest magnitude", of_largest);
  root("sum not divided", [](const Row& row) { return with_divisor(row, 1); });
  root("divided by H - 1", [](const Row& row) { return with_divisor(row, std::max(size(row) - 1, 1.0)); });
  root("divided by H + 1", [](const Row& row) { return with_divisor(row, size(row) + 1); });
  root("epsilon not added", [](const Row& row) { return with_epsilon(row, 0); });
  root("epsilon outside the root", [](const Row& row) { return 1 / (std::sqrt(mean(row)) + row.epsilon); });
  root("epsilon added to the sum", [](const Row& row) { return with_epsilon(row, row.epsilon / size(row)); });
  root("epsilon added twice", [](const Row& row) { return with_epsilon(row, 2 * row.epsilon); });
  root("epsilon always 1e-5", [](const Row& row) { return with_epsilon(row, 1e-5); });
  root("r of the first row for all", [](const Row& row) { return of_other_row(row, 0); });
  root("r of the row before",
       [](const Row& row) { return of_other_row(row, row.row == 0 ? 0 : row.row - 1); });
  root("one r of all rows together", of_all_rows);
  root("no normalization", [](const Row&) { return 1.0; });
  root("1 / m", [](const Row& row) { return 1 / (mean(row) + row.epsilon); });
  root("sqrt(m)", [](const Row& row) { return std::sqrt(mean(row) + row.epsilon); });
  weight("weight of the column before", [](const Case& test_case, CaseTensors& tensors) {
    permute_weight(test_case, tensors,
                   [](std::int64_t column) { return std::max<std::int64_t>(column - 1, 0); });
  });
  weight("first weight in every column", [](const Case& test_case, CaseTensors& tensors) {
    permute_weight(test_case, tensors, [](std::int64_t) { return std::int64_t{0}; });
  });
  weight("weight not applied", [](const Case& test_case, CaseTensors& tensors) {
    for (std::int64_t column = 0; column < test_case.hidden_size(); ++column)
      store_bits(tensors[Role::weight], *test_case.weight_dtype, column, bits::one(*test_case.weight_dtype));
  });
  output("last column zero", [](const Case& test_case, Outputs& outputs) {
    change_each(test_case, outputs, [&](std::uint32_t value, std::int64_t index) {
      return (index + 1) % test_case.hidden_size() == 0 ? 0 : value;
    });
  });
  output("every 100th output one number off",
         [](const Case& test_case, Outputs& outputs) { move_each(test_case, outputs, 100); });
  output("every output one number off",
         [](const Case& test_case, Outputs& outputs) { move_each(test_case, outputs, 1); });
  output("first row in every row", [](const Case& test_case, Outputs& outputs) {
    permute(test_case, outputs,
            [](std::int64_t, std::int64_t column) { return std::pair(std::int64_t{0}, column); });
  });
  output("columns in pairs exchanged", [](const Case& test_case, Outputs& outputs) {
    permute(test_case, outputs, [&](std::int64_t row, std::int64_t column) {
      return std::pair(row, (column ^ 1) < test_case.hidden_size() ? column ^ 1 : column);
    });
  });
  output("sign lost", [](const Case& test_case, Outputs& outputs) {
    const DType dtype = test_case.output_dtype();
    change_each(test_case, outputs, [&](std::uint32_t value, std::int64_t) {
      return bits::is_negative(dtype, value) && !bits::is_nan(dtype, value) ? bits::negated(dtype, value)
                                                                            : value;
    });
  });
  output("outputs beyond 1 clamped", [](const Case& test_case, Outputs& outputs) {
    const DType dtype = test_case.output_dtype();
    change_each(test_case, outputs, [&](std::uint32_t value, std::int64_t) {
      const bool beyond = !bits::is_nan(dtype, value) && bits::value(dtype, value) > 1;
      return beyond ? bits::one(dtype) : value;
    });
  });
  output("all outputs zero",
         [](const Case&, Outputs& outputs) { std::ranges::fill(outputs[Role::out], std::byte{0}); });
  const auto residual = [&](std::string_view name, std::function<void(const Case&, CaseTensors&)> operands,
                            std::function<void(const Case&, Outputs&)> outputs) {
    kernels.push_back({.name = name,
                       .root = {},
                       .operands = std::move(operands),
                       .outputs = std::move(outputs),
                       .needs_residual = true,
                       .policy = {}});
  };
  residual(
      "residual not added",
      [](const Case&, CaseTensors& tensors) { std::ranges::fill(tensors[Role::residual], std::byte{0}); },
      {});
  residual("residual in place of x",
           [](const Case&, CaseTensors& tensors) { tensors[Role::input] = tensors[Role::residual]; }, {});
  residual("stored sum one row late", {}, [](const Case& test_case, Outputs& outputs) {
    std::vector<std::byte>& sums = outputs[normalized_tensor(test_case.operation)];
    const auto row = sums.size() / static_cast<std::size_t>(test_case.rows());
    std::ranges::rotate(sums, sums.end() - static_cast<std::ptrdiff_t>(row));
  });
  const auto fault = [&](std::string_view name, Fault which) {
    kernels.push_back(
        {.name = name, .root = {}, .operands = {}, .outputs = {}, .fault = which, .policy = {}});
  };
  fault("normalized value truncated", Fault::truncated_normalized);
  fault("product truncated", Fault::truncated_product);
  fault("every rounding to T stochastic", Fault::stochastic);
  return kernels;
}

// Wrong by the contract, and described by the table.
void add_described(std::vector<WrongKernel>& kernels) {
  const auto described = [&](std::string_view name, std::string_view policy) {
    kernels.push_back({.name = name, .root = {}, .operands = {}, .outputs = {}, .policy = policy});
  };
  described("every rounding to T truncates", "rounding=truncate");
  described("every rounding to T takes ties away from zero", "rounding=ties_away");
  described("r rounded to T", "root=activation");
  described("r and w rounded to T, products in T", "weight=cast,root=activation");
  described("weight multiplied in fp32", "weight=fp32");
  described("x times the weight first, rounded to T", "weight=product_first_activation");
  described("x times the weight first", "weight=product_first");
  described("r times the weight first", "weight=factor_first");
  described("1 + w rounded to T", "weight=plus_one_activation");
  described("divided by the root", "root=divide");
  described("mean as a sum of x * (x / H)", "mean=of_terms");
  described("variance in T", "variance=activation");
  described("variance in fp64", "variance=fp64");
  described("the larger of mean and epsilon", "epsilon=maximum");
  described("unrounded sum normalized", "sum=fp32");
  described("unrounded value quantized", "before_quantization=unrounded");
  described("divided by the scale", "scaling=divide");
  described("rounded to bf16 on the way to fp8", "fp8_rounding=through_bf16");
}

// The honest r as far off as `wrong` is from `right`. Rows whose r is special stay right, so that a kernel is
// wrong in the one way that its name says.
float wrong_root(float honest, double wrong, double right) {
  const double ratio = wrong / right;
  if (!(honest > 0) || std::isinf(honest) || !(ratio > 0) || std::isinf(ratio)) return honest;
  return static_cast<float>(static_cast<double>(honest) * ratio);
}

class WrongKernelTarget final : public Target {
 public:
  explicit WrongKernelTarget(const WrongKernel& wrong) : wrong_(wrong), name_(wrong.name) {}
  const std::string& name() const override { return name_; }
  bool is_foreign() const override { return true; }
  bool takes(const Case& test_case) const override { return wrong_.takes(test_case); }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    RunResult result;
    if (takes(test_case)) {
      result.outputs = outputs_of(wrong_, test_case, tensors);
    } else {
      result.status = RunResult::Status::not_taken;
      result.message = "another operation";
    }
    return result;
  }

 private:
  const WrongKernel& wrong_;
  std::string name_;
};

}  // namespace

bool WrongKernel::takes(const Case& test_case) const {
  return (!needs_weight || test_case.weight_dtype) && (!needs_residual || test_case.has(Role::residual)) &&
         !(too_small_for_fp8 && test_case.has_codes()) &&
         (fault == Fault::none ||
          (test_case.dtype != DType::fp32 && test_case.weight_dtype == test_case.dtype)) &&
         (policy.empty() || representative(oracle::parse_policy(policy), test_case) !=
                                representative(oracle::native(), test_case));
}

void WrongKernel::make_right() {
  root = nullptr;
  operands = nullptr;
  outputs = nullptr;
  fault = Fault::none;
  policy = {};
}

const std::vector<WrongKernel>& wrong_kernels() {
  static const std::vector<WrongKernel> kKernels = [] {
    std::vector<WrongKernel> kernels = make_kernels();
    add_described(kernels);
    return kernels;
  }();
  return kKernels;
}

std::unique_ptr<Target> target_of(const WrongKernel& wrong) {
  return std::make_unique<WrongKernelTarget>(wrong);
}

Outputs outputs_of(const WrongKernel& wrong, const Case& test_case, const CaseTensors& tensors) {
  CaseTensors read = tensors;
  if (wrong.operands && test_case.elements() > 0) wrong.operands(test_case, read);
  PlainKernel kernel(test_case, read,
                     wrong.policy.empty() ? oracle::native() : oracle::parse_policy(wrong.policy),
                     wrong.fault);
  std::vector<std::vector<float>> operands;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    kernel.load(row);
    operands.emplace_back(kernel.variance_operands().begin(), kernel.variance_operands().end());
  }
  Outputs outputs;
  Random random(1);
  for (std::size_t row = 0; row < operands.size(); ++row) {
    const Row own{operands[row], operands, row, static_cast<double>(test_case.value_of(Parameter::epsilon))};
    kernel.load(static_cast<std::int64_t>(row));
    const float honest = kernel.root(oracle::SummationOrder::pairwise, random);
    kernel.append_outputs(wrong.root ? wrong_root(honest, wrong.root(own), right(own)) : honest, outputs);
  }
  if (wrong.outputs && test_case.elements() > 0) wrong.outputs(test_case, outputs);
  return outputs;
}

}  // namespace normproof::assess
