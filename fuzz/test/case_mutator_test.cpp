// Mutations: every child is a case that the harness may run, each mutation changes what it is named for, and
// the same seed gives the same child.
#include "fuzz/case_mutator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "corpus/case_json.h"
#include "corpus/float_format.h"

namespace normproof::fuzz {
namespace {

constexpr std::uint64_t kSeed = 20261128;
constexpr int kParents = 2000;

CaseLimits small_limits() {
  CaseLimits limits;
  limits.max_rows = 6;
  limits.max_hidden = 64;
  limits.allow_refused = true;
  limits.int8 = limits.scale_ub = true;
  return limits;
}

const Mutation& mutation(std::string_view name) {
  for (const Mutation& each : all_mutations()) {
    if (each.name == name) return each;
  }
  ADD_FAILURE() << "no mutation " << name;
  return all_mutations().front();
}

// Calls see(parent, child) for the children that the mutation makes of random cases.
template <class See>
void for_each_child(const Mutation& mutation, See see) {
  Random random(kSeed);
  for (int i = 0; i < kParents; ++i) {
    const Case parent = random_case(random, small_limits());
    Case child = parent;
    if (mutation.apply(child, random, small_limits())) see(parent, child);
  }
}

TEST(CaseMutator, MakesValidCasesWithinTheLimits) {
  Random random(kSeed);
  int changed = 0;
  for (int i = 0; i < kParents; ++i) {
    const Case first = random_case(random, small_limits());
    const Case second = random_case(random, small_limits());
    for (const Case& child :
         {mutate(first, random, small_limits()), cross_over(first, second, random, small_limits())}) {
      ASSERT_TRUE(validate(child).empty()) << validate(child).front() << '\n' << case_to_json(child);
      ASSERT_TRUE(within(child, small_limits())) << case_to_json(child);
      changed += child == first ? 0 : 1;
    }
  }
  EXPECT_GT(changed, kParents);
}

TEST(CaseMutator, TakesEveryChoiceFromTheSeed) {
  Random random(kSeed);
  const Case parent = random_case(random, small_limits());
  std::set<std::string> children;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random first(seed);
    Random second(seed);
    const Case child = mutate(parent, first, small_limits());
    EXPECT_EQ(child, mutate(parent, second, small_limits()));
    children.insert(case_to_json(child));
  }
  EXPECT_GT(children.size(), 90u);
}

// A mutation that always says that the case has nothing of its kind, or whose
// child is always thrown away, is none.
TEST(CaseMutator, EveryMutationIsOftenOfUse) {
  for (const Mutation& each : all_mutations()) {
    int useful = 0;
    for_each_child(each, [&](const Case& parent, const Case& child) {
      useful += child != parent && validate(child).empty() && within(child, small_limits()) ? 1 : 0;
    });
    EXPECT_GT(useful, kParents / 40) << each.name;
  }
}

TEST(CaseMutator, OperationLeadsFromEachToEachOther) {
  std::map<std::pair<Operation, Operation>, int> steps;
  for_each_child(mutation("operation"), [&](const Case& parent, const Case& child) {
    ASSERT_TRUE(validate(child).empty()) << validate(child).front() << '\n' << case_to_json(child);
    EXPECT_EQ(child.rows(), parent.rows());
    EXPECT_EQ(materialize(child)[Role::input], materialize(parent)[Role::input]);
    ++steps[{parent.operation, child.operation}];
  });
  EXPECT_EQ(steps.size(), all_operations().size() * (all_operations().size() - 1));
}

// Every dtype with every weight from each other, and the values rounded, not drawn anew.
TEST(CaseMutator, TypesLeadFromEachToEachOther) {
  std::map<std::pair<DType, std::optional<DType>>, std::set<std::pair<DType, std::optional<DType>>>> steps;
  for_each_child(mutation("types"), [&](const Case& parent, const Case& child) {
    ASSERT_TRUE(validate(child).empty()) << validate(child).front() << '\n' << case_to_json(child);
    EXPECT_EQ(child.operation, parent.operation);
    EXPECT_EQ(child.shape, parent.shape);
    steps[{parent.dtype, parent.weight_dtype}].insert({child.dtype, child.weight_dtype});
    if (parent.dtype == child.dtype || parent.dtype == DType::fp32 || child.dtype != DType::fp32) return;
    const CaseTensors before = materialize(parent);
    const CaseTensors after = materialize(child);
    for (std::int64_t index = 0; index < parent.elements(); ++index) {
      const double value =
          value_of(format_of(parent.dtype), load_bits(before[Role::input], parent.dtype, index));
      const double converted = value_of(kFp32, load_bits(after[Role::input], DType::fp32, index));
      EXPECT_TRUE(converted == value || (std::isnan(converted) && std::isnan(value))) << value;
    }
  });
  ASSERT_EQ(steps.size(), 8u);  // three dtypes: none, the same, fp32; for fp32 the last two are one
  for (const auto& [types, others] : steps) EXPECT_GE(others.size(), 7u) << name_of(types.first);
}

TEST(CaseMutator, LeadingSizesKeepTheRows) {
  std::set<std::size_t> ranks;
  for_each_child(mutation("leading-sizes"), [&](const Case& parent, const Case& child) {
    ASSERT_TRUE(validate(child).empty()) << validate(child).front() << '\n' << case_to_json(child);
    EXPECT_EQ(child.rows(), parent.rows());
    EXPECT_EQ(materialize(child)[Role::input], materialize(parent)[Role::input]);
    ranks.insert(child.shape.size());
  });
  EXPECT_EQ(ranks, (std::set<std::size_t>{2, 3, 4}));
}

}  // namespace
}  // namespace normproof::fuzz
