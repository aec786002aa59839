// The stand-ins for torch's headers: tensors, checks, dispatch, registrations, and what an adapter makes of
// them.
#include <cstdlib>

#include <ATen/ceil_div.h>
#include <ATen/cuda/detail/KernelUtils.h>
#include <normproof_torch/adapter.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/extension.h>
#include <ATen/native/cuda/MemoryAccess.cuh>
#include <ATen/native/cuda/block_reduce.cuh>

#include <gtest/gtest.h>

namespace {

using at::Tensor;

Tensor counting(c10::IntArrayRef sizes) {
  Tensor tensor = torch::empty(sizes, torch::TensorOptions().dtype(torch::kFloat32).device(torch::kCUDA));
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.data_ptr<float>()[i] = static_cast<float>(i);
  return tensor;
}
std::string thrown_by(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what();
  }
  return "nothing";
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(TorchStandIn, TensorsHaveSizesStridesAndTypes) {
  const Tensor tensor = counting({2, 3, 4});
  EXPECT_EQ(tensor.size(-1), 4);
  EXPECT_EQ(tensor.stride(-2), 4);
  EXPECT_EQ(tensor.numel(), 24);
  EXPECT_TRUE(tensor.is_contiguous() && tensor.is_cuda());
  EXPECT_EQ(tensor.dtype(), torch::kFloat);
  EXPECT_EQ(torch::empty_like(tensor).sizes(), tensor.sizes());
  EXPECT_TRUE(std::isnan(torch::empty({1}).data_ptr<float>()[0])) << "what torch leaves as it was is NaN";
  EXPECT_EQ(torch::zeros({3}).data_ptr<float>()[2], 0);
  EXPECT_EQ(tensor.select(1, 2).data_ptr<float>()[0], 8);
  EXPECT_TRUE(has(thrown_by([&] { static_cast<void>(tensor.data_ptr<c10::Half>()); }),
                  "expected scalar type Half but found Float"));
  EXPECT_TRUE(has(thrown_by([&] { tensor.size(3); }), "dimension 3 of a tensor with 3 dimensions"));
  EXPECT_TRUE(has(thrown_by([] { Tensor().numel(); }), "an undefined tensor"));
}

TEST(TorchStandIn, ViewsFollowTheStrides) {
  const Tensor wide = counting({2, 3, 8});
  const Tensor narrow = wide.narrow(2, 0, 4);
  EXPECT_FALSE(narrow.is_contiguous());
  const Tensor rows = narrow.view({-1, 4});
  EXPECT_EQ(rows.size(0), 6);
  EXPECT_EQ(rows.stride(0), 8);
  EXPECT_EQ(rows.select(0, 5).data_ptr<float>()[3], 43);
  EXPECT_EQ(narrow.contiguous().view({24}).data_ptr<float>()[4], 8);
  EXPECT_EQ(wide.view({4, 12}).stride(0), 12);
  EXPECT_TRUE(has(thrown_by([&] { narrow.view({24}); }), "view size is not compatible"));
  EXPECT_TRUE(has(thrown_by([&] { wide.view({-1, 7}); }), "shape [-1, 7] is invalid for input of size 48"));
  EXPECT_EQ(counting({0, 4}).view({0, 2, 2}).numel(), 0);
}

TEST(TorchStandIn, SmallNumbersRoundOnceAnOperation) {
  const c10::BFloat16 one(1.0f), small(0x1p-8f);
  EXPECT_EQ(float(one + small), 1) << "a tie to even";
  EXPECT_EQ(one + 0x1p-8f, 1 + 0x1p-8f) << "with a float it is a float";
  static_assert(std::is_same_v<decltype(one * 2), c10::BFloat16>);
  EXPECT_EQ(float(c10::Half(70000.0f)), INFINITY);
  EXPECT_EQ(float(std::numeric_limits<c10::Half>::max()), 65504);
  EXPECT_EQ(float(__half(c10::Half(1.5f))), 1.5f);
  EXPECT_EQ(float(c10::Float8_e4m3fn(300.0f)), 288);
  static_assert(std::is_same_v<at::acc_type<c10::Half, true>, float>);
}

TEST(TorchStandIn, SmallNumbersCompareAsFloats) {
  const c10::Half one(1.0f), two(2.0f), nan(NAN);
  EXPECT_TRUE(one < two && two > one && one <= one && one >= one && one == one && one != two);
  EXPECT_TRUE(!(nan < one) && !(nan >= one) && nan != nan);
  EXPECT_TRUE(one < 1.5f && 1.5 > one && one == 1 && 0 <= one && one != 2);
  EXPECT_TRUE(c10::Half(0.0f) == c10::Half(-0.0f));
  EXPECT_TRUE(c10::BFloat16(3.0f) > c10::BFloat16(2.0f) && c10::Float8_e4m3fn(1.0f) < 2.0f);
  EXPECT_TRUE(-two < one);
}

// Every value of a format with one zero is read as what its bits mean and rounded to them again.
template <class Small>
void expect_one_zero(int bias, int mantissa_bits) {
  for (int bits = 0; bits < 256; ++bits) {
    const Small small(static_cast<unsigned char>(bits), Small::from_bits());
    const float value = small;
    if (bits == 0x80) {
      EXPECT_TRUE(std::isnan(value));
      continue;
    }
    const int exponent = (bits & 0x7f) >> mantissa_bits, fraction = bits & ((1 << mantissa_bits) - 1);
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, 1 - bias - mantissa_bits)
                      : std::ldexp((1 << mantissa_bits) + fraction, exponent - bias - mantissa_bits);
    EXPECT_EQ(value, bits < 128 ? magnitude : -magnitude) << bits;
    EXPECT_EQ(int(Small(value).x), bits);
    EXPECT_EQ(float(-small), -value) << bits;
  }
  EXPECT_EQ(Small(-0.0f).x, 0);
  EXPECT_EQ(Small(-0x1p-40f).x, 0) << "rounded to the one zero";
  EXPECT_EQ((-Small(0.0f)).x, 0);
  EXPECT_EQ(Small(NAN).x, 0x80);
  EXPECT_EQ(Small(INFINITY).x, 0x80);
  EXPECT_EQ(Small(-INFINITY).x, 0x80);
  const float largest = std::numeric_limits<Small>::max();
  EXPECT_EQ(Small(std::nextafter(largest, INFINITY)).x, 0x7f);
  EXPECT_EQ(Small(2 * largest).x, 0x80) << "an overflow is NaN";
  EXPECT_TRUE(std::isnan(float(std::numeric_limits<Small>::quiet_NaN())));
  EXPECT_EQ(float(std::numeric_limits<Small>::lowest()), -largest);
}
TEST(TorchStandIn, FormatsWithOneZero) {
  expect_one_zero<c10::Float8_e4m3fnuz>(8, 3);
  expect_one_zero<c10::Float8_e5m2fnuz>(16, 2);
  EXPECT_EQ(float(std::numeric_limits<c10::Float8_e4m3fnuz>::max()), 240);
  EXPECT_EQ(float(std::numeric_limits<c10::Float8_e5m2fnuz>::max()), 57344);
  EXPECT_EQ(float(std::numeric_limits<c10::Float8_e4m3fn>::max()), 448);
  EXPECT_EQ(float(std::numeric_limits<c10::Float8_e5m2>::infinity()), INFINITY);
  EXPECT_EQ(1 + float(std::numeric_limits<c10::Float8_e4m3fnuz>::epsilon()),
            float(c10::Float8_e4m3fnuz(1.1f)));
}

TEST(TorchStandIn, WhatIsPrinted) {
  std::ostringstream text;
  text << counting({2, 3}).options() << ' ' << counting({2, 3}).sizes() << ' ' << c10::Half(1.5f);
  EXPECT_EQ(text.str(), "TensorOptions(dtype=Float, device=cuda:0) [2, 3] 1.5");
}

TEST(TorchStandIn, TheStableInterface) {
  const Tensor tensor = counting({2, 3});
  EXPECT_EQ(tensor.get_device_index(), 0);
  const torch::stable::accelerator::DeviceGuard guard(tensor.get_device_index());
  void* stream = &stream;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(0, &stream));
  EXPECT_EQ(stream, nullptr);
  EXPECT_EQ(
      torch::stable::new_zeros(tensor, {4}, torch::headeronly::ScalarType::Half).data_ptr<c10::Half>()[3],
      c10::Half(0.0f));
  EXPECT_EQ(torch::stable::select(tensor, 0, 1).data_ptr<float>()[2], 5);
  EXPECT_EQ(torch::stable::narrow(torch::stable::flatten(tensor), 0, 4, 2).data_ptr<float>()[0], 4);
  EXPECT_EQ(torch::stable::clone(tensor).data_ptr<float>()[1], 1);
  EXPECT_TRUE(has(thrown_by([&] { TORCH_ERROR_CODE_CHECK(torch_get_current_cuda_blas_handle(&stream)); }),
                  "torch_get_current_cuda_blas_handle(&stream) API call failed"));
}

// Vectors of CUDA's types are copied as bits, and chosen by torch's types.
template <class T>
struct VectorOf {
  static constexpr bool exists = false;
};
template <>
struct VectorOf<torch::headeronly::Half> {
  static constexpr bool exists = true;
  __half2 data[4];
};
static_assert(VectorOf<at::Half>::exists && !VectorOf<at::BFloat16>::exists);
static_assert(std::is_trivial_v<VectorOf<c10::Half>> && std::is_standard_layout_v<VectorOf<c10::Half>>);
static_assert(std::is_trivial_v<__nv_bfloat162> && std::is_trivial_v<c10::BFloat16> &&
              std::is_trivial_v<__nv_fp8x4_e4m3>);

TEST(TorchStandIn, DispatchKnowsItsTypes) {
  const auto name_of = [](c10::ScalarType type) {
    return AT_DISPATCH_FLOATING_TYPES_AND2(
        at::ScalarType::Half, at::ScalarType::BFloat16, type, "names",
        [&] { return std::string(c10::toString(c10::CppTypeToScalarType<scalar_t>::value)); });
  };
  EXPECT_EQ(name_of(torch::kHalf), "Half");
  EXPECT_EQ(name_of(torch::kDouble), "Double");
  const auto size_of_fp8 = [](c10::ScalarType type) {
    return THO_DISPATCH_SWITCH(type, "fp8",
                               THO_PRIVATE_CASE_TYPE_USING_HINT(at::ScalarType::Float8_e4m3fn, fp8_t,
                                                                [&] { return sizeof(fp8_t); }));
  };
  EXPECT_EQ(size_of_fp8(torch::kFloat8_e4m3fn), 1u);
  EXPECT_TRUE(has(thrown_by([&] { name_of(torch::kInt); }), "\"names\" not implemented for 'Int'"));
}

TORCH_LIBRARY(tested, m) { m.def("norm(Tensor x) -> Tensor"); }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("norm", &counting, "a norm", py::arg("sizes")); }

TEST(TorchStandIn, RegistrationsAreCollected) {
  const auto& operations = normproof_torch::registered_operations();
  ASSERT_EQ(operations.size(), 2u);
  EXPECT_EQ(operations[0].library, "tested");
  EXPECT_EQ(operations[0].name, "norm(Tensor x) -> Tensor");
  EXPECT_EQ(operations[1].name, "norm");
  EXPECT_FALSE(operations[1].type.empty());
}

TEST(TorchStandIn, CallsForLaunchersOfPointers) {
  normproof_torch::Call call;
  call.input = counting({2, 3, 4});
  EXPECT_EQ(call.rows(), 6);
  EXPECT_EQ(call.columns(), 4);
  const float* floats = call.pointer(call.input);
  void* bytes = call.pointer(call.input);
  EXPECT_EQ(floats[5], 5);
  EXPECT_EQ(bytes, floats);
  const float* absent = call.pointer(call.weight);
  EXPECT_EQ(absent, nullptr);
  std::size_t size = 0;
  call.with<__half, float>([&](auto type) { size = sizeof type; });
  EXPECT_EQ(size, 4u);
  EXPECT_TRUE(has(thrown_by([&] { call.with<__half, __nv_bfloat16>([](auto) {}); }), "not for Float"));
  call.input = torch::empty({0, 0});
  EXPECT_EQ(call.rows(), 0);
  call.out = torch::empty({2}, torch::kInt8);
  call.has_codes_of_int8(true);
  EXPECT_TRUE(has(thrown_by([&] { call.has_codes_of_int8(false); }), "int8 codes"));
  call.out = torch::empty({2}, torch::kFloat8_e4m3fn);
  call.has_codes_of_int8(false);
  EXPECT_TRUE(has(thrown_by([&] { call.has_codes_of_int8(true); }), "codes that are not int8"));
}

TEST(TorchStandIn, AnAdapterHasOperationsAndLimits) {
  struct Tag;
  using Plugin = normproof_torch::Plugin<Tag>;
  const normproof_plugin_info* info =
      Plugin::info("tested", NORMPROOF_TAKES_FP32,
                   {.fused_add_rms_norm = [](normproof_torch::Call) {},
                    .limits = {.hidden_multiple = 8, .contiguous = true, .epsilon = 1e-5f}});
  ASSERT_NE(info->operations[0], nullptr);
  EXPECT_EQ(info->operations[1], nullptr);
  struct Unlimited;
  EXPECT_EQ(normproof_torch::Plugin<Unlimited>::info("tested", NORMPROOF_TAKES_FP32,
                                                     {.rms_norm = [](normproof_torch::Call) {}})
                ->operations[0]
                ->limits,
            nullptr)
      << "what it is made for it says call by call";
  EXPECT_EQ(std::string(info->operations[0]->name), "fused_add_rms_norm");
  EXPECT_EQ(info->operations[0]->limits->hidden_multiple, 8);
  struct Dynamic;
  EXPECT_EQ(std::string(normproof_torch::Plugin<Dynamic>::info(
                            "tested", NORMPROOF_TAKES_FP32,
                            {.fused_add_rms_norm_dynamic_quant = [](normproof_torch::Call) {}})
                            ->operations[0]
                            ->name),
            "fused_add_rms_norm_dynamic_quant");
  EXPECT_EQ(info->operations[0]->limits->contiguous, 1);
  EXPECT_EQ(info->operations[0]->limits->not_in_place, 0);
  EXPECT_EQ(info->operations[0]->limits->epsilon_is_set, 1);
  EXPECT_EQ(info->operations[0]->limits->epsilon, 1e-5f);
  EXPECT_EQ(info->operations[0]->limits->struct_size, sizeof(normproof_plugin_limits));
  const auto type_of = [](unsigned char code) { return normproof_torch::scalar_type_of({code, 8, 1}); };
  EXPECT_EQ(type_of(NORMPROOF_DL_FLOAT8_E4M3FNUZ), c10::kFloat8_e4m3fnuz);
  EXPECT_EQ(type_of(NORMPROOF_DL_FLOAT8_E5M2FNUZ), c10::kFloat8_e5m2fnuz);
  EXPECT_EQ(type_of(NORMPROOF_DL_FLOAT8_E5M2), c10::kFloat8_e5m2);
  EXPECT_EQ(type_of(NORMPROOF_DL_FLOAT8_E4M3FN), c10::kFloat8_e4m3fn);
}

TEST(TorchStandIn, ChecksBecomeFindings) {
  char message[300] = {};
  float numbers[6] = {};
  std::int64_t shape[] = {2, 3}, strides[] = {3, 1};
  const DLTensor tensor{numbers, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, strides, 0};
  const normproof_plugin_argument arguments[] = {{"out", &tensor}, {"input", &tensor}};
  const normproof_plugin_parameter epsilon{"epsilon", 1e-6f};
  const normproof_plugin_call call{sizeof call, nullptr, message, sizeof message, arguments, 2, &epsilon, 1};
  const auto run = [&](normproof_torch::Operation operation) {
    return normproof_torch::run(operation, &call);
  };
  EXPECT_EQ(run([](normproof_torch::Call given) {
              TORCH_CHECK(given.input.size(-1) == 3 && !given.has_weight());
              given.out.data_ptr<float>()[5] = 7;
            }),
            NORMPROOF_PLUGIN_OK);
  EXPECT_EQ(numbers[5], 7);
  EXPECT_EQ(run([](normproof_torch::Call given) {
              TORCH_CHECK(given.input.size(-1) % 8 == 0, "H is ", given.input.size(-1));
            }),
            NORMPROOF_PLUGIN_FAILED);
  EXPECT_TRUE(has(message, "H is 3 (")) << message;
  EXPECT_TRUE(has(message, "torch_test.cpp:")) << message;
  EXPECT_EQ(run([](normproof_torch::Call given) {
              AT_DISPATCH_REDUCED_FLOATING_TYPES(given.input.scalar_type(), "reduced",
                                                 [&] { given.out.data_ptr<scalar_t>(); });
            }),
            NORMPROOF_PLUGIN_NOT_TAKEN);
  EXPECT_TRUE(has(message, "\"reduced\" not implemented for 'Float'")) << message;
}

TEST(TorchStandIn, DimensionsAreJoinedAndSwapped) {
  const at::Tensor x = at::full({2, 3, 4}, 1.5, at::kBFloat16);
  EXPECT_EQ(x.flatten(0, -2).sizes().vec(), (std::vector<std::int64_t>{6, 4}));
  EXPECT_EQ(x.flatten().size(0), 24);
  EXPECT_EQ(static_cast<float>(x.data_ptr<at::BFloat16>()[23]), 1.5f);
  const at::Tensor swapped = x.transpose(0, -1);
  EXPECT_EQ(swapped.sizes().vec(), (std::vector<std::int64_t>{4, 3, 2}));
  EXPECT_EQ(swapped.strides().vec(), (std::vector<std::int64_t>{1, 4, 12}));
  EXPECT_FALSE(swapped.is_contiguous());
  EXPECT_EQ(swapped.contiguous().stride(0), 6);
  EXPECT_EQ(x.unsqueeze(0).squeeze().dim(), 3);
  at::Tensor counts = at::zeros({3}, at::kInt);
  counts.narrow(0, 1, 1).fill_(7);
  EXPECT_EQ(counts.data_ptr<int>()[1], 7);
  EXPECT_EQ(counts.data_ptr<int>()[2], 0);
  EXPECT_THROW(x.flatten(2, 1), std::exception);
}

TEST(TorchStandIn, HelpersForKernels) {
  EXPECT_EQ(at::ceil_div<std::int64_t>(9, 4), 3);
  EXPECT_EQ(at::round_up(9, 4), 12);
  EXPECT_EQ(at::cuda::detail::GET_BLOCKS(1025), 2);
  const at::Tensor x = at::full({100}, 2, at::kFloat);
  EXPECT_EQ(at::native::memory::can_vectorize_up_to<float>(static_cast<const char*>(x.data_ptr()) + 8), 2);
  float sum = 0, most = 0;
  int looped = 0;
  const float* values = x.data_ptr<float>();
  const auto launched = normproof::host::launch({.grid = 1, .block = 96}, [&] {
    NORMPROOF_SHARED(float, shared, 32);
    float mine = 0;
    CUDA_KERNEL_LOOP(i, 100) {
      mine += at::native::memory::load_vector<1>(values, static_cast<unsigned>(i)).val[0];
      ++looped;
    }
    const float of_block = at::native::cuda_utils::BlockReduceSum<float>(mine, shared);
    const float greatest =
        at::native::cuda_utils::BlockReduceMax<float>(static_cast<float>(threadIdx.x), shared);
    if (threadIdx.x == 0) sum = of_block, most = greatest;
  });
  EXPECT_TRUE(launched) << launched.message;
  EXPECT_EQ(looped, 100);
  EXPECT_EQ(sum, 200);
  EXPECT_EQ(most, 95);
}

}  // namespace
