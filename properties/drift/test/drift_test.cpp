// Drift of small stacks: nothing differs where the arithmetic is the same, and what differs grows.
#include "properties/drift/drift.h"

#include <gtest/gtest.h>

#include "properties/targets/kernel_target.h"

namespace normproof::drift {
namespace {

Model small_model() {
  Model model;
  model.hidden_size = 96;
  model.layers = 6;
  model.tokens = 9;
  model.vocabulary = 50;
  return model;
}

TEST(DriftTest, TheSameArithmeticDoesNotDrift) {
  const auto host = make_kernel_target("host", linked_kernels());
  for (const DType dtype : kActivationDTypes) {
    Model model = small_model();
    model.dtype = dtype;
    for (const Subject& subject : {Subject{}, Subject{{}, host.get()}}) {
      for (const LayerDrift& layer : measure(model, subject, 2)) {
        EXPECT_EQ(layer.norm.share, 0);
        EXPECT_EQ(layer.residual.largest, 0);
        EXPECT_EQ(layer.agreement, 1);
      }
    }
  }
}

TEST(DriftTest, AnotherPolicyDriftsFromTheFirstNormOn) {
  const Subject subject{oracle::parse_policy("weight=fp32"), nullptr};
  const auto layers = measure(small_model(), subject, 2);
  ASSERT_EQ(layers.size(), 6u);
  EXPECT_EQ(layers[0].residual.share, 0);  // both read the same
  // A quarter of the elements, by one unit in the last place of a number below 8.
  EXPECT_GT(layers[0].norm.share, 0.1);
  EXPECT_LT(layers[0].norm.share, 0.4);
  EXPECT_GT(layers[0].norm.largest, 0);
  EXPECT_LE(layers[0].norm.largest, 0x1p-5);
  EXPECT_GT(layers[1].residual.share, 0);
  EXPECT_GT(layers[5].norm.mean, 2 * layers[0].norm.mean);
  for (const LayerDrift& layer : layers) EXPECT_LE(layer.norm.mean, layer.norm.largest);
}

Subject with_gradient(const char* policy, const char* gradient_policy) {
  const auto* operation = oracle::judged::find_judged_operation("rms_norm_backward");
  return {oracle::parse_policy(policy), nullptr, oracle::judged::parse_policy(*operation, gradient_policy)};
}

TEST(DriftTest, TheSameArithmeticHasTheSameGradients) {
  for (const LayerDrift& layer : measure(small_model(), with_gradient("native", "native"), 2)) {
    ASSERT_TRUE(layer.gradient);
    EXPECT_EQ(layer.gradient->stream.share, 0);
    EXPECT_EQ(layer.gradient->weight.share, 0);
  }
}

TEST(DriftTest, AnotherBackwardPolicyDriftsThroughTheBackwardPassAlone) {
  Model model = small_model();
  model.dtype = DType::fp32;
  const auto layers = measure(model, with_gradient("native", "contraction=none"), 2);
  for (const LayerDrift& layer : layers) EXPECT_EQ(layer.norm.share, 0);
  // One rounding more in each element, which the sum with the gradient of the stream often hides.
  const Difference& behind_one = layers.back().gradient->stream;
  EXPECT_GT(behind_one.share, 0.01);
  EXPECT_LT(behind_one.largest, 0x1p-20);
  EXPECT_EQ(layers.back().gradient->weight.share, 0);  // both read the same
  EXPECT_GT(layers.front().gradient->weight.share, 0);
  EXPECT_GT(layers.front().gradient->stream.mean, 2 * behind_one.mean);
}

TEST(DriftTest, AnotherNormDriftsIntoTheGradients) {
  const auto layers = measure(small_model(), with_gradient("weight=fp32", "native"), 2);
  EXPECT_GT(layers.back().gradient->stream.share, 0.1);
  EXPECT_GT(layers.front().gradient->weight.mean, 0);
  EXPECT_FALSE(measure(small_model(), {oracle::parse_policy("weight=fp32"), nullptr}, 2).front().gradient);
}

TEST(DriftTest, ThreadsAndRepetitionChangeNothing) {
  const Subject subject = with_gradient("weight=fp32", "contraction=none");
  const auto text = [&](int threads, std::uint64_t seed) {
    Model model = small_model();
    model.seed = seed;
    return to_json(model, "", measure(model, subject, threads));
  };
  EXPECT_EQ(text(1, 5), text(3, 5));
  EXPECT_NE(text(1, 5), text(1, 6));
}

TEST(DriftTest, SizesArePositive) {
  Model model = small_model();
  model.tokens = 0;
  EXPECT_THROW(measure(model, {}, 1), std::invalid_argument);
}

}  // namespace
}  // namespace normproof::drift
