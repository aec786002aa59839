// Checks of calls by name: every refusal names the value that it is for, and a call that may be carried out
// gives the rows that a kernel walks.
#include "kernels/family/call_checks.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "kernels/normproof_kernels.h"

namespace normproof::kernels {
namespace {

constexpr std::array kRules = {
    TensorRule{"x", false, TensorShape::elements, kAnyActivation, false, {}, true},
    TensorRule{"weight", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true},
    TensorRule{"addend", false, TensorShape::elements, kLikeX, true, {}, true},
    TensorRule{"scale", false, TensorShape::one, dtypes(DType::fp32), true},
    TensorRule{"out", true, TensorShape::elements, kLikeX, false, "x", true},
    TensorRule{"codes", true, TensorShape::pairs, dtypes(DType::uint8, DType::int8), true},
    TensorRule{"mean", true, TensorShape::row, kLikeXOrFp32, true},
    TensorRule{"table", false, TensorShape::table, kLikeX, true},
    TensorRule{"scales", true, TensorShape::other, dtypes(DType::fp32, DType::fp8_e4m3fn), true},
};
constexpr std::array<std::string_view, 1> kNumbers = {"epsilon"};
constexpr std::size_t kBytes = 1024;  // of each tensor's memory

// A call that passes, to be spoiled: x of 2 x 3 x 16 bf16, and all other tensors.
struct Checked {
  Checked() {
    const auto add = [&](const char* role, DType dtype, std::vector<std::int64_t> sizes) {
      Tensor tensor;
      tensor.data = memory[tensors.size()].data();
      tensor.dtype = dtype;
      tensor.rank = static_cast<int>(sizes.size());
      std::int64_t stride = 1;
      for (std::size_t i = sizes.size(); i-- > 0; stride *= sizes[i]) {
        tensor.sizes[i] = sizes[i];
        tensor.strides[i] = stride;
      }
      tensors.push_back({role, tensor});
    };
    add("x", DType::bf16, {2, 3, 16});
    add("weight", DType::bf16, {16});
    add("scale", DType::fp32, {1});
    add("out", DType::bf16, {2, 3, 16});
    add("codes", DType::uint8, {2, 3, 8});
    add("mean", DType::fp32, {2, 3, 1});
    add("table", DType::bf16, {5, 7});
    add("scales", DType::fp32, {6, 4});
    add("addend", DType::bf16, {2, 3, 16});
  }
  Tensor& at(std::string_view role) {
    for (NamedTensor& each : tensors)
      if (each.role == role) return each.tensor;
    throw std::out_of_range(std::string(role));
  }
  void remove(std::string_view role) {
    std::erase_if(tensors, [&](const NamedTensor& each) { return each.role == role; });
  }
  Status status() { return check({"mine", tensors, numbers, launch}, kRules, kNumbers, checked); }

  alignas(256) std::array<std::array<std::byte, kBytes>, 10> memory{};
  std::vector<NamedTensor> tensors;
  std::vector<NamedNumber> numbers = {{"epsilon", 1e-6f}};
  Launch launch;
  CheckedCall checked;
};

struct Spoiled {
  const char* name;  // of the test
  StatusCode code;
  std::string message;  // how it begins
  void (*spoil)(Checked&);
};
void PrintTo(const Spoiled& spoiled, std::ostream* stream) { *stream << spoiled.name; }

class CallChecks : public testing::TestWithParam<Spoiled> {};

TEST_P(CallChecks, RefuseWithTheOffendingValue) {
  Checked call;
  ASSERT_TRUE(call.status().ok()) << call.status().message;
  GetParam().spoil(call);
  const Status status = call.status();
  EXPECT_EQ(status.code, GetParam().code);
  EXPECT_EQ(status.message.substr(0, GetParam().message.size()), GetParam().message) << status.message;
}

constexpr std::int64_t kHuge = std::int64_t{1} << 62;

const std::array kSpoiled = {
    Spoiled{"UnknownTensor", StatusCode::unknown_name, "mine has no tensor 'gate'",
            [](Checked& call) { call.tensors.push_back({"gate", call.at("x")}); }},
    Spoiled{"TensorTwice", StatusCode::unknown_name, "the call has two tensors 'weight'",
            [](Checked& call) { call.tensors.push_back({"weight", call.at("weight")}); }},
    Spoiled{"UnknownNumber", StatusCode::unknown_name, "mine has no number 'eps'",
            [](Checked& call) { call.numbers.push_back({"eps", 1}); }},
    Spoiled{"MissingTensor", StatusCode::null_pointer, "out: the call has no such tensor",
            [](Checked& call) { call.remove("out"); }},
    Spoiled{"DTypeOfX", StatusCode::unsupported_dtype, "x: dtype is int8, must be fp32, or fp16, or bf16",
            [](Checked& call) { call.at("x").dtype = DType::int8; }},
    Spoiled{"DTypeNotLikeX", StatusCode::unsupported_dtype, "out: dtype is fp16, must be bf16 like x",
            [](Checked& call) { call.at("out").dtype = DType::fp16; }},
    Spoiled{"DTypeNeitherLikeXNorFp32", StatusCode::unsupported_dtype,
            "weight: dtype is fp16, must be bf16 like x, or fp32",
            [](Checked& call) { call.at("weight").dtype = DType::fp16; }},
    Spoiled{"DTypeThatIsNone", StatusCode::unsupported_dtype, "scale: dtype is dtype 9, must be fp32",
            [](Checked& call) { call.at("scale").dtype = static_cast<DType>(9); }},
    Spoiled{"DTypeBelowAll", StatusCode::unsupported_dtype,
            "codes: dtype is dtype -1, must be int8, or uint8",
            [](Checked& call) { call.at("codes").dtype = static_cast<DType>(-1); }},
    Spoiled{"RankOfX", StatusCode::invalid_rank, "x: rank is 5, must be 1 to 4",
            [](Checked& call) { call.at("x").rank = 5; }},
    Spoiled{"RankUnlikeX", StatusCode::invalid_rank, "out: rank is 2, but that of x is 3",
            [](Checked& call) { call.at("out").rank = 2; }},
    Spoiled{"RankOfWeight", StatusCode::invalid_rank, "weight: rank is 2, must be 1",
            [](Checked& call) { call.at("weight").rank = 2; }},
    Spoiled{"RankOfRows", StatusCode::invalid_rank, "mean: rank is 1, but that of x is 3",
            [](Checked& call) { call.at("mean").rank = 1; }},
    Spoiled{"RankOfTable", StatusCode::invalid_rank, "table: rank is 0, must be 1 to 4",
            [](Checked& call) { call.at("table").rank = 0; }},
    Spoiled{"RankOfOther", StatusCode::invalid_rank, "scales: rank is 5, must be 1 to 4",
            [](Checked& call) { call.at("scales").rank = 5; }},
    Spoiled{"NegativeSizeOfX", StatusCode::invalid_size, "x: sizes[1] is -3, must not be negative",
            [](Checked& call) { call.at("x").sizes[1] = -3; }},
    Spoiled{"HiddenSizeZero", StatusCode::invalid_size, "x: sizes[2], the hidden size, is 0",
            [](Checked& call) { call.at("x").sizes[2] = 0; }},
    Spoiled{"SizeUnlikeX", StatusCode::invalid_size, "out: sizes[1] is 4, but that of x is 3",
            [](Checked& call) { call.at("out").sizes[1] = 4; }},
    Spoiled{"SizeOfWeight", StatusCode::invalid_size, "weight: sizes[0] is 15, must be 16",
            [](Checked& call) { call.at("weight").sizes[0] = 15; }},
    Spoiled{"SizeOfOne", StatusCode::invalid_size, "scale: sizes[0] is 2, must be 1",
            [](Checked& call) { call.at("scale").sizes[0] = 2; }},
    Spoiled{"SizeOfRows", StatusCode::invalid_size, "mean: sizes[2] is 2, must be 1",
            [](Checked& call) { call.at("mean").sizes[2] = 2; }},
    Spoiled{"RankOfPairs", StatusCode::invalid_rank, "codes: rank is 2, but that of x is 3",
            [](Checked& call) { call.at("codes").rank = 2; }},
    Spoiled{"RowsOfPairs", StatusCode::invalid_size, "codes: sizes[1] is 2, ",
            [](Checked& call) { call.at("codes").sizes[1] = 2; }},
    Spoiled{"PairsOfAnOddNumber", StatusCode::invalid_size, "x: sizes[2] is 15, must be even",
            [](Checked& call) {
              for (const char* role : {"x", "out", "addend"}) call.at(role).sizes[2] = 15;
              call.at("weight").sizes[0] = 15;
            }},
    Spoiled{"SizeOfPairs", StatusCode::invalid_size, "codes: sizes[2] is 16, must be 8, half of that of x",
            [](Checked& call) { call.at("codes").sizes[2] = 16; }},
    Spoiled{"NegativeSizeOfTable", StatusCode::invalid_size, "table: sizes[0] is -5, must not be negative",
            [](Checked& call) { call.at("table").sizes[0] = -5; }},
    Spoiled{"NegativeSizeOfOther", StatusCode::invalid_size, "scales: sizes[1] is -4, must not be negative",
            [](Checked& call) { call.at("scales").sizes[1] = -4; }},
    Spoiled{"LastStride", StatusCode::invalid_stride, "x: strides[2] is 2, must be 1",
            [](Checked& call) { call.at("x").strides[2] = 2; }},
    Spoiled{"RowsThatOverlap", StatusCode::invalid_stride, "out: strides[1] is 15, less than the row of 16",
            [](Checked& call) { call.at("out").strides[1] = 15; }},
    Spoiled{"OtherWithAGap", StatusCode::invalid_stride, "scales: strides[0] is 5, must be 4, without gaps",
            [](Checked& call) { call.at("scales").strides[0] = 5; }},
    Spoiled{"Extent", StatusCode::size_overflow, "x: the extent in elements does not fit in 63 bits",
            [](Checked& call) { call.at("x").strides[1] = kHuge; }},
    Spoiled{"EndOfMemory", StatusCode::size_overflow, "weight: 32 bytes from ",
            [](Checked& call) { call.at("weight").data = reinterpret_cast<void*>(~std::uintptr_t{0} - 7); }},
    Spoiled{"NullData", StatusCode::null_pointer, "mean: data is null (0x0)",
            [](Checked& call) { call.at("mean").data = nullptr; }},
    Spoiled{"ElementAlignment", StatusCode::misaligned_pointer, "scale: data 0x",
            [](Checked& call) { call.at("scale").data = call.memory[9].data() + 2; }},
    Spoiled{"OutputOverInput", StatusCode::overlap,
            "out: ", [](Checked& call) { call.at("out").data = call.memory[0].data() + 2; }},
    Spoiled{"OutputExactlyOverAnotherInput", StatusCode::overlap,
            "out: ", [](Checked& call) { call.at("out").data = call.at("addend").data; }},
    Spoiled{"OutputOverAnotherInput", StatusCode::overlap,
            "out: ", [](Checked& call) { call.at("out").data = call.memory[1].data(); }},
    Spoiled{"OutputOverOutput", StatusCode::overlap,
            "out: ", [](Checked& call) { call.at("codes").data = call.memory[3].data() + 191; }},
    Spoiled{"InPlaceOfTheWrongInput", StatusCode::overlap,
            "mean: ", [](Checked& call) { call.at("mean").data = call.memory[0].data(); }},
    Spoiled{"OutputOverItself", StatusCode::overlap, "out: its rows from ",
            [](Checked& call) { call.at("out").strides[0] = 16; }},
    Spoiled{"UnknownPath", StatusCode::invalid_launch, "launch: path is 3",
            [](Checked& call) { call.launch.path = static_cast<Path>(3); }},
    Spoiled{"Threads", StatusCode::invalid_launch, "launch: threads_per_block is 48",
            [](Checked& call) { call.launch.threads_per_block = 48; }},
    Spoiled{"VectorizedRowsThatAreNotAligned", StatusCode::misaligned_pointer, "out: data 0x",
            [](Checked& call) {
              call.launch.path = Path::vectorized;
              call.at("out").data = call.memory[9].data() + 2;
            }},
    Spoiled{"VectorizedStride", StatusCode::misaligned_pointer, "x: strides[1] is 17 elements",
            [](Checked& call) {
              call.launch.path = Path::vectorized;
              call.at("x").strides[1] = 17;
              call.at("x").strides[0] = 56;
            }},
};

INSTANTIATE_TEST_SUITE_P(Calls, CallChecks, testing::ValuesIn(kSpoiled),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(CallChecks, TakeWhatTheRulesLeaveOpen) {
  Checked call;
  for (const char* role : {"weight", "scale", "codes", "mean", "table", "scales", "addend"})
    call.remove(role);
  EXPECT_TRUE(call.status().ok()) << call.status().message;
  EXPECT_EQ(call.checked.of("mean").data, nullptr);
  call.numbers.clear();
  EXPECT_TRUE(call.status().ok());
  call.at("out") = call.at("x");  // in place
  EXPECT_TRUE(call.status().ok()) << call.status().message;
  Checked without_last;  // a number for each row, without the last dimension
  without_last.at("mean").rank = 2;
  without_last.at("mean").strides = {3, 1};
  EXPECT_TRUE(without_last.status().ok()) << without_last.status().message;
  Checked empty;  // no rows: the pointers may be null
  for (const char* role : {"x", "out", "codes", "mean", "addend"}) {
    empty.at(role).sizes[0] = 0;
    empty.at(role).data = nullptr;
  }
  EXPECT_TRUE(empty.status().ok()) << empty.status().message;
  EXPECT_EQ(empty.checked.rows.count, 0);
}

TEST(CallChecks, GiveTheRowsThatAKernelWalks) {
  Checked call;
  ASSERT_TRUE(call.status().ok());
  EXPECT_EQ(call.checked.dtype, DType::bf16);
  EXPECT_EQ(call.checked.hidden, 16);
  EXPECT_EQ(call.checked.rows.count, 6);
  EXPECT_TRUE(call.checked.vectorized);
  // Packed rows are one dimension.
  EXPECT_EQ(call.checked.rows.inner_size, 6);
  EXPECT_EQ(call.checked.of("x").strides.inner, 16);
  EXPECT_EQ(call.checked.of("codes").strides.inner, 8);
  EXPECT_EQ(call.checked.of("mean").strides.inner, 1);
  EXPECT_EQ(call.checked.of("out").data, call.at("out").data);
  // One of them has a gap: two, for all.
  call.at("out").strides[0] = 64;
  ASSERT_TRUE(call.status().ok());
  EXPECT_EQ(call.checked.rows.inner_size, 3);
  EXPECT_EQ(call.checked.of("out").strides.middle, 64);
  EXPECT_EQ(call.checked.of("x").strides.middle, 48);
  EXPECT_EQ(call.checked.of("mean").strides.middle, 3);
  call.launch.path = Path::scalar;
  ASSERT_TRUE(call.status().ok());
  EXPECT_FALSE(call.checked.vectorized);
  call.launch.path = Path::automatic;
  call.at("weight").data = call.memory[9].data() + 2;
  ASSERT_TRUE(call.status().ok());
  EXPECT_FALSE(call.checked.vectorized);
}

TEST(CallsByName, AnOperationThatThereIsNoneOfIsRefused) {
  std::array<char, 200> text{};
  const normproof_named_call none{"layer_morn", nullptr, 0, nullptr, 0};
  EXPECT_EQ(normproof_run(&none, nullptr, nullptr, nullptr, {text.data(), text.size()}),
            NORMPROOF_UNKNOWN_NAME);
  EXPECT_STREQ(text.data(), "operation: there is no kernel for 'layer_morn'");
  EXPECT_EQ(normproof_run(nullptr, nullptr, nullptr, nullptr, {text.data(), text.size()}),
            NORMPROOF_NULL_POINTER);
  EXPECT_STREQ(text.data(), "operation: the name is null (0x0)");
  const normproof_named_tensor nameless{nullptr, {}};
  const normproof_named_call with_nameless{"layer_norm", &nameless, 1, nullptr, 0};
  EXPECT_EQ(normproof_run(&with_nameless, nullptr, nullptr, nullptr, {text.data(), text.size()}),
            NORMPROOF_NULL_POINTER);
  EXPECT_STREQ(text.data(), "tensor 0: its role is null (0x0)");
  const normproof_named_number no_name{nullptr, 1};
  const normproof_named_call with_number{"layer_norm", nullptr, 0, &no_name, 1};
  EXPECT_EQ(normproof_run(&with_number, nullptr, nullptr, nullptr, {text.data(), text.size()}),
            NORMPROOF_NULL_POINTER);
  EXPECT_STREQ(text.data(), "number 0: its name is null (0x0)");
}

}  // namespace
}  // namespace normproof::kernels
