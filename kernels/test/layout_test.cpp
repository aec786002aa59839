// Layouts out of the ordinary: interleaved views of one tensor, rows beyond
// 2^31 elements apart, no rows at all.
#include <sys/mman.h>

#include "norm_case.h"

namespace normproof::kernels {
namespace {

TEST(Layout, ViewsOfAPackedTensorAreNormalizedInPlaceBesideEachOther) {
  // q and k of tokens x (4 + 2 + 2) heads x 64, normalized in place with weights of their own.
  constexpr std::int64_t kTokens = 3, kHeads = 8, kHidden = 64;
  TestTensor packed(DType::bf16, {kTokens, kHeads, kHidden});
  packed.fill(Draw(DType::bf16, 5));
  TestTensor weight(DType::bf16, {kHidden});
  weight.fill(Draw(DType::bf16, 6));
  std::vector<std::vector<std::uint32_t>> wanted;
  for (std::int64_t row = 0; row < kTokens * kHeads; ++row) {
    reference::Row reference_row;
    reference_row.dtype = reference_row.weight_dtype = DType::bf16;
    reference_row.input = packed.row(row);
    reference_row.weight = weight.row(0);
    reference_row.epsilon = 1e-6f;
    wanted.push_back(row % kHeads < 6 ? reference::evaluate(reference_row).out : reference_row.input);
  }
  Tensor query = packed.tensor(), key = packed.tensor();
  query.sizes[1] = 4;
  key.sizes[1] = 2;
  key.data = static_cast<std::uint16_t*>(query.data) + 4 * kHidden;
  for (const Tensor& view : {query, key}) {
    const Status status = rms_norm(view, view, &weight.tensor(), 1e-6f);
    ASSERT_TRUE(status.ok()) << status.message;
  }
  for (std::int64_t row = 0; row < kTokens * kHeads; ++row) {
    EXPECT_EQ(packed.row(row), wanted[static_cast<std::size_t>(row)]) << row;
  }

  // From one view into the other is fine too, as long as they share no element.
  query.sizes[1] = 2;
  EXPECT_TRUE(rms_norm(query, key, nullptr, 1e-6f).ok());
  query.sizes[1] = key.sizes[1] = 3;
  key.data = static_cast<std::uint16_t*>(query.data) + 2 * kHidden;
  EXPECT_EQ(rms_norm(query, key, nullptr, 1e-6f).code, StatusCode::overlap);
}

// A reservation of address space; only touched pages take memory.
class Reservation {
 public:
  explicit Reservation(std::size_t bytes)
      : bytes_(bytes),
        data_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0)) {}
  ~Reservation() {
    if (valid()) munmap(data_, bytes_);
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  bool valid() const { return data_ != MAP_FAILED; }
  std::uint16_t* data() const { return static_cast<std::uint16_t*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

TEST(Layout, RowsMayLieBeyondTwoToTheThirtyOneElements) {
  constexpr std::int64_t kStride = (std::int64_t{1} << 32) + 8, kRows = 3, kHidden = 16;
  const Reservation input((kRows - 1) * kStride * 2 + 4096), out((kRows - 1) * kStride * 2 + 4096);
  if (!input.valid() || !out.valid()) GTEST_SKIP() << "cannot reserve 32 GiB of address space";
  Draw draw(DType::bf16, 3);
  std::vector<reference::Row> rows(kRows);
  for (std::int64_t row = 0; row < kRows; ++row) {
    rows[row].dtype = DType::bf16;
    for (std::int64_t j = 0; j < kHidden; ++j) {
      rows[row].input.push_back(draw());
      input.data()[row * kStride + j] = static_cast<std::uint16_t>(rows[row].input.back());
    }
  }
  for (const Path path : {Path::vectorized, Path::scalar}) {
    const Tensor from{input.data(), DType::bf16, 2, {kRows, kHidden}, {kStride, 1}};
    const Tensor to{out.data(), DType::bf16, 2, {kRows, kHidden}, {kStride, 1}};
    const Status status = rms_norm(to, from, nullptr, 0.0f, {path, 0});
    ASSERT_TRUE(status.ok()) << status.message;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto wanted = reference::evaluate(rows[row]).out;
      for (std::int64_t j = 0; j < kHidden; ++j) {
        std::uint16_t& got = out.data()[row * kStride + j];
        EXPECT_EQ(got, wanted[j]) << row << ", " << j;
        got = 0;
      }
    }
  }
}

TEST(Layout, ThereMayBeNoRows) {
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{0, 8}, {0, 3, 8}, {3, 0, 8}, {2, std::int64_t{1} << 62, 0, 8}}) {
    Tensor empty;
    empty.dtype = DType::bf16;
    empty.rank = static_cast<int>(sizes.size());
    std::copy(sizes.begin(), sizes.end(), empty.sizes.begin());
    std::fill(empty.strides.begin(), empty.strides.begin() + empty.rank, std::int64_t{1} << 62);
    empty.strides[static_cast<std::size_t>(empty.rank) - 1] = 1;
    LaunchReport report{Path::scalar, 1, 1, 1};
    const Status status = rms_norm(empty, empty, nullptr, 0.0f, {}, nullptr, &report);
    EXPECT_TRUE(status.ok()) << status.message;
    EXPECT_EQ(report.blocks, 0);
    EXPECT_EQ(report.path, Path::automatic);
  }
}

TEST(Layout, AMillionRowsAreAllHandled) {
  NormCase test_case;
  test_case.dtype = DType::fp32;
  test_case.sizes = {1'000'003, 1};
  NormTensors tensors(test_case);
  ASSERT_TRUE(call(test_case, tensors).ok());
  for (std::int64_t row = 0; row < test_case.sizes[0]; ++row) {
    reference::Row reference_row;
    reference_row.input = tensors.input.row(row);
    reference_row.epsilon = test_case.epsilon;
    ASSERT_EQ(tensors.out.row(row), reference::evaluate(reference_row).out) << row;
  }
}

}  // namespace
}  // namespace normproof::kernels
