// Whether the tensors of a call fit together.
#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "corpus/limits.h"
#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {
namespace {

using Kind = ArgumentError::Kind;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

std::string names_of(const JudgedOperation& operation) {
  std::string names;
  for (const TensorSpec& spec : operation.tensors)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", spec.name);
  return names;
}

void require_known(const Call& call) {
  for (const auto& [name, tensor] : call.tensors) {
    if (find_tensor(*call.operation, name) != nullptr) continue;
    throw ArgumentError(
        name, fmt::format("{} has none; its tensors are {}", call.operation->name, names_of(*call.operation)),
        Kind::type);
  }
}

void require_input(const Call& call) {
  const Tensor* x = call.find("x");
  if (x == nullptr)
    throw ArgumentError("x", fmt::format("{} needs it, got None", call.operation->name), Kind::type);
  if (std::ranges::find(kActivationDTypes, x->dtype) == kActivationDTypes.end())
    throw ArgumentError("x", fmt::format("expected dtype bf16 or fp16 or fp32, got {}", name_of(x->dtype)),
                        Kind::type);
  if (x->shape.empty())
    throw ArgumentError("x", "expected at least one dimension, the hidden size, got shape ()", Kind::value);
  if (x->shape.back() < 1 || x->shape.back() > kMaximumHiddenSize)
    throw ArgumentError("x",
                        fmt::format("the last dimension, the hidden size, is 1 to {}, got shape {}",
                                    kMaximumHiddenSize, shape_text(x->shape)),
                        Kind::value);
  if (x->elements() > kMaximumElements)
    throw ArgumentError(
        "x", fmt::format("at most {} elements, got shape {}", kMaximumElements, shape_text(x->shape)),
        Kind::value);
}

void require_dtype(const Call& call, const TensorSpec& spec, const Tensor& tensor) {
  const DType activation = call.dtype();
  if (spec.dtype == DTypeRule::listed) {
    if (std::ranges::find(spec.dtypes, tensor.dtype) != spec.dtypes.end()) return;
    std::string names;
    for (const DType dtype : spec.dtypes)
      names += fmt::format("{}{}", names.empty() ? "" : " or ", name_of(dtype));
    throw ArgumentError(std::string(spec.name),
                        fmt::format("expected dtype {}, got {}", names, name_of(tensor.dtype)), Kind::type);
  }
  const DType first = spec.dtype == DTypeRule::fp32 ? DType::fp32 : activation;
  const bool wide = spec.dtype == DTypeRule::activation_or_fp32;
  if (tensor.dtype == first || (wide && tensor.dtype == DType::fp32)) return;
  throw ArgumentError(std::string(spec.name),
                      fmt::format("expected dtype {}{}, got {}", name_of(first),
                                  wide && first != DType::fp32 ? " or fp32" : "", name_of(tensor.dtype)),
                      Kind::type);
}

void require_shape(const Call& call, const TensorSpec& spec, const Tensor& tensor) {
  const std::vector<std::int64_t>& x = call.at("x").shape;
  std::vector<std::int64_t> wanted = x;
  std::string_view what = "that of x";
  switch (spec.extent) {
    case Extent::elements:
      break;
    case Extent::hidden:
      if (spec.rows != HiddenRows::one && tensor.shape.size() > 1) {
        if (std::ranges::equal(tensor.shape | std::views::reverse,
                               x | std::views::reverse | std::views::take(tensor.shape.size())))
          return;
        what = "the hidden size, or more of the last dimensions of x";
      } else {
        what = tensor.shape.size() > 1 ? "the hidden size; its weights have one row" : "the hidden size";
      }
      wanted = {x.back()};
      break;
    case Extent::row:
      wanted.pop_back();
      if (tensor.shape == wanted) return;
      wanted.push_back(1);
      what = "one for each row of x";
      break;
    case Extent::rotation: {
      wanted.pop_back();
      if (!wanted.empty()) wanted.pop_back();
      wanted.push_back(tensor.shape.empty() ? 0 : tensor.shape.back());
      what = "that of x without heads, and half of the rotated elements of a head";
      break;
    }
    case Extent::codes:
      if (tensor.dtype != DType::uint8) break;
      wanted.back() /= 2;
      what = "two elements of x in a byte";
      break;
    case Extent::blocks:  // the operation's own objection
      return;
    case Extent::one:
      if (tensor.shape.empty()) return;
      wanted = {1};
      what = "a number";
      break;
  }
  if (tensor.shape == wanted) return;
  throw ArgumentError(
      std::string(spec.name),
      fmt::format("expected shape {}, {}, got {}", shape_text(wanted), what, shape_text(tensor.shape)),
      Kind::value);
}

void require_needed(const Call& call, const TensorSpec& spec, bool with_outputs) {
  const bool is_output = spec.direction == Direction::out;
  if (spec.need != Need::always || (is_output && !with_outputs) || call.has(spec.name)) return;
  throw ArgumentError(std::string(spec.name), fmt::format("{} needs it, got None", call.operation->name),
                      Kind::type);
}

void require_places(const Call& call) {
  for (const auto& [name, place] : call.places) {
    const TensorSpec* spec = find_tensor(*call.operation, name);
    if (spec == nullptr)
      throw ArgumentError(name, "a place, but the operation has no such tensor", Kind::value);
    if (place.offset < 0 || place.offset > kMaximumOffset || place.gap < 0 || place.gap > kMaximumElements)
      throw ArgumentError(name,
                          fmt::format("its offset is 0 to {} and its gap at least 0, got {} and {}",
                                      kMaximumOffset, place.offset, place.gap),
                          Kind::value);
    if (const Tensor* tensor = call.find(name);
        place.gap != 0 && tensor != nullptr && tensor->shape.size() < 2)
      throw ArgumentError(name, "a gap between the slices of a tensor of one dimension", Kind::value);
    if (place.by_columns && (place.in_place || spec->extent != Extent::blocks ||
                             (call.has(name) && call.at(name).shape.size() != 2)))
      throw ArgumentError(name, "by columns, and it is no output [rows, blocks]", Kind::value);
    if (!place.in_place) continue;
    if (spec->in_place_of.empty())
      throw ArgumentError(name, "it is no output that may lie in the memory of an input", Kind::value);
    if (place.offset != 0 || place.gap != 0)
      throw ArgumentError(name, "in place, it lies where the input lies", Kind::value);
  }
}

}  // namespace

std::vector<std::int64_t> shape_of(const Call& call, const TensorSpec& spec) {
  std::vector<std::int64_t> shape = call.at("x").shape;
  switch (spec.extent) {
    case Extent::elements:
      return shape;
    case Extent::hidden:
      return {shape.back()};
    case Extent::row:
      shape.back() = 1;
      return shape;
    case Extent::codes:
      return shape;
    case Extent::one:
      return {1};
    case Extent::blocks:
    case Extent::rotation:
      break;
  }
  throw std::logic_error("oracle: x does not say the shape of " + std::string(spec.name));
}

void require_valid(const Call& call, bool with_outputs) {
  require_known(call);
  require_input(call);
  for (const TensorSpec& spec : call.operation->tensors) {
    require_needed(call, spec, with_outputs);
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr) continue;
    require_dtype(call, spec, *tensor);
    require_shape(call, spec, *tensor);
    const std::size_t wanted = static_cast<std::size_t>(tensor->elements()) * size_of(tensor->dtype);
    if (tensor->bytes.size() != wanted)
      throw ArgumentError(std::string(spec.name),
                          fmt::format("expected {} bytes, got {}", wanted, tensor->bytes.size()),
                          Kind::value);
  }
  if (with_outputs && !call.has_outputs()) {
    std::string outputs;
    for (const TensorSpec& spec : call.operation->tensors) {
      if (spec.need == Need::some_output)
        outputs += fmt::format("{}{}", outputs.empty() ? "" : ", ", spec.name);
    }
    throw ArgumentError(outputs, "expected at least one of them, got none: there is nothing to judge",
                        Kind::type);
  }
  require_places(call);
  const std::string objection = call.operation->objection(call);
  if (!objection.empty()) {
    const std::size_t colon = objection.find(": ");
    throw ArgumentError(objection.substr(0, colon), objection.substr(colon + 2), Kind::value);
  }
}

}  // namespace normproof::oracle::judged
