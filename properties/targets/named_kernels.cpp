#include "properties/targets/named_kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "properties/targets/interface_dtype.h"

namespace normproof {

using oracle::judged::JudgedOperation;

namespace {

thread_local const oracle::judged::Call* running_call = nullptr;

}  // namespace

const oracle::judged::Call* judged_call_being_run() { return running_call; }

KernelNamedCall::KernelNamedCall(const NamedCall& call) {
  for (const NamedCall::Argument& each : call.arguments()) {
    normproof_named_tensor& named = tensors_.emplace_back();
    named.role = each.spec->name.data();
    named.tensor.data = each.tensor->data();
    named.tensor.dtype = interface_dtype(each.tensor->dtype());
    named.tensor.rank = static_cast<std::int32_t>(each.tensor->shape().size());
    std::ranges::copy(each.shape(), named.tensor.sizes);
    std::ranges::copy(each.strides(), named.tensor.strides);
  }
  const JudgedOperation& operation = *call.call().operation;
  if (takes_epsilon(call.call())) numbers_.push_back({"epsilon", std::bit_cast<float>(call.call().epsilon)});
  description_ = {operation.name.data(), tensors_.data(), tensors_.size(), numbers_.data(), numbers_.size()};
}

std::vector<const JudgedOperation*> NamedKernels::judged_operations() const {
  std::vector<const JudgedOperation*> present;
  for (const JudgedOperation* operation : oracle::judged::judged_operations())
    if (std::ranges::find(names_, operation->name) != names_.end()) present.push_back(operation);
  return present;
}

JudgedTakes NamedKernels::judged_takes() const {
  JudgedTakes takes;
  takes.dtypes.assign(kActivationDTypes.begin(), kActivationDTypes.end());
  takes.no_weight = takes.same_weight = takes.fp32_weight = true;
  takes.codes.assign(kQuantizedDTypes.begin(), kQuantizedDTypes.end());
  takes.codes.insert(takes.codes.end(), {DType::int8, DType::uint8});
  takes.scale_ub = takes.scale_layouts = takes.weight_rows = takes.no_statistics = true;
  takes.scale_views = true;
  return takes;
}

JudgedRun NamedKernels::run_judged(const oracle::judged::Call& call, std::byte fill) {
  const auto name = std::ranges::find(names_, call.operation->name);
  std::string what = name == names_.end() ? "it has no kernel for " + std::string(call.operation->name)
                                          : NamedCall::what_does_not_fit(call);
  if (!what.empty()) return {RunResult::Status::not_taken, std::move(what)};
  thread_local NamedCall::Memory memory;
  NamedCall named(call, fill, memory);
  running_call = &call;
  JudgedRun run = carry_out(named, static_cast<std::size_t>(name - names_.begin()));
  running_call = nullptr;
  return run;
}

normproof_status NamedKernels::invoke_here(const KernelFunctions& functions, NamedCall& call,
                                           const KernelNamedCall& named) {
  const std::uint64_t order = call.call().thread_order;
  functions.set_thread_order(static_cast<std::int32_t>(thread_order_of(order)), order);
  std::array<char, 512> text{};
  const normproof_status status =
      functions.run(&named.description(), nullptr, nullptr, nullptr, {text.data(), text.size()});
  call.set_message(text.data());
  return status;
}

JudgedRun NamedKernels::judged_result_of(const NamedCall& call, normproof_status status) {
  JudgedRun run;
  run.message = call.message();
  switch (status) {
    case NORMPROOF_OK:
      run.status = RunResult::Status::completed;
      run.call = call.with_outputs();
      break;
    case NORMPROOF_UNSUPPORTED_DTYPE:
    case NORMPROOF_UNKNOWN_NAME:
    case NORMPROOF_NULL_POINTER:  // a tensor that this kernel needs
      run.status = RunResult::Status::not_taken;
      break;
    case NORMPROOF_LAUNCH_FAILED:
      run.status = RunResult::Status::failed;
      break;
    default:
      run.status = RunResult::Status::failed;
      run.message = "it refuses a valid call: " + run.message;
  }
  const bool refused = status != NORMPROOF_OK && status != NORMPROOF_LAUNCH_FAILED;
  run.memory_violations = call.memory_violations(refused);
  return run;
}

}  // namespace normproof
