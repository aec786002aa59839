#include "bench/plugin_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <random>
#include <vector>

#include "corpus/case.h"
#include "properties/run/interface_dtype.h"
#include "properties/run/target.h"

namespace normproof::bench {
namespace {

constexpr float kEpsilon = 1e-6f;
constexpr int kRounds = 5;
constexpr double kRoundSeconds = 0.01;                       // of calls, and then of copies
constexpr std::size_t kCacheBytes = std::size_t{256} << 20;  // cold: more than any cache holds, all in turn

Operation operation_of(const Row& row) {
  if (row.quantizes())
    return row.adds_residual() ? Operation::fused_add_rms_norm_static_fp8_quant
                               : Operation::rms_norm_static_fp8_quant;
  return row.adds_residual() ? Operation::fused_add_rms_norm : Operation::rms_norm;
}

DType dtype_of(normproof_dtype dtype) {
  return dtype == NORMPROOF_FP32 ? DType::fp32 : dtype == NORMPROOF_FP16 ? DType::fp16 : DType::bf16;
}

worker::Tensor tensor_of(const normproof_tensor* description) {
  if (description == nullptr) return {};
  return {true, *description, {-1, reinterpret_cast<std::uintptr_t>(description->data)}};
}

worker::Call call_of(const Row& row, const normproof_tensor* out, const normproof_tensor* input,
                     const normproof_tensor* residual, const normproof_tensor* weight, const float* scale) {
  worker::Call call;
  call.operation = static_cast<std::int32_t>(operation_of(row));
  call.epsilon = kEpsilon;
  call.input = tensor_of(input);
  call.residual = tensor_of(residual);
  call.weight = tensor_of(weight);
  call.out = tensor_of(out);
  call.scale = {-1, reinterpret_cast<std::uintptr_t>(scale)};
  return call;
}

// The tensors of one call in host memory, and room for a copy.
struct HostTensors {
  HostTensors(const Row& row, std::mt19937& random)
      : rows(row.rows()), hidden(row.hidden), dtype(row.dtype), quantizes(row.quantizes()) {
    const std::size_t elements = static_cast<std::size_t>(rows * hidden), size = size_of(dtype_of(dtype));
    input.resize(elements * size);
    if (row.adds_residual()) residual.resize(elements * size);
    out.resize(quantizes ? elements : row.adds_residual() ? 0 : elements * size);
    weight.resize(static_cast<std::size_t>(hidden) * size);
    for (auto* tensor : {&input, &residual, &weight}) {
      for (std::size_t i = 0; i < tensor->size(); i += size) {
        // Numbers from 1 to 2, of either sign: the upper half of fp32 is bf16; fp16 has its one elsewhere.
        const std::uint32_t one = dtype == NORMPROOF_FP16   ? 0x3c00u
                                  : dtype == NORMPROOF_BF16 ? 0x3f80u
                                                            : 0x3f800000u;
        const std::uint32_t bits = one | (random() & (dtype == NORMPROOF_FP16   ? 0x83ffu
                                                      : dtype == NORMPROOF_BF16 ? 0x807fu
                                                                                : 0x807fffffu));
        std::memcpy(tensor->data() + i, &bits, size);
      }
    }
  }
  normproof_tensor matrix(std::vector<std::byte>& data, normproof_dtype type) {
    return {data.data(), type, 2, {rows, hidden, 0, 0}, {hidden, 1, 0, 0}};
  }
  worker::Call call(const Row& row) {
    const normproof_tensor x = matrix(input, dtype), sum = matrix(residual, dtype),
                           y = matrix(out, quantizes ? NORMPROOF_FP8_E4M3FN : dtype),
                           w = {weight.data(), dtype, 1, {hidden, 0, 0, 0}, {1, 0, 0, 0}};
    return call_of(row, out.empty() ? nullptr : &y, &x, residual.empty() ? nullptr : &sum, &w, &scale);
  }

  std::int64_t rows, hidden;
  normproof_dtype dtype;
  bool quantizes;
  std::vector<std::byte> input, residual, out, weight;
  float scale = 1.0f;
};

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
  Row row;
};

std::int32_t call_plugin(void* context, const normproof_tensor* out, const normproof_tensor* input,
                         const normproof_tensor* residual, const normproof_tensor* weight, const float* scale,
                         void* stream, normproof_message message) {
  const auto& attached = *static_cast<Attached*>(context);
  worker::Call call = call_of(attached.row, out, input, residual, weight, scale);
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
  const auto has = [](std::uint32_t set, auto value) {
    return (set >> static_cast<unsigned>(value) & 1) != 0;
  };
  const DType dtype = dtype_of(row.dtype);
  return has(description_.operations, operation_of(row)) && has(description_.dtypes, dtype) &&
         (description_.same_weight || (dtype == DType::fp32 && description_.fp32_weight)) &&
         (!row.quantizes() || has(description_.dtypes, DType::fp8_e4m3fn));
}

std::size_t PluginBench::bytes_of(const Row& row) {
  const std::size_t elements = static_cast<std::size_t>(row.rows() * row.hidden);
  const std::size_t size = size_of(dtype_of(row.dtype));
  // Read: the activations. Written: the output and the sum.
  return elements * size * (row.adds_residual() ? 3 : 1) + (row.quantizes() ? elements : elements * size);
}

std::optional<normproof_measure_result> PluginBench::measure(const Row& row) {
  const std::size_t bytes = bytes_of(row);
  const std::size_t sets = row.cold ? std::max<std::size_t>(2, kCacheBytes / bytes + 1) : 1;
  std::mt19937 random(1);
  std::vector<HostTensors> tensors;
  std::vector<worker::Call> calls;
  for (std::size_t i = 0; i < sets; ++i) {
    // The first set's numbers will do for all.
    if (i == 0) {
      tensors.reserve(sets);
      tensors.emplace_back(row, random);
    } else {
      tensors.push_back(tensors.front());
    }
    calls.push_back(tensors.back().call(row));
  }
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

void PluginBench::attach(normproof_measure_request& request) {
  static Attached attached;
  attached.callee = callee_.get();
  attached.row.operation =
      std::string(request.adds_residual != 0 ? "add" : "rms") + (request.quantizes != 0 ? "q" : "");
  attached.row.dtype = request.dtype;
  request.function = &call_plugin;
  request.context = &attached;
}

}  // namespace normproof::bench
