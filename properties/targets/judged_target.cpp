#include "properties/targets/judged_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>

namespace normproof {
namespace {

using oracle::judged::Call;
using oracle::judged::Place;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

constexpr std::byte kOtherFill{0x5A};

// So many elements are the alignment of a tensor.
std::int64_t aligned_elements(const CallLimits& limits, DType dtype) {
  const auto bytes = static_cast<std::int64_t>(size_of(dtype));
  return std::max<std::int64_t>(limits.alignment / std::gcd(limits.alignment, bytes), 1);
}

// Elements from one of the outermost slices to the next.
std::int64_t distance_of(const Tensor& tensor, const Place& place) {
  std::int64_t distance = place.gap;
  if (tensor.shape.size() < 2) return distance;
  if (place.by_columns) return distance + tensor.shape[0];
  std::int64_t slice = 1;
  for (std::size_t dim = 1; dim < tensor.shape.size(); ++dim) slice *= tensor.shape[dim];
  return distance + slice;
}

bool is_row_like(const Spec& spec) {
  return spec.extent == oracle::judged::Extent::elements || spec.extent == oracle::judged::Extent::hidden;
}

bool is_aligned(const CallLimits& limits, const Spec& spec, const Tensor& tensor, const Place& place) {
  const std::int64_t elements = aligned_elements(limits, tensor.dtype);
  if (place.offset % elements != 0) return false;
  if (!is_row_like(spec) || tensor.shape.size() < 2 || tensor.shape.front() <= 1) return true;
  return distance_of(tensor, place) % elements == 0;
}

// The first output element whose bytes are all still `fill`, by tensor; "" where there is none.
bool holds(const Tensor& tensor, std::int64_t element, std::byte fill) {
  const std::size_t size = size_of(tensor.dtype);
  const auto bytes = std::span(tensor.bytes).subspan(static_cast<std::size_t>(element) * size, size);
  return std::ranges::all_of(bytes, [fill](std::byte byte) { return byte == fill; });
}

}  // namespace

bool has_padding(const Call& call) { return call.operation->slice_blocks != nullptr; }

Call without_padding(Call call, const oracle::judged::Policy& policy) {
  if (!has_padding(call)) return call;
  std::vector<std::int64_t> rows(static_cast<std::size_t>(call.rows()));
  std::iota(rows.begin(), rows.end(), 0);
  return slice_of_rows(call, rows, &policy);
}

std::int64_t hidden_multiple_of(const CallLimits& limits, DType dtype) {
  const std::int64_t multiple = std::max<std::int64_t>(limits.hidden_multiple, 1);
  if (limits.alignment == 0) return multiple;
  return std::lcm(multiple, aligned_elements(limits, dtype));
}

std::string what_is_outside(const CallLimits& limits, const Call& call) {
  if (limits == CallLimits{}) return {};
  const auto over = [](std::int64_t value, std::int64_t limit) { return limit > 0 && value > limit; };
  const std::int64_t hidden = call.hidden_size();
  // Rows are what lies beside each other; heads are part of one.
  const std::vector<std::int64_t>& shape = call.at("x").shape;
  const std::int64_t rows = call.rows();
  if (limits.hidden_multiple > 0 && hidden % limits.hidden_multiple != 0)
    return fmt::format("hidden sizes that are no multiple of {}", limits.hidden_multiple);
  if (over(hidden, limits.greatest_hidden))
    return fmt::format("hidden sizes above {}", limits.greatest_hidden);
  if (over(static_cast<std::int64_t>(shape.size()), limits.greatest_rank))
    return fmt::format("more than {} dimensions", limits.greatest_rank);
  if (rows < limits.least_rows) return fmt::format("fewer than {} rows", limits.least_rows);
  if (over(rows, limits.greatest_rows)) return fmt::format("more than {} rows", limits.greatest_rows);
  for (const Spec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr) continue;
    const Place place = call.place_of(spec.name);
    if (limits.contiguous && place.gap != 0) return "rows with gaps";
    if (limits.not_in_place && place.in_place) return "calls in place";
    if (limits.alignment > 0 && !is_aligned(limits, spec, *tensor, place))
      return fmt::format("addresses and rows that are not aligned to {} bytes", limits.alignment);
  }
  if (limits.epsilon_is_set && takes_epsilon(call) &&
      call.epsilon != std::bit_cast<std::uint32_t>(limits.epsilon))
    return "an epsilon that is not its own";
  return {};
}

void fit_to(const CallLimits& limits, Call& call) {
  if (limits == CallLimits{}) return;
  if (limits.epsilon_is_set) call.epsilon = std::bit_cast<std::uint32_t>(limits.epsilon);
  for (const Spec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr) continue;
    Place place = call.place_of(spec.name);
    if (limits.not_in_place) place.in_place = false;
    if (limits.contiguous) place.gap = 0;
    if (limits.alignment > 0) {
      const std::int64_t elements = aligned_elements(limits, tensor->dtype);
      place.offset -= place.offset % elements;
      if (place.gap != 0) place.gap += (elements - distance_of(*tensor, place) % elements) % elements;
    }
    if (place == Place{}) {
      call.places.erase(std::string(spec.name));
    } else {
      call.places[std::string(spec.name)] = place;
    }
  }
}

JudgedRun run_and_see_all_written(JudgedTarget& target, const Call& call,
                                  const oracle::judged::Policy& policy) {
  JudgedRun first = target.run_judged(call, kCanary);
  if (first.status != RunResult::Status::completed) return first;
  const auto suspicious = [&](const Spec& spec, const Call& seen, std::byte fill) {
    std::vector<std::int64_t> places;
    const Tensor* tensor = seen.find(spec.name);
    // In place, what was not written is the input, and the judge sees it.
    if (spec.direction != Direction::out || tensor == nullptr || seen.place_of(spec.name).in_place)
      return places;
    for (std::int64_t i = 0; i < tensor->elements(); ++i)
      if (holds(*tensor, i, fill)) places.push_back(i);
    return places;
  };
  const auto tensors = call.operation->tensors;
  if (std::ranges::all_of(tensors,
                          [&](const Spec& spec) { return suspicious(spec, first.call, kCanary).empty(); }))
    return first;
  JudgedRun second = target.run_judged(call, kOtherFill);
  if (second.status != RunResult::Status::completed) return first;
  const Call once = without_padding(first.call, policy),
             again = without_padding(std::move(second.call), policy);
  for (const Spec& spec : tensors) {
    std::vector<std::int64_t> unwritten;
    for (const std::int64_t element : suspicious(spec, once, kCanary))
      if (holds(again.at(spec.name), element, kOtherFill)) unwritten.push_back(element);
    if (!unwritten.empty())
      first.memory_violations.push_back(
          fmt::format("{}: {} of {} elements were not written, the first is element {}", spec.name,
                      unwritten.size(), once.at(spec.name).elements(), unwritten.front()));
  }
  return first;
}

}  // namespace normproof
