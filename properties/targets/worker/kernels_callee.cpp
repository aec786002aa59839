#include "properties/targets/worker/kernels_callee.h"

#include <array>
#include <cstdio>
#include <vector>

#include "properties/targets/interface_dtype.h"
#include "properties/targets/kernel_functions.h"
#include "properties/targets/shared_library.h"

namespace normproof::worker {
namespace {

const normproof_tensor* describe(Tensor& tensor, const Addresses& addresses) {
  if (!tensor.present) return nullptr;
  tensor.description.data = address_of(tensor.data, addresses);
  return &tensor.description;
}

class KernelsCallee final : public Callee {
 public:
  // Returns what is wrong, or an empty string.
  std::string load(const char* path, PluginDescription& description) {
    SharedLibrary library(path);
    if (!library.problem().empty()) return library.problem();
    functions_ = find_operations(library);
    if (!library.missing().empty()) return std::string(path) + " has no function " + library.missing();
    names_ = functions_.names();
    if (names_.size() > kMaximumNamedOperations) names_.resize(kMaximumNamedOperations);
    for (const std::string& name : names_)
      std::snprintf(description.named[description.named_operations++].name, kNameBytes, "%s", name.c_str());
    return {};
  }

  void invoke(Call& call, const Addresses& addresses) override { call.status = answer(call, addresses); }

 private:
  normproof_status answer(Call& call, const Addresses& addresses) const {
    if (call.is_named != 0) return answer_by_name(call, addresses);
    KernelCall kernel_call;
    for (const Role role : kRoles)
      kernel_call.tensors[role] = describe(call.tensor[static_cast<std::size_t>(role)], addresses);
    kernel_call.epsilon = call.parameters[static_cast<std::size_t>(Parameter::epsilon)];
    kernel_call.launch = &call.launch;
    kernel_call.stream = reinterpret_cast<void*>(call.stream);  // NOLINT(performance-no-int-to-ptr)
    kernel_call.report = &call.report;
    kernel_call.message = {call.message, sizeof call.message};
    return call_kernel(functions_, static_cast<Operation>(call.operation), kernel_call);
  }

  normproof_status answer_by_name(Call& call, const Addresses& addresses) const {
    std::array<normproof_named_tensor, kMaximumTensors> tensors{};
    std::size_t count = 0;
    for (Tensor& tensor : call.tensor) {
      if (!tensor.present) continue;
      tensor.description.dtype = interface_dtype(static_cast<DType>(tensor.dtype));
      tensors[count++] = {tensor.role, *describe(tensor, addresses)};
    }
    std::array<normproof_named_number, kMaximumNumbers> numbers{};
    for (std::uint32_t i = 0; i < call.numbers; ++i) numbers[i] = {call.number[i].name, call.number[i].value};
    const normproof_named_call named{names_[static_cast<std::size_t>(call.operation)].c_str(), tensors.data(),
                                     count, numbers.data(), call.numbers};
    return functions_.run(&named, &call.launch,
                          reinterpret_cast<void*>(call.stream),  // NOLINT(performance-no-int-to-ptr)
                          &call.report, {call.message, sizeof call.message});
  }

  KernelFunctions functions_;
  std::vector<std::string> names_;  // of operations that are called by name
};

}  // namespace

std::unique_ptr<Callee> load_kernels_callee(const char* path, PluginDescription& description,
                                            std::string& problem) {
  auto callee = std::make_unique<KernelsCallee>();
  problem = callee->load(path, description);
  if (!problem.empty()) return nullptr;
  return callee;
}

}  // namespace normproof::worker
