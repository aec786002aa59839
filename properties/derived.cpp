#include "properties/derived.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <utility>

namespace normproof {
namespace {

std::vector<std::byte> pick_rows(const std::vector<std::byte>& data, std::size_t row_bytes,
                                 const std::vector<std::int64_t>& rows) {
  std::vector<std::byte> picked;
  picked.reserve(rows.size() * row_bytes);
  for (const std::int64_t row : rows) {
    const auto first = data.begin() + row * static_cast<std::ptrdiff_t>(row_bytes);
    picked.insert(picked.end(), first, first + static_cast<std::ptrdiff_t>(row_bytes));
  }
  return picked;
}

std::string layout_text(std::string_view name, const TensorLayout& layout) {
  if (layout.strides.empty() && layout.offset == 0) return {};
  return fmt::format(", {} strides [{}] offset {}", name, fmt::join(layout.strides, ", "), layout.offset);
}

}  // namespace

Call call_of(const Case& test_case) {
  Call call{test_case, materialize(test_case)};
  // Data travel in the tensors; a copy in every derived case would only cost time.
  forget_data(call.how);
  call.how.outputs.reset();
  return call;
}

Case case_of(const Call& call) {
  Case test_case = call.how;
  set_data(test_case, call.tensors);
  return test_case;
}

Call flattened(const Call& call) {
  Call flat = call;
  flat.how.shape = {call.how.rows(), call.how.hidden_size()};
  make_plain(flat.how);
  return flat;
}

const std::vector<std::byte>& normalized_rows(const Call& call, const Outputs& outputs) {
  const Role role = normalized_tensor(call.how.operation);
  return call.how.has_output(role) ? outputs[role] : call.tensors[role];
}

Call with_rows(const Call& call, const std::vector<std::int64_t>& rows) {
  Call picked = flattened(call);
  picked.how.shape[0] = static_cast<std::int64_t>(rows.size());
  for (const Role role : call.how.inputs_with_rows()) {
    const auto hidden = static_cast<std::size_t>(call.how.hidden_size());
    picked.tensors[role] = pick_rows(call.tensors[role], hidden * size_of(call.how.dtype_of(role)), rows);
  }
  return picked;
}

Call through(const Call& call, Operation operation) {
  Call other = call;
  other.how.operation = operation;
  other.how.launch.path = KernelPath::automatic;  // another set of tensors may not allow the path
  keep_what_it_has(other.how);
  for (const Role role : kRoles)
    if (!other.how.has_data(role)) other.tensors[role].clear();
  return other;
}

Call norm_of(const Call& call, Operation operation, std::vector<std::byte> input) {
  Call norm = through(call, operation);
  norm.tensors[Role::input] = std::move(input);
  return norm;
}

RunResult run(const Call& call, Target& target) {
  RunResult result = target.run(call.how, call.tensors);
  if (result.status == RunResult::Status::completed) return result;
  if (result.status == RunResult::Status::not_taken) throw NotTaken();
  throw std::runtime_error(
      fmt::format("{} a valid call ({}): {}",
                  result.status == RunResult::Status::refused ? "the target refused" : "the target failed at",
                  summary(call.how), result.message));
}

std::string summary(const Case& test_case) {
  std::string text = fmt::format("{} {}, shape [{}]", name_of(test_case.operation), name_of(test_case.dtype),
                                 fmt::join(test_case.shape, ", "));
  text += layout_text("input", test_case[Role::input].layout);
  text += layout_text("residual", test_case[Role::residual].layout);
  text += layout_text("out", test_case[Role::out].layout);
  if (test_case[Role::weight].layout.offset != 0)
    text += fmt::format(", weight offset {}", test_case[Role::weight].layout.offset);
  if (test_case.in_place) text += ", in place";
  switch (test_case.launch.path) {
    case KernelPath::vectorized:
      text += ", vectorized";
      break;
    case KernelPath::scalar:
      text += ", scalar";
      break;
    case KernelPath::automatic:
      break;
  }
  if (test_case.launch.threads_per_block != 0)
    text += fmt::format(", {} threads", test_case.launch.threads_per_block);
  if (test_case.launch.in_graph) text += ", in a replayed CUDA graph";
  if (test_case.schedule.order == ThreadOrder::reverse) text += ", reverse thread order";
  if (test_case.schedule.order == ThreadOrder::random)
    text += fmt::format(", random thread order {}", test_case.schedule.seed);
  return text;
}

}  // namespace normproof
