// How a violation is recognized: kinds, the part of an operation that has the bug, regions.
#include "fuzz/known/known_bug.h"

#include <gtest/gtest.h>

#include "corpus/generate.h"
#include "properties/test/wrong_target.h"

namespace normproof {
namespace {

Case drawn(Operation operation, std::uint64_t seed) {
  CaseLimits limits;
  limits.max_rows = 3;
  limits.max_hidden = 40;
  limits.max_elements = 120;
  limits.operation = operation;
  Random random(seed);
  return random_case(random, limits);
}

TEST(Kind, IsTheSameWhateverTheNumbers) {
  EXPECT_EQ(kind_of("wrong bits, rms_norm 1x8"), "wrong-bits");
  EXPECT_EQ(kind_of("the worker died of signal 11 (Segmentation fault)"), "the-worker-died-of-signal-11");
  EXPECT_EQ(kind_of("the worker died of signal 11 (Segmentation fault) at libmine.so+0x12ab"),
            "the-worker-died-of-signal-11-at-libmine.so+0x12ab");
  EXPECT_EQ(kind_of("the call of row 17 took 3.2 s"), kind_of("the call of row 5 took 9.9 s"));
  EXPECT_EQ(kind_of("a\x1b[31m\xff"
                    "b"),
            "a---b");
}

TEST(Kind, OfAFailureSaysWhatTheTargetSays) {
  WrongTarget target([](Target&, const Case&, const CaseTensors&) {
    RunResult result;
    result.status = RunResult::Status::failed;
    result.message = "the worker died of signal 4 (Illegal instruction)";
    return result;
  });
  EXPECT_EQ(kind_of(evaluate(drawn(Operation::rms_norm, 1), target)),
            "the-target-failed-the-worker-died-of-signal-4");
}

// Every norm is off by one bit in its first element.
RunResult off_in_the_norm(Target& right, const Case& test_case, const CaseTensors& tensors) {
  RunResult result = right.run(test_case, tensors);
  if (result.status != RunResult::Status::completed || quantizes(test_case.operation)) return result;
  if (!result.outputs[Role::out].empty()) result.outputs[Role::out][0] ^= std::byte{1};
  return result;
}

TEST(Part, ABugOfTheNormIsFollowedFromTheFusedAdd) {
  WrongTarget target(off_in_the_norm);
  const KnownBug of_norm{"a", "wrong-bits", Operation::rms_norm, {}, {}};
  const KnownBug of_add{"b", "wrong-bits", Operation::fused_add_rms_norm, {}, {}};
  int followed = 0;
  for (std::uint64_t seed = 1; seed < 30; ++seed) {
    const Case fused = drawn(Operation::fused_add_rms_norm, seed);
    const Evaluation evaluation = evaluate(fused, target);
    if (evaluation.outcome != Evaluation::Outcome::wrong_bits) continue;
    const Case part = followed_to_part(fused, "wrong-bits", target);
    EXPECT_EQ(part.operation, Operation::rms_norm);
    EXPECT_TRUE(evaluate(part, target).violates());
    EXPECT_TRUE(is_instance(of_norm, fused, evaluation, target));
    ++followed;
  }
  EXPECT_GT(followed, 5);
  // The other way round it is another bug.
  const Case plain = drawn(Operation::rms_norm, 2);
  EXPECT_FALSE(is_instance(of_add, plain, evaluate(plain, target), target));
}

TEST(Part, ABugOfTheAddStaysThere) {
  WrongTarget target([](Target& right, const Case& test_case, const CaseTensors& tensors) {
    RunResult result = right.run(test_case, tensors);
    if (!result.outputs[Role::residual_out].empty()) result.outputs[Role::residual_out][0] ^= std::byte{1};
    return result;
  });
  const KnownBug of_norm{"a", "wrong-bits", Operation::rms_norm, {}, {}};
  int seen = 0;
  for (std::uint64_t seed = 1; seed < 30; ++seed) {
    const Case fused = drawn(Operation::fused_add_rms_norm, seed);
    const Evaluation evaluation = evaluate(fused, target);
    if (evaluation.outcome != Evaluation::Outcome::wrong_bits) continue;
    EXPECT_EQ(followed_to_part(fused, "wrong-bits", target).operation, Operation::fused_add_rms_norm);
    EXPECT_FALSE(is_instance(of_norm, fused, evaluation, target));
    ++seen;
  }
  EXPECT_GT(seen, 5);
}

TEST(Region, HoldsWhatLooksLikeItsCases) {
  Region region;
  Case test_case = drawn(Operation::rms_norm, 3);
  EXPECT_FALSE(region.holds(test_case));
  region.add(test_case);
  EXPECT_TRUE(region.holds(test_case));
  Case other = test_case;
  other.operation = Operation::fused_add_rms_norm;
  EXPECT_FALSE(region.holds(other));
  other = test_case;
  other.shape = {1000, 4096};
  EXPECT_FALSE(region.holds(other));
  region.add(other);
  EXPECT_TRUE(region.holds(other));
  other.shape = {1000, test_case.hidden_size()};  // of what occurred, in another combination
  EXPECT_TRUE(region.holds(other));
  EXPECT_EQ(Region::from_json(region.to_json()).to_text(), region.to_text());
  EXPECT_NE(region.to_text().find("operation rms_norm;"), std::string::npos) << region.to_text();
}

}  // namespace
}  // namespace normproof
