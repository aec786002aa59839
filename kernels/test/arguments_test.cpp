// Every argument that must be refused is, by name and value, and nothing is written then.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "c_call.h"

namespace normproof::kernels {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

template <class T>
void* shifted(T* pointer, std::ptrdiff_t bytes) {
  return const_cast<char*>(reinterpret_cast<const char*>(pointer)) + bytes;
}

struct Refusal {
  const char* name;
  normproof_status status;
  std::vector<std::string> message_parts;
  std::function<void(CCall&)> spoil;
  std::function<bool(const CCall&)> fits = [](const CCall&) { return true; };
};

bool adds(const CCall& call) { return call.adds(); }
bool quantizes(const CCall& call) { return call.quantizes(); }
bool has_out(const CCall& call) { return call.has_out(); }
bool is_plain(const CCall& call) { return call.operation == COperation::rms_norm; }
bool is_not_plain(const CCall& call) { return !is_plain(call); }

std::vector<Refusal> refusals() {
  return {
      // Null pointers.
      {"input is null",
       NORMPROOF_NULL_POINTER,
       {"input", "null"},
       [](CCall& c) { c.input_pointer = nullptr; }},
      {"out is null",
       NORMPROOF_NULL_POINTER,
       {"out", "null"},
       [](CCall& c) { c.out_pointer = nullptr; },
       has_out},
      {"residual is null",
       NORMPROOF_NULL_POINTER,
       {"residual", "null"},
       [](CCall& c) { c.residual_pointer = nullptr; },
       adds},
      {"input data is null",
       NORMPROOF_NULL_POINTER,
       {"input", "null"},
       [](CCall& c) { c.input.data = nullptr; }},
      {"out data is null",
       NORMPROOF_NULL_POINTER,
       {"out", "null"},
       [](CCall& c) { c.out.data = nullptr; },
       has_out},
      {"residual data is null",
       NORMPROOF_NULL_POINTER,
       {"residual", "null"},
       [](CCall& c) { c.residual.data = nullptr; },
       adds},
      {"weight data is null",
       NORMPROOF_NULL_POINTER,
       {"weight", "null"},
       [](CCall& c) { c.weight.data = nullptr; }},
      {"scale is null",
       NORMPROOF_NULL_POINTER,
       {"scale", "null"},
       [](CCall& c) { c.scale = nullptr; },
       quantizes},
      // Dtypes.
      {"input is fp8",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"input", "fp8_e5m2"},
       [](CCall& c) { c.input.dtype = NORMPROOF_FP8_E5M2; }},
      {"input has an unknown dtype",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"input", "99"},
       [](CCall& c) { CCall::set_number(c.input.dtype, 99); }},
      {"input has a negative dtype",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"input", "-1"},
       [](CCall& c) { CCall::set_number(c.input.dtype, -1); }},
      {"weight is the other 16-bit type",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"weight", "fp16"},
       [](CCall& c) { c.weight.dtype = NORMPROOF_FP16; }},
      {"weight is bf16 beside fp32",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"weight", "bf16"},
       [](CCall& c) { c.input.dtype = c.residual.dtype = c.out.dtype = NORMPROOF_FP32; },
       is_plain},
      {"weight has an unknown dtype",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"weight", "17"},
       [](CCall& c) { CCall::set_number(c.weight.dtype, 17); }},
      {"residual has another dtype",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"residual", "fp32"},
       [](CCall& c) { c.residual.dtype = NORMPROOF_FP32; },
       adds},
      {"out has another dtype",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"out", "fp32"},
       [](CCall& c) { c.out.dtype = NORMPROOF_FP32; },
       has_out},
      {"out is fp8 without quantization",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"out", "fp8_e4m3fnuz"},
       [](CCall& c) { c.out.dtype = NORMPROOF_FP8_E4M3FNUZ; },
       is_plain},
      {"out is bf16 with quantization",
       NORMPROOF_UNSUPPORTED_DTYPE,
       {"out", "bf16"},
       [](CCall& c) { c.out.dtype = NORMPROOF_BF16; },
       quantizes},
      // Ranks.
      {"input has rank 1",
       NORMPROOF_INVALID_RANK,
       {"input", "rank is 1"},
       [](CCall& c) { c.input.rank = 1; }},
      {"input has rank 5",
       NORMPROOF_INVALID_RANK,
       {"input", "rank is 5"},
       [](CCall& c) { c.input.rank = 5; }},
      {"input has rank -3",
       NORMPROOF_INVALID_RANK,
       {"input", "rank is -3"},
       [](CCall& c) { c.input.rank = -3; }},
      {"rank 3 beside a residual or fp8",
       NORMPROOF_INVALID_RANK,
       {"input", "rank is 3"},
       [](CCall& c) { c.input.rank = 3; },
       is_not_plain},
      {"out has another rank",
       NORMPROOF_INVALID_RANK,
       {"out", "rank is 3"},
       [](CCall& c) { c.out.rank = 3; },
       has_out},
      {"residual has another rank",
       NORMPROOF_INVALID_RANK,
       {"residual", "rank is 1"},
       [](CCall& c) { c.residual.rank = 1; },
       adds},
      {"weight has rank 2",
       NORMPROOF_INVALID_RANK,
       {"weight", "rank is 2"},
       [](CCall& c) { c.weight.rank = 2; }},
      {"weight has rank 0",
       NORMPROOF_INVALID_RANK,
       {"weight", "rank is 0"},
       [](CCall& c) { c.weight.rank = 0; }},
      // Sizes.
      {"rows are negative",
       NORMPROOF_INVALID_SIZE,
       {"input", "sizes[0]", "-4"},
       [](CCall& c) { c.input.sizes[0] = -4; }},
      {"the hidden size is negative",
       NORMPROOF_INVALID_SIZE,
       {"input", "sizes[1]", "-16"},
       [](CCall& c) { c.input.sizes[1] = -16; }},
      {"the hidden size is 0",
       NORMPROOF_INVALID_SIZE,
       {"input", "sizes[1]", "is 0"},
       [](CCall& c) { c.input.sizes[1] = c.out.sizes[1] = c.residual.sizes[1] = c.weight.sizes[0] = 0; }},
      {"out has fewer rows",
       NORMPROOF_INVALID_SIZE,
       {"out", "sizes[0]", "3", "4"},
       [](CCall& c) { c.out.sizes[0] = 3; },
       has_out},
      {"residual has another hidden size",
       NORMPROOF_INVALID_SIZE,
       {"residual", "sizes[1]", "8", "16"},
       [](CCall& c) { c.residual.sizes[1] = 8; },
       adds},
      {"weight has another size",
       NORMPROOF_INVALID_SIZE,
       {"weight", "15", "16"},
       [](CCall& c) { c.weight.sizes[0] = 15; }},
      // Strides.
      {"input rows overlap",
       NORMPROOF_INVALID_STRIDE,
       {"input", "strides[0]", "15"},
       [](CCall& c) { c.input.strides[0] = 15; }},
      {"input rows run backwards",
       NORMPROOF_INVALID_STRIDE,
       {"input", "strides[0]", "-16"},
       [](CCall& c) { c.input.strides[0] = -16; }},
      {"out rows overlap",
       NORMPROOF_INVALID_STRIDE,
       {"out", "strides[0]", "0"},
       [](CCall& c) { c.out.strides[0] = 0; },
       has_out},
      {"residual rows overlap",
       NORMPROOF_INVALID_STRIDE,
       {"residual", "strides[0]", "8"},
       [](CCall& c) { c.residual.strides[0] = 8; },
       adds},
      {"input is not contiguous",
       NORMPROOF_INVALID_STRIDE,
       {"input", "strides[1]", "2"},
       [](CCall& c) { c.input.strides[1] = 2; }},
      {"weight is not contiguous",
       NORMPROOF_INVALID_STRIDE,
       {"weight", "strides[0]", "0"},
       [](CCall& c) { c.weight.strides[0] = 0; }},
      // Extents.
      {"the stride overflows",
       NORMPROOF_SIZE_OVERFLOW,
       {"input", std::to_string(kHuge / 2)},
       [](CCall& c) { c.input.strides[0] = kHuge / 2; }},
      {"the extent in bytes overflows",
       NORMPROOF_SIZE_OVERFLOW,
       {"input", std::to_string(kHuge / 4)},
       [](CCall& c) { c.input.strides[0] = kHuge / 4; }},
      {"the extent passes the end of the address space",
       NORMPROOF_SIZE_OVERFLOW,
       {"input", "address space"},
       [](CCall& c) { c.input.data = reinterpret_cast<void*>(std::uintptr_t{0} - 32); }},
      {"the number of rows overflows",
       NORMPROOF_SIZE_OVERFLOW,
       {"input", std::to_string(std::int64_t{1} << 32)},
       [](CCall& c) {
         for (normproof_tensor* tensor : {&c.input, &c.out}) {
           *tensor = {tensor->data,
                      tensor->dtype,
                      4,
                      {std::int64_t{1} << 32, std::int64_t{1} << 32, 1, 16},
                      {16, 16, 16, 1}};
         }
       },
       is_plain},
      // Alignment.
      {"input is misaligned",
       NORMPROOF_MISALIGNED_POINTER,
       {"input", "element size 2"},
       [](CCall& c) { c.input.data = shifted(c.input.data, 1); }},
      {"residual is misaligned",
       NORMPROOF_MISALIGNED_POINTER,
       {"residual", "element size 2"},
       [](CCall& c) { c.residual.data = shifted(c.residual.data, 3); },
       adds},
      {"out is misaligned",
       NORMPROOF_MISALIGNED_POINTER,
       {"out", "element size 2"},
       [](CCall& c) { c.out.data = shifted(c.out.data, 1); },
       is_plain},
      {"an fp32 weight is misaligned",
       NORMPROOF_MISALIGNED_POINTER,
       {"weight", "element size 4"},
       [](CCall& c) {
         c.weight.dtype = NORMPROOF_FP32;
         c.weight.data = shifted(c.weight.data, 2);
       }},
      {"scale is misaligned",
       NORMPROOF_MISALIGNED_POINTER,
       {"scale", "element size 4"},
       [](CCall& c) { c.scale = static_cast<const float*>(shifted(c.scale, 2)); },
       quantizes},
      // Overlaps.
      {"out lies over a part of input",
       NORMPROOF_OVERLAP,
       {"out", "input"},
       [](CCall& c) { c.out.data = shifted(c.input.data, 32); },
       has_out},
      {"out is input with another stride",
       NORMPROOF_OVERLAP,
       {"out", "input"},
       [](CCall& c) {
         c.out = c.input;
         c.out.strides[0] = 24;
       },
       is_plain},
      {"fp8 out is input",
       NORMPROOF_OVERLAP,
       {"out", "input"},
       [](CCall& c) { c.out.data = c.input.data; },
       quantizes},
      {"out lies over the weight",
       NORMPROOF_OVERLAP,
       {"out", "weight"},
       [](CCall& c) { c.weight.data = shifted(c.out.data, 32); },
       has_out},
      {"input, which is written, lies over the weight",
       NORMPROOF_OVERLAP,
       {"input", "weight"},
       [](CCall& c) { c.weight.data = c.input.data; },
       [](const CCall& c) { return !c.has_out(); }},
      {"residual lies over the weight",
       NORMPROOF_OVERLAP,
       {"residual", "weight"},
       [](CCall& c) { c.weight.data = c.residual.data; },
       adds},
      {"residual is input",
       NORMPROOF_OVERLAP,
       {"residual", "input"},
       [](CCall& c) { c.residual.data = c.input.data; },
       adds},
      {"residual lies over out",
       NORMPROOF_OVERLAP,
       {"residual", "out"},
       [](CCall& c) { c.out.data = shifted(c.residual.data, 127); },
       [](const CCall& c) { return c.operation == COperation::fused_add_fp8; }},
      {"out lies over the scale",
       NORMPROOF_OVERLAP,
       {"out", "scale"},
       [](CCall& c) { c.scale = static_cast<const float*>(shifted(c.out.data, 60)); },
       quantizes},
      {"residual lies over the scale",
       NORMPROOF_OVERLAP,
       {"residual", "scale"},
       [](CCall& c) { c.scale = static_cast<const float*>(c.residual.data); },
       [](const CCall& c) { return c.adds() && c.quantizes(); }},
      {"the rows of out lie over each other",
       NORMPROOF_OVERLAP,
       {"out", "rows"},
       [](CCall& c) {
         for (normproof_tensor* tensor : {&c.input, &c.out}) {
           *tensor = {tensor->data, tensor->dtype, 3, {2, 2, 16}, {32, 16, 1}};
         }
         c.out.strides[0] = 16;
       },
       is_plain},
      // Launch.
      {"33 threads",
       NORMPROOF_INVALID_LAUNCH,
       {"threads_per_block", "33"},
       [](CCall& c) { c.launch.threads_per_block = 33; }},
      {"1056 threads",
       NORMPROOF_INVALID_LAUNCH,
       {"threads_per_block", "1056"},
       [](CCall& c) { c.launch.threads_per_block = 1056; }},
      {"-32 threads",
       NORMPROOF_INVALID_LAUNCH,
       {"threads_per_block", "-32"},
       [](CCall& c) { c.launch.threads_per_block = -32; }},
      {"an unknown path",
       NORMPROOF_INVALID_LAUNCH,
       {"path", "3"},
       [](CCall& c) { CCall::set_number(c.launch.path, 3); }},
      {"vectors on an odd hidden size",
       NORMPROOF_INVALID_LAUNCH,
       {"vectorized", "15", "8"},
       [](CCall& c) {
         c.launch.path = NORMPROOF_PATH_VECTORIZED;
         c.input.sizes[1] = c.out.sizes[1] = c.residual.sizes[1] = c.weight.sizes[0] = 15;
       }},
      {"vectors on an unaligned input",
       NORMPROOF_MISALIGNED_POINTER,
       {"input", "vectorized", "16 bytes"},
       [](CCall& c) {
         c.launch.path = NORMPROOF_PATH_VECTORIZED;
         c.input.data = shifted(c.input.data, 2);
       }},
      {"vectors on an unaligned stride",
       NORMPROOF_MISALIGNED_POINTER,
       {"input", "strides[0]", "17"},
       [](CCall& c) {
         c.launch.path = NORMPROOF_PATH_VECTORIZED;
         c.input.strides[0] = 17;
       }},
      {"vectors on an unaligned out",
       NORMPROOF_MISALIGNED_POINTER,
       {"out", "vectorized", "8 bytes"},
       [](CCall& c) {
         c.launch.path = NORMPROOF_PATH_VECTORIZED;
         c.out.data = shifted(c.out.data, 4);
       },
       quantizes},
      {"vectors on an unaligned weight",
       NORMPROOF_MISALIGNED_POINTER,
       {"weight", "vectorized", "16 bytes"},
       [](CCall& c) {
         c.launch.path = NORMPROOF_PATH_VECTORIZED;
         c.weight.data = shifted(c.weight.data, 8);
       }},
  };
}

class Arguments : public testing::TestWithParam<COperation> {};

TEST_P(Arguments, AreRefusedByNameAndValueBeforeAnythingIsWritten) {
  for (const Refusal& refusal : refusals()) {
    CCall call(GetParam());
    if (!refusal.fits(call)) continue;
    refusal.spoil(call);
    const auto before = call.blocks;
    call.report.blocks = -1;
    EXPECT_EQ(call.run(), refusal.status) << refusal.name << ": " << call.text.data();
    for (const std::string& part : refusal.message_parts) {
      EXPECT_NE(std::string(call.text.data()).find(part), std::string::npos)
          << refusal.name << ": '" << part << "' is not in '" << call.text.data() << "'";
    }
    EXPECT_TRUE(call.blocks == before) << refusal.name;
    EXPECT_EQ(call.report.blocks, 0) << refusal.name;
  }
}

TEST_P(Arguments, AreAcceptedAsTheyAre) {
  CCall call(GetParam());
  const auto before = call.blocks;
  call.text.fill('x');
  EXPECT_EQ(call.run(), NORMPROOF_OK) << call.text.data();
  EXPECT_STREQ(call.text.data(), "");
  EXPECT_EQ(call.report.path, NORMPROOF_PATH_VECTORIZED);
  EXPECT_GT(call.report.blocks, 0);
  EXPECT_FALSE(call.blocks == before)
      << "a valid call must write something, or the tests of refusals show nothing";
}

TEST_P(Arguments, MayBeEmptyTensorsWithoutMemory) {
  CCall call(GetParam());
  for (normproof_tensor* tensor : {&call.input, &call.out, &call.residual}) {
    tensor->sizes[0] = 0;
    tensor->strides[0] = 0;
    tensor->data = nullptr;
  }
  const auto before = call.blocks;
  EXPECT_EQ(call.run(), NORMPROOF_OK) << call.text.data();
  EXPECT_TRUE(call.blocks == before);
  EXPECT_EQ(call.report.blocks, 0);
  EXPECT_EQ(call.report.path, NORMPROOF_PATH_AUTOMATIC);
}

TEST_P(Arguments, MayHaveAnyStrideWhereThereIsOneRow) {
  CCall call(GetParam());
  for (normproof_tensor* tensor : {&call.input, &call.out, &call.residual}) {
    tensor->sizes[0] = 1;
    tensor->strides[0] = kHuge;
  }
  EXPECT_EQ(call.run(), NORMPROOF_OK) << call.text.data();
}

TEST_P(Arguments, MayLackLaunchReportAndMessage) {
  CCall call(GetParam());
  const normproof_message nowhere{nullptr, 0};
  normproof_status status = NORMPROOF_LAUNCH_FAILED;
  switch (GetParam()) {
    case COperation::rms_norm:
      status = normproof_rms_norm(&call.out, &call.input, nullptr, 0, nullptr, nullptr, nullptr, nowhere);
      break;
    case COperation::fused_add:
      status = normproof_fused_add_rms_norm(&call.input, &call.residual, nullptr, 0, nullptr, nullptr,
                                            nullptr, nowhere);
      break;
    case COperation::fp8:
      status = normproof_rms_norm_static_fp8_quant(&call.out, &call.input, nullptr, call.scale, 0, nullptr,
                                                   nullptr, nullptr, nowhere);
      break;
    case COperation::fused_add_fp8:
      status = normproof_fused_add_rms_norm_static_fp8_quant(
          &call.out, &call.input, &call.residual, nullptr, call.scale, 0, nullptr, nullptr, nullptr, nowhere);
      break;
  }
  EXPECT_EQ(status, NORMPROOF_OK);
}

INSTANTIATE_TEST_SUITE_P(Operations, Arguments, testing::ValuesIn(kCOperations));

TEST(Message, IsCutToItsBuffer) {
  CCall call(COperation::rms_norm);
  call.input_pointer = nullptr;
  std::array<char, 8> text;
  text.fill('x');
  EXPECT_EQ(normproof_rms_norm(&call.out, nullptr, nullptr, 0, nullptr, nullptr, nullptr, {text.data(), 6}),
            NORMPROOF_NULL_POINTER);
  EXPECT_STREQ(text.data(), "input");
  EXPECT_EQ(text[6], 'x');
}

TEST(Backend, IsTheHost) { EXPECT_STREQ(normproof_kernels_backend(), "host"); }

}  // namespace
}  // namespace normproof::kernels
