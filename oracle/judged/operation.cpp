// The table of judged operations, and what every row of it has in common.
#include "oracle/judged/operation.h"

#include <algorithm>
#include <array>

#include "oracle/formats.h"
#include "oracle/judged/rows.h"

#include <fmt/format.h>

namespace normproof::oracle::judged {

std::span<const JudgedOperation* const> judged_operations() {
  static const std::array<const JudgedOperation*, 17> kTable = {&layer_norm(),
                                                                &fused_add_layer_norm(),
                                                                &rms_norm_backward(),
                                                                &layer_norm_backward(),
                                                                &qk_norm_rope(),
                                                                &rms_norm_block_quant(),
                                                                &fused_add_rms_norm_block_quant(),
                                                                &rms_norm_mx_quant(),
                                                                &fused_add_rms_norm_mx_quant(),
                                                                &rms_norm_nvfp4_quant(),
                                                                &fused_add_rms_norm_nvfp4_quant(),
                                                                &layer_norm_static_fp8_quant(),
                                                                &fused_add_layer_norm_static_fp8_quant(),
                                                                &layer_norm_dynamic_quant(),
                                                                &fused_add_layer_norm_dynamic_quant(),
                                                                &gated_rms_norm(),
                                                                &grouped_rms_norm()};
  return kTable;
}

const JudgedOperation* find_judged_operation(std::string_view name) {
  const auto found = std::ranges::find(judged_operations(), name, &JudgedOperation::name);
  return found == judged_operations().end() ? nullptr : *found;
}

const TensorSpec* find_tensor(const JudgedOperation& operation, std::string_view name) {
  const auto found = std::ranges::find(operation.tensors, name, &TensorSpec::name);
  return found == operation.tensors.end() ? nullptr : &*found;
}

bool takes_epsilon(const Call& call) {
  const std::string_view tensor = call.operation->epsilon_without;
  return call.operation->takes_epsilon || (!tensor.empty() && !call.has(tensor));
}

bool has_heads(const JudgedOperation& operation) {
  return std::ranges::find(operation.tensors, Extent::rotation, &TensorSpec::extent) !=
         operation.tensors.end();
}

std::int64_t Tensor::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::span<const std::byte> Tensor::row(std::int64_t row, std::int64_t columns) const {
  const std::size_t bytes_of_row = static_cast<std::size_t>(columns) * size_of(dtype);
  return std::span(bytes).subspan(static_cast<std::size_t>(row) * bytes_of_row, bytes_of_row);
}

const Tensor* Call::find(std::string_view tensor) const {
  const auto found = tensors.find(tensor);
  return found == tensors.end() ? nullptr : &found->second;
}
const Tensor& Call::at(std::string_view tensor) const {
  if (const Tensor* found = find(tensor)) return *found;
  throw std::out_of_range("the call has no tensor " + std::string(tensor));
}
std::int64_t Call::rows() const { return at("x").elements() / hidden_size(); }
std::int64_t Call::hidden_index(const Tensor& tensor, std::int64_t row, std::int64_t column) const {
  const std::int64_t rows_of_tensor = tensor.elements() / hidden_size();
  return row % rows_of_tensor * hidden_size() + column;
}
std::span<const std::byte> Call::hidden_row(std::string_view tensor, std::int64_t row) const {
  const Tensor* found = find(tensor);
  if (found == nullptr || found->bytes.empty()) return {};
  return found->row(hidden_index(*found, row, 0) / hidden_size(), hidden_size());
}
bool Call::has_several_rows(std::string_view tensor) const {
  const Tensor* found = find(tensor);
  return found != nullptr && found->shape.size() > 1;
}
Place Call::place_of(std::string_view tensor) const {
  const auto found = places.find(tensor);
  return found == places.end() ? Place{} : found->second;
}
bool Call::has_outputs() const {
  return std::ranges::any_of(operation->tensors, [&](const TensorSpec& spec) {
    return spec.direction == Direction::out && has(spec.name);
  });
}

bool Policy::has(std::string_view axis) const {
  return std::ranges::find(operation->axes, axis, &Axis::name) != operation->axes.end();
}
std::string_view Policy::value(std::string_view axis) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (operation->axes[i].name == axis) return operation->axes[i].values[values[i]].name;
  }
  throw std::logic_error("oracle: " + std::string(operation->name) + " has no axis " + std::string(axis));
}
std::optional<std::int64_t> Policy::bound(std::string_view name) const {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (operation->bounds[i].name == name) return bounds[i];
  }
  throw std::logic_error("oracle: " + std::string(operation->name) + " has no bound " + std::string(name));
}

std::string Violation::text() const {
  std::string text = fmt::format("{} violation in {} of {}: {}\n", kind, place, tensor, reason);
  constexpr std::size_t kMostElements = 8;
  for (const Element& element : std::span(elements).first(std::min(elements.size(), kMostElements))) {
    text += element.place.empty() ? fmt::format("  column {}:", element.column)
                                  : fmt::format("  {}:", element.place);
    const NamedBits* got = nullptr;
    std::string_view before = " ";
    for (const NamedBits& value : element.values) {
      const std::string number =
          value.text.empty()
              ? fmt::format("{} ({})", value_text(value.dtype, value.bits), hex_bits(value.dtype, value.bits))
              : value.text;
      if (value.name == "got") got = &value;
      if (value.name != "canonical") {
        text += fmt::format("{}{}{}", before, value.name, value.name == "got" ? " " : " = ") + number;
      } else if (got != nullptr &&
                 (value.text.empty() ? !same(value.dtype, value.bits, got->bits) : value.bits != got->bits)) {
        // Bytes are no numbers, and lie no number of them apart.
        const std::uint64_t apart = value.text.empty() && value.dtype != DType::uint8
                                        ? ulp_distance(value.dtype, got->bits, value.bits)
                                        : UINT64_MAX;
        text += fmt::format("; the canonical order gives {}{}", number,
                            apart == UINT64_MAX ? "" : fmt::format(", {} ulp apart", apart));
      }
      before = ", ";
    }
    text += '\n';
  }
  if (elements.size() > kMostElements)
    text += fmt::format("  and {} more\n", elements.size() - kMostElements);
  return text;
}

std::string subject_of(const Call& call) {
  const JudgedOperation& operation = *call.operation;
  std::string text = fmt::format("{} {}", operation.name, name_of(call.dtype()));
  for (const TensorSpec& spec : operation.tensors) {
    if (spec.dtype != DTypeRule::activation_or_fp32 || spec.direction == Direction::out) continue;
    if (spec.extent == Extent::row || spec.extent == Extent::one) continue;
    const Tensor* tensor = call.find(spec.name);
    text += tensor == nullptr ? fmt::format(", no {}", spec.name)
                              : fmt::format(", {} {}", spec.name, name_of(tensor->dtype));
    if (call.has_several_rows(spec.name))
      text += fmt::format(" of {} rows", tensor->elements() / call.hidden_size());
  }
  for (const TensorSpec& spec : operation.tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (spec.dtype == DTypeRule::listed && tensor != nullptr)
      text += fmt::format(", {} {}", spec.name, name_of(tensor->dtype));
  }
  text += fmt::format(", {} x {}", call.rows(), call.hidden_size());
  if (takes_epsilon(call)) text += fmt::format(", epsilon {}", value_text(DType::fp32, call.epsilon));
  return text;
}

namespace {

// The elements of `tensor` at these places, in order, in `shape`.
Tensor picked(const Tensor& tensor, std::vector<std::int64_t> shape, std::span<const std::int64_t> places) {
  Tensor result{tensor.dtype, std::move(shape), {}};
  const auto size = static_cast<std::ptrdiff_t>(size_of(tensor.dtype));
  for (const std::int64_t place : places) {
    const auto begin = tensor.bytes.begin() + place * size;
    result.bytes.insert(result.bytes.end(), begin, begin + size);
  }
  return result;
}

// Places of some columns in each of `rows` rows.
std::vector<std::int64_t> places_of(std::int64_t rows, std::int64_t columns,
                                    std::span<const std::int64_t> chosen) {
  std::vector<std::int64_t> places;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (const std::int64_t column : chosen) places.push_back(row * columns + column);
  }
  return places;
}

}  // namespace

std::int64_t sliceable_rows(const Call& call) {
  const std::int64_t heads =
      has_heads(*call.operation) ? std::max<std::int64_t>(call.at("x").shape.end()[-2], 1) : 1;
  return call.rows() / heads;
}

Call slice_of_rows(const Call& call, std::span<const std::int64_t> rows, const Policy* policy) {
  Call slice = call;
  // A call with heads is cut by its tokens; the shapes of the two kinds of rows differ by them.
  const bool by_tokens = has_heads(*call.operation);
  const std::int64_t heads = by_tokens ? call.at("x").shape.end()[-2] : 1;
  const auto count = static_cast<std::int64_t>(rows.size());
  for (const TensorSpec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr || spec.extent == Extent::one) continue;
    if (spec.extent == Extent::hidden) {
      if (!call.has_several_rows(spec.name)) continue;
      std::vector<std::int64_t> of_tensor;
      for (const std::int64_t row : rows)
        for (std::int64_t column = 0; column < call.hidden_size(); ++column)
          of_tensor.push_back(call.hidden_index(*tensor, row, column));
      slice.tensors[std::string(spec.name)] = picked(*tensor, {count, call.hidden_size()}, of_tensor);
      continue;
    }
    if (spec.extent == Extent::blocks) {
      slice.tensors[std::string(spec.name)] = call.operation->slice_blocks(call, spec.name, rows, policy);
      continue;
    }
    const std::int64_t columns = spec.extent == Extent::row        ? 1
                                 : spec.extent == Extent::elements ? heads * call.hidden_size()
                                                                   : tensor->shape.back();
    std::vector<std::int64_t> shape = {count};
    if (spec.extent == Extent::elements && by_tokens) shape.push_back(heads);
    if (spec.extent != Extent::row) shape.push_back(tensor->shape.back());
    std::vector<std::int64_t> places;
    for (const std::int64_t row : rows) {
      for (std::int64_t column = 0; column < columns; ++column) places.push_back(row * columns + column);
    }
    slice.tensors[std::string(spec.name)] = picked(*tensor, std::move(shape), places);
  }
  return slice;
}

Call slice_of_columns(const Call& call, std::span<const ColumnGroup> groups) {
  std::vector<std::int64_t> hidden, rotation;
  for (const ColumnGroup& group : groups) {
    hidden.insert(hidden.end(), group.hidden.begin(), group.hidden.end());
    if (group.rotation) rotation.push_back(*group.rotation);
  }
  std::ranges::sort(hidden);
  std::ranges::sort(rotation);
  Call slice = call;
  for (const TensorSpec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr || spec.extent == Extent::row || spec.extent == Extent::one) continue;
    if (spec.extent == Extent::codes || spec.extent == Extent::blocks) {  // of whole blocks
      slice.tensors.erase(std::string(spec.name));
      continue;
    }
    const auto& chosen = spec.extent == Extent::rotation ? rotation : hidden;
    const std::int64_t columns = tensor->shape.back();
    std::vector<std::int64_t> shape = tensor->shape;
    shape.back() = static_cast<std::int64_t>(chosen.size());
    const std::int64_t rows = columns == 0 ? 0 : tensor->elements() / columns;
    slice.tensors[std::string(spec.name)] =
        picked(*tensor, std::move(shape), places_of(rows, columns, chosen));
  }
  return slice;
}

}  // namespace normproof::oracle::judged
