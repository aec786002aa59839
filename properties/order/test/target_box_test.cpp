// Targets as black boxes: the production kernels certify as canonical, in every operation and dtype.
#include "properties/order/target_box.h"

#include <gtest/gtest.h>

#include "properties/order/detect.h"
#include "properties/order/families.h"

namespace normproof::order {
namespace {

// Every leaf but the first of each lane is added by an fma.
SumTree canonical_with_fma(std::int32_t leaves, std::int32_t per_chunk) {
  SumTree tree = canonical(leaves, per_chunk);
  std::vector<std::uint8_t> fused(static_cast<std::size_t>(leaves), 0);
  for (std::int32_t j = 0; j < leaves; ++j)
    fused[static_cast<std::size_t>(j)] = j % per_chunk != 0 || j / per_chunk >= 1024;
  return oracle::make_tree(leaves, tree.nodes, fused);
}

TEST(TargetBox, ProductionKernelsAreCanonical) {
  const auto target = make_target("host");
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      CallShape shape;
      shape.operation = operation;
      shape.dtype = dtype;
      shape.hidden_size = 130;
      if (quantizes(operation)) shape.quantized_dtype = DType::fp8_e4m3fn;
      shape = with_weight_it_takes(*target, shape);
      const auto box = make_target_box(*target, shape, 1);
      const Finding finding = detect(*box);
      ASSERT_TRUE(finding.tree) << name_of(operation) << " " << name_of(dtype) << ": " << finding.reason;
      EXPECT_EQ(*finding.tree, dtype == DType::fp32 ? canonical_with_fma(130, 4) : canonical(130, 8));
      EXPECT_TRUE(dtype != DType::fp32 || finding.fma_known);
    }
  }
}

// The scale of a row takes r out of its codes; the order is read from the scale. In long rows of fp16 a
// negative epsilon makes it infinite, and a positive one is found.
TEST(TargetBox, ScalesAreRead) {
  const auto target = make_target("host");
  for (const DType dtype : kActivationDTypes) {
    CallShape shape;
    shape.operation = Operation::rms_norm_dynamic_quant;
    shape.dtype = dtype;
    shape.hidden_size = 1024;
    shape.quantized_dtype = DType::fp8_e5m2;
    const auto box = make_target_box(*target, with_weight_it_takes(*target, shape), 1);
    const Finding finding = detect(*box);
    ASSERT_TRUE(finding.tree) << name_of(dtype) << ": " << finding.reason;
    EXPECT_EQ(finding.tree->nodes, canonical(1024, dtype == DType::fp32 ? 4 : 8).nodes);
    EXPECT_EQ(finding.negative_epsilon, dtype != DType::fp16);
    EXPECT_EQ(finding.root.root, RootFinding::Root::not_looked_at);
    std::string why;
    EXPECT_FALSE(has_tree(*box, serial(1024), 3, why));
  }
}

// Boxes of one target after each other, of other sizes: nothing of the one before is left.
TEST(TargetBox, BoxesAreIndependent) {
  const auto target = make_target("host");
  for (const std::int64_t rows : {1, 64, 7}) {
    for (const std::int32_t hidden : {300, 16}) {
      CallShape shape;
      shape.hidden_size = hidden;
      shape.rows = rows;
      const auto box = make_target_box(*target, shape, 2);
      std::string why;
      EXPECT_TRUE(has_tree(*box, canonical(hidden, 8), 3, why)) << why;
      EXPECT_FALSE(has_tree(*box, serial(hidden), 3, why));
    }
  }
}

TEST(TargetBox, ARefusalSaysWhy) {
  const auto target = make_target("host");
  CallShape shape;
  shape.hidden_size = 12;
  shape.path = KernelPath::vectorized;  // 12 elements of bf16 are no whole number of chunks
  const auto box = make_target_box(*target, shape, 1);
  try {
    box->outputs(std::vector<Probe>{{{{0, 0x3f80}}, 0}}, 0);
    FAIL() << "no complaint";
  } catch (const NoAnswer& error) {
    EXPECT_TRUE(error.refused);
    EXPECT_NE(std::string(error.what()).find("refused"), std::string::npos);
  }
}

}  // namespace
}  // namespace normproof::order
