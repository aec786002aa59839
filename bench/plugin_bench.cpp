#include "bench/plugin_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <vector>

#include "corpus/generate.h"
#include "properties/targets/interface_dtype.h"
#include "properties/targets/kernel_functions.h"
#include "properties/targets/plugin_target.h"

namespace normproof::bench {
namespace {

constexpr int kRounds = 5;
constexpr double kRoundSeconds = 0.01;                       // of calls, and then of copies
constexpr std::size_t kCacheBytes = std::size_t{256} << 20;  // cold: more than any cache holds, all in turn

// The row as a case with a weight of its dtype.
Case case_of(const Row& row) {
  Case test_case;
  const DType dtype = row.dtype == NORMPROOF_FP32   ? DType::fp32
                      : row.dtype == NORMPROOF_FP16 ? DType::fp16
                                                    : DType::bf16;
  test_case.kind() = call_kind(row.kind(), dtype, dtype);
  test_case.shape = {row.rows(), row.hidden};
  for (const Role role : kRoles)
    if (test_case.has_data(role))
      test_case[role].data.recipe = Recipe{"normal", role == Role::residual ? 2u : 1u};
  return test_case;
}

normproof_tensor dense_tensor(std::byte* data, DType dtype, const std::vector<std::int64_t>& shape) {
  normproof_tensor description{data, interface_dtype(dtype), static_cast<std::int32_t>(shape.size()), {}, {}};
  std::int64_t stride = 1;
  for (std::size_t dim = shape.size(); dim-- > 0; stride *= shape[dim]) {
    description.sizes[dim] = shape[dim];
    description.strides[dim] = stride;
  }
  return description;
}

worker::Tensor tensor_of(const normproof_tensor* description) {
  if (description == nullptr) return {};
  return {true, *description, {-1, reinterpret_cast<std::uintptr_t>(description->data)}};
}

worker::Call call_of(Operation operation, const KernelTensors& tensors) {
  worker::Call call;
  call.operation = static_cast<std::int32_t>(operation);
  call.parameters[static_cast<std::size_t>(Parameter::epsilon)] = kEpsilon;
  for (const Role role : kRoles) call.tensor[static_cast<std::size_t>(role)] = tensor_of(tensors[role]);
  return call;
}

// The memory of one call's tensors on the host.
TensorBytes host_memory(const Case& test_case) {
  TensorBytes memory = materialize(test_case);
  for (const Role role : kRoles) {
    if (!test_case.has(role) || test_case.memory_of(role) != role) continue;
    memory[role].resize(test_case.bytes_of(role));
    for (const Parameter parameter : kParameters)
      if (spec_of(parameter).lies_in == role)
        store_bits(memory[role], DType::fp32, 0, test_case.bits_of(parameter));
  }
  return memory;
}

worker::Call call_on(TensorBytes& memory, const Case& test_case) {
  std::array<normproof_tensor, kRoles.size()> descriptions{};
  KernelTensors tensors;
  for (const Role role : kRoles) {
    if (!test_case.has(role)) continue;
    normproof_tensor& description = descriptions[static_cast<std::size_t>(role)];
    description = dense_tensor(memory[test_case.memory_of(role)].data(), test_case.dtype_of(role),
                               test_case.shape_of(role));
    tensors[role] = &description;
  }
  return call_of(test_case.operation, tensors);
}

// Seconds for each of `count` times of work(index).
template <class Work>
double seconds_for_each(std::int64_t count, const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < count; ++i) work(i);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
         static_cast<double>(count);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// What bench/measure.h calls.
struct Attached {
  worker::Callee* callee = nullptr;
  Operation operation{};
};

std::int32_t call_plugin(void* context, const normproof_measured_tensors* given, void* stream,
                         normproof_message message) {
  const auto& attached = *static_cast<Attached*>(context);
  normproof_tensor scale_tensor = dense_tensor(nullptr, DType::fp32, {1});
  scale_tensor.data = const_cast<float*>(given->scale);
  KernelTensors tensors;
  tensors[Role::out] = given->out;
  tensors[Role::scales] = given->scales;
  tensors[Role::input] = given->input;
  tensors[Role::residual] = given->residual;
  tensors[Role::weight] = given->weight;
  tensors[Role::scale] = given->scale == nullptr ? nullptr : &scale_tensor;
  worker::Call call = call_of(attached.operation, tensors);
  call.stream = reinterpret_cast<std::uintptr_t>(stream);
  attached.callee->invoke(call, {});
  if (call.plugin_answer == worker::PluginAnswer::completed) return 0;
  fmt::format_to_n(message.data, static_cast<std::ptrdiff_t>(message.capacity) - 1, "the plug-in {}: {}{}",
                   call.plugin_answer == worker::PluginAnswer::not_taken ? "does not take the call"
                                                                         : "says that the call failed",
                   call.message, '\0');
  return 1;
}

}  // namespace

PluginBench::PluginBench(const std::string& library) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(library, error))
    throw TargetError(fmt::format("target {}: there is no such file", library));
  std::string problem;
  callee_ = worker::load_plugin_callee(std::filesystem::absolute(library).c_str(), description_, problem);
  if (!callee_) throw TargetError(fmt::format("target {}: {}", library, problem));
}

bool PluginBench::takes(const Row& row) const {
  return what_is_not_taken(description_, case_of(row)).empty();
}

std::size_t PluginBench::bytes_of(const Row& row) {
  const Case test_case = case_of(row);
  std::size_t bytes = 0;
  for (const Role role : kRoles)
    if (test_case.has_rows(role)) bytes += test_case.bytes_of(role);
  return bytes;
}

std::optional<normproof_measure_result> PluginBench::measure(const Row& row) {
  const std::size_t bytes = bytes_of(row);
  const std::size_t sets = row.cold ? std::max<std::size_t>(2, kCacheBytes / bytes + 1) : 1;
  const Case test_case = case_of(row);
  std::vector<TensorBytes> tensors(sets, host_memory(test_case));
  std::vector<worker::Call> calls;
  for (TensorBytes& each : tensors) calls.push_back(call_on(each, test_case));
  const auto call = [&](std::int64_t i) {
    worker::Call& each = calls[static_cast<std::size_t>(i) % sets];
    callee_->invoke(each, {});
  };
  // Half of the bytes are read and half are written, as by a copy.
  std::vector<std::vector<std::byte>> from(sets, std::vector<std::byte>(bytes / 2)), to = from;
  const auto copy = [&](std::int64_t i) {
    const std::size_t set = static_cast<std::size_t>(i) % sets;
    std::memcpy(to[set].data(), from[set].data(), bytes / 2);
  };
  call(0);
  if (calls[0].plugin_answer == worker::PluginAnswer::not_taken) return std::nullopt;
  if (calls[0].plugin_answer != worker::PluginAnswer::completed)
    throw TargetError(
        fmt::format("{}: the call of {} x {} failed: {}", name(), row.rows(), row.hidden, calls[0].message));
  const auto count_for = [](double seconds) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(kRoundSeconds / std::max(seconds, 1e-9)), 1,
                                    100'000);
  };
  const std::int64_t all_sets = static_cast<std::int64_t>(sets);
  const std::int64_t call_count =
      std::max(count_for(seconds_for_each(all_sets, call)), row.cold ? all_sets : 1);
  const std::int64_t copy_count =
      std::max(count_for(seconds_for_each(all_sets, copy)), row.cold ? all_sets : 1);
  std::vector<double> call_times, copy_times;
  for (int round = 0; round < kRounds; ++round) {
    copy_times.push_back(seconds_for_each(copy_count, copy) * 1e6);
    call_times.push_back(seconds_for_each(call_count, call) * 1e6);
  }
  normproof_measure_result result{};
  result.kernel_us = median(call_times);
  result.copy_us = median(copy_times);
  result.kernel_least_us = *std::ranges::min_element(call_times);
  result.kernel_most_us = *std::ranges::max_element(call_times);
  return result;
}

void PluginBench::attach(const Row& row, normproof_measure_request& request) {
  static Attached attached;
  attached = {callee_.get(), case_of(row).operation};
  request.function = &call_plugin;
  request.context = &attached;
}

}  // namespace normproof::bench
