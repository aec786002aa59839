// Every mutant is found, quickly, and boils down to a repro that a person can read.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "corpus/case_json.h"
#include "corpus/shrink.h"
#include "properties/bits.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/verification_case.h"
#include "properties/property.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

constexpr std::uint64_t kSeed = 20260401;
constexpr std::int64_t kMaximumCases = 2000;
constexpr std::int64_t kMinimizeTries = 2000;
constexpr double kMaximumTargetSeconds = 1;  // for the three mutants of B1, without sanitizers

#if defined(NORMPROOF_SANITIZED)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::vector<std::string> mutant_names() {
  std::vector<std::string> names;
  std::istringstream list(NORMPROOF_MUTANT_NAMES);
  for (std::string name; list >> name;) names.push_back(name);
  return names;
}

// Measures the processor time that another target takes, which a busy machine does not lengthen.
class TimedTarget final : public Target {
 public:
  explicit TimedTarget(std::unique_ptr<Target> target) : target_(std::move(target)) {}
  const std::string& name() const override { return target_->name(); }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    const std::clock_t begin = std::clock();
    RunResult result = target_->run(test_case, tensors);
    seconds_ += static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
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
        !adds_residual(test_case.operation) || is_one(tensors[Role::residual], test_case.dtype, column) ||
        bits::is_zero(test_case.dtype, load_bits(tensors[Role::residual], test_case.dtype, column));
    const bool plain_weight =
        !test_case.weight_dtype || is_one(tensors[Role::weight], *test_case.weight_dtype, column);
    if (!is_one(tensors[Role::input], test_case.dtype, column) || !plain_residual || !plain_weight) ++columns;
  }
  return columns;
}

// Bugs that need several rows, or none.
bool is_about_one_row(const std::string& mutant) {
  constexpr std::array kOthers = {"B9-",
                                  "B11-",
                                  "B12-",
                                  "B13-",
                                  "B14-stride",
                                  "B17-missing-barrier-before-the-next-row",
                                  "B23-",
                                  "B26-order-depends-on-rows",
                                  "B37-",
                                  "B39-",
                                  "B44-hidden-size-of-all-but-the-first-dimension"};
  return std::none_of(kOthers.begin(), kOthers.end(),
                      [&](const char* prefix) { return mutant.starts_with(prefix); });
}

// What a child process says of the corpus; a target may crash it.
enum class CorpusAnswer { conforms, violates, crashes };
CorpusAnswer replay_corpus(Target& mutant) {
  const pid_t child = fork();
  if (child == 0) {
    bool violates = false;  // all of them, because one further on may crash
    for (const auto& file : find_case_files(std::string(NORMPROOF_SOURCE_DIR) + "/corpus/seeds"))
      violates |= evaluate(read_case(file), mutant).violates();
    _exit(violates ? 1 : 0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid");
  if (WIFSIGNALED(status)) return CorpusAnswer::crashes;
  return WEXITSTATUS(status) == 0 ? CorpusAnswer::conforms : CorpusAnswer::violates;
}

// A random case of `verify` that violates. Adds the cases that were tried to `cases`.
std::optional<Case> find_by_random_cases(Target& mutant, std::int64_t& cases) {
  const auto combinations = all_combinations();
  while (cases < kMaximumCases) {
    Case test_case = verification_case(kSeed, cases++, combinations);
    if (evaluate(test_case, mutant).violates()) return test_case;
  }
  return std::nullopt;
}

std::optional<Case> find_by_corpus(Target& mutant) {
  for (const auto& file : find_case_files(std::string(NORMPROOF_SOURCE_DIR) + "/corpus/seeds")) {
    Case test_case = read_case(file);
    if (evaluate(test_case, mutant).violates()) return test_case;
  }
  return std::nullopt;
}

// What the properties find, for bugs that show in no single small case.
std::optional<Case> find_by_properties(Target& mutant) {
  for (const Property& property : all_properties()) {
    Tally tally;
    PropertyContext context{mutant, tally, kSeed, 200, {}, {}, [] { return false; }};
    PropertyResult result = property.check(context);
    if (result.counterexample) return std::move(result.counterexample);
  }
  return std::nullopt;
}

// Whether the bug is in the kernels of the norm family, which only calls of judged operations reach.
bool is_of_family(const std::string& name) {
  std::ifstream patch(std::string(NORMPROOF_SOURCE_DIR) + "/properties/mutants/" + name + ".patch");
  const std::string text{std::istreambuf_iterator<char>(patch), {}};
  if (text.empty()) throw std::runtime_error("no patch of " + name);
  return text.find("\n+++ b/kernels/family/") != std::string::npos;
}

struct FoundCall {
  judging::Combination combination;
  judging::Call call;
  judging::CallEvaluation seen;
};
// The first call of `verify` that violates, of the sizes that it begins with. Adds those that were tried.
std::optional<FoundCall> find_by_calls(JudgedTarget& mutant, std::int64_t& calls) {
  constexpr std::int64_t kMostElements = 1 << 15;
  const auto combinations = judging::combinations_of(mutant);
  for (std::int64_t index = 0; index < judging::chosen_sizes() - 1; ++index) {
    for (const judging::Combination& combination : combinations) {
      const auto call = judging::verification_call(combination, kSeed, index);
      if (!call || call->at("x").elements() > kMostElements) continue;
      ++calls;
      judging::CallEvaluation seen = judging::evaluate_call(mutant, *call, combination.policy, {1, 1, false});
      if (seen.violates()) return FoundCall{combination, *call, std::move(seen)};
    }
  }
  return std::nullopt;
}

void find_in_the_family(const std::string& name) {
  constexpr double kShrinkingSeconds = 2;
  const auto mutant = make_target("mutant:" + name), host = make_target("host");
  std::int64_t calls = 0;
  const auto found = find_by_calls(*mutant->judged_target(), calls);
  ASSERT_TRUE(found) << "not found in " << calls << " calls";
  const judging::Policy& policy = found->combination.policy;
  const judging::SmallerCall smallest =
      judging::smaller_call(*mutant->judged_target(), found->call, found->seen, policy, kShrinkingSeconds);
  fmt::print("seed {}: found after {} calls; smallest:\n{}", kSeed, calls,
             describe(smallest.call, smallest.evaluation));
  EXPECT_TRUE(smallest.evaluation.violates());
  EXPECT_EQ(judging::evaluate_call(*host->judged_target(), smallest.call, policy).outcome,
            judging::CallEvaluation::Outcome::conforms);
}

void find_and_boil_down(const std::string& name) {
  if (is_of_family(name)) return find_in_the_family(name);
  TimedTarget mutant(make_target("mutant:" + name));
  if (replay_corpus(mutant) == CorpusAnswer::crashes) {
    fmt::print("crashes on a seed of the corpus\n");
    return;
  }
  std::int64_t cases = 0;
  std::optional<Case> found = find_by_random_cases(mutant, cases);
  const double seconds = mutant.seconds();
  if (!found) found = find_by_corpus(mutant);
  const auto plain = make_target("mutant:" + name);  // refused-calls needs the functions themselves
  if (!found) found = find_by_properties(*plain);
  ASSERT_TRUE(found) << "found neither in " << cases << " cases nor in the corpus nor by a property";
  if (!evaluate(*found, mutant).violates()) {
    fmt::print("found by a property about refused calls\n");
    return;
  }
  const Case smallest = minimize(
      *found, [&](const Case& candidate) { return evaluate(candidate, mutant).violates(); }, kMinimizeTries);
  const Evaluation evaluation = evaluate(smallest, mutant);
  fmt::print("seed {}: found after {} random cases, {:.3f} s of target time; smallest:\n{}", kSeed, cases,
             seconds, describe(smallest, evaluation));
  if (smallest.elements() <= 64) fmt::print("{}\n", case_to_json(smallest));
  EXPECT_TRUE(evaluation.violates());
  EXPECT_TRUE(validate(smallest).empty());
  if (is_about_one_row(name)) {
    EXPECT_EQ(smallest.rows(), 1);
  }
  if (name.starts_with("B1-")) {
    if (!kSanitized) {
      EXPECT_LE(seconds, kMaximumTargetSeconds);
    }
    EXPECT_EQ(evaluation.outcome, Evaluation::Outcome::wrong_bits);
    EXPECT_LE(columns_that_matter(smallest), 2);
  }
  const auto host = make_target("host");
  EXPECT_FALSE(evaluate(smallest, *host).violates()) << describe(smallest, evaluate(smallest, *host));
}

class Mutants : public testing::TestWithParam<std::string> {};

// In a thread of its own: each mutant has stacks for a thousand threads of a block in each thread that calls
// it, and one process may not have as many mappings as all mutants' stacks.
TEST_P(Mutants, IsFoundAndBoilsDown) { std::thread(find_and_boil_down, GetParam()).join(); }

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& letter : name) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, Mutants, testing::ValuesIn(mutant_names()), test_name);

// A build may leave mutants out, but never those of the story; check_patches.cmake counts the patches.
TEST(MutantList, HoldsTheStory) {
  const auto names = mutant_names();
  EXPECT_EQ(
      std::count_if(names.begin(), names.end(), [](const auto& name) { return name.starts_with("B1-"); }), 3);
}

}  // namespace
}  // namespace normproof
