#include "properties/worker/kernels_callee.h"

#include <cstdlib>

#include "corpus/case.h"
#include "properties/run/shared_library.h"

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
    library.find(rms_norm_, "normproof_rms_norm");
    library.find(fused_add_rms_norm_, "normproof_fused_add_rms_norm");
    library.find(rms_norm_static_fp8_quant_, "normproof_rms_norm_static_fp8_quant");
    library.find(fused_add_rms_norm_static_fp8_quant_, "normproof_fused_add_rms_norm_static_fp8_quant");
    return library.missing().empty() ? "" : std::string(path) + " has no function " + library.missing();
  }

  void invoke(Call& call, const Addresses& addresses) override { call.status = answer(call, addresses); }

 private:
  normproof_status answer(Call& call, const Addresses& addresses) const {
    const normproof_tensor* input = describe(call.input, addresses);
    const normproof_tensor* residual = describe(call.residual, addresses);
    const normproof_tensor* weight = describe(call.weight, addresses);
    const normproof_tensor* out = describe(call.out, addresses);
    const auto* scale = static_cast<const float*>(address_of(call.scale, addresses));
    const normproof_message message{call.message, sizeof call.message};
    switch (static_cast<Operation>(call.operation)) {
      case Operation::rms_norm:
        return rms_norm_(out, input, weight, call.epsilon, &call.launch, nullptr, &call.report, message);
      case Operation::fused_add_rms_norm:
        return fused_add_rms_norm_(input, residual, weight, call.epsilon, &call.launch, nullptr, &call.report,
                                   message);
      case Operation::rms_norm_static_fp8_quant:
        return rms_norm_static_fp8_quant_(out, input, weight, scale, call.epsilon, &call.launch, nullptr,
                                          &call.report, message);
      case Operation::fused_add_rms_norm_static_fp8_quant:
        return fused_add_rms_norm_static_fp8_quant_(out, input, residual, weight, scale, call.epsilon,
                                                    &call.launch, nullptr, &call.report, message);
    }
    std::abort();
  }

  decltype(&normproof_rms_norm) rms_norm_ = nullptr;
  decltype(&normproof_fused_add_rms_norm) fused_add_rms_norm_ = nullptr;
  decltype(&normproof_rms_norm_static_fp8_quant) rms_norm_static_fp8_quant_ = nullptr;
  decltype(&normproof_fused_add_rms_norm_static_fp8_quant) fused_add_rms_norm_static_fp8_quant_ = nullptr;
};

}  // namespace

std::unique_ptr<Callee> load_kernels_callee(const char* path, std::string& problem) {
  auto callee = std::make_unique<KernelsCallee>();
  problem = callee->load(path);
  if (!problem.empty()) return nullptr;
  return callee;
}

}  // namespace normproof::worker
