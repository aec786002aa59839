#include "fuzz/call_form.h"

#include <algorithm>
#include <bit>
#include <string>

#include "corpus/case.h"
#include "fuzz/value_mutations.h"
#include "oracle/judged/block_quant.h"
#include "oracle/row_kernels.h"
#include "properties/targets/guarded_tensor.h"

namespace normproof::fuzz {

using oracle::judged::DTypeRule;
using oracle::judged::Extent;
using oracle::judged::Need;
using oracle::judged::Policy;
using oracle::judged::Tensor;

namespace {

constexpr std::size_t kGreatestRank = 4;

bool has_extent(const JudgedOperation& operation, Extent extent) {
  return std::ranges::find(operation.tensors, extent, &Spec::extent) != operation.tensors.end();
}

// How many leading dimensions a weight, or a bias, has in common with x: two digits of the layout.
std::uint8_t hidden_digit(const Spec& spec) { return spec.name == "weight" ? 1 : 4; }
std::size_t leading_of_hidden(const CallForm& form, const Spec& spec) {
  if (spec.rows == oracle::judged::HiddenRows::one) return 0;
  return std::min<std::size_t>(form.layout / hidden_digit(spec) % kGreatestRank, form.shape.size() - 1);
}

// A call of the form's shape, with as many numbers of blocks in each row; nothing: without them.
Call with_blocks(const CallForm& form, std::optional<std::int64_t> blocks) {
  Call call;
  call.operation = form.operation;
  call.tensors["x"] = {form.dtype, form.shape, {}};
  if (!blocks) return call;
  std::vector<std::int64_t> shape = form.shape;
  shape.back() = *blocks;
  call.tensors["scales"] = {DType::fp32, std::move(shape), {}};
  return call;
}

std::vector<std::int64_t> shape_for(const CallForm& form, const Spec& spec, DType dtype) {
  std::vector<std::int64_t> shape = form.shape;
  switch (spec.extent) {
    case Extent::elements:
      break;
    case Extent::hidden:
      return {shape.end() - 1 - static_cast<std::ptrdiff_t>(leading_of_hidden(form, spec)), shape.end()};
    case Extent::row:
      if (form.flat_rows && shape.size() > 1) {
        shape.pop_back();
      } else {
        shape.back() = 1;
      }
      break;
    case Extent::rotation:
      shape.pop_back();
      shape.back() = form.pairs;
      break;
    case Extent::codes:
      if (dtype == DType::uint8) shape.back() /= 2;
      break;
    case Extent::blocks:
      return layout_of(form).shape;
    case Extent::one:
      return {1};
  }
  return shape;
}

DType dtype_of(const CallForm& form, std::size_t place) {
  const auto dtypes = dtypes_for(form.operation->tensors[place], form.dtype);
  return dtypes[*form.choices[place] % dtypes.size()];
}

// Whether a byte of the call holds two codes.
bool is_packed(const CallForm& form) {
  for (std::size_t i = 0; i < form.operation->tensors.size(); ++i)
    if (form.operation->tensors[i].extent == Extent::codes && form.choices[i] &&
        dtype_of(form, i) == DType::uint8)
      return true;
  return false;
}

// Whether a gradient has the statistics of the forward pass: rstd, and then all of them.
bool has_statistics(const CallForm& form) {
  const auto tensors = form.operation->tensors;
  const auto rstd = std::ranges::find(tensors, form.operation->epsilon_without, &Spec::name);
  return rstd == tensors.end() || form.choices[static_cast<std::size_t>(rstd - tensors.begin())];
}

// At least one of the outputs that may be missing; without statistics the first, which is judged by itself.
void fit_outputs(CallForm& form) {
  const auto tensors = form.operation->tensors;
  std::size_t first = tensors.size();
  bool lacks_all = true;
  for (std::size_t i = tensors.size(); i-- > 0;) {
    if (tensors[i].need != Need::some_output) continue;
    first = i;
    lacks_all = lacks_all && !form.choices[i];
  }
  if (first == tensors.size() || form.choices[first]) return;
  if (lacks_all || !has_statistics(form)) form.choices[first] = 0;
}

// The tensors that must be there, and no more than the operation has.
void fit_tensors(CallForm& form) {
  const auto tensors = form.operation->tensors;
  const bool with_statistics = has_statistics(form);
  std::optional<std::uint8_t> rotation;
  for (std::size_t i = 0; i < form.choices.size(); ++i) {
    std::optional<std::uint8_t>& choice = form.choices[i];
    if (i >= tensors.size()) {
      choice.reset();
      continue;
    }
    const bool is_statistic = tensors[i].direction == Direction::in && tensors[i].extent == Extent::row;
    const bool is_needed = tensors[i].need == Need::always || (with_statistics && is_statistic);
    if (is_needed && !choice) choice = 0;
    if (tensors[i].name == "x") choice = 0;
    if (choice) *choice %= static_cast<std::uint8_t>(dtypes_for(tensors[i], form.dtype).size());
    if (tensors[i].extent == Extent::rotation) choice = rotation = rotation.value_or(*choice);
  }
  fit_outputs(form);
}

void fit_shape(CallForm& form, const CallSpace& space) {
  std::vector<std::int64_t>& shape = form.shape;
  const std::size_t least = has_extent(*form.operation, Extent::rotation) ? 2 : 1;
  if (shape.size() > kGreatestRank) shape.erase(shape.begin(), shape.end() - kGreatestRank);
  while (shape.size() < least) shape.insert(shape.begin(), 1);
  std::int64_t& hidden = shape.back();
  hidden = std::clamp<std::int64_t>(hidden, 1, space.max_hidden);
  if (is_packed(form)) hidden += hidden % 2;
  std::int64_t rows = std::max<std::int64_t>(space.max_elements / hidden, 1);
  for (std::size_t dim = 0; dim + 1 < shape.size(); ++dim) {
    shape[dim] = std::clamp<std::int64_t>(shape[dim], 0, rows);
    rows /= std::max<std::int64_t>(shape[dim], 1);
  }
  form.pairs = std::clamp<std::int64_t>(form.pairs, 0, hidden / 2);
}

// As many blocks as the form says where a block may have any size, else as many as there are.
void fit_blocks(CallForm& form) {
  if (!has_extent(*form.operation, Extent::blocks)) return;
  const Policy native = parse_policy(*form.operation, "native");
  form.blocks = std::clamp<std::int64_t>(form.blocks, 1, form.shape.back());
  if (!block_shape_of(with_blocks(form, form.blocks), &native).objection.empty())
    form.blocks = block_shape_of(with_blocks(form, {}), &native).layout.blocks;
}

Tensor number(std::uint32_t bits) {
  Tensor tensor{DType::fp32, {1}, std::vector<std::byte>(sizeof(float))};
  store_bits(tensor.bytes, DType::fp32, 0, bits);
  return tensor;
}

std::int64_t columns_of(const Spec& spec, const Tensor& tensor) {
  return spec.extent == Extent::row ? 1 : tensor.shape.back();
}

// Values of the same tensor of another call, in this one's dtype and shape.
void take_values(const Spec& spec, Tensor& tensor, Tensor from, Random& random) {
  convert(from.bytes, from.dtype, tensor.dtype);
  const std::int64_t columns = columns_of(spec, tensor), old_columns = columns_of(spec, from);
  if (columns == 0) return;
  const std::int64_t rows = tensor.elements() / columns;
  tensor.bytes = old_columns == 0 ? draw_values_near_one(tensor.dtype, tensor.elements(), random)
                                  : resized({&from.bytes, tensor.dtype, old_columns}, rows, columns, random);
}

// Mean and deviation of x where a call must have them and `from` had none.
void set_statistics(Call& call, const Call& from, Random& random) {
  std::vector<const Spec*> missing;
  for (const Spec& spec : call.operation->tensors)
    if (spec.direction == Direction::in && spec.extent == Extent::row && call.has(spec.name) &&
        !from.has(spec.name))
      missing.push_back(&spec);
  if (missing.empty()) return;
  const oracle::StandardFloatEnvironment environment;
  Call completed = call;
  completed.operation->complete(completed, completed.epsilon);
  for (const Spec* spec : missing)
    take_values(*spec, call.tensors.find(spec->name)->second, completed.at(spec->name), random);
}

bool is_place(const Spec& spec, const Call& call, const oracle::judged::Place& place) {
  if (place.in_place) return !spec.in_place_of.empty() && call.has(spec.in_place_of);
  if (place.by_columns) return may_lie_by_columns(call, spec);
  return place.gap == 0 || call.at(spec.name).shape.size() > 1;
}

}  // namespace

std::vector<DType> dtypes_for(const Spec& spec, DType dtype) {
  switch (spec.dtype) {
    case DTypeRule::activation:
      return {dtype};
    case DTypeRule::activation_or_fp32:
      return {dtype, DType::fp32};
    case DTypeRule::fp32:
      return {DType::fp32};
    case DTypeRule::listed:
      break;
  }
  return {spec.dtypes.begin(), spec.dtypes.end()};
}

CallForm fitted(CallForm form, const CallSpace& space) {
  if (std::ranges::count(space.operations, form.operation) == 0) form.operation = space.operations.front();
  fit_tensors(form);
  fit_shape(form, space);
  fit_blocks(form);
  return form;
}

CallForm form_of(const Call& call) {
  CallForm form;
  form.operation = call.operation;
  form.dtype = call.dtype();
  form.shape = call.at("x").shape;
  if (const Tensor* cosines = call.find("cos")) form.pairs = cosines->shape.back();
  const auto tensors = call.operation->tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor* tensor = call.find(tensors[i].name);
    if (tensor == nullptr) continue;
    const auto dtypes = dtypes_for(tensors[i], form.dtype);
    form.choices[i] = static_cast<std::uint8_t>(std::ranges::find(dtypes, tensor->dtype) - dtypes.begin());
    if (tensors[i].rows != oracle::judged::HiddenRows::one)
      form.layout =
          static_cast<std::uint8_t>(form.layout + hidden_digit(tensors[i]) * (tensor->shape.size() - 1));
    if (tensors[i].extent == Extent::row) form.flat_rows = tensor->shape.size() < form.shape.size();
    if (tensors[i].extent != Extent::blocks) continue;
    const Policy native = parse_policy(*call.operation, "native");
    form.blocks = block_shape_of(call, &native).layout.blocks;
    const auto layouts = call.operation->block_layouts(call, native).all;
    form.layout = static_cast<std::uint8_t>(
        std::ranges::find(layouts, tensor->shape, &oracle::judged::BlockLayout::shape) - layouts.begin());
  }
  return form;
}

oracle::judged::BlockLayout layout_of(const CallForm& form) {
  const Policy native = parse_policy(*form.operation, "native");
  const auto layouts = form.operation->block_layouts(with_blocks(form, form.blocks), native).all;
  return layouts[form.layout % layouts.size()];
}

bool may_lie_by_columns(const Call& call, const Spec& spec) {
  if (spec.extent != Extent::blocks) return false;
  const auto usual = call.operation->block_layouts(call, parse_policy(*call.operation, "native")).all.front();
  const std::vector<std::int64_t>& shape = call.at(spec.name).shape;
  return shape == usual.shape && shape.size() == 2 && shape.front() == call.rows() && shape.front() > 0;
}

Call empty_call(const CallForm& form) {
  Call call;
  call.operation = form.operation;
  const auto tensors = form.operation->tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!form.choices[i]) continue;
    const DType dtype = dtype_of(form, i);
    Tensor tensor{dtype, shape_for(form, tensors[i], dtype), {}};
    const std::byte value = tensors[i].direction == Direction::in ? std::byte{0} : kCanary;
    tensor.bytes.assign(static_cast<std::size_t>(tensor.elements()) * size_of(dtype), value);
    if (tensors[i].direction == Direction::in && tensors[i].extent == Extent::one)
      tensor = number(std::bit_cast<std::uint32_t>(1.0f));
    call.tensors[std::string(tensors[i].name)] = std::move(tensor);
  }
  return call;
}

Call refitted(const CallForm& form, const Call& from, Random& random) {
  Call call = empty_call(form);
  call.epsilon = from.epsilon;
  call.thread_order = from.thread_order;
  for (const Spec& spec : call.operation->tensors) {
    const auto found = call.tensors.find(spec.name);
    if (found == call.tensors.end()) continue;
    const auto place = from.places.find(spec.name);
    if (place != from.places.end() && is_place(spec, call, place->second)) call.places.insert(*place);
    if (spec.direction == Direction::out) continue;
    if (const Tensor* values = from.find(spec.name); values != nullptr) {
      take_values(spec, found->second, *values, random);
    } else if (spec.extent != Extent::row && spec.extent != Extent::one) {
      found->second.bytes = draw_values_near_one(found->second.dtype, found->second.elements(), random);
    }
  }
  set_statistics(call, from, random);
  return call;
}

bool is_valid(const Call& call) {
  try {
    require_valid(call, true);
  } catch (const oracle::judged::ArgumentError&) {
    return false;
  }
  return call.operation->misfit(call, policy_of(call)).empty();
}

Policy policy_of(const Call& call) {
  Policy native = parse_policy(*call.operation, "native");
  const Tensor* scales = call.find("scales");
  const bool in_bytes = scales != nullptr && scales->dtype == DType::uint8;
  if (!in_bytes || call.operation->misfit(call, native).empty()) return native;
  return parse_policy(*call.operation, "scale_type=ue8m0_ceil");
}

}  // namespace normproof::fuzz
