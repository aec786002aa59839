#include "properties/comparison.h"

#include <gtest/gtest.h>

#include "properties/bits.h"

namespace normproof {
namespace {

std::vector<std::byte> bf16(std::initializer_list<std::uint32_t> elements) {
  std::vector<std::byte> data(2 * elements.size());
  std::int64_t index = 0;
  for (const std::uint32_t bits : elements) store_bits(data, DType::bf16, index++, bits);
  return data;
}

Case two_by_two() {
  Case test_case;
  test_case.shape = {2, 2};
  return test_case;
}

TEST(Comparison, AnyNanEqualsAnyNanAndZerosDiffer) {
  Comparison comparison("the other run");
  comparison.add_row(Role::out, DType::bf16, 2, bf16({0x7fc0, 0x0000}), 0, bf16({0xffff, 0x0000}), 0);
  EXPECT_TRUE(comparison.agrees());
  comparison.add_row(Role::out, DType::bf16, 2, bf16({0x7fc0, 0x0000}), 0, bf16({0x7fc0, 0x8000}), 0);
  EXPECT_FALSE(comparison.agrees());
}

TEST(Comparison, NamesTheElementTheBitsAndTheDistance) {
  Comparison comparison("the other run");
  comparison.add_row(Role::out, DType::bf16, 2, bf16({0, 0, 0x3f80, 0x3f83}), 1, bf16({0x3f80, 0x3f80}), 0);
  const std::string text = comparison.describe(two_by_two(), {});
  EXPECT_NE(text.find("out[row 1, column 1]: got 0x3f83"), std::string::npos) << text;
  EXPECT_NE(text.find("the other run says 0x3f80"), std::string::npos) << text;
  EXPECT_NE(text.find("3 ulp"), std::string::npos) << text;
}

TEST(Comparison, CountsEveryElementAndListsTheFirst) {
  Comparison comparison("the other run");
  for (int i = 0; i < 20; ++i)
    comparison.add_row(Role::out, DType::bf16, 2, bf16({1, 1}), 0, bf16({1, 2}), 0);
  Tally tally;
  comparison.add_to(tally, two_by_two(), {});
  const Counts counts = tally.total();
  EXPECT_EQ(counts.cases, 1);
  EXPECT_EQ(counts.rows, 20);
  EXPECT_EQ(counts.elements, 40);
  EXPECT_EQ(counts.mismatches, 20);
  EXPECT_EQ(counts.violations, 1);
  EXPECT_NE(comparison.describe(two_by_two(), {}).find("and 12 more of 40"), std::string::npos);
}

}  // namespace
}  // namespace normproof
