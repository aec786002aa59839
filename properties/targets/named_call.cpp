#include "properties/targets/named_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace normproof {

using oracle::judged::Call;
using oracle::judged::Place;
using oracle::judged::Tensor;

namespace {

TensorLayout layout_of(const Tensor& tensor, const Place& place) {
  TensorLayout layout;
  layout.offset = place.offset;
  if (place.gap == 0) return layout;
  std::int64_t stride = tensor.shape.back();
  for (std::size_t dim = tensor.shape.size() - 1; dim-- > 0;) {
    layout.strides.insert(layout.strides.begin(), stride + (dim == 0 ? place.gap : 0));
    stride *= std::max<std::int64_t>(tensor.shape[dim], 1);
  }
  return layout;
}

// With its columns for rows.
Tensor turned(const Tensor& tensor) {
  const std::int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  Tensor result{tensor.dtype, {columns, rows}, std::vector<std::byte>(tensor.bytes.size())};
  for (std::int64_t row = 0; row < rows && !tensor.bytes.empty(); ++row)
    for (std::int64_t column = 0; column < columns; ++column)
      store_bits(result.bytes, tensor.dtype, column * rows + row,
                 load_bits(tensor.bytes, tensor.dtype, row * columns + column));
  return result;
}

std::size_t index_of(const Call& call, std::string_view name) {
  const auto tensors = call.operation->tensors;
  return static_cast<std::size_t>(std::ranges::find(tensors, name, &oracle::judged::TensorSpec::name) -
                                  tensors.begin());
}

}  // namespace

ThreadOrder thread_order_of(std::uint64_t number) {
  return number == 0 ? ThreadOrder::forward : number == 1 ? ThreadOrder::reverse : ThreadOrder::random;
}

std::string NamedCall::what_does_not_fit(const Call& call) {
  if (call.operation->tensors.size() > worker::kMaximumTensors)
    return fmt::format("more than {} tensors", worker::kMaximumTensors);
  for (const auto& [name, tensor] : call.tensors) {
    if (tensor.shape.size() > kMaximumRank) return fmt::format("more than {} dimensions", kMaximumRank);
    if (tensor.shape.empty()) return "tensors without dimensions";
  }
  return {};
}

NamedCall::NamedCall(const Call& call, std::byte fill, Memory& memory) : call_(call), fill_(fill) {
  const auto tensors = call.operation->tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor* tensor = call.find(tensors[i].name);
    const Place place = call.place_of(tensors[i].name);
    if (tensor == nullptr || place.in_place) continue;
    const bool is_output = tensors[i].direction == Direction::out;
    const std::size_t bytes = static_cast<std::size_t>(tensor->elements()) * size_of(tensor->dtype);
    const Tensor laid = place.by_columns ? turned(*tensor) : Tensor{tensor->dtype, tensor->shape, {}};
    guarded_[i].emplace(memory.tensors[i], tensors[i].name, laid.dtype, laid.shape, layout_of(laid, place));
    guarded_[i]->scatter(is_output ? std::vector(bytes, fill) : tensor->bytes);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!call.has(tensors[i].name)) continue;
    const std::size_t memory_of =
        call.place_of(tensors[i].name).in_place ? index_of(call, tensors[i].in_place_of) : i;
    arguments_.push_back({&tensors[i], &*guarded_[memory_of], call.place_of(tensors[i].name).by_columns});
  }
}

std::vector<const GuardedTensor*> NamedCall::tensors() const {
  std::vector<const GuardedTensor*> present;
  for (const std::optional<GuardedTensor>& each : guarded_)
    if (each) present.push_back(&*each);
  return present;
}

bool NamedCall::is_overwritten(std::string_view input) const {
  return std::ranges::any_of(arguments_, [&](const Argument& each) {
    return each.spec->in_place_of == input && call_.place_of(each.spec->name).in_place;
  });
}

std::vector<std::string> NamedCall::memory_violations(bool refused) const {
  std::vector<std::string> violations;
  const auto note = [&violations](std::string text) {
    if (!text.empty()) violations.push_back(std::move(text));
  };
  for (const auto& [spec, tensor, by_columns] : arguments_) {
    if (call_.place_of(spec->name).in_place) continue;
    note(tensor->find_stray_write());
    const Tensor& before = call_.at(spec->name);
    if (spec->direction == Direction::in) {
      if (refused || !is_overwritten(spec->name)) note(tensor->find_change(before.bytes));
    } else if (refused) {
      note(tensor->find_change(
          std::vector(static_cast<std::size_t>(before.elements()) * size_of(before.dtype), fill_)));
    }
  }
  return violations;
}

Call NamedCall::with_outputs() const {
  Call call = call_;
  for (const Argument& each : arguments_) {
    if (each.spec->direction != Direction::out) continue;
    Tensor& written = call.tensors.find(each.spec->name)->second;
    written.bytes = each.tensor->gather();
    if (!each.by_columns) continue;
    const std::span<const std::int64_t> laid = each.tensor->shape();
    written.bytes = turned({written.dtype, {laid.begin(), laid.end()}, std::move(written.bytes)}).bytes;
  }
  return call;
}

}  // namespace normproof
