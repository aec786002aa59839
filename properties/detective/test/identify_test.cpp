// The detective against every policy of the table: outputs made under each one must lead back to it.
#include "properties/detective/identify.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "oracle/canonical_judge.h"
#include "properties/detective/discriminate.h"
#include "properties/detective/policy_class.h"

namespace normproof {
namespace {

using oracle::Policy;

// Per axis: how often the true value (row) was identified as which (column).
class ConfusionMatrix {
 public:
  void add(const Case& test_case, const Policy& truth, const Policy& identified) {
    for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis) {
      if (!oracle::axis_applies(axis, test_case)) continue;
      ++counts_[axis][{oracle::axis_value(truth, axis), oracle::axis_value(identified, axis)}];
    }
  }
  void print(const std::string& title) const {
    fmt::print("{}\n", title);
    for (const auto& [axis, counts] : counts_) {
      const oracle::PolicyAxis& table = oracle::policy_axes()[axis];
      fmt::print("  {:<28}", fmt::format("{}: is \\ named", table.name));
      for (const auto& value : table.values) fmt::print("{:>26}", value.name);
      fmt::print("\n");
      for (std::size_t truth = 0; truth < table.values.size(); ++truth) {
        fmt::print("  {:<28}", table.values[truth].name);
        for (std::size_t named = 0; named < table.values.size(); ++named) {
          const auto found = counts.find({truth, named});
          fmt::print("{:>26}", found == counts.end() ? 0 : found->second);
        }
        fmt::print("\n");
      }
    }
  }

 private:
  std::map<std::size_t, std::map<std::pair<std::size_t, std::size_t>, std::int64_t>> counts_;
};

struct Tried {
  std::int64_t runs = 0;
  std::int64_t unique = 0;  // named as the only arithmetic
  Tried& operator+=(const Tried& other) {
    runs += other.runs;
    unique += other.unique;
    return *this;
  }
};

// Runs every widespread arithmetic of the table through one shape; `allowed` says whether a survivor may
// stand beside the truth.
template <class Allowed>
Tried try_all_policies(const DiscriminatingShape& shape, ConfusionMatrix& matrix, Allowed allowed) {
  const Case test_case = discriminating_case(shape, 1);
  const CaseTensors tensors = materialize(test_case);
  Tried tried;
  for (const Policy& truth : oracle::all_policies(test_case)) {
    if (representative(truth, test_case) != truth || !oracle::is_widespread(truth)) continue;
    const Identification found =
        identify(test_case, tensors, oracle::expected_outputs(test_case, tensors, truth));
    ++tried.runs;
    tried.unique += std::ranges::all_of(found.rivals(),
                                        [](const Policy& rival) { return !oracle::is_widespread(rival); });
    matrix.add(test_case, truth, found.best);
    const std::string where = fmt::format("{} {} H={} {}", name_of(shape.operation), name_of(shape.dtype),
                                          shape.hidden_size, oracle::to_string(truth));
    // A variance in T that would explain almost any outputs is said to, not named.
    const bool said_to_be_loose =
        truth.variance == oracle::VariancePolicy::activation &&
        std::ranges::find(found.loose, truth, &LoosePolicy::policy) != found.loose.end();
    EXPECT_TRUE(std::ranges::find(found.survivors, truth) != found.survivors.end() || said_to_be_loose)
        << where;
    for (const Policy& survivor : found.survivors) {
      EXPECT_TRUE(survivor == truth || !oracle::is_widespread(survivor) || allowed(truth, survivor))
          << where << " was taken for " << oracle::to_string(survivor);
    }
  }
  return tried;
}

// A variance in T leaves r so much freedom that it explains what an fp32 variance
// gives; never the other way round.
bool only_leaves_more_freedom(const Policy& truth, const Policy& survivor) {
  return truth.variance == oracle::VariancePolicy::fp32 &&
         survivor.variance == oracle::VariancePolicy::activation;
}

#ifdef NORMPROOF_SANITIZED  // slow
constexpr std::array<std::int64_t, 2> kHiddenSizes = {64, 512};
#else
constexpr std::array<std::int64_t, 3> kHiddenSizes = {64, 512, 4096};
#endif

void expect_every_unquantized_policy_named(DType dtype) {
  ConfusionMatrix matrix;
  Tried all;
  for (const Operation operation : {Operation::rms_norm, Operation::fused_add_rms_norm}) {
    for (const std::optional<DType> weight :
         {std::optional<DType>(), std::optional(dtype), std::optional(DType::fp32)}) {
      for (const std::int64_t hidden : kHiddenSizes) {
        all += try_all_policies({{operation, dtype, weight, std::nullopt}, 8, hidden}, matrix,
                                only_leaves_more_freedom);
      }
    }
  }
  EXPECT_EQ(all.unique, all.runs) << name_of(dtype);
  matrix.print(fmt::format("{}, 8 rows, H 64, 512, 4096: {} of {} policies named alone", name_of(dtype),
                           all.unique, all.runs));
}

TEST(Identify, NamesEveryUnquantizedPolicyOfBf16) { expect_every_unquantized_policy_named(DType::bf16); }
TEST(Identify, NamesEveryUnquantizedPolicyOfFp16) { expect_every_unquantized_policy_named(DType::fp16); }
TEST(Identify, NamesEveryUnquantizedPolicyOfFp32) { expect_every_unquantized_policy_named(DType::fp32); }

// Whether the inputs may leave `survivor` beside the truth in a class that is reported.
bool may_coincide(const DiscriminatingShape& shape, const Policy& truth, const Policy& survivor) {
  if (only_leaves_more_freedom(truth, survivor)) return true;
  // A few outputs of three or four bits do not always overcome the freedom that a variance in T leaves r.
  const bool few = !shape.weight_dtype || shape.quantized_dtype != DType::fp8_e4m3fn;
  if (few && truth.variance == oracle::VariancePolicy::activation) return true;
  // In long rows the order of summation may move r as far as the rounding of every sum does.
  Policy same_sum = survivor;
  same_sum.sum = truth.sum;
  return !shape.weight_dtype && shape.hidden_size >= 4096 && same_sum == truth;
}

// By NORMPROOF_LONG_TESTS, by night: all shapes in place of a sample.
bool is_long() { return std::getenv("NORMPROOF_LONG_TESTS") != nullptr; }

// The shapes of one dtype: each operation with each weight, and of long rows the one with the most policies.
std::vector<DiscriminatingShape> quantized_shapes(DType dtype, DType quantized, std::int64_t longest) {
  std::vector<DiscriminatingShape> shapes;
  for (const Operation operation :
       {Operation::rms_norm_static_fp8_quant, Operation::fused_add_rms_norm_static_fp8_quant}) {
    // Without a residual it has no policy that the other has not; the other dtypes try it all the same.
    if (dtype == DType::fp16 && !is_long() && !has(operation, Role::residual)) continue;
    for (const std::optional<DType> weight :
         {std::optional<DType>(), std::optional(dtype), std::optional(DType::fp32)}) {
      const bool takes_long_rows = is_long() || (has(operation, Role::residual) && weight == dtype);
      for (const std::int64_t hidden : kHiddenSizes) {
        if (hidden <= longest && (hidden <= 512 || takes_long_rows))
          shapes.push_back({{operation, dtype, weight, quantized}, 8, hidden});
      }
    }
  }
  return shapes;
}

// To e4m3fn with a weight every policy is named alone; else the true one is in the class that is reported.
void expect_every_quantized_policy_named(const std::vector<DiscriminatingShape>& shapes,
                                         std::int64_t least_percent = 95) {
  ConfusionMatrix matrix;
  Tried all;
  for (const DiscriminatingShape& shape : shapes) {
    const Tried tried = try_all_policies(shape, matrix, [&](const Policy& truth, const Policy& survivor) {
      return may_coincide(shape, truth, survivor);
    });
    if (shape.weight_dtype && shape.quantized_dtype == DType::fp8_e4m3fn) {
      EXPECT_EQ(tried.unique, tried.runs) << name_of(shape.dtype) << " H " << shape.hidden_size;
    }
    all += tried;
  }
  EXPECT_GE(100 * all.unique, least_percent * all.runs);
  matrix.print(fmt::format("to fp8, 8 rows, {} shapes: {} of {} policies named alone", shapes.size(),
                           all.unique, all.runs));
}

TEST(Identify, NamesEveryQuantizedPolicyOfBf16) {
  expect_every_quantized_policy_named(quantized_shapes(DType::bf16, DType::fp8_e4m3fn, 4096));
}
TEST(Identify, NamesEveryQuantizedPolicyOfFp16) {
  expect_every_quantized_policy_named(
      quantized_shapes(DType::fp16, DType::fp8_e4m3fn, 512));  // long rows are bf16's and fp32's
}
TEST(Identify, NamesEveryQuantizedPolicyOfFp32) {
  expect_every_quantized_policy_named(quantized_shapes(DType::fp32, DType::fp8_e4m3fn, 4096));
}
// Of dtype, quantized dtype and weight each pair is met, with both operations; of the triples a third.
TEST(Identify, NamesEveryPolicyOfTheOtherQuantizedDTypes) {
  constexpr std::array kOthers = {DType::fp8_e5m2, DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz};
  const std::size_t step = is_long() ? 1 : 3;
  std::vector<DiscriminatingShape> met;
  for (std::size_t quantized = 0; quantized < kOthers.size(); ++quantized) {
    for (std::size_t dtype = 0; dtype < kActivationDTypes.size(); ++dtype) {
      const std::vector<DiscriminatingShape> shapes =
          quantized_shapes(kActivationDTypes[dtype], kOthers[quantized], 64);
      for (std::size_t weight = (dtype + quantized) % step; weight < shapes.size(); weight += step)
        met.push_back(shapes[weight]);
    }
  }
  expect_every_quantized_policy_named(met, 98);
}

// What 16-bit outputs of ordinary inputs do not tell apart: the order of three factors in fp32 and the
// division by the root differ by a few ulp of fp32. And what arrives at r otherwise may arrive at the same r.
// The value stands for its class.
// The inputs have no weight of -0, and ties only where a product of two bf16 numbers is rounded to bf16. An r
// that is rounded to T hides what kind of sum the variance has read.
Policy class_of(Policy policy, DType dtype, bool has_ties) {
  using oracle::WeightPolicy;
  if (policy.weight == WeightPolicy::fp32_plus_zero) policy.weight = WeightPolicy::fp32;
  const bool of_products =
      policy.weight == WeightPolicy::native || policy.weight == WeightPolicy::native_plus_one;
  if (!(has_ties && of_products) && policy.rounding == oracle::ActivationRounding::ties_away)
    policy.rounding = oracle::ActivationRounding::nearest_even;
  if (policy.root == oracle::RootPolicy::activation && policy.sum == oracle::SumPolicy::mixed)
    policy.sum = oracle::SumPolicy::rounded;
  policy.mean = oracle::MeanPolicy::of_sum;
  policy.epsilon = oracle::EpsilonPolicy::added;
  if (policy.variance != oracle::VariancePolicy::activation) policy.variance = oracle::VariancePolicy::fp32;
  if (dtype == DType::fp32) return policy;
  if (policy.root == oracle::RootPolicy::divide) policy.root = oracle::RootPolicy::multiply;
  const bool product_order = policy.weight == oracle::WeightPolicy::product_first ||
                             policy.weight == oracle::WeightPolicy::factor_first;
  if (product_order) policy.weight = oracle::WeightPolicy::fp32;
  return policy;
}

// Every value of every axis alone: the true one is in the class that is named, and no other class beside it.
void expect_every_value_in_its_class(DType dtype, Operation operation) {
  ConfusionMatrix matrix;
  for (const std::optional<DType> weight :
       {std::optional<DType>(), std::optional(dtype), std::optional(DType::fp32)}) {
    const DiscriminatingShape shape{{operation, dtype, weight, std::nullopt}, 8, 512};
    const bool has_ties = dtype == DType::bf16 && weight == dtype;
    const Case test_case = discriminating_case(shape, 1);
    const CaseTensors tensors = materialize(test_case);
    for (const Policy& truth : oracle::neighbours(oracle::native(), test_case)) {
      if (representative(truth, test_case) != truth) continue;
      const Identification found =
          identify(test_case, tensors, oracle::expected_outputs(test_case, tensors, truth));
      matrix.add(test_case, truth, found.best);
      const std::string where = fmt::format("{} {} weight {} {}", name_of(operation), name_of(dtype),
                                            weight ? name_of(*weight) : "none", oracle::to_string(truth));
      EXPECT_NE(std::ranges::find(found.survivors, truth), found.survivors.end()) << where;
      for (const Policy& survivor : found.survivors) {
        const Policy named = representative(class_of(survivor, dtype, has_ties), test_case);
        const Policy true_class = representative(class_of(truth, dtype, has_ties), test_case);
        EXPECT_TRUE(named == true_class || only_leaves_more_freedom(truth, survivor))
            << where << " was taken for " << oracle::to_string(survivor);
      }
    }
  }
  matrix.print(fmt::format("{} {}, 8 rows, H 512: every value alone", name_of(operation), name_of(dtype)));
}

TEST(Identify, EveryValueOfTheTableIsInTheClassThatIsNamed) {
  for (const DType dtype : kActivationDTypes) {
    expect_every_value_in_its_class(dtype, Operation::rms_norm);
    expect_every_value_in_its_class(dtype, Operation::fused_add_rms_norm);
  }
}

// Through fp8 less is visible: the true value survives, though others may beside it. A second rounding on the
// way to fp8 is seen, and no other rounding is taken for it.
TEST(Identify, EveryValueOfTheTableIsInTheClassThatIsNamedThroughFp8) {
  for (const DType dtype : kActivationDTypes) {
    ConfusionMatrix matrix;
    const DiscriminatingShape shape{
        {Operation::rms_norm_static_fp8_quant, dtype, DType::fp32, DType::fp8_e4m3fn}, 8, 256};
    const Case test_case = discriminating_case(shape, 1);
    const CaseTensors tensors = materialize(test_case);
    for (const Policy& truth : oracle::neighbours(oracle::native(), test_case)) {
      if (representative(truth, test_case) != truth || truth.variance == oracle::VariancePolicy::activation)
        continue;
      const Identification found =
          identify(test_case, tensors, oracle::expected_outputs(test_case, tensors, truth));
      matrix.add(test_case, truth, found.best);
      const std::string where = std::string(name_of(dtype)) + " " + oracle::to_string(truth);
      EXPECT_NE(std::ranges::find(found.survivors, truth), found.survivors.end()) << where;
      const bool hidden = dtype == DType::bf16 && truth.fp8_rounding == oracle::Fp8Rounding::through_bf16;
      if (!hidden) {
        EXPECT_EQ(found.best.fp8_rounding, truth.fp8_rounding) << where;
      }
    }
    matrix.print(fmt::format("{} to fp8_e4m3fn, 8 rows, H 256: every value alone", name_of(dtype)));
  }
}

// Two axes away from every policy that the search begins with.
TEST(Identify, GoesOnFromTheClosestPolicyOfTheTable) {
  const Case test_case = discriminating_case(
      {{Operation::fused_add_rms_norm, DType::bf16, DType::bf16, std::nullopt}, 8, 512}, 1);
  const CaseTensors tensors = materialize(test_case);
  for (const char* text : {"weight=plus_one_activation,sum=fp32", "weight=native_plus_one,root=activation",
                           "sum=fp32,rounding=truncate", "weight=fp32_plus_one,rounding=truncate"}) {
    const Policy truth = oracle::parse_policy(text);
    const std::vector<Policy> table = oracle::all_policies(test_case);
    EXPECT_EQ(std::ranges::find(table, truth), table.end()) << text;
    const Identification found =
        identify(test_case, tensors, oracle::expected_outputs(test_case, tensors, truth));
    EXPECT_EQ(found.best, truth) << oracle::to_string(found.best);
  }
}

// Of a class that outputs cannot tell apart each member is named, with the reason.
TEST(Identify, NamesTheMembersOfAClassAndWhy) {
  const Case test_case =
      discriminating_case({{Operation::rms_norm, DType::bf16, DType::bf16, std::nullopt}, 8, 512}, 1);
  const CaseTensors tensors = materialize(test_case);
  const Policy truth = oracle::parse_policy("vllm.rms_norm");
  const Identification found =
      identify(test_case, tensors, oracle::expected_outputs(test_case, tensors, truth));
  EXPECT_EQ(found.best, truth);
  EXPECT_FALSE(found.unique());
  std::map<std::string_view, std::string> reasons;
  for (const AxisFinding& axis : found.axes) {
    for (const AxisValueFinding& value : axis.values) {
      if (value.survives) reasons[value.name] = value.reason;
    }
  }
  EXPECT_NE(reasons["fp32_plus_zero"].find("no weight of -0"), std::string::npos)
      << reasons["fp32_plus_zero"];
  EXPECT_NE(reasons["product_first"].find("ulp of fp32"), std::string::npos) << reasons["product_first"];
  EXPECT_NE(reasons["kahan"].find("arrive at such an r"), std::string::npos) << reasons["kahan"];
  const std::vector<std::string> names = known_as(found.best, test_case);
  EXPECT_NE(std::ranges::find(names, "pytorch.rms_norm (PyTorch F.rms_norm, CUDA)"), names.end());
  for (const std::string& name : names) EXPECT_EQ(name.find("fused_add"), std::string::npos) << name;
}

}  // namespace
}  // namespace normproof
