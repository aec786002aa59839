// Every mutant is found, quickly, and boils down to a repro that a person can read.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "corpus/case_json.h"
#include "corpus/shrink.h"
#include "properties/bits.h"
#include "properties/run/evaluate.h"
#include "properties/run/target.h"
#include "properties/run/verification_case.h"

namespace normproof {
namespace {

constexpr std::uint64_t kSeed = 20260401;
constexpr std::int64_t kMaximumCases = 20000;
constexpr double kMaximumTargetSeconds = 1;

std::vector<std::string> mutant_names() {
  std::vector<std::string> names;
  std::istringstream list(NORMPROOF_MUTANT_NAMES);
  for (std::string name; list >> name;) names.push_back(name);
  return names;
}

// Measures the time that another target takes.
class TimedTarget final : public Target {
 public:
  explicit TimedTarget(std::unique_ptr<Target> target) : target_(std::move(target)) {}
  const std::string& name() const override { return target_->name(); }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    const auto begin = std::chrono::steady_clock::now();
    RunResult result = target_->run(test_case, tensors);
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  }
  double seconds() const { return seconds_; }

 private:
  std::unique_ptr<Target> target_;
  double seconds_ = 0;
};

// Columns in which something is neither 1 nor, as a residual, 0.
std::int64_t columns_that_matter(const Case& test_case) {
  const CaseTensors tensors = materialize(test_case);
  const auto is_one = [](const std::vector<std::byte>& data, DType dtype, std::int64_t index) {
    return load_bits(data, dtype, index) == bits::one(dtype);
  };
  std::int64_t columns = 0;
  for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
    const bool plain_residual =
        !adds_residual(test_case.operation) || is_one(tensors.residual, test_case.dtype, column) ||
        bits::is_zero(test_case.dtype, load_bits(tensors.residual, test_case.dtype, column));
    const bool plain_weight =
        !test_case.weight_dtype || is_one(tensors.weight, *test_case.weight_dtype, column);
    if (!is_one(tensors.input, test_case.dtype, column) || !plain_residual || !plain_weight) ++columns;
  }
  return columns;
}

class Mutants : public testing::TestWithParam<std::string> {};

TEST_P(Mutants, IsFoundAndBoilsDownToOneRow) {
  TimedTarget mutant(make_target("mutant:" + GetParam()));
  const auto combinations = all_combinations();
  std::optional<Case> found;
  std::int64_t cases = 0;
  while (!found && cases < kMaximumCases) {
    Case test_case = verification_case(kSeed, cases++, combinations);
    if (evaluate(test_case, mutant).violates()) found = std::move(test_case);
  }
  ASSERT_TRUE(found) << "not found in " << cases << " cases";
  const double seconds = mutant.seconds();
  const Case smallest =
      minimize(*found, [&](const Case& candidate) { return evaluate(candidate, mutant).violates(); });
  const Evaluation evaluation = evaluate(smallest, mutant);
  fmt::print("seed {}: found in {} cases, {:.3f} s of target time; smallest:\n{}{}\n", kSeed, cases, seconds,
             describe(smallest, evaluation), case_to_json(smallest));
  EXPECT_LE(seconds, kMaximumTargetSeconds);
  EXPECT_TRUE(evaluation.violates());
  EXPECT_TRUE(validate(smallest).empty());
  EXPECT_LE(smallest.rows(), 2);
  if (GetParam().starts_with("B1-")) {
    EXPECT_EQ(evaluation.outcome, Evaluation::Outcome::wrong_bits);
    EXPECT_EQ(smallest.rows(), 1);
    EXPECT_LE(columns_that_matter(smallest), 2);
  }
  const auto host = make_target("host");
  EXPECT_FALSE(evaluate(smallest, *host).violates()) << describe(smallest, evaluate(smallest, *host));
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& letter : name) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, Mutants, testing::ValuesIn(mutant_names()), test_name);

TEST(MutantList, ThereAreSome) { EXPECT_GE(mutant_names().size(), 3u); }

}  // namespace
}  // namespace normproof
