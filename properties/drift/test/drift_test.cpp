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

TEST(DriftTest, ThreadsAndRepetitionChangeNothing) {
  const Subject subject{oracle::parse_policy("weight=fp32"), nullptr};
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
