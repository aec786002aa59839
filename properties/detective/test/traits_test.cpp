// The traits of kernels whose oddities are known, because they are made here.
#include "properties/detective/traits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>

#include "oracle/formats.h"

namespace normproof {
namespace {

// A plain kernel in double precision with one thing wrong.
class OddTarget final : public Target {
 public:
  // r from the sum of squares, H and epsilon.
  std::function<double(double, double, double)> root = [](double sum, double hidden, double epsilon) {
    return 1 / std::sqrt(sum / hidden + epsilon);
  };
  bool adds_one_to_weight = false;
  bool swallows_nan = false;
  bool depends_on_rows = false;
  bool depends_on_alignment = false;
  bool refuses_no_rows = false;
  CallLimits limits;

  const std::string& name() const override { return name_; }
  CallLimits limits_of(Operation) const override { return limits; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    RunResult result;
    if (!what_is_outside(limits, test_case).empty()) {
      result.status = RunResult::Status::not_taken;
      result.message = what_is_outside(limits, test_case);
      return result;
    }
    if (test_case.rows() == 0 && refuses_no_rows) {
      result.status = RunResult::Status::refused;
      result.message = "nothing to do";
      return result;
    }
    const std::int64_t hidden = test_case.hidden_size();
    const DType dtype = test_case.output_dtype();
    result.outputs[Role::out].resize(static_cast<std::size_t>(test_case.elements()) * size_of(dtype));
    for (std::int64_t row = 0; row < test_case.rows(); ++row) {
      double sum = 0;
      for (std::int64_t column = 0; column < hidden; ++column)
        sum += std::pow(x(test_case, tensors, row, column), 2);
      double r = root(sum, static_cast<double>(hidden), test_case.value_of(Parameter::epsilon));
      if (depends_on_rows && test_case.rows() > 1 && row % 3 == 0) r *= 1.01;
      if (depends_on_alignment && test_case[Role::input].layout.offset != 0) r *= 1.01;
      for (std::int64_t column = 0; column < hidden; ++column) {
        double y = x(test_case, tensors, row, column) * r;
        if (test_case.weight_dtype) {
          const double w = number(tensors[Role::weight], *test_case.weight_dtype, column);
          y *= adds_one_to_weight ? 1 + w : w;
        }
        if (swallows_nan && std::isnan(y)) y = 448;
        store_bits(result.outputs[Role::out], dtype, row * hidden + column, bits(dtype, y));
      }
    }
    return result;
  }

 private:
  static double number(const std::vector<std::byte>& data, DType dtype, std::int64_t index) {
    const std::uint32_t bits = load_bits(data, dtype, index);
    const oracle::Format& format = oracle::format_of(dtype);
    if (oracle::is_nan(dtype, bits)) return NAN;
    if (oracle::is_infinite(format, bits)) return oracle::is_negative(format, bits) ? -INFINITY : INFINITY;
    const auto exponent = static_cast<int>((bits & format.magnitude_mask()) >> format.mantissa_bits());
    const auto mantissa = static_cast<double>(bits & format.mantissa_mask());
    const double hidden_bit = exponent == 0 ? 0 : std::ldexp(1, format.mantissa_bits());
    const double magnitude =
        std::ldexp(mantissa + hidden_bit, std::max(exponent, 1) - format.bias - format.mantissa_bits());
    return oracle::is_negative(format, bits) ? -magnitude : magnitude;
  }
  static double x(const Case& test_case, const CaseTensors& tensors, std::int64_t row, std::int64_t column) {
    const std::int64_t index = row * test_case.hidden_size() + column;
    return number(tensors[Role::input], test_case.dtype, index) +
           (tensors[Role::residual].empty() ? 0 : number(tensors[Role::residual], test_case.dtype, index));
  }
  static std::uint32_t bits(DType dtype, double value) {
    const oracle::Format& format = oracle::format_of(dtype);
    if (std::isnan(value)) return static_cast<std::uint32_t>(format.nan_bits());
    const double magnitude = std::min(std::abs(value), 448.0);
    const int exponent =
        magnitude == 0 ? format.min_exponent() : std::max(std::ilogb(magnitude), format.min_exponent());
    const auto units =
        static_cast<std::uint64_t>(std::nearbyint(std::ldexp(magnitude, format.mantissa_bits() - exponent)));
    const auto binade = static_cast<std::uint64_t>(exponent - format.min_exponent())
                        << format.mantissa_bits();
    return static_cast<std::uint32_t>((std::signbit(value) ? format.sign_bit() : 0) | (binade + units));
  }
  std::string name_ = "odd";
};

std::map<std::string, std::string> traits_of(OddTarget& target, const DiscriminatingShape& shape = {}) {
  std::map<std::string, std::string> traits;
  for (const Trait& trait : observe_traits(target, shape)) traits[trait.question] = trait.answer;
  return traits;
}

DiscriminatingShape shape_of(Operation operation, DType dtype, std::optional<DType> weight) {
  DiscriminatingShape shape;
  shape.operation = operation;
  shape.dtype = dtype;
  shape.weight_dtype = weight;
  if (quantizes(operation)) shape.quantized_dtype = DType::fp8_e4m3fn;
  return shape;
}

const std::string kEpsilon = "where epsilon is added";
const std::string kDivisor = "by what the sum of squares is divided";

TEST(Traits, AnHonestKernelHasNone) {
  OddTarget target;
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      auto traits = traits_of(target, shape_of(operation, dtype, dtype));
      EXPECT_EQ(traits["the same row alone and among 300"], "same bits");
      EXPECT_EQ(traits["pointers shifted by one element"], "same bits");
      EXPECT_EQ(traits["one NaN in a row"], "NaN in 8 of 8 outputs");
      EXPECT_EQ(traits["a row of zeros, epsilon 1e-6"], "0 in 8 of 8 outputs");
      EXPECT_EQ(traits["a row of zeros, epsilon 0"], "NaN in 8 of 8 outputs");
      EXPECT_EQ(traits["no rows"], "accepted");
      EXPECT_EQ(traits[kEpsilon], "to the mean square, inside the root");
      EXPECT_EQ(traits[kDivisor], "H");
    }
  }
}

TEST(Traits, FindWhereEpsilonIsAdded) {
  const std::map<std::string, std::function<double(double, double, double)>> roots = {
      {"to the root",
       [](double sum, double hidden, double epsilon) { return 1 / (std::sqrt(sum / hidden) + epsilon); }},
      {"to the root, as its root",
       [](double sum, double hidden, double epsilon) {
         return 1 / (std::sqrt(sum / hidden) + std::sqrt(epsilon));
       }},
      {"to the sum of squares, inside the root",
       [](double sum, double hidden, double epsilon) { return 1 / std::sqrt((sum + epsilon) / hidden); }},
      {"not added: a floor of the mean square",
       [](double sum, double hidden, double epsilon) {
         return 1 / std::sqrt(std::max(sum / hidden, epsilon));
       }},
      {"nowhere", [](double sum, double hidden, double) { return 1 / std::sqrt(sum / hidden); }},
  };
  for (const auto& [answer, root] : roots) {
    // Down to the three mantissa bits of fp8.
    for (const Operation operation : {Operation::rms_norm, Operation::fused_add_rms_norm_static_fp8_quant}) {
      for (const bool adds_one : {false, true}) {
        OddTarget target;
        target.root = root;
        target.adds_one_to_weight = adds_one;
        EXPECT_EQ(traits_of(target, shape_of(operation, DType::bf16, DType::bf16))[kEpsilon], answer);
      }
    }
  }
  OddTarget target;
  target.root = [](double, double, double) { return 0.3; };
  EXPECT_EQ(traits_of(target, shape_of(Operation::rms_norm, DType::fp32, std::nullopt))[kEpsilon],
            "unknown: x = 1 gives 0.3");
}

TEST(Traits, FindTheDivisor) {
  OddTarget target;
  target.root = [](double sum, double hidden, double epsilon) {
    return 1 / std::sqrt(sum / (hidden - 1) + epsilon);
  };
  for (const Operation operation : all_operations()) {
    EXPECT_EQ(traits_of(target, shape_of(operation, DType::bf16, std::nullopt))[kDivisor], "H - 1");
  }
  target.root = [](double sum, double, double epsilon) { return 1 / std::sqrt(sum + epsilon); };
  EXPECT_EQ(traits_of(target)[kDivisor], "nothing: it is no mean");
}

TEST(Traits, FindWhatBitsDependOn) {
  OddTarget target;
  target.depends_on_rows = true;
  EXPECT_EQ(traits_of(target)["the same row alone and among 300"], "other bits in 100 of 300 rows");
  target.depends_on_rows = false;
  target.depends_on_alignment = true;
  EXPECT_EQ(traits_of(target)["pointers shifted by one element"], "other bits");
}

// A kernel of short aligned rows, a few at a time, with an epsilon of its own.
TEST(Traits, StayInsideTheLimitsOfTheTarget) {
  OddTarget target;
  target.limits = {16, 128, 2, 0, 4, 16, true, true, true, 1e-5f};
  target.depends_on_rows = true;
  auto traits = traits_of(target);
  EXPECT_EQ(traits["the same row alone and among 4"], "other bits in 2 of 4 rows");
  EXPECT_EQ(traits["pointers shifted by one element"],
            "not taken: addresses and rows that are not aligned to 16 bytes");
  EXPECT_EQ(traits["one NaN in a row"], "NaN in 16 of 16 outputs");
  EXPECT_EQ(traits["a row of zeros, epsilon 1e-05"], "0 in 16 of 16 outputs");
  EXPECT_EQ(traits.count("a row of zeros, epsilon 0"), 0u);
  EXPECT_EQ(traits["no rows"], "accepted");
  EXPECT_EQ(traits[kEpsilon], "not asked: it has one epsilon");
  EXPECT_EQ(traits[kDivisor], "H");
  target.root = [](double sum, double hidden, double epsilon) {
    return 1 / std::sqrt(sum / (hidden - 1) + epsilon);
  };
  EXPECT_EQ(traits_of(target)[kDivisor], "H - 1");
  target.limits.hidden_multiple = 64;
  EXPECT_EQ(traits_of(target)[kDivisor], "not asked: rows of 64, the shortest that it takes, hardly show it");
  target.limits.hidden_multiple = 0;
  target.limits.greatest_hidden = 2;
  EXPECT_EQ(traits_of(target)["one infinity in a row"], "0 in 1 of 2 outputs, NaN in 1 of 2 outputs");
}

TEST(Traits, FindSwallowedNanAndRefusals) {
  OddTarget target;
  target.swallows_nan = true;
  target.refuses_no_rows = true;
  auto traits = traits_of(target, shape_of(Operation::rms_norm_static_fp8_quant, DType::fp16, DType::fp16));
  EXPECT_EQ(traits["one NaN in a row"], "448 in 8 of 8 outputs");
  EXPECT_EQ(traits["no rows"], "refused: nothing to do");
}

}  // namespace
}  // namespace normproof
