// GPU bits == CPU bits: the same calls through the CUDA build and through the host build. Skips where no GPU
// is. The library is the one of this build, or the one that the environment
// variable NORMPROOF_KERNELS_CUDA names.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <tuple>

#include "kernels/device/normproof_device.h"
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
  decltype(&normproof_rms_norm_dynamic_quant) dynamic = nullptr;
  decltype(&normproof_fused_add_rms_norm_dynamic_quant) fused_add_dynamic = nullptr;
  decltype(&normproof_kernels_backend) backend = nullptr;
  decltype(&normproof_force_configuration) force_configuration = nullptr;
  decltype(&normproof_shape_name) shape_name = nullptr;
  decltype(&normproof_last_shape) last_shape = nullptr;

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
      find(found.dynamic, "normproof_rms_norm_dynamic_quant");
      find(found.fused_add_dynamic, "normproof_fused_add_rms_norm_dynamic_quant");
      find(found.backend, "normproof_kernels_backend");
      find(found.force_configuration, "normproof_force_configuration");
      find(found.shape_name, "normproof_shape_name");
      find(found.last_shape, "normproof_last_shape");
      return found;
    }();
    return kernels;
  }
};

// The memory of the tensors of a call, in the order input, residual, out, weight, scales.
constexpr std::size_t kTensors = 5;
using Storages = std::array<std::vector<std::byte>, kTensors>;

std::array<TestTensor*, kTensors> tensors_of(NormTensors& tensors) {
  return {&tensors.input, &tensors.residual, &tensors.out, &tensors.weight, &tensors.scales};
}

Storages storages_of(NormTensors& tensors) {
  Storages storages;
  for (std::size_t i = 0; i < storages.size(); ++i) storages[i] = tensors_of(tensors)[i]->storage();
  return storages;
}

// Device memory for all calls, one after the other.
std::byte* device_memory(std::size_t bytes) {
  static std::byte* memory = nullptr;
  static std::size_t capacity = 0;
  if (bytes > capacity) {
    cudaFree(memory);
    capacity = std::max(bytes, std::size_t{64} << 20);
    EXPECT_CUDA(cudaMalloc(&memory, capacity));
  }
  return memory;
}

// One call on the CPU, and the same calls again and again on the GPU, whose tensors have the same alignment
// and the same bytes around the elements.
class Comparison {
 public:
  explicit Comparison(const NormCase& test_case) : test_case_(test_case), tensors_(test_case) {
    before_ = storages_of(tensors_);
    NormCase host_case = test_case;
    host_case.launch = {};
    const Status status = call(host_case, tensors_);
    EXPECT_TRUE(status.ok()) << status.message;
    wanted_ = storages_of(tensors_);
    for (std::size_t i = 0; i < before_.size(); ++i) {
      const Tensor& tensor = tensors_of(tensors_)[i]->tensor();
      // The first element lies where the sizes and its alignment alone say, so
      // that calls of one kind share memory.
      const auto start = reinterpret_cast<std::uintptr_t>(tensors_of(tensors_)[i]->storage().data());
      const auto data = reinterpret_cast<std::uintptr_t>(tensor.data);
      first_[i] = data - start;
      offsets_[i] = bytes_ + 512 + data % 256 - first_[i];
      bytes_ += (before_[i].size() + 255) / 256 * 256 + 1024;
      normproof_tensor& description = descriptions_[i];
      description.dtype = static_cast<normproof_dtype>(tensor.dtype);
      description.rank = tensor.rank;
      std::copy(tensor.sizes.begin(), tensor.sizes.end(), description.sizes);
      std::copy(tensor.strides.begin(), tensor.strides.end(), description.strides);
    }
  }

  // Copies the tensors as they were before the call to the GPU.
  void upload() {
    std::byte* memory = device_memory(bytes_ + 2 * sizeof(float));
    std::vector<std::byte> staged(bytes_ + 2 * sizeof(float));
    for (std::size_t i = 0; i < before_.size(); ++i) {
      std::copy(before_[i].begin(), before_[i].end(),
                staged.begin() + static_cast<std::ptrdiff_t>(offsets_[i]));
      descriptions_[i].data = memory + offsets_[i] + first_[i];
    }
    const float numbers[] = {tensors_.scale, tensors_.scale_ub.value_or(0)};
    std::memcpy(staged.data() + bytes_, numbers, sizeof numbers);
    EXPECT_CUDA(cudaMemcpy(memory, staged.data(), staged.size(), cudaMemcpyHostToDevice));
    EXPECT_CUDA(
        cudaDeviceSynchronize());  // a copy from pageable memory may still be on its way for other streams
    scale_ = reinterpret_cast<const float*>(memory + bytes_);
    scale_ub_ = tensors_.scale_ub ? scale_ + 1 : nullptr;
  }

  // Enqueues the call.
  normproof_launch_report launch(const Launch& how, cudaStream_t stream = nullptr) {
    const auto& [input, residual, out, weight, scales] = descriptions_;
    const normproof_tensor* weights = test_case_.weight_dtype ? &weight : nullptr;
    const normproof_tensor* target = test_case_.in_place ? &input : &out;
    const normproof_launch choice{static_cast<normproof_path>(how.path), how.threads_per_block};
    normproof_launch_report report{};
    std::array<char, 512> text{};
    const normproof_message message{text.data(), text.size()};
    const DeviceKernels& kernels = DeviceKernels::get();
    const float epsilon = test_case_.epsilon;
    const normproof_status status =
        test_case_.scales_rows && test_case_.adds_residual
            ? kernels.fused_add_dynamic(target, &scales, &input, &residual, weights, scale_ub_, epsilon,
                                        &choice, stream, &report, message)
        : test_case_.scales_rows ? kernels.dynamic(target, &scales, &input, weights, scale_ub_, epsilon,
                                                   &choice, stream, &report, message)
        : test_case_.quantized && test_case_.adds_residual
            ? kernels.fused_add_fp8(target, &input, &residual, weights, scale_, epsilon, &choice, stream,
                                    &report, message)
        : test_case_.quantized
            ? kernels.fp8(target, &input, weights, scale_, epsilon, &choice, stream, &report, message)
        : test_case_.adds_residual
            ? kernels.fused_add(&input, &residual, weights, epsilon, &choice, stream, &report, message)
            : kernels.plain(target, &input, weights, epsilon, &choice, stream, &report, message);
    EXPECT_EQ(status, NORMPROOF_OK) << text.data() << '\n' << test_case_.text();
    return report;
  }

  // Every element the same (any NaN equals any other), and every byte around the elements.
  void expect_same() {
    std::vector<std::byte> got(bytes_);
    EXPECT_CUDA(cudaDeviceSynchronize());
    EXPECT_CUDA(cudaMemcpy(got.data(), device_memory(bytes_), bytes_, cudaMemcpyDeviceToHost));
    static constexpr std::array kNames = {"input", "residual", "out", "weight", "scales"};
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      const std::vector<std::byte> storage(
          got.begin() + static_cast<std::ptrdiff_t>(offsets_[i]),
          got.begin() + static_cast<std::ptrdiff_t>(offsets_[i] + wanted_[i].size()));
      if (storage == wanted_[i]) continue;
      expect_same_elements(kNames[i], *tensors_of(tensors_)[i], wanted_[i], storage);
    }
  }

  normproof_launch_report expect_same_bits(const Launch& how) {
    upload();
    const normproof_launch_report report = launch(how);
    expect_same();
    return report;
  }

 private:
  void expect_same_elements(const char* name, TestTensor& tensor, const std::vector<std::byte>& wanted,
                            const std::vector<std::byte>& got) {
    const auto rows_of = [&](const std::vector<std::byte>& storage) {
      tensor.set_storage(storage);
      std::vector<std::vector<std::uint32_t>> rows;
      rows.reserve(static_cast<std::size_t>(tensor.rows()));
      for (std::int64_t row = 0; row < tensor.rows(); ++row) rows.push_back(tensor.row(row));
      return rows;
    };
    const auto got_rows = rows_of(got);
    const auto got_around = tensor.surroundings();
    const auto wanted_rows = rows_of(wanted);
    EXPECT_EQ(got_around, tensor.surroundings()) << name << '\n' << test_case_.text();
    for (std::size_t row = 0; row < wanted_rows.size(); ++row) {
      for (std::size_t j = 0; j < wanted_rows[row].size(); ++j) {
        if (reference::same(tensor.tensor().dtype, wanted_rows[row][j], got_rows[row][j])) continue;
        ADD_FAILURE() << name << "[" << row << "][" << j << "] is 0x" << std::hex << got_rows[row][j]
                      << " on the GPU, 0x" << wanted_rows[row][j] << " on the CPU\n"
                      << std::dec << test_case_.text();
        return;
      }
    }
  }

  NormCase test_case_;
  NormTensors tensors_;
  Storages before_, wanted_;
  std::array<std::size_t, kTensors> offsets_{}, first_{};
  std::array<normproof_tensor, kTensors> descriptions_{};
  std::size_t bytes_ = 0;
  const float *scale_ = nullptr, *scale_ub_ = nullptr;
};

normproof_launch_report expect_same_bits(const NormCase& test_case) {
  return Comparison(test_case).expect_same_bits(test_case.launch);
}

template <typename Parameter>
class OnDevice : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) GTEST_SKIP() << "no GPU: " << cudaGetErrorString(error);
    if (count == 0) GTEST_SKIP() << "no GPU";
    ASSERT_STREQ(DeviceKernels::get().backend(), "cuda");
  }
};

// Every operation: dtype, adds a residual, how it stores the output.
class Device : public OnDevice<std::tuple<DType, bool, Output>> {
 protected:
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
    test_case.sizes = {hidden <= 1024 ? 300 : 3, hidden};  // several lines of the launch table
    test_case.binades = 12;
    for_each_combination(test_case, [](const NormCase& each) { expect_same_bits(each); });
    if (HasFailure()) return;
  }
}

TEST_P(Device, AgreesForEveryBlockSizeAndPath) {
  for (const std::int64_t hidden : {72, 264, 1032, 4096, 5120, 16384}) {
    NormCase test_case;
    test_case.sizes = {5, hidden};
    test_case.binades = 12;
    for_each_combination(test_case, [&](const NormCase& each) {
      Comparison comparison(each);
      for (const int threads : {32, 96, 128, 256, 320, 512, 1024}) {
        for (const Path path : {Path::vectorized, Path::scalar}) {
          const normproof_launch_report report = comparison.expect_same_bits({path, threads});
          EXPECT_EQ(report.threads_per_block, threads);
          EXPECT_EQ(static_cast<Path>(report.path), path);
        }
      }
    });
    if (HasFailure()) return;
  }
}

// Every shape that is compiled, wherever it fits, started the ordinary way and as a dependent launch.
TEST_P(Device, AgreesInEveryConfiguration) {
  const DeviceKernels& kernels = DeviceKernels::get();
  // The shapes cached_... are those of the CPU.
  std::set<std::string> waiting;
  for (int shape = 0; kernels.shape_name(shape) != nullptr; ++shape) {
    const std::string name = kernels.shape_name(shape);
    if (!name.starts_with("cached_")) waiting.insert(name);
  }
  // Operations by name have these alone; device_named_test runs them.
#define NORMPROOF_SHAPE(name, ...) waiting.erase(#name);
#include "kernels/family/further_shapes.inc"
#undef NORMPROOF_SHAPE
  if (std::get<2>(GetParam()) == Output::quantized_by_row) {
#define NORMPROOF_SHAPE(...)
#define NORMPROOF_FURTHER_SHAPE(name, ...) waiting.erase(#name);
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE
  }
  for (const std::int64_t hidden : {64, 256, 512, 1024, 2048, 5120, 7168, 8192, 16384}) {
    NormCase test_case;
    test_case.sizes = {7, hidden};
    test_case.binades = 12;
    // Which shapes fit does not depend on the weight; to find out takes a call, long under compute-sanitizer.
    std::set<std::tuple<std::optional<DType>, bool, int, int>> do_not_fit;
    for_each_combination(test_case, [&](const NormCase& each) {
      Comparison comparison(each);
      for (int shape = 0; kernels.shape_name(shape) != nullptr; ++shape) {
        for (const int threads : {0, 64, 256}) {
          if (do_not_fit.contains({each.quantized, each.scale_ub.has_value(), shape, threads})) continue;
          comparison.upload();
          kernels.force_configuration(shape, threads, threads == 0 ? 1 : 0);
          comparison.launch({});
          std::int32_t dependent = 0;
          const bool fits = kernels.last_shape(&dependent) == shape;
          kernels.force_configuration(-1, 0, 0);
          if (!fits) {
            do_not_fit.emplace(each.quantized, each.scale_ub.has_value(), shape, threads);
            continue;
          }
          waiting.erase(kernels.shape_name(shape));
          comparison.expect_same();
        }
      }
    });
    if (HasFailure()) return;
  }
  EXPECT_TRUE(waiting.empty()) << "never launched: " << *waiting.begin();
}

// A captured call must read its tensors anew at every replay.
TEST_P(Device, AgreesInAReplayedGraphWithNewInput) {
  NormCase test_case;
  test_case.sizes = {9, 2048};
  for_each_combination(test_case, [](const NormCase& each) {
    cudaStream_t stream = nullptr;
    EXPECT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    NormCase other = each;
    other.seed += 1000;
    Comparison first(each), second(other);
    first.upload();
    EXPECT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    first.launch({}, stream);
    cudaGraph_t graph = nullptr;
    EXPECT_CUDA(cudaStreamEndCapture(stream, &graph));
    cudaGraphExec_t executable = nullptr;
    EXPECT_CUDA(cudaGraphInstantiate(&executable, graph, 0));
    EXPECT_CUDA(cudaGraphLaunch(executable, stream));
    first.expect_same();
    second.upload();  // into the same memory
    EXPECT_CUDA(cudaGraphLaunch(executable, stream));
    second.expect_same();
    EXPECT_CUDA(cudaGraphExecDestroy(executable));
    EXPECT_CUDA(cudaGraphDestroy(graph));
    EXPECT_CUDA(cudaStreamDestroy(stream));
  });
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

// rms_norm alone may run in place.
class DeviceRmsNorm : public OnDevice<DType> {};

TEST_P(DeviceRmsNorm, AgreesInPlaceAndOnHigherRanks) {
  NormCase test_case;
  test_case.dtype = test_case.weight_dtype.emplace(GetParam());
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
                         testing::Combine(testing::ValuesIn(kActivations), testing::Bool(),
                                          testing::ValuesIn(kOutputs)));
INSTANTIATE_TEST_SUITE_P(All, DeviceRmsNorm, testing::ValuesIn(kActivations));

}  // namespace
}  // namespace normproof::kernels
