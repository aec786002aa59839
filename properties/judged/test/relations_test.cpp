// The relations hold of an honest target, each finds a target that breaks it, and none is asked of a target
// whose bits change from run to run.
#include "properties/judged/relations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "oracle/exact.h"
#include "properties/judged/relation_calls.h"
#include "properties/judged/test/canonical_target.h"

namespace normproof::judging {
namespace {

using oracle::judged::JudgedOperation;
using oracle::judged::Tensor;
using Kind = RelationOutcome::Kind;

double value_at(const Tensor& tensor, std::int64_t i) {
  return oracle::to_double(oracle::decode(tensor.dtype, load_bits(tensor.bytes, tensor.dtype, i)));
}
void change(Tensor& tensor, const std::function<double(std::int64_t, double)>& to) {
  overwrite(
      tensor, [](std::int64_t) { return true; }, [&](std::int64_t i) { return to(i, value_at(tensor, i)); });
}
Tensor& tensor_of(Call& call, std::string_view name) { return call.tensors.find(name)->second; }

struct WrongTarget {
  std::string_view relation, operation;
  void (*before)(Call&);
  void (*after)(Call&);
};
// What each does is a bug that kernels have had, or next to one.
const WrongTarget kWrong[] = {
    {"rows-are-independent", "layer_norm", nullptr,
     [](Call& call) {  // a NaN anywhere is everywhere
       const Tensor& x = call.at("x");
       for (std::int64_t i = 0; i < x.elements(); ++i)
         if (std::isnan(value_at(x, i)))
           change(tensor_of(call, "out"), [](std::int64_t, double) { return NAN; });
     }},
    {"heads-are-independent", "qk_norm_rope", nullptr,
     [](Call& call) {  // the first head's sum decides for all
       if (!std::isfinite(value_at(call.at("x"), 0)))
         change(tensor_of(call, "out"), [](std::int64_t, double) { return 0.0; });
     }},
    {"columns-are-interchangeable", "rms_norm_backward",
     [](Call& call) {  // the first weight is taken for 1
       if (call.has("weight"))
         change(tensor_of(call, "weight"), [](std::int64_t i, double w) { return i == 0 ? 1.0 : w; });
     },
     nullptr},
    {"power-of-two-scaling", "layer_norm", [](Call& call) { call.epsilon = 0x3a83126f; }, nullptr},  // 1e-3
    {"negation", "fused_add_layer_norm", nullptr,
     [](Call& call) {  // rounded upwards: a step away from 0 above it
       Tensor& out = tensor_of(call, "out");
       for (std::int64_t i = 0; i < out.elements(); i += 3) {
         const std::uint32_t bits = load_bits(out.bytes, out.dtype, i);
         if (value_at(out, i) > 0) store_bits(out.bytes, out.dtype, i, bits + 1);
       }
     }},
    {"weight-scaling", "layer_norm",
     [](Call& call) {  // 1 + w
       if (call.has("weight"))
         change(tensor_of(call, "weight"), [](std::int64_t, double w) { return w + 1; });
     },
     nullptr},
    {"shift", "layer_norm",
     [](Call& call) {  // x by way of four bits
       change(tensor_of(call, "x"),
              [](std::int64_t, double x) { return std::fabs(x) > 16 ? 4 * std::rint(x / 4) : x; });
     },
     nullptr},
    {"gradient-scaling", "layer_norm_backward",
     [](Call& call) {  // small gradients are lost
       change(tensor_of(call, "dy"), [](std::int64_t, double dy) { return std::fabs(dy) < 0.5 ? 0 : dy; });
     },
     nullptr},
    {"dbias-is-of-dy", "layer_norm_backward", nullptr,
     [](Call& call) {
       if (call.has("dbias") && call.has("dweight")) tensor_of(call, "dbias") = call.at("dweight");
     }},
    {"half-a-turn", "qk_norm_rope",
     [](Call& call) { change(tensor_of(call, "cos"), [](std::int64_t, double c) { return std::fabs(c); }); },
     nullptr},
    {"tail-is-not-rotated", "qk_norm_rope", nullptr,
     [](Call& call) {
       if (call.at("cos").elements() == 0) return;
       const double c = value_at(call.at("cos"), 0);
       change(tensor_of(call, "out"), [&](std::int64_t, double out) { return out * c; });
     }},
    {"codes-are-ordered", "rms_norm_block_quant", nullptr,
     [](Call& call) {  // what is largest does not fit
       Tensor& out = tensor_of(call, "out");
       if (out.dtype != DType::int8) return;
       for (std::byte& code : out.bytes)
         if (code == std::byte{127}) code = std::byte{0x80};
     }},
    {"fused-add-is-add-then-norm", "fused_add_rms_norm_mx_quant", nullptr,
     [](Call& call) { tensor_of(call, "residual_out") = call.at("x"); }},
};

// Draws until the relation is broken; what came of it otherwise.
std::map<Kind, int> outcomes(JudgedTarget& target, const Relation& relation, const JudgedOperation& operation,
                             std::int64_t draws, bool until_broken) {
  std::map<Kind, int> counts;
  for (std::int64_t draw = 0; draw < draws; ++draw) {
    for (const Combination& combination : combinations_of(target, &operation)) {
      const RelationOutcome outcome =
          check_relation(target, relation, combination, Random(3).split(static_cast<std::uint64_t>(draw)));
      ++counts[outcome.kind];
      if (outcome.kind != Kind::broken) continue;
      if (until_broken) return counts;
      ADD_FAILURE() << relation.name << " of " << to_string(combination) << ": " << outcome.message;
    }
  }
  return counts;
}

TEST(Relations, HoldOfAnHonestTarget) {
  CanonicalTarget target;
  for (const Relation& relation : relations()) {
    int compared = 0;
    for (const JudgedOperation* operation : oracle::judged::judged_operations())
      if (relation.applies(*operation))
        compared += outcomes(target, relation, *operation, 2, false)[Kind::holds];
    EXPECT_GT(compared, 8) << relation.name;
  }
}

// A constant added to x changes its roundings, far from zero.
TEST(Relations, HoldOfAShiftedNorm) {
  CanonicalTarget target;
  target.policy = "form=shifted_fma";
  const JudgedOperation& operation = *oracle::judged::find_judged_operation("layer_norm");
  std::map<Kind, int> counts;
  for (const Relation& relation : relations()) {
    if (!relation.applies(operation)) continue;
    for (Combination combination : combinations_of(target, &operation)) {
      combination.policy = parse_policy(operation, target.policy);
      for (std::uint64_t draw = 0; draw < 4; ++draw) {
        const RelationOutcome outcome = check_relation(target, relation, combination, Random(3).split(draw));
        EXPECT_NE(outcome.kind, Kind::broken) << relation.name << ": " << outcome.message;
        ++counts[outcome.kind];
      }
    }
  }
  EXPECT_GT(counts[Kind::holds], 30);
}

TEST(Relations, EachFindsATargetThatBreaksIt) {
  for (const Relation& relation : relations()) {
    const auto wrong = std::ranges::find(kWrong, relation.name, &WrongTarget::relation);
    ASSERT_NE(wrong, std::end(kWrong)) << relation.name << ": no wrong target";
    SpoiledTarget target;
    if (wrong->before != nullptr) target.before = wrong->before;
    if (wrong->after != nullptr) target.after = wrong->after;
    const JudgedOperation& operation = *oracle::judged::find_judged_operation(wrong->operation);
    ASSERT_TRUE(relation.applies(operation)) << relation.name;
    EXPECT_EQ(outcomes(target, relation, operation, 24, true)[Kind::broken], 1) << relation.name;
  }
}

TEST(Relations, AreNotAskedOfATargetWithoutFixedBits) {
  SpoiledTarget target;
  int runs = 0;
  target.after = [&](Call& call) {
    Tensor& out = tensor_of(call, "out");
    store_bits(out.bytes, out.dtype, 0,
               load_bits(out.bytes, out.dtype, 0) ^ static_cast<std::uint32_t>(++runs & 7));
  };
  const JudgedOperation& operation = *oracle::judged::find_judged_operation("layer_norm");
  const Relation& negation = *std::ranges::find(relations(), "negation", &Relation::name);
  EXPECT_GT(outcomes(target, negation, operation, 2, false)[Kind::not_compared], 4);
}

}  // namespace
}  // namespace normproof::judging
