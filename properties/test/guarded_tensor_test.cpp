// Guarded tensors: what lies where, and which writes are seen.
#include "properties/targets/guarded_tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>

namespace normproof {
namespace {

std::vector<std::byte> counting(std::size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i + 1);
  return data;
}

struct LayoutCase {
  const char* name;
  std::vector<std::int64_t> shape;
  TensorLayout layout;
};

void PrintTo(const LayoutCase& layout_case, std::ostream* stream) { *stream << layout_case.name; }

const std::vector<LayoutCase>& layouts() {
  static const std::vector<LayoutCase> table = {
      {"contiguous", {3, 5}, {}},
      {"shifted", {3, 5}, {{}, 7}},
      {"strided", {3, 5}, {{9}, 1}},
      {"rank_3_transposed", {2, 3, 5}, {{6, 20}, 0}},
      {"rank_4", {2, 1, 2, 4}, {{40, 17, 5}, 3}},
      {"one_row", {1, 5}, {{99}, 0}},
      {"sparse", {2, 5}, {{std::int64_t{1} << 31}, 3}},
      {"sparse_with_near_rows", {2, 2, 5}, {{(std::int64_t{1} << 31) + 7, 8}, 0}},
      {"sparse_transposed", {2, 2, 5}, {{8, (std::int64_t{1} << 31) + 7}, 0}},
  };
  return table;
}

class GuardedTensorLayouts : public testing::TestWithParam<LayoutCase> {
 protected:
  static constexpr DType kDType = DType::bf16;
  TensorMemory memory_;
  GuardedTensor tensor_{memory_, "out", kDType, GetParam().shape, GetParam().layout};
  std::int64_t rows() const {
    return std::accumulate(GetParam().shape.begin(), GetParam().shape.end() - 1, std::int64_t{1},
                           std::multiplies<>());
  }
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(GetParam().shape.back()) * size_of(kDType);
  }
};

TEST_P(GuardedTensorLayouts, ScatterAndGatherAreInverse) {
  const auto data = counting(static_cast<std::size_t>(rows()) * row_bytes());
  tensor_.scatter(data);
  EXPECT_EQ(tensor_.gather(), data);
  EXPECT_EQ(tensor_.find_stray_write(), "");
  EXPECT_EQ(tensor_.find_change(data), "");
  const auto address = reinterpret_cast<std::uintptr_t>(tensor_.data());
  EXPECT_EQ(address % 256, static_cast<std::size_t>(GetParam().layout.offset) * 2 % 256);
}

TEST_P(GuardedTensorLayouts, SeesAWriteBefore) {
  *(tensor_.data() - 1) = std::byte{0};
  EXPECT_NE(tensor_.find_stray_write().find("byte -1 "), std::string::npos) << tensor_.find_stray_write();
}

TEST_P(GuardedTensorLayouts, SeesAWriteAfterTheLastRow) {
  std::int64_t end = GetParam().shape.back();
  for (std::size_t dim = 0; dim + 1 < GetParam().shape.size(); ++dim)
    end += (GetParam().shape[dim] - 1) * tensor_.strides()[dim];
  tensor_.data()[end * 2] = std::byte{0};
  EXPECT_NE(tensor_.find_stray_write(), "");
}

TEST_P(GuardedTensorLayouts, SeesAModifiedElement) {
  auto data = counting(static_cast<std::size_t>(rows()) * row_bytes());
  tensor_.scatter(data);
  data[data.size() - 1] ^= std::byte{1};  // the same as if the tensor had changed
  const std::string change = tensor_.find_change(data);
  EXPECT_NE(change.find("row " + std::to_string(rows() - 1) + ", column " +
                        std::to_string(GetParam().shape.back() - 1)),
            std::string::npos)
      << change;
}

INSTANTIATE_TEST_SUITE_P(All, GuardedTensorLayouts, testing::ValuesIn(layouts()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(GuardedTensor, SeesAWriteIntoAGap) {
  TensorMemory memory;
  GuardedTensor tensor(memory, "out", DType::fp32, std::array<std::int64_t, 2>{3, 5}, {{8}, 0});
  tensor.data()[(8 + 5) * 4] = std::byte{1};
  EXPECT_NE(tensor.find_stray_write().find("byte 52 "), std::string::npos) << tensor.find_stray_write();
}

TEST(GuardedTensor, SeesAWriteBetweenTransposedRows) {
  TensorMemory memory;
  GuardedTensor tensor(memory, "out", DType::fp32, std::array<std::int64_t, 3>{2, 3, 4},
                       {{4, 9}, 0});  // one element between pairs of rows
  tensor.data()[8 * 4] = std::byte{1};
  EXPECT_NE(tensor.find_stray_write(), "");
}

// Rows that touch each other within a range that is sparse as a whole.
TEST(GuardedTensor, NeighbouringRowsOfASparseTensorAreNoStrayWrites) {
  TensorMemory memory;
  const std::int64_t stride = std::int64_t{1} << 31;
  for (const std::vector<std::int64_t>& strides :
       {std::vector{stride, std::int64_t{4}}, {std::int64_t{4}, stride}}) {
    GuardedTensor tensor(memory, "out", DType::bf16, std::array<std::int64_t, 3>{2, 2, 4}, {strides, 5});
    tensor.scatter(std::vector<std::byte>(2 * 2 * 4 * 2));
    EXPECT_EQ(tensor.find_stray_write(), "");
    tensor.data()[2 * 4 * 2] = std::byte{1};
    EXPECT_NE(tensor.find_stray_write(), "");
  }
}

TEST(GuardedTensor, SeesAWriteBesideASparseRow) {
  TensorMemory memory;
  const std::int64_t stride = std::int64_t{1} << 31;
  GuardedTensor tensor(memory, "out", DType::bf16, std::array<std::int64_t, 2>{3, 4}, {{stride}, 0});
  EXPECT_EQ(tensor.find_stray_write(), "");
  tensor.data()[2 * stride * 2 - 2] = std::byte{1};
  EXPECT_NE(tensor.find_stray_write(), "");
}

TEST(GuardedTensor, NoRowsHaveNoElementsButGuards) {
  TensorMemory memory;
  GuardedTensor tensor(memory, "out", DType::bf16, std::array<std::int64_t, 2>{0, 4}, {});
  EXPECT_TRUE(tensor.gather().empty());
  EXPECT_EQ(tensor.find_stray_write(), "");
  tensor.data()[0] = std::byte{1};
  EXPECT_NE(tensor.find_stray_write(), "");
}

TEST(TensorMemory, GivesFreshMemoryForSparseTensors) {
  TensorMemory memory;
  const std::size_t large = std::size_t{1} << 33;
  memory.reserve(large)[0] = std::byte{1};
  EXPECT_EQ(memory.reserve(large)[0], std::byte{0});
  EXPECT_TRUE(TensorMemory::is_sparse(large));
  EXPECT_FALSE(TensorMemory::is_sparse(4096));
}

}  // namespace
}  // namespace normproof
