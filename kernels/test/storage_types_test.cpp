// The conversions of the storage types against tables of the formats' numbers.
#include "kernels/storage_types.cuh"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "reference.h"

namespace normproof::kernels {
namespace {

std::uint32_t rounded(DType dtype, float value) {
  switch (dtype) {
    case DType::bf16:
      return round_to<Bf16>(value).bits;
    case DType::fp16:
      return round_to<Fp16>(value).bits;
    default:
      return round_to_fp8(
                 value, static_cast<Fp8Format>(static_cast<int>(dtype) - static_cast<int>(DType::fp8_e4m3fn)))
          .bits;
  }
}

// fp8 values arrive clamped.
bool is_in_domain(DType dtype, float value) {
  return dtype <= DType::bf16 || std::isnan(value) ||
         std::fabs(value) <= reference::format_of(dtype).maximum();
}

class Rounding : public testing::TestWithParam<DType> {
 protected:
  // Compares the rounding of a value and of its negative.
  void expect_right(std::uint32_t bits) {
    for (const std::uint32_t each : {bits, bits ^ 0x80000000u}) {
      const float value = float_of(each);
      if (!is_in_domain(GetParam(), value)) continue;
      const std::uint32_t got = rounded(GetParam(), value);
      const std::uint32_t wanted = reference::round(GetParam(), value);
      if (!reference::same(GetParam(), got, wanted)) {
        ADD_FAILURE() << std::hexfloat << value << " (0x" << std::hex << each << ") became 0x" << got
                      << ", not 0x" << wanted;
      }
    }
  }
};

TEST_P(Rounding, IsRightAroundEveryNumberAndMidpoint) {
  const auto& magnitudes = reference::format_of(GetParam()).magnitudes();
  for (std::size_t i = 0; i + 1 < magnitudes.size(); ++i) {
    for (const double target : {magnitudes[i], (magnitudes[i] + magnitudes[i + 1]) / 2}) {
      const std::uint32_t bits = bits_of(static_cast<float>(target));
      for (std::uint32_t neighbour = bits < 2 ? 0 : bits - 2; neighbour <= bits + 2; ++neighbour) {
        expect_right(neighbour);
      }
      if (HasFailure()) return;
    }
  }
}

TEST_P(Rounding, IsRightOnSamplesOfAllFloats) {
  for (std::uint32_t bits = 0; bits < 0x80000000u - 1021; bits += 1021) {
    expect_right(bits);
    if (HasFailure()) return;
  }
}

TEST_P(Rounding, IsRightOnSpecialValues) {
  for (const std::uint32_t bits :
       {0u, 1u, 0x007fffffu, 0x00800000u, 0x7f7fffffu, 0x7f800000u, 0x7f800001u, 0x7fffffffu}) {
    expect_right(bits);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Rounding,
                         testing::Values(DType::bf16, DType::fp16, DType::fp8_e4m3fn, DType::fp8_e5m2,
                                         DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz));

TEST(Widening, IsExactForEveryNumber) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto stored = static_cast<std::uint16_t>(bits);
    const float bf16 = to_float(Bf16{stored}), fp16 = to_float(Fp16{stored});
    ASSERT_TRUE(reference::same(DType::fp32, bits_of(bf16), bits_of(reference::to_float(DType::bf16, bits))))
        << bits;
    ASSERT_TRUE(reference::same(DType::fp32, bits_of(fp16), bits_of(reference::to_float(DType::fp16, bits))))
        << bits;
  }
}

TEST(Maximum, IsTheLargestFiniteNumber) {
  for (int i = 0; i < 4; ++i) {
    const auto dtype = static_cast<DType>(static_cast<int>(DType::fp8_e4m3fn) + i);
    EXPECT_EQ(maximum_of(static_cast<Fp8Format>(i)), reference::format_of(dtype).maximum());
  }
}

}  // namespace
}  // namespace normproof::kernels
