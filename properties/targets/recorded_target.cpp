#include "properties/targets/recorded_target.h"

namespace normproof {
namespace {

std::size_t bytes_of(const Case& test_case) {
  std::size_t bytes = 0;
  for (const CaseTensor& tensor : test_case.tensors) bytes += tensor.data.bytes.size();
  return bytes;
}

// A call's case may have no data of its own: then they are in its tensors alone.
Case with_data(const Case& test_case, const CaseTensors& tensors) {
  Case complete = test_case;
  complete.outputs.reset();
  for (const Role role : kRoles)
    if (!complete[role].data.recipe) complete[role].data.bytes = tensors[role];
  return complete;
}

}  // namespace

std::vector<Case> RecordedTarget::recent() const {
  const std::lock_guard lock(mutex_);
  return {recent_.begin(), recent_.end()};
}

RunResult RecordedTarget::run(const Case& test_case, const CaseTensors& tensors) {
  remember(test_case, tensors);
  return target_->run(test_case, tensors);
}

std::vector<RunResult> RecordedTarget::run_all(std::span<const RunRequest> requests) {
  for (const RunRequest& request : requests) remember(*request.test_case, *request.tensors);
  return target_->run_all(requests);
}

void RecordedTarget::remember(const Case& test_case, const CaseTensors& tensors) {
  // What is too large is left out: the calls around it may be enough.
  if (tensors[Role::input].size() + tensors[Role::residual].size() + tensors[Role::weight].size() >
      kMostBytes / 4)
    return;
  Case complete = with_data(test_case, tensors);
  const std::lock_guard lock(mutex_);
  bytes_ += bytes_of(complete);
  recent_.push_back(std::move(complete));
  while (recent_.size() > kMostCalls || bytes_ > kMostBytes) {
    bytes_ -= bytes_of(recent_.front());
    recent_.pop_front();
  }
}

}  // namespace normproof
