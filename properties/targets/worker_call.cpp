#include "properties/targets/worker_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <vector>

namespace normproof {
namespace {

constexpr std::size_t kTensorAlignment = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
}

std::size_t size_of(const GuardedTensor::Range& range) {
  return static_cast<std::size_t>(range.end - range.begin);
}

bool lies_in(const GuardedTensor& tensor, const std::byte* data) {
  return data != nullptr && tensor.memory().begin >= data &&
         tensor.memory().begin < data + worker::kDataBytes;
}

// Calls visit(begin, bytes) for the pieces of a tensor that travel.
template <class Visit>
void for_each_piece(const GuardedTensor& tensor, const Visit& visit) {
  const auto pieces = tensor.pieces();
  if (pieces.empty()) visit(tensor.memory().begin, size_of(tensor.memory()));
  for (const auto& piece : pieces) visit(piece.begin, size_of(piece));
}

// An address of the caller's as one in the regions of its tensors; one that
// lies in none is passed on as it is.
worker::Pointer translate(const void* address, const std::vector<const GuardedTensor*>& tensors, bool as_is) {
  const auto* byte = static_cast<const std::byte*>(address);
  for (std::size_t i = 0; i < tensors.size() && !as_is; ++i) {
    const auto memory = tensors[i]->memory();
    if (byte >= memory.begin && byte < memory.end)
      return {static_cast<std::int32_t>(i), static_cast<std::uint64_t>(byte - memory.begin)};
  }
  return {-1, reinterpret_cast<std::uintptr_t>(address)};
}

worker::Tensor translate(const normproof_tensor* description,
                         const std::vector<const GuardedTensor*>& tensors, bool as_is) {
  if (description == nullptr) return {};
  return {true, *description, translate(description->data, tensors, as_is)};
}

// The regions of the call's tensors, and their bytes unless they lie there already.
void put_tensors(const std::vector<const GuardedTensor*>& tensors, worker::Round& round, std::byte* data,
                 Slot slot) {
  worker::Call& request = round.call[slot.call];
  request.regions = static_cast<std::uint32_t>(tensors.size());
  std::size_t offset = slot.data_offset;
  std::uint32_t extent = slot.first_extent;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    worker::Region& region = request.region[i];
    const auto memory = tensors[i]->memory();
    if (lies_in(*tensors[i], data)) {
      region = {size_of(memory), static_cast<std::uint64_t>(memory.begin - data), 0, 0};
      continue;
    }
    region = {size_of(memory), offset, extent, static_cast<std::uint32_t>(tensors[i]->pieces().size())};
    for_each_piece(*tensors[i], [&](const std::byte* begin, std::size_t bytes) {
      if (region.extents > 0)
        round.extent[extent++] = {{static_cast<std::uint64_t>(begin - memory.begin), bytes}, offset};
      std::memcpy(data + offset, begin, bytes);
      offset += aligned(bytes);
    });
  }
}

void put_text(std::string_view text, char (&place)[worker::kNameBytes]) {
  std::memcpy(place, text.data(), std::min(text.size(), sizeof place - 1));
}

}  // namespace

Need need_of(const std::vector<const GuardedTensor*>& tensors, const std::byte* data) {
  Need need;
  for (const GuardedTensor* tensor : tensors) {
    if (lies_in(*tensor, data)) continue;
    for_each_piece(*tensor, [&](const std::byte*, std::size_t bytes) { need.bytes += aligned(bytes); });
    need.extents += static_cast<std::uint32_t>(tensor->pieces().size());
  }
  return need;
}

std::string too_large(const Need& need) {
  if (need.bytes <= worker::kDataBytes && need.extents <= worker::kMaximumExtents) return {};
  return fmt::format("the case takes {} MiB in {} pieces, the worker has room for {} MiB in {}",
                     need.bytes >> 20, need.extents, worker::kDataBytes >> 20, worker::kMaximumExtents);
}

void put_call(const GuardedCall& call, bool as_is, worker::Round& round, std::byte* data, Slot slot) {
  const auto tensors = call.tensors();
  worker::Call& request = round.call[slot.call];
  request = {};
  request.operation = static_cast<std::int32_t>(call.test_case().operation);
  for (const Parameter parameter : kParameters)
    request.parameters[static_cast<std::size_t>(parameter)] = call.test_case().value_of(parameter);
  request.launch = call.launch;
  request.in_graph = call.test_case().launch.in_graph ? 1 : 0;
  request.thread_order = static_cast<std::int32_t>(call.test_case().schedule.order);
  request.thread_order_seed = call.test_case().schedule.seed;
  for (const Role role : kRoles)
    request.tensor[static_cast<std::size_t>(role)] = translate(call.argument(role), tensors, as_is);
  put_tensors(tensors, round, data, slot);
}

void put_call(const NamedCall& call, std::size_t operation, worker::Round& round, std::byte* data,
              Slot slot) {
  const auto tensors = call.tensors();
  worker::Call& request = round.call[slot.call];
  request = {};
  request.operation = static_cast<std::int32_t>(operation);
  request.is_named = 1;
  const std::uint64_t order = call.call().thread_order;
  request.thread_order = static_cast<std::int32_t>(thread_order_of(order));
  request.thread_order_seed = order;
  if (takes_epsilon(call.call())) {
    put_text("epsilon", request.number[request.numbers].name);
    request.number[request.numbers++].value = std::bit_cast<float>(call.call().epsilon);
  }
  std::size_t next = 0;
  for (const NamedCall::Argument& each : call.arguments()) {
    worker::Tensor& place = request.tensor[next++];
    place.present = true;
    place.dtype = static_cast<std::int32_t>(each.tensor->dtype());
    place.description.rank = static_cast<std::int32_t>(each.tensor->shape().size());
    std::ranges::copy(each.shape(), place.description.sizes);
    std::ranges::copy(each.strides(), place.description.strides);
    place.data = translate(each.tensor->data(), tensors, false);
    put_text(each.spec->name, place.role);
  }
  put_tensors(tensors, round, data, slot);
}

void take_tensors(const std::vector<const GuardedTensor*>& tensors, const std::byte* data,
                  std::size_t data_offset) {
  for (const GuardedTensor* tensor : tensors) {
    if (lies_in(*tensor, data)) continue;
    for_each_piece(*tensor, [&](std::byte* begin, std::size_t bytes) {
      std::memcpy(begin, data + data_offset, bytes);
      data_offset += aligned(bytes);
    });
  }
}

}  // namespace normproof
