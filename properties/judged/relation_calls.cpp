#include "properties/judged/relation_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "oracle/exact.h"
#include "oracle/formats.h"

namespace normproof::judging {
namespace {

using oracle::judged::Extent;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

constexpr std::int64_t kRows = 4;

double value_at(const Tensor& tensor, std::int64_t index) {
  return oracle::to_double(oracle::decode(tensor.dtype, load_bits(tensor.bytes, tensor.dtype, index)));
}
void store(Tensor& tensor, std::int64_t index, double value) {
  store_bits(tensor.bytes, tensor.dtype, index, oracle::bits_of(tensor.dtype, value));
}

bool has(const Call& call, std::string_view tensor) {
  return find_tensor(*call.operation, tensor) != nullptr;
}

// Adds ones until the sum of each row of x, and of the residual, is a multiple of its length.
void make_means_whole(Call& call) {
  Tensor& x = call.tensors.at("x");
  const Tensor* residual = call.find("residual");
  const std::int64_t columns = call.hidden_size();
  for (std::int64_t row = 0; row < call.rows(); ++row) {
    std::int64_t sum = 0;
    for (std::int64_t j = row * columns; j < (row + 1) * columns; ++j)
      sum += static_cast<std::int64_t>(value_at(x, j) + (residual == nullptr ? 0 : value_at(*residual, j)));
    const std::int64_t missing = (columns - (sum % columns + columns) % columns) % columns;
    for (std::int64_t j = row * columns; j < row * columns + missing; ++j) store(x, j, value_at(x, j) + 1);
  }
}

double e2m1(std::uint32_t code) {
  constexpr std::array<double, 8> kMagnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return (code & 8) != 0 ? -kMagnitudes[code & 7] : kMagnitudes[code & 7];
}

// Moves `width`-element columns of a tensor's rows.
void rotate_columns(Tensor& tensor, std::int64_t distance) {
  const std::int64_t columns = tensor.shape.back();
  const auto size = static_cast<std::ptrdiff_t>(size_of(tensor.dtype));
  for (auto row = tensor.bytes.begin(); columns > 0 && row != tensor.bytes.end(); row += columns * size)
    std::rotate(row, row + (columns - distance % columns) % columns * size, row + columns * size);
}

}  // namespace

std::optional<Call> call_with_exact_sums(const Combination& combination, Random& random) {
  std::optional<Call> call =
      call_of_size(combination, kRows, std::int64_t{1} << random.between(4, 8), random);
  if (!call || !std::has_single_bit(static_cast<std::uint64_t>(call->hidden_size()))) return std::nullopt;
  for (const Spec& spec : call->operation->tensors) {
    const auto found = call->tensors.find(spec.name);
    if (spec.direction == Direction::out || found == call->tensors.end()) continue;
    Tensor& tensor = found->second;
    for (std::int64_t i = 0; i < tensor.elements(); ++i) {
      if (spec.extent == Extent::elements) store(tensor, i, static_cast<double>(random.between(-8, 8)));
      if (spec.extent == Extent::hidden && spec.name == "weight")
        store(tensor, i, std::ldexp(random.chance(1, 2) ? 1 : -1, static_cast<int>(random.between(-1, 1))));
      if (spec.extent == Extent::hidden && spec.name != "weight")
        store(tensor, i, static_cast<double>(random.between(-8, 8)) / 2);
      if (spec.extent == Extent::row)
        store(tensor, i,
              spec.name == "rstd" ? std::ldexp(1, static_cast<int>(random.between(-3, 0)))
                                  : static_cast<double>(random.between(-2, 2)));
    }
  }
  if (has(*call, "mean")) make_means_whole(*call);
  return call;
}

std::optional<Call> moderate_call(const Combination& combination, Random& random) {
  std::optional<Call> call = call_of_size(combination, kRows, random.between(4, 256), random);
  if (!call) return call;
  for (const Spec& spec : call->operation->tensors) {
    const auto found = call->tensors.find(spec.name);
    if (spec.direction == Direction::out || found == call->tensors.end()) continue;
    if (spec.extent == Extent::rotation || spec.extent == Extent::one) continue;
    Tensor& tensor = found->second;
    // As many bits as the dtype has.
    const std::uint64_t steps = std::uint64_t{1} << (tensor.dtype == DType::fp32   ? 23
                                                     : tensor.dtype == DType::fp16 ? 10
                                                                                   : 7);
    for (std::int64_t i = 0; i < tensor.elements(); ++i) {
      const double fraction = static_cast<double>(random.below(steps)) / static_cast<double>(steps);
      const double magnitude = std::ldexp(1 + fraction, static_cast<int>(random.between(-2, 2)));
      store(tensor, i, random.chance(1, 2) && spec.name != "rstd" ? -magnitude : magnitude);
    }
  }
  return call;
}

void scale(Call& call, std::initializer_list<std::string_view> tensors, double factor) {
  for (const std::string_view name : tensors) {
    const auto found = call.tensors.find(name);
    if (found == call.tensors.end()) continue;
    for (std::int64_t i = 0; i < found->second.elements(); ++i)
      store(found->second, i, factor * value_at(found->second, i));
  }
}

void overwrite(Tensor& tensor, const std::function<bool(std::int64_t)>& chosen,
               const std::function<double(std::int64_t)>& value) {
  for (std::int64_t i = 0; i < tensor.elements(); ++i)
    if (chosen(i)) store(tensor, i, value(i));
}

Call with_columns_rotated(Call call, std::int64_t distance) {
  for (const Spec& spec : call.operation->tensors) {
    const auto found = call.tensors.find(spec.name);
    if (spec.direction == Direction::in && found != call.tensors.end() &&
        (spec.extent == Extent::elements || spec.extent == Extent::hidden))
      rotate_columns(found->second, distance);
  }
  return call;
}

std::vector<double> values_of(const Spec& spec, const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    const std::uint32_t bits = load_bits(tensor.bytes, tensor.dtype, i);
    if (tensor.dtype == DType::int8) {
      values.push_back(static_cast<std::int8_t>(bits));
    } else if (tensor.dtype != DType::uint8) {
      values.push_back(oracle::to_double(oracle::decode(tensor.dtype, bits)));
    } else if (spec.extent == Extent::codes) {
      values.push_back(e2m1(bits & 15));
      values.push_back(e2m1(bits >> 4 & 15));
    } else {
      values.push_back(bits);
    }
  }
  return values;
}

std::string first_difference(const Call& first, const Call& second, const Wanted& wanted) {
  for (const Spec& spec : first.operation->tensors) {
    const Tensor *one = first.find(spec.name), *other = second.find(spec.name);
    if (spec.direction != Direction::out || one == nullptr || other == nullptr) continue;
    const std::vector<double> of_first = values_of(spec, *one), of_second = values_of(spec, *other);
    for (std::size_t i = 0; i < of_second.size() && of_first.size() == of_second.size(); ++i) {
      const std::optional<double> right = wanted(spec, of_first, static_cast<std::int64_t>(i));
      if (!right || *right == of_second[i] || (std::isnan(*right) && std::isnan(of_second[i]))) continue;
      return fmt::format("element {} of {}: {} in the first call, so {} in the second, which has {}", i,
                         spec.name, of_first[i], *right, of_second[i]);
    }
  }
  return {};
}

}  // namespace normproof::judging
