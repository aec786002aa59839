// Orders as JSON: what is written reads back, regular orders are short, and damage is named.
#include "oracle/order_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "corpus/case_json.h"
#include "oracle/run_lengths.h"
#include "properties/order/families.h"
#include "properties/order/test/boxes.h"

namespace normproof::order {
namespace {

std::string file_of(const std::string& tree, const std::string& more = R"("hidden_size": 4)") {
  return fmt::format(
      R"({{"normproof_order": 1, "orders": [{{"operation": "rms_norm", "dtype": "bf16", {}, "tree": {}}}]}})",
      more, tree);
}

SumTree read_back(const SumTree& tree) {
  const auto orders =
      oracle::orders_from_json(file_of(to_json(tree), fmt::format(R"("hidden_size": {})", tree.leaves)));
  return *orders.all().at(0).tree;
}

TEST(OrderFile, WhatIsWrittenReadsBack) {
  for (const std::int32_t leaves : {1, 2, 3, 7, 64, 1000, 4096}) {
    for (SumTree tree : {serial(leaves), reverse(leaves), pairwise(leaves), numpy_pairwise(leaves),
                         canonical(leaves, 8), cub_block_reduce(leaves, 256, 4), random_tree(leaves, 5)}) {
      EXPECT_EQ(read_back(tree), tree);
      std::vector<std::uint8_t> fused(static_cast<std::size_t>(leaves), 0);
      for (const SumTree::Node& node : tree.nodes)
        if (tree.is_leaf(node.second)) fused[static_cast<std::size_t>(node.second)] = 1;
      tree = oracle::make_tree(leaves, tree.nodes, fused, SumTree::Precision::fp64);
      EXPECT_EQ(read_back(tree), tree);
    }
  }
}

TEST(OrderFile, RegularOrdersAreShort) {
  for (const Family& family : families()) EXPECT_LT(to_json(family.tree(4096)).size(), 20000) << family.name;
  EXPECT_LT(to_json(serial(16384)).size(), 120);
  EXPECT_LT(to_json(canonical(16384, 8)).size(), 2000);
}

TEST(OrderFile, DamageIsNamed) {
  const auto complaint = [](const std::string& text) -> std::string {
    try {
      oracle::orders_from_json(text);
    } catch (const CaseError& error) {
      return error.what();
    }
    return "none";
  };
  const auto of_tree = [&](const std::string& additions, const std::string& fused = "[]") {
    return complaint(file_of(fmt::format(
        R"({{"leaves": 4, "precision": "fp32", "additions": {}, "fused": {}}})", additions, fused)));
  };
  EXPECT_EQ(of_tree("[[0, 1], [4, 2, [2, 1, 1]]]"), "none");
  const std::string at = "$.orders[0].tree.additions";
  EXPECT_EQ(of_tree("[[0, 1], [4, 2]]"), at + ": a tree of 4 leaves has 3 additions, got 2");
  EXPECT_EQ(of_tree("[[0, 1], [0, 2], [5, 3]]"), at + ": addition 5 adds 0 a second time");
  EXPECT_EQ(of_tree("[[0, 1], [7, 2], [5, 3]]"),
            at + ": addition 5 adds 7, which is no element and no earlier addition");
  EXPECT_EQ(of_tree("[[0, 1], [4, 9], [5, 3]]"), at + ": addition 5 adds 4 and 9, but numbers end at 7");
  EXPECT_EQ(of_tree("[[0, 1, [9, 1, 1]]]"), at + "[0]: more than 4 entries, or a count below 1");
  EXPECT_EQ(of_tree("[[0, -1]]"), at + "[0][1]: a whole number from 0 to 1099511627776, got -1");
  EXPECT_EQ(of_tree("[[0]]"), at + "[0]: 2 numbers and at most 8 runs, got an array of 1");
  EXPECT_NE(of_tree("[[0, 1], [4, 2, [2, 1, 1]]]", "[[4]]").find("there is no element 4"), std::string::npos);
  EXPECT_NE(of_tree("[[0, 1], [4, 2, [2, 1, 1]]]", "[[0], [1]]").find("must be rounded first"),
            std::string::npos);
  EXPECT_EQ(complaint("{}"), "$.normproof_order: missing");
  EXPECT_EQ(complaint(R"({"normproof_order": 2, "orders": []})"),
            "$.normproof_order: a whole number from 1 to 1, got 2");
  EXPECT_EQ(complaint(file_of(to_json(serial(5)))), "$.orders[0].tree.leaves: is 5, but hidden_size is 4");
  EXPECT_NE(complaint(file_of(R"({"leaves": 4, "leafs": 4})")).find("unknown key"), std::string::npos);
}

TEST(OrderFile, FindsTheOrderOfACase) {
  const auto entry = [](std::int64_t rows, const SumTree& tree) {
    oracle::GivenOrder order;
    order.hidden_size = tree.leaves;
    order.rows = rows;
    order.tree = std::make_shared<const SumTree>(tree);
    return order;
  };
  Case test_case;
  test_case.shape = {3, 8};
  const oracle::Orders one({entry(64, serial(8)), entry(64, serial(16))});
  ASSERT_NE(one.find(test_case), nullptr);
  EXPECT_EQ(*one.find(test_case)->tree, serial(8));
  const oracle::Orders two({entry(64, serial(8)), entry(3, pairwise(8))});
  EXPECT_EQ(*two.find(test_case)->tree, pairwise(8));
  test_case.shape = {4, 8};
  EXPECT_EQ(two.find(test_case), nullptr);  // the order depends on the rows, and these were not looked at
  test_case.dtype = DType::fp16;
  EXPECT_EQ(one.find(test_case), nullptr);
}

// Other layouts and other calls may take another path of the kernel.
TEST(OrderFile, StandsForPackedAndAlignedTensors) {
  oracle::GivenOrder order;
  order.hidden_size = 8;
  order.rows = 3;
  order.tree = std::make_shared<const SumTree>(serial(8));
  const oracle::Orders orders({order});
  using Match = oracle::Orders::Match;
  Case test_case;
  test_case.shape = {3, 8};
  EXPECT_NE(orders.find(test_case), nullptr);
  EXPECT_NE(orders.find(test_case, Match::same_call), nullptr);
  const auto both = [&](const auto& change) {
    Case changed = test_case;
    change(changed);
    return std::pair(orders.find(changed) != nullptr, orders.find(changed, Match::same_call) != nullptr);
  };
  const std::pair neither(false, false), by_length(true, false);
  EXPECT_EQ(both([](Case& c) { c[Role::input].layout.offset = 1; }), neither);
  EXPECT_EQ(both([](Case& c) { c[Role::out].layout.strides = {16}; }), neither);
  EXPECT_EQ(both([](Case& c) { c.in_place = true; }), neither);
  EXPECT_EQ(both([](Case& c) { c.shape = {4, 8}; }), by_length);
  EXPECT_EQ(both([](Case& c) { c.shape = {1, 3, 8}; }), by_length);
  EXPECT_EQ(both([](Case& c) { c.weight_dtype = DType::bf16; }), by_length);
  EXPECT_EQ(both([](Case& c) { c.launch.path = KernelPath::scalar; }), by_length);
  order.kind() = {Operation::rms_norm_dynamic_quant, DType::bf16, std::nullopt, DType::int8};
  for (const bool bounded : {false, true}) {
    order.has_scale_ub = bounded;
    const oracle::Orders of_codes({order});
    test_case.kind() = order;
    for (const bool asked : {false, true}) {
      test_case.bits_of(Parameter::scale_ub) = asked ? 0x42c80000u : 0x7f800000u;
      EXPECT_NE(of_codes.find(test_case), nullptr);
      EXPECT_EQ(of_codes.find(test_case, Match::same_call) != nullptr, asked == bounded);
    }
    std::string entry = R"("hidden_size": 8)";
    if (bounded) entry += R"(, "scale_ub": 100)";
    EXPECT_EQ(oracle::orders_from_json(file_of(to_json(serial(8)), entry)).all()[0].has_scale_ub, bounded);
  }
  const std::string shifted = file_of(to_json(serial(8)), R"("hidden_size": 8, "offset": 1)");
  EXPECT_TRUE(oracle::orders_from_json(shifted).all().empty());
  // Nor does an order of fp32 rows that does not know its fma.
  for (const bool known : {false, true}) {
    std::string text =
        file_of(to_json(serial(8)), fmt::format(R"("hidden_size": 8, "fma_known": {})", known));
    text.replace(text.find("bf16"), 4, "fp32");
    EXPECT_EQ(oracle::orders_from_json(text).all().size(), known ? 1u : 0u);
  }
}

TEST(RunLengths, RunsOfRuns) {
  std::vector<std::array<std::int64_t, 1>> items;
  for (std::int64_t block = 0; block < 5; ++block)
    for (std::int64_t i = 0; i < 3; ++i) items.push_back({100 * block + 7 * i});
  const auto runs = oracle::run_lengths(items);
  EXPECT_EQ(runs.size(), 1u);
  std::vector<std::array<std::int64_t, 1>> expanded;
  for (const auto& run : runs) oracle::expand(run, 15, expanded);
  EXPECT_EQ(expanded, items);
  EXPECT_THROW(oracle::expand(runs.front(), 14, expanded), std::invalid_argument);
}

}  // namespace
}  // namespace normproof::order
