#include "properties/targets/worker/plugin_callee.h"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "corpus/case.h"
#include "kernels/host/host_execution.h"
#include "properties/plugin/normproof_plugin.h"
#include "properties/targets/interface_dtype.h"
#include "properties/targets/shared_library.h"
#include "properties/targets/worker/plugin_abi_1.h"

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
    case NORMPROOF_INT8:
      return of(kDLInt, 8);
    case NORMPROOF_UINT8:
      return of(kDLUInt, 8);
  }
  std::abort();
}

// That of a named operation's tensor may be one that the kernels' interface does not have.
DLDataType data_type(const Tensor& tensor) {
  if (tensor.dtype < 0) return data_type(tensor.description.dtype);
  return data_type(interface_dtype(static_cast<DType>(tensor.dtype)));
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
      const std::uint64_t end = elements == 0 ? 0 : (last + 1) * (data_type(tensor).bits / 8u);
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

// What a library exports, in the version that it was built for.
struct Plugin {
  DLDeviceType memory = kDLCPU;
  const abi_1::Info* version_1 = nullptr;
  // Of version 2; null where it has no such operation.
  std::array<const normproof_plugin_operation*, kMostOperations> operations{};
  std::array<const normproof_plugin_operation*, kMaximumNamedOperations> named{};

  // The program asks for no operation that is not there.
  std::int32_t run(const Call& request, const normproof_plugin_call& call) const {
    const auto index = static_cast<std::size_t>(request.operation);
    if (request.is_named != 0) return named[index]->run(&call);
    if (version_1 != nullptr) return abi_1::run(*version_1, static_cast<Operation>(request.operation), call);
    return operations[index]->run(&call);
  }
};

class PluginCallee final : public Callee {
 public:
  PluginCallee(const Plugin& plugin, const normproof_host_execution* execution)
      : plugin_(plugin), execution_(execution) {}

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
    std::array<DLTensor, kMaximumTensors> room{};
    std::array<normproof_plugin_argument, kMaximumTensors> arguments{};
    std::size_t argument_count = 0;
    for (std::size_t index = 0; index < kMaximumTensors; ++index) {
      const DLTensor* tensor = describe(call.tensor[index], addresses, room[index]);
      if (tensor == nullptr) continue;
      const char* role = call.is_named != 0 ? call.tensor[index].role : name_of(kRoles[index]).data();
      arguments[argument_count++] = {role, tensor};
    }
    std::array<normproof_plugin_parameter, kMaximumNumbers> parameters{};
    const std::size_t parameter_count = read_parameters(call, parameters);
    const normproof_plugin_call context{sizeof(normproof_plugin_call),
                                        reinterpret_cast<void*>(call.stream),
                                        call.message,
                                        sizeof call.message,
                                        arguments.data(),
                                        argument_count,
                                        parameters.data(),
                                        parameter_count};
    call.plugin_status = plugin_.run(call, context);
    call.plugin_answer = answer_of(call.plugin_status);
  }

  static std::size_t read_parameters(const Call& call,
                                     std::array<normproof_plugin_parameter, kMaximumNumbers>& parameters) {
    static_assert(kMaximumNumbers >= kParameters.size());
    std::size_t count = 0;
    if (call.is_named != 0) {
      for (; count < call.numbers && count < parameters.size(); ++count)
        parameters[count] = {call.number[count].name, call.number[count].value};
      return count;
    }
    for (const Parameter parameter : spec_of(static_cast<Operation>(call.operation)).parameters) {
      if (!spec_of(parameter).lies_in)
        parameters[count++] = {spec_of(parameter).name.data(),
                               call.parameters[static_cast<std::size_t>(parameter)]};
    }
    return count;
  }

  const DLTensor* describe(Tensor& tensor, const Addresses& addresses, DLTensor& place) const {
    if (!tensor.present) return nullptr;
    place.data = address_of(tensor.data, addresses);
    place.device = {plugin_.memory, 0};
    place.ndim = tensor.description.rank;
    place.dtype = data_type(tensor);
    place.shape = tensor.description.sizes;
    place.strides = tensor.description.strides;
    return &place;
  }

  const Plugin plugin_;
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
  // Of any version: they begin alike.
  info = function();
  if (info == nullptr) return "normproof_plugin() returned NULL";
  if (info->abi_version != NORMPROOF_PLUGIN_ABI && info->abi_version != abi_1::kVersion) {
    return "its ABI version is " + std::to_string(info->abi_version) + ", this program's are " +
           std::to_string(abi_1::kVersion) + " and " + std::to_string(NORMPROOF_PLUGIN_ABI) +
           ": build it again with this program's normproof_plugin.h";
  }
  if (info->name == nullptr || *info->name == '\0') return "its name is missing";
  if (info->memory != kDLCPU && info->memory != kDLCUDA) {
    return "its memory is DLDeviceType " + std::to_string(static_cast<int>(info->memory)) +
           ", must be kDLCPU (" + std::to_string(static_cast<int>(kDLCPU)) + ") or kDLCUDA (" +
           std::to_string(static_cast<int>(kDLCUDA)) + ")";
  }
  if (info->abi_version == NORMPROOF_PLUGIN_ABI && info->operations == nullptr)
    return "its list of operations is missing";
  return {};
}

// The member of a structure that may be shorter than this program knows it; zero where it has no such.
template <class Structure, class Member>
Member member_of(const Structure& structure, Member Structure::* member) {
  const auto* begin = reinterpret_cast<const std::byte*>(&structure);
  const auto* end = reinterpret_cast<const std::byte*>(&(structure.*member)) + sizeof(Member);
  return static_cast<std::size_t>(end - begin) <= structure.struct_size ? structure.*member : Member{};
}

CallLimits limits_of(const normproof_plugin_limits& limits) {
  using Limits = normproof_plugin_limits;
  CallLimits read;
  read.hidden_multiple = member_of(limits, &Limits::hidden_multiple);
  read.greatest_hidden = member_of(limits, &Limits::greatest_hidden);
  read.greatest_rank = member_of(limits, &Limits::greatest_rank);
  read.least_rows = member_of(limits, &Limits::least_rows);
  read.greatest_rows = member_of(limits, &Limits::greatest_rows);
  read.alignment = member_of(limits, &Limits::alignment);
  read.contiguous = member_of(limits, &Limits::contiguous) != 0;
  read.not_in_place = member_of(limits, &Limits::not_in_place) != 0;
  read.epsilon_is_set = member_of(limits, &Limits::epsilon_is_set) != 0;
  read.epsilon = member_of(limits, &Limits::epsilon);
  return read;
}

// An operation that this process knows by nothing but its name. Returns what is wrong, or an empty string.
std::string add_named(const normproof_plugin_operation& entry, Plugin& plugin,
                      PluginDescription& description) {
  std::uint32_t& count = description.named_operations;
  for (std::uint32_t i = 0; i < count; ++i)
    if (std::strcmp(plugin.named[i]->name, entry.name) == 0)
      return "it lists " + std::string(entry.name) + " twice";
  if (count == kMaximumNamedOperations) return "it lists too many operations";
  NamedOperation& named = description.named[count];
  plugin.named[count++] = &entry;
  std::snprintf(named.name, sizeof named.name, "%s", entry.name);
  if (const auto* limits = member_of(entry, &normproof_plugin_operation::limits))
    named.limits = limits_of(*limits);
  return {};
}

// Reads the operations into plugin and description. Returns what is wrong, or an empty string.
std::string read_operations(const normproof_plugin_info& info, Plugin& plugin,
                            PluginDescription& description) {
  for (const normproof_plugin_operation* const* each = info.operations; *each != nullptr; ++each) {
    const normproof_plugin_operation& entry = **each;
    if (entry.name == nullptr || entry.run == nullptr)
      return "an operation of its list has no name or no function";
    const auto operation = operation_from_name(entry.name);
    if (!operation) {
      const std::string problem = add_named(entry, plugin, description);
      if (!problem.empty()) return problem;
      continue;
    }
    const auto index = static_cast<std::size_t>(*operation);
    if (plugin.operations[index] != nullptr) return "it lists " + std::string(entry.name) + " twice";
    plugin.operations[index] = &entry;
    description.operations |= 1u << index;
    if (const auto* limits = member_of(entry, &normproof_plugin_operation::limits)) {
      description.limits[index] = limits_of(*limits);
      description.has_limits[index] = 1;
    }
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
  Plugin plugin;
  plugin.memory = info->memory;  // NOLINT(clang-analyzer-core.NullDereference)
  std::snprintf(description.name, sizeof description.name, "%s", info->name);
  description.on_device = info->memory == kDLCUDA ? 1 : 0;
  description.no_weight = (info->takes & NORMPROOF_TAKES_NO_WEIGHT) != 0 ? 1 : 0;
  description.same_weight = (info->takes & NORMPROOF_TAKES_SAME_WEIGHT) != 0 ? 1 : 0;
  description.fp32_weight = (info->takes & NORMPROOF_TAKES_FP32_WEIGHT) != 0 ? 1 : 0;
  description.scale_ub = (info->takes & NORMPROOF_TAKES_SCALE_UB) != 0 ? 1 : 0;
  description.scale_layouts = (info->takes & NORMPROOF_TAKES_SCALE_LAYOUTS) != 0 ? 1 : 0;
  description.scale_views = (info->takes & NORMPROOF_TAKES_SCALE_VIEWS) != 0 ? 1 : 0;
  description.weight_rows = (info->takes & NORMPROOF_TAKES_WEIGHT_ROWS) != 0 ? 1 : 0;
  description.no_statistics = (info->takes & NORMPROOF_TAKES_NO_STATISTICS) != 0 ? 1 : 0;
  description.row_int8 = (info->takes & NORMPROOF_TAKES_ROW_INT8) != 0 ? 1 : 0;
  description.row_scale_ub = (info->takes & NORMPROOF_TAKES_ROW_SCALE_UB) != 0 ? 1 : 0;
  if (info->abi_version == abi_1::kVersion) {
    plugin.version_1 = reinterpret_cast<const abi_1::Info*>(info);
    for (const Operation operation : all_operations())
      if (abi_1::has(*plugin.version_1, operation))
        description.operations |= 1u << static_cast<unsigned>(operation);
  } else {
    problem = read_operations(*info, plugin, description);
    if (!problem.empty()) return nullptr;
  }
  constexpr std::array<std::pair<DType, std::uint32_t>, 9> kFlags = {{
      {DType::bf16, NORMPROOF_TAKES_BF16},
      {DType::fp16, NORMPROOF_TAKES_FP16},
      {DType::fp32, NORMPROOF_TAKES_FP32},
      {DType::fp8_e4m3fn, NORMPROOF_TAKES_E4M3FN},
      {DType::fp8_e5m2, NORMPROOF_TAKES_E5M2},
      {DType::fp8_e4m3fnuz, NORMPROOF_TAKES_E4M3FNUZ},
      {DType::fp8_e5m2fnuz, NORMPROOF_TAKES_E5M2FNUZ},
      {DType::int8, NORMPROOF_TAKES_INT8},
      {DType::uint8, NORMPROOF_TAKES_E2M1},
  }};
  for (const auto& [dtype, flag] : kFlags)
    if ((info->takes & flag) != 0) description.dtypes |= 1u << static_cast<unsigned>(dtype);
  return std::make_unique<PluginCallee>(plugin, execution);
}

}  // namespace normproof::worker
