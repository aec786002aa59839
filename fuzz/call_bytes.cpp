#include "fuzz/call_bytes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "corpus/case.h"
#include "corpus/limits.h"

namespace normproof::fuzz {
namespace {

using oracle::judged::Extent;
using oracle::judged::Place;
using oracle::judged::Tensor;

constexpr std::size_t kSizes = 4;

struct TensorRecord {
  std::uint8_t choice = 0;  // 0: there is no such tensor; else one more than the form's
  std::uint8_t offset = 0, gap = 0;
  std::uint8_t view = 0;  // 1: in place of an input; of blocks: by columns
};

// Numbered as in the table of all operations, whichever a target has.
const JudgedOperation* operation_of(std::uint8_t number, const CallSpace& space) {
  const auto all = oracle::judged::judged_operations();
  const JudgedOperation* operation = all[number % all.size()];
  return std::ranges::count(space.operations, operation) > 0
             ? operation
             : space.operations[number % space.operations.size()];
}

// Integers alone, so that it is the same on all machines of one byte order.
struct Header {
  std::uint8_t operation = 0, dtype = 0, rank = 0, layout = 0, flat_rows = 0;
  std::array<std::uint16_t, kSizes> sizes{};
  std::uint16_t pairs = 0, blocks = 0;
  std::uint32_t epsilon = 0, thread_order = 0;
  std::array<TensorRecord, worker::kMaximumTensors> tensors{};
};

// The one list of the header's fields, in order, for reading and writing; of so many tensors as the operation
// has.
template <class Header, class Visit>
void visit_fields(Header& header, const CallSpace& space, Visit visit) {
  visit(header.operation);
  const auto tensors = operation_of(header.operation, space)->tensors.size();
  for (auto* field : {&header.dtype, &header.rank, &header.layout, &header.flat_rows}) visit(*field);
  for (auto& size : header.sizes) visit(size);
  visit(header.pairs);
  visit(header.blocks);
  visit(header.epsilon);
  visit(header.thread_order);
  for (auto& tensor : std::span(header.tensors).first(tensors))
    for (auto* field : {&tensor.choice, &tensor.offset, &tensor.gap, &tensor.view}) visit(*field);
}

// The next bytes as they are; zeros where there are none.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  void take(void* into, std::size_t size) {
    const std::size_t present = std::min(size, bytes_.size());
    if (present > 0) std::memcpy(into, bytes_.data(), present);
    bytes_ = bytes_.subspan(present);
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

CallForm form_of_header(const Header& header, const CallSpace& space) {
  CallForm form;
  form.operation = operation_of(header.operation, space);
  form.dtype = kActivationDTypes[header.dtype % kActivationDTypes.size()];
  const std::size_t rank = 1 + header.rank % kSizes;
  form.shape.assign(header.sizes.end() - static_cast<std::ptrdiff_t>(rank), header.sizes.end());
  form.pairs = header.pairs;
  form.blocks = header.blocks;
  form.layout = header.layout;
  form.flat_rows = header.flat_rows % 2 == 1;
  for (std::size_t i = 0; i < form.choices.size(); ++i)
    if (header.tensors[i].choice > 0)
      form.choices[i] = static_cast<std::uint8_t>(header.tensors[i].choice - 1);
  return form;
}

// What kernels step through by rows may have gaps; of blocks, a table of two dimensions.
bool may_have_gap(const Spec& spec, const CallForm& form, const Tensor& tensor) {
  if (tensor.shape.size() < 2 || tensor.shape.back() == 0) return false;
  return spec.extent != Extent::blocks || (tensor.shape.size() == 2 && layout_of(form).may_have_gaps);
}

void set_places(const Header& header, const CallForm& form, Call& call) {
  const auto tensors = form.operation->tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!call.has(tensors[i].name)) continue;
    const TensorRecord& record = header.tensors[i];
    const bool is_view = record.view % 2 == 1;
    Place place{record.offset % (kMaximumOffset + 1), 0, false};
    place.by_columns = is_view && may_lie_by_columns(call, tensors[i]);
    if (place.by_columns || may_have_gap(tensors[i], form, call.at(tensors[i].name))) place.gap = record.gap;
    if (is_view && !tensors[i].in_place_of.empty() && call.has(tensors[i].in_place_of)) place = {0, 0, true};
    if (place != Place{}) call.places[std::string(tensors[i].name)] = place;
  }
}

// A scale is above 0 and finite.
void fit_number(Tensor& tensor) {
  const float value = std::bit_cast<float>(load_bits(tensor.bytes, DType::fp32, 0));
  if (!(value > 0) || !std::isfinite(value))
    store_bits(tensor.bytes, DType::fp32, 0, std::bit_cast<std::uint32_t>(1.0f));
}

Header header_of(const Call& call, const CallForm& form, std::size_t operation) {
  Header header;
  header.operation = static_cast<std::uint8_t>(operation);
  header.dtype =
      static_cast<std::uint8_t>(std::ranges::find(kActivationDTypes, form.dtype) - kActivationDTypes.begin());
  header.rank = static_cast<std::uint8_t>(form.shape.size() - 1);
  header.layout = form.layout;
  header.flat_rows = form.flat_rows ? 1 : 0;
  std::ranges::transform(form.shape, header.sizes.end() - static_cast<std::ptrdiff_t>(form.shape.size()),
                         [](std::int64_t size) { return static_cast<std::uint16_t>(size); });
  header.pairs = static_cast<std::uint16_t>(form.pairs);
  header.blocks = static_cast<std::uint16_t>(form.blocks);
  header.epsilon = call.epsilon;
  header.thread_order = static_cast<std::uint32_t>(call.thread_order);
  const auto tensors = call.operation->tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Place place = call.place_of(tensors[i].name);
    if (form.choices[i]) header.tensors[i].choice = static_cast<std::uint8_t>(*form.choices[i] + 1);
    header.tensors[i].offset = static_cast<std::uint8_t>(place.offset);
    header.tensors[i].gap = static_cast<std::uint8_t>(place.gap);
    header.tensors[i].view = place.in_place || place.by_columns ? 1 : 0;
  }
  return header;
}

// Whether nothing was lost on the way through the bytes; what outputs hold before a run does not count.
bool same(const Call& back, const Call& call) {
  if (back.places != call.places || back.epsilon != call.epsilon || back.thread_order != call.thread_order ||
      back.tensors.size() != call.tensors.size())
    return false;
  return std::ranges::all_of(call.operation->tensors, [&](const Spec& spec) {
    const Tensor *one = back.find(spec.name), *other = call.find(spec.name);
    if (one == nullptr || other == nullptr) return one == other;
    return one->dtype == other->dtype && one->shape == other->shape &&
           (spec.direction == Direction::out || one->bytes == other->bytes);
  });
}

}  // namespace

Call call_from_bytes(std::span<const std::uint8_t> bytes, const CallSpace& space) {
  Reader reader(bytes);
  Header header;
  visit_fields(header, space, [&](auto& field) { reader.take(&field, sizeof(field)); });
  const CallForm form = fitted(form_of_header(header, space), space);
  Call call = empty_call(form);
  call.epsilon = header.epsilon;
  call.thread_order = header.thread_order;
  set_places(header, form, call);
  for (const Spec& spec : call.operation->tensors) {
    const auto found = call.tensors.find(spec.name);
    if (spec.direction != Direction::in || found == call.tensors.end()) continue;
    reader.take(found->second.bytes.data(), found->second.bytes.size());
    if (spec.extent == Extent::one) fit_number(found->second);
  }
  return call;
}

std::optional<std::vector<std::uint8_t>> call_to_bytes(const Call& call, const CallSpace& space) {
  const auto all = oracle::judged::judged_operations();
  const auto operation = std::ranges::find(all, call.operation);
  if (std::ranges::count(space.operations, call.operation) == 0 || call.at("x").shape.size() > kSizes)
    return std::nullopt;
  const Header header = header_of(call, form_of(call), static_cast<std::size_t>(operation - all.begin()));
  std::vector<std::uint8_t> bytes;
  const auto append = [&](const void* from, std::size_t size) {
    const auto* begin = static_cast<const std::uint8_t*>(from);
    bytes.insert(bytes.end(), begin, begin + size);
  };
  visit_fields(header, space, [&](const auto& field) { append(&field, sizeof(field)); });
  for (const Spec& spec : call.operation->tensors)
    if (const Tensor* tensor = call.find(spec.name); tensor != nullptr && spec.direction == Direction::in)
      append(tensor->bytes.data(), tensor->bytes.size());
  if (!same(call_from_bytes(bytes, space), call)) return std::nullopt;
  return bytes;
}

}  // namespace normproof::fuzz
