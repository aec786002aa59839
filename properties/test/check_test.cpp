// The search for counterexamples: what ends it, what it reports, and that
// shrinking reaches the smallest case.
#include "properties/check.h"

#include <gtest/gtest.h>

#include <rapidcheck/Random.h>
#include <set>
#include <stdexcept>

#include "corpus/case_json.h"
#include "properties/bits.h"
#include "properties/case_generator.h"

namespace normproof {
namespace {

constexpr std::array kAddsOnly = {Operation::fused_add_rms_norm};

// A check that needs no target.
class CheckProperty : public testing::Test {
 protected:
  PropertyResult check(std::function<CaseFinding(const Case&)> rule) {
    property_.name = "rule";
    property_.limits.max_elements = 1 << 10;
    property_.check = [rule = std::move(rule)](const Case& test_case, PropertyContext&) {
      return rule(test_case);
    };
    return check_property(property_, context_);
  }

  std::unique_ptr<Target> target_ = make_target("host");
  Tally tally_;
  PropertyCheck property_;
  PropertyContext context_{*target_, tally_, 1, 100, {}, {}, [] { return false; }};
};

TEST_F(CheckProperty, ChecksAsManyCasesAsAsked) {
  context_.cases = 37;
  int calls = 0;
  const PropertyResult result = check([&](const Case&) {
    ++calls;
    return CaseFinding::holds();
  });
  EXPECT_TRUE(result.holds) << result.message;
  EXPECT_EQ(result.cases, 37);
  EXPECT_EQ(calls, 37);
}

TEST_F(CheckProperty, DrawsValidCasesOfAllOperationsAndDtypes) {
  std::set<std::pair<Operation, DType>> seen;
  context_.cases = 300;
  const PropertyResult result = check([&](const Case& test_case) {
    seen.emplace(test_case.operation, test_case.dtype);
    const auto reasons = validate(test_case);
    return reasons.empty() ? CaseFinding::holds() : CaseFinding::fails(reasons.front());
  });
  EXPECT_TRUE(result.holds) << result.message;
  EXPECT_EQ(seen.size(), all_operations().size() * kActivationDTypes.size());
}

TEST_F(CheckProperty, KeepsToTheOperationAndDtypeAskedFor) {
  context_.operation = Operation::rms_norm;
  context_.dtype = DType::fp16;
  const PropertyResult result = check([](const Case& test_case) {
    const bool right = test_case.operation == Operation::rms_norm && test_case.dtype == DType::fp16;
    return right ? CaseFinding::holds() : CaseFinding::fails("another operation or dtype");
  });
  EXPECT_TRUE(result.holds) << result.message;
}

TEST_F(CheckProperty, HoldsOfNothingWhereTheOperationIsNotItsBusiness) {
  context_.operation = Operation::rms_norm;
  property_.operations = kAddsOnly;
  const PropertyResult result = check([](const Case&) { return CaseFinding::fails("must not be asked"); });
  EXPECT_TRUE(result.holds);
  EXPECT_EQ(result.cases, 0);
  EXPECT_EQ(result.message, "not about rms_norm");
}

TEST_F(CheckProperty, TheSeedDecidesTheCases) {
  std::vector<Case> first, again, other;
  check([&](const Case& test_case) {
    first.push_back(test_case);
    return CaseFinding::holds();
  });
  check([&](const Case& test_case) {
    again.push_back(test_case);
    return CaseFinding::holds();
  });
  context_.seed = 2;
  check([&](const Case& test_case) {
    other.push_back(test_case);
    return CaseFinding::holds();
  });
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
}

TEST_F(CheckProperty, DoesNotHoldWithoutACase) {
  const PropertyResult gave_up = check([](const Case&) { return CaseFinding::not_applicable(); });
  EXPECT_FALSE(gave_up.holds);
  EXPECT_NE(gave_up.message.find("gave up after 0 cases"), std::string::npos) << gave_up.message;
  EXPECT_FALSE(gave_up.counterexample);

  context_.out_of_time = [] { return true; };
  const PropertyResult late = check([](const Case&) { return CaseFinding::holds(); });
  EXPECT_FALSE(late.holds);
  EXPECT_NE(late.message.find("out of time"), std::string::npos) << late.message;
}

TEST_F(CheckProperty, OutOfTimeIsNoFailure) {
  int calls = 0;
  context_.out_of_time = [&] { return calls == 5; };
  const PropertyResult result = check([&](const Case&) {
    ++calls;
    return CaseFinding::holds();
  });
  EXPECT_TRUE(result.holds) << result.message;
  EXPECT_EQ(result.cases, 5);
}

TEST_F(CheckProperty, AnExceptionIsAFailure) {
  const PropertyResult result =
      check([](const Case&) -> CaseFinding { throw std::runtime_error("the target said no"); });
  EXPECT_FALSE(result.holds);
  EXPECT_TRUE(result.counterexample);
  EXPECT_NE(result.message.find("the target said no"), std::string::npos) << result.message;
}

TEST_F(CheckProperty, ShrinksShapesLayoutsAndLaunch) {
  context_.cases = 1000;
  const PropertyResult result = check([](const Case& test_case) {
    return test_case.rows() >= 2 && test_case.hidden_size() >= 5 ? CaseFinding::fails("too large")
                                                                 : CaseFinding::holds();
  });
  ASSERT_TRUE(result.counterexample) << result.message;
  const Case& smallest = *result.counterexample;
  EXPECT_EQ(smallest.rows(), 2) << case_to_json(smallest);
  EXPECT_EQ(smallest.hidden_size(), 5);
  EXPECT_EQ(smallest.shape.size(), 2u);
  EXPECT_EQ(smallest[Role::input].layout, TensorLayout{});
  EXPECT_EQ(smallest[Role::out].layout, TensorLayout{});
  EXPECT_EQ(smallest.launch, LaunchChoice{});
  EXPECT_EQ(smallest.schedule, Schedule{});
  EXPECT_TRUE(validate(smallest).empty());
}

TEST_F(CheckProperty, ShrinksValues) {
  context_.cases = 1000;
  const auto has_nan = [](const Case& test_case) {
    const CaseTensors tensors = materialize(test_case);
    for (std::int64_t index = 0; index < test_case.elements(); ++index) {
      if (bits::is_nan(test_case.dtype, load_bits(tensors[Role::input], test_case.dtype, index))) return true;
    }
    return false;
  };
  const PropertyResult result = check([&](const Case& test_case) {
    return has_nan(test_case) ? CaseFinding::fails("NaN") : CaseFinding::holds();
  });
  ASSERT_TRUE(result.counterexample) << result.message;
  EXPECT_EQ(result.counterexample->elements(), 1) << case_to_json(*result.counterexample);
  EXPECT_TRUE(has_nan(*result.counterexample));
}

// The tree of RapidCheck itself, without corpus::minimize behind it: every step is valid and a walk along the
// first failing candidates ends at a small case.
TEST(CaseGenerator, ItsShrinksLeadToASmallCase) {
  const auto generator = case_generator([](Random& random) {
    CaseLimits limits;
    limits.operation = Operation::fused_add_rms_norm;
    Case drawn = random_case(random, limits);
    while (drawn.rows() < 2) drawn = random_case(random, limits);
    return drawn;
  });
  auto shrinkable = generator(rc::Random(11), 0);
  const auto fails = [](const Case& test_case) {
    return test_case.rows() >= 1 && test_case.hidden_size() >= 3;
  };
  ASSERT_TRUE(fails(shrinkable.value()) || shrinkable.value().hidden_size() < 3);
  int steps = 0;
  for (bool found = true; found; ++steps) {
    found = false;
    ASSERT_LT(steps, 10000);
    auto candidates = shrinkable.shrinks();
    while (auto candidate = candidates.next()) {
      ASSERT_TRUE(validate(candidate->value()).empty());
      if (!fails(candidate->value())) continue;
      shrinkable = *candidate;
      found = true;
      break;
    }
  }
  EXPECT_GT(steps, 1);
  EXPECT_EQ(shrinkable.value().rows(), 1);
  EXPECT_EQ(shrinkable.value().hidden_size(), 3);
}

}  // namespace
}  // namespace normproof
