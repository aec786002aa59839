// Shared memory of strided views against a look at every byte.
#include "kernels/memory_overlap.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace normproof::kernels {
namespace {

// How many rows of the view own each byte from 0 on.
std::vector<int> owners(const MemoryView& view) {
  std::vector<int> count(2000);
  std::array<std::int64_t, 3> sizes = {1, 1, 1};
  for (int i = 0; i < view.leading_dimensions; ++i) sizes[i] = view.sizes[i];
  for (std::int64_t i = 0; i < sizes[0]; ++i) {
    for (std::int64_t j = 0; j < sizes[1]; ++j) {
      for (std::int64_t k = 0; k < sizes[2]; ++k) {
        const std::int64_t row = static_cast<std::int64_t>(view.begin) + i * view.strides[0] +
                                 j * view.strides[1] + k * view.strides[2];
        for (std::int64_t b = 0; b < view.row_bytes; ++b) ++count[static_cast<std::size_t>(row + b)];
      }
    }
  }
  return count;
}

TEST(Overlap, IsExactOnSmallViews) {
  std::mt19937 random(1);
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution(low, high)(random); };
  int shared = 0, disjoint = 0, self = 0;
  for (int round = 0; round < 20000; ++round) {
    MemoryView a, b;
    const bool equal_strides = draw(0, 1) == 1;
    for (MemoryView* view : {&a, &b}) {
      view->begin = static_cast<std::uintptr_t>(draw(0, 60));
      view->row_bytes = draw(1, 8);
      view->leading_dimensions = draw(0, 3);
      for (int i = 0; i < view->leading_dimensions; ++i) {
        view->sizes[i] = draw(0, 9) == 0 ? 0 : draw(1, 4);
        view->strides[i] =
            equal_strides && view == &b && i < a.leading_dimensions ? a.strides[i] : draw(1, 60);
      }
    }
    const auto bytes_of_a = owners(a), bytes_of_b = owners(b);
    bool wanted = false, wanted_self = false;
    for (std::size_t i = 0; i < bytes_of_a.size(); ++i) {
      wanted |= bytes_of_a[i] != 0 && bytes_of_b[i] != 0;
      wanted_self |= bytes_of_a[i] > 1;
    }
    ASSERT_EQ(share_memory(a, b), wanted) << "round " << round;
    ASSERT_EQ(share_memory(b, a), wanted) << "round " << round;
    ASSERT_EQ(overlaps_itself(a), wanted_self) << "round " << round;
    ++(wanted ? shared : disjoint);
    self += wanted_self;
  }
  EXPECT_GT(shared, 1000);
  EXPECT_GT(disjoint, 1000);
  EXPECT_GT(self, 1000);
}

TEST(Overlap, IsExactOnLargeInterleavedViews) {
  // q and k of a packed projection: a million tokens of 32 + 8 + 8 heads of 128 two-byte elements.
  constexpr std::int64_t kHead = 256, kToken = 48 * kHead;
  const MemoryView q{1 << 20, kHead, 2, {1'000'000, 32, 0}, {kToken, kHead, 0}};
  MemoryView k{q.begin + 32 * kHead, kHead, 2, {1'000'000, 8, 0}, {kToken, kHead, 0}};
  EXPECT_FALSE(share_memory(q, k));
  EXPECT_FALSE(overlaps_itself(q));
  k.begin -= 1;
  EXPECT_TRUE(share_memory(q, k));
  k.begin = q.begin + 40 * kHead + 1;  // the last head reaches one byte into the next token
  EXPECT_TRUE(share_memory(q, k));
}

TEST(Overlap, IsPresumedWhereTheSearchWouldTakeLong) {
  const MemoryView a{0, 1, 1, {1 << 30, 0, 0}, {1'000'003 * 2, 0, 0}};
  const MemoryView b{1, 1, 1, {1 << 30, 0, 0}, {1'000'033 * 2, 0, 0}};
  EXPECT_TRUE(share_memory(a, b)) << "even and odd addresses, but the search gives up";
}

TEST(Overlap, EndsWithTheExtent) {
  const MemoryView a{1000, 8, 1, {std::int64_t{1} << 31, 0, 0}, {std::int64_t{1} << 31, 0, 0}};
  const std::int64_t extent = extent_of(a);
  EXPECT_EQ(extent, ((std::int64_t{1} << 31) - 1) * (std::int64_t{1} << 31) + 8);
  MemoryView b{1000 + static_cast<std::uintptr_t>(extent), 8, 0, {}, {}};
  EXPECT_FALSE(share_memory(a, b));
  --b.begin;
  EXPECT_TRUE(share_memory(a, b));
}

}  // namespace
}  // namespace normproof::kernels
