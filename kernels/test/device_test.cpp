// GPU bits == CPU bits: the same calls through the CUDA build and through the host build. Skips where no GPU
// is. The library is the one of this build, or the one that the environment variable NORMPROOF_KERNELS_CUDA
// names.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <cstdlib>

#include "kernels/normproof_kernels.h"
#include "norm_case.h"

namespace normproof::kernels {
namespace {

#define EXPECT_CUDA(expression)                                                        \
  do {                                                                                 \
    const cudaError_t error = (expression);                                            \
    EXPECT_EQ(error, cudaSuccess) << #expression << ": " << cudaGetErrorString(error); \
  } while (false)

// The functions of the CUDA build.
struct DeviceKernels {
  decltype(&normproof_rms_norm) plain = nullptr;
  decltype(&normproof_fused_add_rms_norm) fused_add = nullptr;
  decltype(&normproof_rms_norm_static_fp8_quant) fp8 = nullptr;
  decltype(&normproof_fused_add_rms_norm_static_fp8_quant) fused_add_fp8 = nullptr;
  decltype(&normproof_kernels_backend) backend = nullptr;

  static const DeviceKernels& get() {
    static const DeviceKernels kernels = [] {
      const char* named = std::getenv("NORMPROOF_KERNELS_CUDA");
      void* library = dlopen(named != nullptr ? named : NORMPROOF_KERNELS_CUDA, RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) throw std::runtime_error(dlerror());
      DeviceKernels found;
      const auto find = [&]<class Function>(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(library, name));
        if (function == nullptr) throw std::runtime_error(std::string("no function ") + name);
      };
      find(found.plain, "normproof_rms_norm");
      find(found.fused_add, "normproof_fused_add_rms_norm");
      find(found.fp8, "normproof_rms_norm_static_fp8_quant");
      find(found.fused_add_fp8, "normproof_fused_add_rms_norm_static_fp8_quant");
      find(found.backend, "normproof_kernels_backend");
      return found;
    }();
    return kernels;
  }
};

// A copy of a TestTensor on the GPU, with the same alignment and the same bytes around the elements.
class DeviceTensor {
 public:
  explicit DeviceTensor(const TestTensor& host) {
    const auto& storage = host.storage();
    const auto start = reinterpret_cast<std::uintptr_t>(storage.data());
    EXPECT_CUDA(cudaMalloc(&allocation_, storage.size() + 256));
    storage_ = static_cast<std::byte*>(allocation_) + start % 256;
    EXPECT_CUDA(cudaMemcpy(storage_, storage.data(), storage.size(), cudaMemcpyHostToDevice));
    const Tensor& tensor = host.tensor();
    description_.data = storage_ + (reinterpret_cast<std::uintptr_t>(tensor.data) - start);
    description_.dtype = static_cast<normproof_dtype>(tensor.dtype);
    description_.rank = tensor.rank;
    std::copy(tensor.sizes.begin(), tensor.sizes.end(), description_.sizes);
    std::copy(tensor.strides.begin(), tensor.strides.end(), description_.strides);
  }
  ~DeviceTensor() { EXPECT_CUDA(cudaFree(allocation_)); }
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  const normproof_tensor* get() const { return &description_; }
  void copy_to(TestTensor& host) const {
    std::vector<std::byte> bytes(host.storage().size());
    EXPECT_CUDA(cudaMemcpy(bytes.data(), storage_, bytes.size(), cudaMemcpyDeviceToHost));
    host.set_storage(bytes);
  }

 private:
  void* allocation_ = nullptr;
  std::byte* storage_ = nullptr;
  normproof_tensor description_{};
};

normproof_launch_report run_on_device(const NormCase& test_case, NormTensors& tensors) {
  const DeviceTensor input(tensors.input), residual(tensors.residual), out(tensors.out),
      weight(tensors.weight);
  float* scale = nullptr;
  EXPECT_CUDA(cudaMalloc(&scale, sizeof(float)));
  EXPECT_CUDA(cudaMemcpy(scale, &tensors.scale, sizeof(float), cudaMemcpyHostToDevice));
  const normproof_tensor* weights = test_case.weight_dtype ? weight.get() : nullptr;
  const normproof_tensor* target = test_case.in_place ? input.get() : out.get();
  const normproof_launch launch{static_cast<normproof_path>(test_case.launch.path),
                                test_case.launch.threads_per_block};
  normproof_launch_report report{};
  std::array<char, 512> text{};
  const normproof_message message{text.data(), text.size()};
  const DeviceKernels& kernels = DeviceKernels::get();
  const float epsilon = test_case.epsilon;
  const normproof_status status =
      test_case.quantized && test_case.adds_residual
          ? kernels.fused_add_fp8(target, input.get(), residual.get(), weights, scale, epsilon, &launch,
                                  nullptr, &report, message)
      : test_case.quantized
          ? kernels.fp8(target, input.get(), weights, scale, epsilon, &launch, nullptr, &report, message)
      : test_case.adds_residual
          ? kernels.fused_add(input.get(), residual.get(), weights, epsilon, &launch, nullptr, &report,
                              message)
          : kernels.plain(target, input.get(), weights, epsilon, &launch, nullptr, &report, message);
  EXPECT_EQ(status, NORMPROOF_OK) << text.data() << '\n' << test_case.text();
  EXPECT_CUDA(cudaDeviceSynchronize());
  input.copy_to(tensors.input);
  residual.copy_to(tensors.residual);
  out.copy_to(tensors.out);
  weight.copy_to(tensors.weight);
  EXPECT_CUDA(cudaFree(scale));
  return report;
}

// Every element the same (any NaN equals any other), and every byte around the elements.
// `before` is what device.surroundings() was before the run: the two tensors' own lie at other alignments.
void expect_same(const char* name, TestTensor& host, TestTensor& device, const std::vector<std::byte>& before,
                 const NormCase& test_case) {
  const DType dtype = host.tensor().dtype;
  for (std::int64_t row = 0; row < host.rows(); ++row) {
    const auto wanted = host.row(row), got = device.row(row);
    if (wanted == got) continue;
    for (std::size_t j = 0; j < wanted.size(); ++j) {
      if (reference::same(dtype, wanted[j], got[j])) continue;
      ADD_FAILURE() << name << "[" << row << "][" << j << "] is 0x" << std::hex << got[j] << " on the GPU, 0x"
                    << wanted[j] << " on the CPU\n"
                    << std::dec << test_case.text();
      return;
    }
  }
  EXPECT_EQ(before, device.surroundings()) << name << '\n' << test_case.text();
}

normproof_launch_report expect_same_bits(const NormCase& test_case) {
  NormTensors on_host(test_case), on_device(test_case);
  const std::array before = {on_device.input.surroundings(), on_device.residual.surroundings(),
                             on_device.out.surroundings(), on_device.weight.surroundings()};
  NormCase host_case = test_case;
  host_case.launch.threads_per_block = 0;
  const Status status = call(host_case, on_host);
  EXPECT_TRUE(status.ok()) << status.message;
  const normproof_launch_report report = run_on_device(test_case, on_device);
  expect_same("input", on_host.input, on_device.input, before[0], test_case);
  expect_same("residual", on_host.residual, on_device.residual, before[1], test_case);
  expect_same("out", on_host.out, on_device.out, before[2], test_case);
  expect_same("weight", on_host.weight, on_device.weight, before[3], test_case);
  return report;
}

class Device : public testing::TestWithParam<std::tuple<DType, bool, bool>> {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) GTEST_SKIP() << "no GPU: " << cudaGetErrorString(error);
    if (count == 0) GTEST_SKIP() << "no GPU";
    ASSERT_STREQ(DeviceKernels::get().backend(), "cuda");
  }

  void for_each_combination(NormCase test_case, const std::function<void(const NormCase&)>& visit) {
    test_case.dtype = std::get<0>(GetParam());
    test_case.adds_residual = std::get<1>(GetParam());
    kernels::for_each_combination(test_case, std::get<2>(GetParam()), visit);
  }
};

TEST_P(Device, AgreesOnRowsOfAnyLength) {
  for (const std::int64_t hidden : {1,    7,    8,    24,   64,   128,  129,  256,  512,   576,   1000,
                                    1024, 2048, 2880, 4096, 5120, 5125, 7168, 8192, 12288, 16384, 65536}) {
    NormCase test_case;
    test_case.sizes = {hidden <= 1024 ? 300 : 3, hidden};  // both columns of the launch table
    test_case.binades = 12;
    for_each_combination(test_case, [](const NormCase& each) { expect_same_bits(each); });
    if (HasFailure()) return;
  }
}

TEST_P(Device, AgreesForEveryBlockSizeAndPath) {
  for (const std::int64_t hidden : {72, 264, 1032, 4096, 5120, 16384}) {
    for (const int threads : {32, 96, 128, 256, 320, 512, 1024}) {
      for (const Path path : {Path::vectorized, Path::scalar}) {
        NormCase test_case;
        test_case.sizes = {5, hidden};
        test_case.binades = 12;
        test_case.launch = {path, threads};
        for_each_combination(test_case, [&](const NormCase& each) {
          const normproof_launch_report report = expect_same_bits(each);
          EXPECT_EQ(report.threads_per_block, threads);
          EXPECT_EQ(static_cast<Path>(report.path), path);
        });
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(Device, AgreesOnSpecialValuesAndTheWholeRangeOfNumbers) {
  NormCase test_case;
  test_case.sizes = {400, 40};
  test_case.special_one_in = 60;
  test_case.binades = 280;
  for (const float epsilon : {1e-6f, 0.0f, -1e-3f, INFINITY, NAN}) {
    for (const float scale : {0.37f, 0.0f, -2.0f, INFINITY, NAN}) {
      test_case.epsilon = epsilon;
      test_case.scale = scale;
      for_each_combination(test_case, [](const NormCase& each) { expect_same_bits(each); });
      if (HasFailure()) return;
    }
  }
}

TEST_P(Device, AgreesOnStridedAndUnalignedTensors) {
  for (const std::int64_t offset : {0, 1}) {
    NormCase test_case;
    test_case.sizes = {40, 136};
    test_case.offset = offset;
    test_case.input_strides = {144};
    test_case.residual_strides = {200};
    test_case.out_strides = {136 + 24};
    for_each_combination(test_case, [](const NormCase& each) { expect_same_bits(each); });
    if (HasFailure()) return;
  }
}

TEST_P(Device, AgreesInPlaceAndOnHigherRanks) {
  const auto [dtype, adds_residual, quantizes] = GetParam();
  if (adds_residual || quantizes) GTEST_SKIP() << "rms_norm only";
  NormCase test_case;
  test_case.dtype = test_case.weight_dtype.emplace(dtype);
  test_case.sizes = {3, 5, 7, 128};
  test_case.input_strides = {128, 3 * 7 * 128, 3 * 128};
  expect_same_bits(test_case);
  test_case.in_place = true;
  expect_same_bits(test_case);
  test_case.sizes = {4, 24576};
  test_case.input_strides = {};
  expect_same_bits(test_case);
}

INSTANTIATE_TEST_SUITE_P(All, Device,
                         testing::Combine(testing::ValuesIn(kActivations), testing::Bool(), testing::Bool()));

}  // namespace
}  // namespace normproof::kernels
