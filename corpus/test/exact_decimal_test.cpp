// Decimals that are exactly representable, and the neighbours of those that are not.
#include "corpus/exact_decimal.h"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <random>

#include "corpus/float_format.h"

namespace normproof {
namespace {

std::string exact_text(double value) {
  char text[512];
  return {text, std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific, 200).ptr};
}

TEST(ExactDecimal, ReadsExactNumbers) {
  EXPECT_EQ(exact_bits("0", DType::bf16).bits, 0u);
  EXPECT_EQ(exact_bits("-0", DType::bf16).bits, 0x8000u);
  EXPECT_EQ(exact_bits("-0.00e99", DType::fp32).bits, 0x80000000u);
  EXPECT_EQ(exact_bits("1", DType::bf16).bits, 0x3f80u);
  EXPECT_EQ(exact_bits("1.03125", DType::bf16).bits, 0x3f84u);
  EXPECT_EQ(exact_bits("103.125E-2", DType::bf16).bits, 0x3f84u);
  EXPECT_EQ(exact_bits("0.00103125e+3", DType::bf16).bits, 0x3f84u);
  EXPECT_EQ(exact_bits("-2.5", DType::fp16).bits, 0xc100u);
  EXPECT_EQ(exact_bits("65504", DType::fp16).bits, 0x7bffu);
  EXPECT_EQ(exact_bits("0.000000059604644775390625", DType::fp16).bits, 1u);
  EXPECT_EQ(exact_bits("340282346638528859811704183484516925440", DType::fp32).bits, 0x7f7fffffu);
  EXPECT_EQ(exact_bits("inf", DType::fp16).bits, 0x7c00u);
  EXPECT_EQ(exact_bits("-inf", DType::fp32).bits, 0xff800000u);
  EXPECT_EQ(exact_bits("nan", DType::bf16).bits, 0x7fc0u);
}

TEST(ExactDecimal, NamesTheNeighbours) {
  const auto fault = [](std::string_view text, DType dtype) { return exact_bits(text, dtype).fault; };
  EXPECT_EQ(fault("0.1", DType::bf16),
            "a number that bf16 has, got \"0.1\" between 0.099609375 (3dcc) and 0.10009765625 (3dcd)");
  EXPECT_EQ(fault("-0.1", DType::bf16),
            "a number that bf16 has, got \"-0.1\" between -0.099609375 (bdcc) and -0.10009765625 (bdcd)");
  EXPECT_EQ(fault("1.00390625", DType::bf16),
            "a number that bf16 has, got \"1.00390625\" between 1 (3f80) and 1.0078125 (3f81)");
  // Equal to 1 as a double.
  EXPECT_EQ(fault("1.00000000000000000000000001", DType::fp32),
            "a number that fp32 has, got \"1.00000000000000000000000001\" between 1 (3f800000) and "
            "1.0000001192092896 (3f800001)");
  EXPECT_EQ(fault("0.99999999999999999999999999", DType::fp32),
            "a number that fp32 has, got \"0.99999999999999999999999999\" between 0.99999994039535522 "
            "(3f7fffff) and "
            "1 (3f800000)");
  EXPECT_EQ(fault("1e-9999", DType::fp16),
            "a number that fp16 has, got \"1e-9999\" between 0 (0000) and 5.9604644775390625e-08 (0001)");
  EXPECT_EQ(fault("1e9999", DType::fp16),
            "a number that fp16 has, got \"1e9999\" between 65504 (7bff) and inf (7c00)");
  EXPECT_EQ(fault("65505", DType::fp16),
            "a number that fp16 has, got \"65505\" between 65504 (7bff) and inf (7c00)");
}

TEST(ExactDecimal, RefusesWhatIsNoDecimal) {
  for (const char* text : {"", "-", "+1", ".5", "1.", "01", "1e", "1e+", "1e12345", "0x1", "1 ", " 1", "Inf",
                           "-nan", "nan1", "infinity", "1.5.5", "--1", "1,5"}) {
    EXPECT_TRUE(exact_bits(text, DType::fp32).fault.starts_with("a decimal number, nan, inf or -inf, got "))
        << text;
  }
}

TEST(ExactDecimal, ReadsEveryNumberOfTheSmallFormats) {
  for (const DType dtype : {DType::bf16, DType::fp16}) {
    const FloatFormat format = format_of(dtype);
    for (std::uint32_t bits = 0; bits < format.infinity(); ++bits) {
      const std::uint32_t field = bits >> format.mantissa_bits;
      const double mantissa = (bits & format.mantissa_mask()) + (field == 0 ? 0 : 1 << format.mantissa_bits);
      const double value =
          std::ldexp(mantissa, static_cast<int>(std::max(field, 1u)) - format.bias() - format.mantissa_bits);
      const ExactBits read = exact_bits(exact_text(value), dtype);
      ASSERT_EQ(read.fault, "");
      ASSERT_EQ(read.bits, bits);
    }
  }
}

TEST(ExactDecimal, ReadsRandomFp32NumbersAndNothingBeside) {
  std::mt19937_64 draw(1);
  for (int i = 0; i < 20000; ++i) {
    const auto bits = static_cast<std::uint32_t>(draw() % 0x7f800000);
    const std::string text = exact_text(std::bit_cast<float>(bits));
    const ExactBits read = exact_bits(text, DType::fp32);
    ASSERT_EQ(read.fault, "");
    ASSERT_EQ(read.bits, bits);
    // One more digit, far below the last place.
    ASSERT_NE(
        exact_bits(text.substr(0, text.find('e')) + "1" + text.substr(text.find('e')), DType::fp32).fault,
        "");
  }
}

}  // namespace
}  // namespace normproof
