// The canonical order: whatever the launch, the bits are those of plain loops over the row.
#include "kernels/row_reduction.cuh"

#include "kernels/host/launch.h"
#include "norm_case.h"

namespace normproof::kernels {
namespace {

class CanonicalOrder : public testing::TestWithParam<DType> {};

// Squares of very different sizes make the sum sensitive to its order.
NormCase sensitive_case(DType dtype, std::int64_t rows, std::int64_t hidden) {
  NormCase test_case;
  test_case.dtype = dtype;
  test_case.sizes = {rows, hidden};
  test_case.binades = 14;
  return test_case;
}

TEST_P(CanonicalOrder, IsKeptByEveryBlockSizeAndPath) {
  for (const std::int64_t hidden : {24, 136, 256, 520, 2056, 5120, 8192, 12288, 24584}) {
    for (const int threads : {32, 64, 96, 128, 224, 320, 448, 512, 1024}) {
      for (const Path path : {Path::vectorized, Path::scalar}) {
        NormCase test_case = sensitive_case(GetParam(), 2, hidden);
        test_case.launch = {path, threads};
        const LaunchReport report = expect_reference_bits(test_case);
        ASSERT_FALSE(HasFailure());
        EXPECT_EQ(report.threads_per_block, threads);
        EXPECT_EQ(report.path, path);
      }
    }
  }
}

TEST_P(CanonicalOrder, IsKeptByEveryRowLength) {
  for (std::int64_t hidden = 1; hidden <= 600; hidden += 1 + hidden / 40) {
    NormCase test_case = sensitive_case(GetParam(), 3, hidden);
    test_case.launch.threads_per_block = hidden % 2 == 0 ? 32 : 96;
    expect_reference_bits(test_case);
    ASSERT_FALSE(HasFailure());
  }
}

TEST_P(CanonicalOrder, IsKeptOnVeryLongRows) {
  for (const std::int64_t hidden : {65536, 65537, 200000}) {
    NormCase test_case = sensitive_case(GetParam(), 1, hidden);
    test_case.launch.threads_per_block = 256;
    expect_reference_bits(test_case);
  }
}

TEST_P(CanonicalOrder, IsKeptWhereABlockGoesOverManyRows) {
  // Long rows that follow each other in a block reuse its shared memory; the schedule lets warps run ahead.
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u}) {
    const host::ScopedSchedule schedule({host::ThreadOrder::kRandomPriorities, seed});
    NormCase test_case = sensitive_case(GetParam(), 50, 2056);
    test_case.launch.threads_per_block = 128;
    expect_reference_bits(test_case);
    test_case.adds_residual = true;
    test_case.weight_dtype = DType::fp32;
    expect_reference_bits(test_case);
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, CanonicalOrder, testing::ValuesIn(kActivations));

}  // namespace
}  // namespace normproof::kernels
