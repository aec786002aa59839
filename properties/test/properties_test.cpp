// Every property on the production kernels, with a fixed seed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>

#include "corpus/case_json.h"
#include "properties/property.h"

namespace normproof {

// Names the test in listings.
void PrintTo(const Property& property, std::ostream* stream) { *stream << property.name; }

namespace {

constexpr std::uint64_t kSeed = 20260401;
constexpr int kCases = 1500;

std::string test_name(const testing::TestParamInfo<Property>& info) {
  std::string name(info.param.name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class Properties : public testing::TestWithParam<Property> {};

TEST_P(Properties, Holds) {
  const Property& property = GetParam();
  const std::unique_ptr<Target> target = make_target("host");
  Tally tally;
  PropertyContext context{*target, tally, kSeed, kCases, {}, {}, [] { return false; }};
  const PropertyResult result = property.check(context);
  const Counts counts = tally.total();
  fmt::print("{}\n  seed {}, {} cases; {} runs, {} rows and {} elements compared\n", property.sentence, kSeed,
             result.cases, counts.cases, counts.rows, counts.elements);
  EXPECT_TRUE(result.holds) << result.message
                            << (result.counterexample ? case_to_json(*result.counterexample) : std::string());
  EXPECT_EQ(result.cases, kCases);
  EXPECT_GT(counts.cases, 0);
  EXPECT_EQ(counts.mismatches, 0);
  EXPECT_EQ(counts.violations, 0);
  // Every operation and dtype that the property is about was reached.
  int reached = 0;
  for (const Operation operation : all_operations()) {
    int dtypes = 0;
    for (const DType dtype : kActivationDTypes) dtypes += tally.of(operation, dtype).cases > 0 ? 1 : 0;
    EXPECT_TRUE(dtypes == 0 || dtypes == static_cast<int>(kActivationDTypes.size())) << name_of(operation);
    reached += dtypes > 0 ? 1 : 0;
  }
  EXPECT_GT(reached, 0);
}

INSTANTIATE_TEST_SUITE_P(Host, Properties,
                         testing::ValuesIn(all_properties().begin(), all_properties().end()), test_name);

// A weight of fp32 may carry the norm beyond fp16, where it is infinite before it is quantized; an infinite
// scale then makes NaN, not zero. One case in some thousands is such a one.
TEST(SpecialValues, KnowThatTheNormIsRoundedBeforeItIsQuantized) {
  const auto property = std::ranges::find(all_properties(), "special-values", &Property::name);
  ASSERT_NE(property, all_properties().end());
  const std::unique_ptr<Target> target = make_target("host");
  Tally tally;
  PropertyContext context{*target, tally, kSeed, 20'000, Operation::rms_norm_static_fp8_quant, DType::fp16};
  const PropertyResult result = property->check(context);
  EXPECT_TRUE(result.holds) << result.message;
  EXPECT_EQ(result.cases, context.cases);
}

}  // namespace
}  // namespace normproof
