// The reference's rounding against that of NVIDIA's own headers, which are software on the host. Built where
// the CUDA toolkit is present. The kernels' own rounding cannot stand in the same file, since the host
// execution's CUDA vocabulary and the toolkit's clash; the other tests hold it against the reference.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "reference.h"

namespace normproof::kernels {
namespace {

std::uint32_t nvidia_bits(DType dtype, float value) {
  switch (dtype) {
    case DType::bf16:
      return std::bit_cast<__nv_bfloat16_raw>(__float2bfloat16_rn(value)).x;
    case DType::fp16:
      return std::bit_cast<__half_raw>(__float2half_rn(value)).x;
    case DType::fp8_e4m3fn:
      return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
    default:
      return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E5M2);
  }
}

class NvidiaHeaders : public testing::TestWithParam<DType> {};

TEST_P(NvidiaHeaders, RoundAsTheReferenceDoes) {
  const DType dtype = GetParam();
  const bool fp8 = dtype > DType::bf16;
  for (std::uint64_t bits = 0; bits <= 0xffffffffu; bits += 509) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    // Beyond the largest fp8 number the contract clamps before it rounds.
    if (fp8 && std::fabs(value) > reference::format_of(dtype).maximum()) continue;
    const std::uint32_t got = nvidia_bits(dtype, value), wanted = reference::round(dtype, value);
    ASSERT_TRUE(reference::same(dtype, got, wanted))
        << std::hex << bits << " became " << got << ", not " << wanted;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, NvidiaHeaders,
                         testing::Values(DType::bf16, DType::fp16, DType::fp8_e4m3fn, DType::fp8_e5m2));

}  // namespace
}  // namespace normproof::kernels
