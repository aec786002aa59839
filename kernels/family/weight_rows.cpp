#include "kernels/family/weight_rows.h"

#include <algorithm>
#include <array>
#include <vector>

namespace normproof::kernels {
namespace {

// Where a row of the weights lies: an index for each dimension of x that they have; other dimensions have 0.
using Place = std::array<std::int64_t, 4>;

// What of the tensor goes with that row. Its dimension d is dimension first + d of x.
void go_to(const Place& place, int first, int dimensions, Tensor& tensor) {
  for (int d = 0; d < dimensions; ++d) {
    const std::int64_t elements = place[static_cast<std::size_t>(first + d)] * tensor.strides[d];
    tensor.data = static_cast<char*>(tensor.data) + elements * size_of(tensor.dtype);
  }
}

Tensor part_of(const Tensor& tensor, const TensorRule& rule, const Tensor& x, int fewest,
               const Place& place) {
  Tensor part = tensor;
  if (rule.shape == TensorShape::hidden) {
    go_to(place, x.rank - tensor.rank, tensor.rank - 1, part);
    part.rank = 1;
    part.sizes[0] = tensor.sizes[tensor.rank - 1];
    part.strides[0] = 1;
  } else if (rule.shape == TensorShape::elements || rule.shape == TensorShape::pairs ||
             rule.shape == TensorShape::row) {
    // Of these dimensions one element stays, so that the rank does.
    go_to(place, 0, x.rank - 1, part);
    for (int d = fewest; d < x.rank - 1; ++d) part.sizes[d] = 1;
  }
  return part;
}

// The next row in order; false after the last one.
bool advance(const Tensor& x, int fewest, Place& place) {
  for (int d = x.rank - 2; d >= fewest; --d) {
    if (++place[static_cast<std::size_t>(d)] < x.sizes[d]) return true;
    place[static_cast<std::size_t>(d)] = 0;
  }
  return false;
}

}  // namespace

Status run_by_weight_rows(const NamedCall& call, std::span<const TensorRule> rules,
                          const std::function<Status(const NamedCall&)>& run) {
  const Tensor& x = *call.find(rules.front().role);
  const auto rule_of = [&](const NamedTensor& tensor) -> const TensorRule& {
    return *std::ranges::find(rules, tensor.role, &TensorRule::role);
  };
  int fewest = x.rank - 1;  // dimensions of x that no weight has
  for (const NamedTensor& each : call.tensors)
    if (rule_of(each).shape == TensorShape::hidden) fewest = std::min(fewest, x.rank - each.tensor.rank);
  Place place{};
  do {
    std::vector<NamedTensor> parts;
    for (const NamedTensor& each : call.tensors)
      parts.push_back({each.role, part_of(each.tensor, rule_of(each), x, fewest, place)});
    NamedCall part = call;
    part.tensors = parts;
    if (Status status = run(part); !status.ok()) return status;
  } while (advance(x, fewest, place));
  return {};
}

}  // namespace normproof::kernels
