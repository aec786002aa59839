#include "properties/targets/worker/kernels_callee.h"

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
  std::string load(const char* path) {
    SharedLibrary library(path);
    if (!library.problem().empty()) return library.problem();
    functions_ = find_operations(library);
    return library.missing().empty() ? "" : std::string(path) + " has no function " + library.missing();
  }

  void invoke(Call& call, const Addresses& addresses) override { call.status = answer(call, addresses); }

 private:
  normproof_status answer(Call& call, const Addresses& addresses) const {
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

  KernelFunctions functions_;
};

}  // namespace

std::unique_ptr<Callee> load_kernels_callee(const char* path, std::string& problem) {
  auto callee = std::make_unique<KernelsCallee>();
  problem = callee->load(path);
  if (!problem.empty()) return nullptr;
  return callee;
}

}  // namespace normproof::worker
