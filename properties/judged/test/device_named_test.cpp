// GPU bits == CPU bits of calls by name: every operation that the kernels have, on random calls of the
// table's kinds, launched in every way. Skips where no GPU is. The library is the one of this build, or the
// one that the environment variable NORMPROOF_KERNELS_CUDA names.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "corpus/random.h"
#include "kernels/device/normproof_device.h"
#include "oracle/formats.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/call_evaluation.h"
#include "properties/targets/named_kernels.h"
#include "properties/targets/shared_library.h"
#include "properties/targets/target.h"

namespace normproof::judging {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::int64_t kCalls = 400, kMostElements = 1 << 16;  // of an operation; of x

// The functions of the CUDA build.
struct Device {
  decltype(&normproof_run) run = nullptr;
  decltype(&normproof_device_open) open = nullptr;
  decltype(&normproof_device_allocate) allocate = nullptr;
  decltype(&normproof_device_copy_in) copy_in = nullptr;
  decltype(&normproof_device_copy_out) copy_out = nullptr;
  decltype(&normproof_device_synchronize) synchronize = nullptr;

  static const Device& get() {
    static const Device device = [] {
      const char* named = std::getenv("NORMPROOF_KERNELS_CUDA");
      SharedLibrary library(named != nullptr ? named : NORMPROOF_KERNELS_CUDA);
      if (!library.problem().empty()) throw std::runtime_error(library.problem());
      Device found;
      library.find(found.run, "normproof_run");
      library.find(found.open, "normproof_device_open");
      library.find(found.allocate, "normproof_device_allocate");
      library.find(found.copy_in, "normproof_device_copy_in");
      library.find(found.copy_out, "normproof_device_copy_out");
      library.find(found.synchronize, "normproof_device_synchronize");
      if (!library.missing().empty()) throw std::runtime_error("no function " + library.missing());
      return found;
    }();
    return device;
  }
};

void must(normproof_device_status status, const char* what) {
  if (status != NORMPROOF_DEVICE_OK) throw std::runtime_error(what);
}

std::byte* device_memory(std::size_t bytes) {
  static std::size_t capacity = 0;
  static void* memory = nullptr;
  if (bytes > capacity) {
    capacity = std::max(bytes, std::size_t{64} << 20);
    must(Device::get().allocate(capacity, &memory, {}), "device memory");
  }
  return static_cast<std::byte*>(memory);
}

struct Answer {
  normproof_status status = NORMPROOF_OK;
  std::string message;
};

Answer on_the_cpu(const NamedCall& named, const normproof_launch& launch) {
  const KernelNamedCall call(named);
  std::array<char, 512> text{};
  const normproof_status status =
      normproof_run(&call.description(), &launch, nullptr, nullptr, {text.data(), text.size()});
  return {status, text.data()};
}

// On copies of the tensors with the memory around them, whose bytes come back.
Answer on_the_gpu(const NamedCall& named, const normproof_launch& launch) {
  const Device& device = Device::get();
  std::vector<GuardedTensor::Range> ranges;
  std::vector<std::byte*> places;
  std::size_t bytes = 0;
  const auto size_of = [](const GuardedTensor::Range& range) {
    return static_cast<std::size_t>(range.end - range.begin);
  };
  for (const GuardedTensor* tensor : named.tensors()) {
    ranges.push_back(tensor->memory());
    bytes += (size_of(ranges.back()) + kAlignment - 1) / kAlignment * kAlignment;
  }
  std::byte* next = device_memory(bytes);
  for (const auto& range : ranges) {
    places.push_back(next);
    must(device.copy_in(next, range.begin, size_of(range), {}), "copying in");
    next += (size_of(range) + kAlignment - 1) / kAlignment * kAlignment;
  }
  const KernelNamedCall call(named);
  std::vector<normproof_named_tensor> tensors(call.description().tensors,
                                              call.description().tensors + call.description().tensor_count);
  for (normproof_named_tensor& tensor : tensors) {
    auto* data = static_cast<std::byte*>(tensor.tensor.data);
    for (std::size_t i = 0; i < ranges.size(); ++i)
      if (data >= ranges[i].begin && data < ranges[i].end)
        tensor.tensor.data = places[i] + (data - ranges[i].begin);
  }
  normproof_named_call moved = call.description();
  moved.tensors = tensors.data();
  std::array<char, 512> text{}, problem{};
  const normproof_status status = device.run(&moved, &launch, nullptr, nullptr, {text.data(), text.size()});
  if (device.synchronize({problem.data(), problem.size()}) != NORMPROOF_DEVICE_OK)
    throw std::runtime_error(problem.data());
  for (std::size_t i = 0; i < ranges.size(); ++i)
    must(device.copy_out(ranges[i].begin, places[i], size_of(ranges[i]), {}), "copying out");
  must(device.synchronize({}), "copying out");
  return {status, text.data()};
}

constexpr std::array kLaunches = {
    normproof_launch{NORMPROOF_PATH_AUTOMATIC, 0},  normproof_launch{NORMPROOF_PATH_SCALAR, 0},
    normproof_launch{NORMPROOF_PATH_VECTORIZED, 0}, normproof_launch{NORMPROOF_PATH_AUTOMATIC, 32},
    normproof_launch{NORMPROOF_PATH_SCALAR, 96},    normproof_launch{NORMPROOF_PATH_VECTORIZED, 1024}};

// Where a message says an address, the two differ.
std::string without_addresses(const std::string& text) { return text.substr(0, text.find("0x")); }

void compare(const Combination& combination, const Call& call) {
  NamedCall::Memory memory;
  for (const normproof_launch& launch : kLaunches) {
    const std::string what =
        fmt::format("{}, path {}, {} threads\n{}", to_string(combination), static_cast<int>(launch.path),
                    launch.threads_per_block, call_to_json(without_contents(call), {}).substr(0, 3000));
    JudgedRun cpu, gpu;
    Answer wanted, got;
    {
      const NamedCall named(call, kCanary, memory);
      wanted = on_the_cpu(named, launch);
      cpu.call = named.with_outputs();
    }
    const NamedCall named(call, kCanary, memory);
    got = on_the_gpu(named, launch);
    gpu.call = named.with_outputs();
    ASSERT_EQ(got.status, wanted.status) << got.message << what;
    ASSERT_EQ(without_addresses(got.message), without_addresses(wanted.message)) << what;
    ASSERT_EQ(named.memory_violations(got.status != NORMPROOF_OK), std::vector<std::string>()) << what;
    ASSERT_EQ(difference_between(cpu, gpu, combination.policy), "") << what;
  }
}

class DeviceNamed : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    static normproof_device_info info{};
    std::array<char, 512> text{};
    static const normproof_device_status status = Device::get().open(&info, {text.data(), text.size()});
    if (status == NORMPROOF_DEVICE_ABSENT) GTEST_SKIP() << "no GPU: " << text.data();
    ASSERT_EQ(status, NORMPROOF_DEVICE_OK) << text.data();
  }
};

TEST_P(DeviceNamed, GivesTheBitsOfTheCpuHoweverItIsLaunched) {
  const auto host = make_target("host");
  const auto* operation = oracle::judged::find_judged_operation(GetParam());
  ASSERT_NE(operation, nullptr) << GetParam();
  const auto combinations = combinations_of(*host->judged_target(), operation);
  ASSERT_FALSE(combinations.empty());
  const auto count = static_cast<std::int64_t>(combinations.size()), sizes = chosen_sizes() - 1;
  std::int64_t calls = 0;
  for (std::int64_t i = 0; i < kCalls; ++i) {
    // Each combination begins elsewhere among the chosen sizes; very many rows are none of them here.
    const Combination& combination = combinations[static_cast<std::size_t>(i % count)];
    const std::int64_t turn = i / count;
    const std::int64_t index = turn < sizes ? (turn + 7 * (i % count)) % sizes : turn + 1;
    const auto call = verification_call(combination, 31, index);
    if (!call || call->at("x").elements() > kMostElements) continue;
    compare(combination, *call);
    if (HasFatalFailure()) return;
    ++calls;
  }
  EXPECT_GT(calls, kCalls / 2);
}

std::vector<const char*> operations() {
  std::vector<const char*> names;
  for (const char* const* name = normproof_named_operations(); *name != nullptr; ++name)
    names.push_back(*name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(AllOfThem, DeviceNamed, testing::ValuesIn(operations()),
                         [](const auto& instance) { return std::string(instance.param); });

// A gradient of so many rows that what it moves does not stay in the cache. Sums of rows are then joined
// otherwise than in small calls, and what the cache has of them is discarded once it is read.
constexpr std::int64_t kManyRows = 8192;
oracle::judged::Tensor random_tensor(DType dtype, std::vector<std::int64_t> shape, Random& random) {
  oracle::judged::Tensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.resize(static_cast<std::size_t>(tensor.elements()) * size_of(dtype));
  // Of either sign, from 1/2 to 1.
  for (std::size_t i = 0; i < tensor.bytes.size(); i += size_of(dtype)) {
    const std::uint64_t bits = random.next();
    if (dtype == DType::bf16) {
      const auto number = static_cast<std::uint16_t>(0x3f00 | (bits & 0x807f));
      std::memcpy(&tensor.bytes[i], &number, sizeof number);
    } else {
      const auto number = static_cast<std::uint32_t>(0x3f000000 | (bits & 0x7fffff));
      std::memcpy(&tensor.bytes[i], &number, sizeof number);
    }
  }
  return tensor;
}
Call gradient_of_many_rows(const char* operation, std::int64_t hidden) {
  Random random(41);
  Call call;
  call.operation = oracle::judged::find_judged_operation(operation);
  for (const char* name : {"dy", "x"})
    call.tensors[name] = random_tensor(DType::bf16, {kManyRows, hidden}, random);
  call.tensors["weight"] = random_tensor(DType::bf16, {hidden}, random);
  call.tensors["dx"] = {DType::bf16, {kManyRows, hidden}, {}};
  const auto has = [&](const char* name) {
    return oracle::judged::find_tensor(*call.operation, name) != nullptr;
  };
  for (const char* name : {"rstd", "mean"})
    if (has(name)) call.tensors[name] = random_tensor(DType::fp32, {kManyRows}, random);
  for (const char* name : {"dweight", "dbias"})
    if (has(name)) call.tensors[name] = {DType::fp32, {hidden}, {}};
  return call;
}

class DeviceGradient : public DeviceNamed {};

// The general kernels, whose bits are compared with the CPU's above, as a CPU takes minutes for one of these.
TEST_P(DeviceGradient, OfManyRowsIsWhatTheGeneralKernelsGive) {
  for (const std::int64_t hidden : {2048, 4096, 7168}) {
    const Call call = gradient_of_many_rows(GetParam(), hidden);
    const auto policy = oracle::judged::parse_policy(*call.operation, "native");
    NamedCall::Memory memory;
    const auto answer = [&](const normproof_launch& launch) {
      const NamedCall named(call, kCanary, memory);
      const Answer got = on_the_gpu(named, launch);
      EXPECT_EQ(got.status, NORMPROOF_OK) << got.message;
      JudgedRun run;
      run.call = named.with_outputs();
      return run;
    };
    const JudgedRun general = answer({NORMPROOF_PATH_SCALAR, 0});
    for (int turn = 0; turn < 4; ++turn)
      ASSERT_EQ(difference_between(general, answer({NORMPROOF_PATH_AUTOMATIC, 0}), policy), "")
          << hidden << " columns, turn " << turn;
  }
}
INSTANTIATE_TEST_SUITE_P(Both, DeviceGradient, testing::Values("rms_norm_backward", "layer_norm_backward"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace normproof::judging
