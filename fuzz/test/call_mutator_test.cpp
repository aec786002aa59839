// Calls by name in binary form, and mutations: any bytes are a call that can be run, what is of the space
// comes back as it was, every child is valid, each mutation is of use, and the same seed gives the same
// child.
#include "fuzz/call_mutator.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "fuzz/call_bytes.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/cases.h"

namespace normproof::fuzz {
namespace {

constexpr std::uint64_t kSeed = 20261130;
constexpr int kParents = 400;

const CallSpace& space() {
  static const CallSpace all = [] {
    const auto operations = oracle::judged::judged_operations();
    CallSpace result;
    result.operations.assign(operations.begin(), operations.end());
    return result;
  }();
  return all;
}

std::string text_of(const Call& call) { return call_to_json(call, {}); }

Call parent(Random& random) {
  while (true) {
    const auto call = fresh_call(random, space());
    if (call && call_to_bytes(*call, space())) return *call;
  }
}

TEST(CallBytes, AnyBytesAreAValidCall) {
  Random random(kSeed);
  std::set<const JudgedOperation*> operations;
  for (int i = 0; i < kParents; ++i) {
    std::vector<std::uint8_t> bytes(random.below(2000));
    for (std::uint8_t& byte : bytes)
      byte = static_cast<std::uint8_t>(random.chance(1, 3) ? random.below(4) : random.below(256));
    const Call call = call_from_bytes(bytes, space());
    ASSERT_TRUE(is_valid(call)) << text_of(call);
    ASSERT_LE(call.at("x").elements(), 2 * space().max_elements);
    operations.insert(call.operation);
  }
  EXPECT_EQ(operations.size(), space().operations.size());
}

TEST(CallBytes, KeepMostFreshCallsOfEveryOperation) {
  Random random(kSeed);
  std::set<const JudgedOperation*> operations;
  int kept = 0;
  for (int i = 0; i < kParents; ++i) {
    const auto call = fresh_call(random, space());
    const auto bytes = call ? call_to_bytes(*call, space()) : std::nullopt;
    if (!bytes) continue;
    ++kept;
    operations.insert(call->operation);
    ASSERT_TRUE(is_valid(*call)) << text_of(*call);
    EXPECT_EQ(text_of(call_from_bytes(*bytes, space())), text_of(*call));
  }
  EXPECT_EQ(operations.size(), space().operations.size());
  EXPECT_GT(kept, kParents * 3 / 4);
}

TEST(CallMutator, MakesValidCallsOfTheSpaceFromTheSeedAlone) {
  Random random(kSeed);
  int changed = 0;
  for (int i = 0; i < kParents; ++i) {
    const Call call = parent(random);
    Random first(random.next()), second = first;
    const Call child = mutate(call, first, space());
    ASSERT_TRUE(is_valid(child)) << text_of(child);
    ASSERT_TRUE(call_to_bytes(child, space())) << text_of(child);
    EXPECT_EQ(text_of(child), text_of(mutate(call, second, space())));
    changed += text_of(child) != text_of(call) ? 1 : 0;
  }
  EXPECT_GT(changed, kParents * 3 / 4);
}

// A mutation that always says that the call has nothing of its kind, or whose child is always thrown away, is
// none.
TEST(CallMutator, EveryMutationIsOftenOfUse) {
  for (const CallMutation& each : call_mutations()) {
    Random random(kSeed);
    int useful = 0;
    for (int i = 0; i < kParents; ++i) {
      const Call call = mutate(parent(random), random, space());  // whose statistics may be of another x
      Call child = call;
      const bool applied = each.apply(child, random, space());
      useful +=
          applied && is_valid(child) && call_to_bytes(child, space()) && text_of(child) != text_of(call);
    }
    EXPECT_GT(useful, kParents / 40) << each.name;
  }
}

TEST(CallMutator, LeadsToEveryLayoutOfScalesAndToEveryTensorThatMayBeMissing) {
  Random random(kSeed);
  std::set<std::string> seen, layouts;
  int fresh_views = 0, made_views = 0;
  const auto is_view = [](const Call& of) { return of.place_of("scales").by_columns; };
  Call call = parent(random);
  for (int i = 0; i < 20 * kParents; ++i) {
    if (i % 20 == 0) fresh_views += is_view(call = parent(random)) ? 1 : 0;
    const bool was_view = is_view(call);
    call = mutate(call, random, space());
    made_views += is_view(call) && !was_view ? 1 : 0;
    const CallForm form = form_of(call);
    if (call.operation->block_layouts != nullptr) layouts.emplace(layout_of(form).name);
    for (const auto& spec : call.operation->tensors)
      if (spec.need != oracle::judged::Need::always)
        seen.insert(std::string(spec.name) + (call.has(spec.name) ? " there" : " missing"));
  }
  EXPECT_EQ(layouts.size(), 4u);  // by rows, by columns, also padded, in tiles
  EXPECT_GT(fresh_views, 2);
  EXPECT_GT(made_views, 2);
  for (const std::string name :
       {"weight", "bias", "dresidual", "normalized", "scale_ub", "mean", "rstd", "dx", "dbias"})
    for (const std::string state : {" there", " missing"}) EXPECT_TRUE(seen.contains(name + state)) << name;
}

}  // namespace
}  // namespace normproof::fuzz
