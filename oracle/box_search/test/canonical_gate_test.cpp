// The canonical gate beside exp in fp64, and some of its bits.
#include "oracle/box_search/canonical_gate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "corpus/dtype.h"
#include "oracle/box_search/line.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {
namespace {

// Of all numbers in 16 bits, and of fp32 numbers that lie everywhere, against exp of the library in fp64.
TEST(CanonicalGate, IsNextToTheExactOne) {
  const StandardFloatEnvironment environment;
  for (const bool sigmoid : {false, true}) {
    Position worst = 0;
    const auto look_at = [&](float z) {
      const float gate = canonical_gate(z, sigmoid);
      if (std::isnan(z)) {
        EXPECT_TRUE(std::isnan(gate));
        return;
      }
      const double s = 1 / (1 + std::exp(-static_cast<double>(z)));
      const double limit = z > 0 ? INFINITY : -0.0;
      const double exact = sigmoid ? s : std::isinf(z) ? limit : z * s;
      const auto nearest = static_cast<float>(exact);
      if (gate == nearest || (z < -89 && gate == 0)) return;
      const Position distance = std::abs(order_of(gate) - order_of(nearest));
      worst = std::max(worst, distance);
      ASSERT_LE(distance, kCanonicalGateError) << z << " " << gate << " for " << nearest;
    };
    for (const DType dtype : {DType::bf16, DType::fp16})
      for (std::uint32_t bits = 0; bits < 1 << 16; ++bits)
        look_at(static_cast<float>(to_double(decode(dtype, bits))));
    for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32; bits += 4093)
      look_at(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    fmt::print("canonical gate, sigmoid {}: at most {} numbers from the nearest\n", sigmoid, worst);
  }
}

TEST(CanonicalGate, HasTheseBits) {
  const StandardFloatEnvironment environment;
  EXPECT_EQ(canonical_gate(0.0f, false), 0.0f);
  EXPECT_TRUE(std::signbit(canonical_gate(-0.0f, false)));
  EXPECT_TRUE(std::signbit(canonical_gate(-INFINITY, false)));
  EXPECT_EQ(canonical_gate(-INFINITY, false), 0.0f);
  EXPECT_EQ(canonical_gate(INFINITY, false), INFINITY);
  EXPECT_EQ(canonical_gate(INFINITY, true), 1.0f);
  EXPECT_EQ(canonical_gate(-0.0f, true), 0.5f);
  EXPECT_EQ(canonical_gate(-89.0f, false), -0x1.0dd2fp-122f);
  EXPECT_EQ(canonical_gate(-89.5f, false), 0.0f);
}

}  // namespace
}  // namespace normproof::oracle::box_search
