// Names, sizes, element counts and packed bits.
#include "corpus/case.h"

#include <gtest/gtest.h>

#include <limits>

#include "corpus/test/example_cases.h"

namespace normproof {
namespace {

constexpr std::array kDTypes = {DType::fp32,     DType::fp16,         DType::bf16,        DType::fp8_e4m3fn,
                                DType::fp8_e5m2, DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz};

TEST(Case, NamesReadBack) {
  for (const Operation operation : all_operations())
    EXPECT_EQ(operation_from_name(name_of(operation)), operation);
  for (const DType dtype : kDTypes) EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype);
  EXPECT_EQ(name_of(Operation::fused_add_rms_norm_static_fp8_quant), "fused_add_rms_norm_static_fp8_quant");
  EXPECT_EQ(name_of(DType::fp8_e5m2fnuz), "fp8_e5m2fnuz");
  EXPECT_EQ(operation_from_name("layer_norm"), std::nullopt);
  EXPECT_EQ(dtype_from_name("FP32"), std::nullopt);
  EXPECT_EQ(name_of(static_cast<DType>(99)), "?");
}

TEST(Case, KnowsWhatOperationsDo) {
  EXPECT_FALSE(adds_residual(Operation::rms_norm));
  EXPECT_TRUE(adds_residual(Operation::fused_add_rms_norm));
  EXPECT_FALSE(adds_residual(Operation::rms_norm_static_fp8_quant));
  EXPECT_TRUE(adds_residual(Operation::fused_add_rms_norm_static_fp8_quant));
  EXPECT_FALSE(quantizes(Operation::rms_norm));
  EXPECT_FALSE(quantizes(Operation::fused_add_rms_norm));
  EXPECT_TRUE(quantizes(Operation::rms_norm_static_fp8_quant));
  EXPECT_TRUE(quantizes(Operation::fused_add_rms_norm_static_fp8_quant));
}

TEST(Case, CountsElements) {
  Case test_case;
  EXPECT_EQ(test_case.rows(), 0);
  EXPECT_EQ(test_case.elements(), 0);
  test_case.shape = {2, 3, 5, 7};
  EXPECT_EQ(test_case.rows(), 30);
  EXPECT_EQ(test_case.elements(), 210);
  test_case.shape = {1, 9};
  EXPECT_EQ(test_case.rows(), 1);
  EXPECT_EQ(test_case.elements(), 9);
}

TEST(Case, CountsDoNotOverflow) {
  constexpr std::int64_t kMaximum = std::numeric_limits<std::int64_t>::max();
  Case test_case;
  test_case.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40, 8};
  EXPECT_EQ(test_case.rows(), kMaximum);
  EXPECT_EQ(test_case.elements(), kMaximum);
  test_case.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40, 0, 8};
  EXPECT_EQ(test_case.rows(), 0);
  test_case.shape = {-1, kMaximum};
  EXPECT_EQ(test_case.elements(), 0);
}

TEST(Case, ScalarsAreTheirBits) {
  Case test_case;
  EXPECT_EQ(test_case.value_of(Parameter::epsilon), 1e-6f);
  EXPECT_EQ(test_case.value_of(Parameter::scale), 1.0f);
  test_case.bits_of(Parameter::scale) = 0x7f800000;
  EXPECT_EQ(test_case.value_of(Parameter::scale), std::numeric_limits<float>::infinity());
}

TEST(Case, PackedBitsAreLittleEndian) {
  std::vector<std::byte> data(8);
  store_bits(data, DType::fp32, 1, 0x12345678);
  EXPECT_EQ(data[4], std::byte{0x78});
  EXPECT_EQ(data[7], std::byte{0x12});
  EXPECT_EQ(load_bits(data, DType::fp32, 1), 0x12345678u);
  EXPECT_EQ(load_bits(data, DType::bf16, 2), 0x5678u);
  EXPECT_EQ(load_bits(data, DType::fp8_e4m3fn, 6), 0x34u);
  store_bits(data, DType::fp16, 2, 0xabcd);
  EXPECT_EQ(load_bits(data, DType::fp32, 1), 0x1234abcdu);
  EXPECT_EQ(load_bits(data, DType::fp32, 0), 0u);
}

}  // namespace
}  // namespace normproof
