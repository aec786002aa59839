#include "properties/worker/plugin_callee.h"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "corpus/case.h"
#include "kernels/host/host_execution.h"
#include "properties/plugin/normproof_plugin.h"
#include "properties/run/shared_library.h"

namespace normproof::worker {
namespace {

DLDataType data_type(normproof_dtype dtype) {
  const auto of = [](int code, std::uint8_t bits) {
    return DLDataType{static_cast<std::uint8_t>(code), bits, 1};
  };
  switch (dtype) {
    case NORMPROOF_FP32:
      return of(kDLFloat, 32);
    case NORMPROOF_FP16:
      return of(kDLFloat, 16);
    case NORMPROOF_BF16:
      return of(kDLBfloat, 16);
    case NORMPROOF_FP8_E4M3FN:
      return of(NORMPROOF_DL_FLOAT8_E4M3FN, 8);
    case NORMPROOF_FP8_E5M2:
      return of(NORMPROOF_DL_FLOAT8_E5M2, 8);
    case NORMPROOF_FP8_E4M3FNUZ:
      return of(NORMPROOF_DL_FLOAT8_E4M3FNUZ, 8);
    case NORMPROOF_FP8_E5M2FNUZ:
      return of(NORMPROOF_DL_FLOAT8_E5M2FNUZ, 8);
  }
  std::abort();
}

PluginAnswer answer_of(std::int32_t status) {
  switch (status) {
    case NORMPROOF_PLUGIN_OK:
      return PluginAnswer::completed;
    case NORMPROOF_PLUGIN_NOT_TAKEN:
      return PluginAnswer::not_taken;
    case NORMPROOF_PLUGIN_FAILED:
      return PluginAnswer::failed;
    default:
      return PluginAnswer::not_a_status;
  }
}

// AddressSanitizer's, null where this process has none: it may have been loaded before the program.
using MarkMemory = void (*)(const volatile void* address, std::size_t bytes);
MarkMemory address_sanitizer(const char* function) {
  return reinterpret_cast<MarkMemory>(dlsym(RTLD_DEFAULT, function));
}
const MarkMemory poison_memory = address_sanitizer("__asan_poison_memory_region");
const MarkMemory unpoison_memory = address_sanitizer("__asan_unpoison_memory_region");

// What lies around a call's tensors is nobody's during the call, in AddressSanitizer's eyes.
class ForbiddenSurroundings {
 public:
  ForbiddenSurroundings(const Call& call, const Addresses& addresses) {
    if (poison_memory == nullptr || unpoison_memory == nullptr) return;
    for (const Tensor& tensor : call.tensor) {
      if (!tensor.present || tensor.data.region < 0) continue;
      const normproof_tensor& description = tensor.description;
      std::uint64_t elements = 1, last = 0;
      for (int dim = 0; dim < description.rank; ++dim) {
        elements *= static_cast<std::uint64_t>(description.sizes[dim]);
        last += static_cast<std::uint64_t>((description.sizes[dim] - 1) * description.strides[dim]);
      }
      const std::uint64_t end = elements == 0 ? 0 : (last + 1) * (data_type(description.dtype).bits / 8u);
      forbid(call.region[tensor.data.region], addresses[static_cast<std::size_t>(tensor.data.region)],
             tensor.data.offset, tensor.data.offset + end);
    }
  }
  ~ForbiddenSurroundings() {
    for (std::size_t i = 0; i < count_; ++i) unpoison_memory(ranges_[i].address, ranges_[i].bytes);
  }
  ForbiddenSurroundings(const ForbiddenSurroundings&) = delete;
  ForbiddenSurroundings& operator=(const ForbiddenSurroundings&) = delete;

 private:
  struct Range {
    const std::byte* address;
    std::size_t bytes;
  };

  // Pieces of a strided tensor lie gigabytes apart: what is between them is left alone.
  void forbid(const Region& region, const std::byte* address, std::uint64_t begin, std::uint64_t end) {
    if (region.extents != 0) return;
    add({address, begin});
    add({address + end, region.bytes - end});
  }
  void add(Range range) {
    if (range.bytes == 0) return;
    poison_memory(range.address, range.bytes);
    ranges_[count_++] = range;
  }

  std::array<Range, 2 * kMaximumRegions> ranges_{};
  std::size_t count_ = 0;
};

class PluginCallee final : public Callee {
 public:
  PluginCallee(const normproof_plugin_info& info, const normproof_host_execution* execution)
      : info_(info), execution_(execution) {}

  void invoke(Call& call, const Addresses& addresses) override {
    if (execution_ == nullptr) return run(call, addresses);
    {
      const ForbiddenSurroundings forbidden(call, addresses);
      execution_->begin_call(call.thread_order, call.thread_order_seed);
      run(call, addresses);
    }
    // Also where the plug-in does not ask how its launches went.
    char text[sizeof call.message] = {};
    if (execution_->end_call(text, sizeof text) == 0 || call.plugin_answer != PluginAnswer::completed) return;
    std::snprintf(call.message, sizeof call.message, "%s", text);
    call.plugin_answer = PluginAnswer::failed;
  }

 private:
  void run(Call& call, const Addresses& addresses) {
    std::array<DLTensor, kRoles.size()> room{};
    const auto tensor = [&](Role role) {
      const auto index = static_cast<std::size_t>(role);
      return describe(call.tensor[index], addresses, room[index]);
    };
    const DLTensor* input = tensor(Role::input);
    const DLTensor* residual = tensor(Role::residual);
    const DLTensor* weight = tensor(Role::weight);
    const DLTensor* out = tensor(Role::out);
    const DLTensor* scale_tensor = tensor(Role::scale);
    const auto* scale = scale_tensor == nullptr ? nullptr : static_cast<const float*>(scale_tensor->data);
    const float epsilon = call.parameters[static_cast<std::size_t>(Parameter::epsilon)];
    const normproof_plugin_call context{reinterpret_cast<void*>(call.stream), call.message,
                                        sizeof call.message};
    // The program asks for no operation that is not there.
    switch (static_cast<Operation>(call.operation)) {
      case Operation::rms_norm:
        call.plugin_status = info_.rms_norm(out, input, weight, epsilon, &context);
        break;
      case Operation::fused_add_rms_norm:
        call.plugin_status = info_.fused_add_rms_norm(input, residual, weight, epsilon, &context);
        break;
      case Operation::rms_norm_static_fp8_quant:
        call.plugin_status = info_.rms_norm_static_fp8_quant(out, input, weight, scale, epsilon, &context);
        break;
      case Operation::fused_add_rms_norm_static_fp8_quant:
        call.plugin_status =
            info_.fused_add_rms_norm_static_fp8_quant(out, input, residual, weight, scale, epsilon, &context);
        break;
    }
    call.plugin_answer = answer_of(call.plugin_status);
  }

  const DLTensor* describe(Tensor& tensor, const Addresses& addresses, DLTensor& place) const {
    if (!tensor.present) return nullptr;
    place.data = address_of(tensor.data, addresses);
    place.device = {info_.memory, 0};
    place.ndim = tensor.description.rank;
    place.dtype = data_type(tensor.description.dtype);
    place.shape = tensor.description.sizes;
    place.strides = tensor.description.strides;
    return &place;
  }

  const normproof_plugin_info& info_;
  const normproof_host_execution* execution_;  // null where its threads do not run on the CPU
};

// Null where there is none.
const normproof_host_execution* host_execution_of(SharedLibrary& library, std::string& problem) {
  decltype(&normproof_host_execution_of_plugin) function = nullptr;
  library.find(function, "normproof_host_execution_of_plugin");
  if (function == nullptr) return nullptr;
  const normproof_host_execution* execution = function();
  if (execution->version == NORMPROOF_HOST_EXECUTION_VERSION) return execution;
  problem = "the version of its host execution is " + std::to_string(execution->version) +
            ", this program's is " + std::to_string(NORMPROOF_HOST_EXECUTION_VERSION) +
            ": build it again with this program's kernels/host";
  return nullptr;
}

// Returns what is wrong, or an empty string.
std::string load(SharedLibrary& library, const normproof_plugin_info*& info) {
  if (!library.problem().empty()) return "it cannot be loaded: " + library.problem();
  decltype(&normproof_plugin) function = nullptr;
  library.find(function, "normproof_plugin");
  if (function == nullptr) {
    return "it has no symbol normproof_plugin; properties/plugin/normproof_plugin.h says what a plug-in "
           "exports, and "
           "`normproof new-target NAME` writes an example";
  }
  info = function();
  if (info == nullptr) return "normproof_plugin() returned NULL";
  if (info->abi_version != NORMPROOF_PLUGIN_ABI) {
    return "its ABI version is " + std::to_string(info->abi_version) + ", this program's is " +
           std::to_string(NORMPROOF_PLUGIN_ABI) + ": build it again with this program's normproof_plugin.h";
  }
  if (info->name == nullptr || *info->name == '\0') return "its name is missing";
  if (info->memory != kDLCPU && info->memory != kDLCUDA) {
    return "its memory is DLDeviceType " + std::to_string(static_cast<int>(info->memory)) +
           ", must be kDLCPU (" + std::to_string(static_cast<int>(kDLCPU)) + ") or kDLCUDA (" +
           std::to_string(static_cast<int>(kDLCUDA)) + ")";
  }
  return {};
}

}  // namespace

std::unique_ptr<Callee> load_plugin_callee(const char* path, PluginDescription& description,
                                           std::string& problem) {
  const normproof_plugin_info* info = nullptr;
  SharedLibrary library(path);
  problem = load(library, info);
  if (!problem.empty()) return nullptr;
  const normproof_host_execution* execution = host_execution_of(library, problem);
  if (!problem.empty()) return nullptr;
  // No problem: `load` has found a description.
  std::snprintf(description.name, sizeof description.name, "%s",
                info->name);  // NOLINT(clang-analyzer-core.NullDereference)
  description.on_device = info->memory == kDLCUDA ? 1 : 0;
  description.no_weight = (info->takes & NORMPROOF_TAKES_NO_WEIGHT) != 0 ? 1 : 0;
  description.same_weight = (info->takes & NORMPROOF_TAKES_SAME_WEIGHT) != 0 ? 1 : 0;
  description.fp32_weight = (info->takes & NORMPROOF_TAKES_FP32_WEIGHT) != 0 ? 1 : 0;
  const auto add = [](std::uint32_t& set, auto value, bool there) {
    if (there) set |= 1u << static_cast<unsigned>(value);
  };
  add(description.operations, Operation::rms_norm, info->rms_norm != nullptr);
  add(description.operations, Operation::fused_add_rms_norm, info->fused_add_rms_norm != nullptr);
  add(description.operations, Operation::rms_norm_static_fp8_quant,
      info->rms_norm_static_fp8_quant != nullptr);
  add(description.operations, Operation::fused_add_rms_norm_static_fp8_quant,
      info->fused_add_rms_norm_static_fp8_quant != nullptr);
  constexpr std::array<std::pair<DType, std::uint32_t>, 7> kFlags = {{
      {DType::bf16, NORMPROOF_TAKES_BF16},
      {DType::fp16, NORMPROOF_TAKES_FP16},
      {DType::fp32, NORMPROOF_TAKES_FP32},
      {DType::fp8_e4m3fn, NORMPROOF_TAKES_E4M3FN},
      {DType::fp8_e5m2, NORMPROOF_TAKES_E5M2},
      {DType::fp8_e4m3fnuz, NORMPROOF_TAKES_E4M3FNUZ},
      {DType::fp8_e5m2fnuz, NORMPROOF_TAKES_E5M2FNUZ},
  }};
  for (const auto& [dtype, flag] : kFlags) add(description.dtypes, dtype, (info->takes & flag) != 0);
  return std::make_unique<PluginCallee>(*info, execution);
}

}  // namespace normproof::worker
