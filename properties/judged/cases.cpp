#include "properties/judged/cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "corpus/case.h"
#include "oracle/box_search/random_rows.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"

namespace normproof::judging {
namespace {

using oracle::box_search::RowClass;
using oracle::judged::DTypeRule;
using oracle::judged::Extent;
using oracle::judged::HiddenRows;
using oracle::judged::Need;
using oracle::judged::Tensor;
using oracle::judged::TensorSpec;

constexpr std::array<std::int64_t, 9> kModelSizes = {64, 128, 256, 512, 768, 1024, 2048, 4096, 8192};
constexpr std::array<std::uint32_t, 4> kEpsilons = {0x358637bd, 0x3727c5ac, 0x2b8cbccc,
                                                    0};  // 1e-6, 1e-5, 1e-12, 0

std::int64_t draw_hidden(Random& random, std::int64_t most) {
  const std::uint64_t ticket = random.below(10);
  if (ticket < 5) return std::min(most, random.between(1, 8));
  if (ticket < 7) return random.log_between(1, std::min<std::int64_t>(most, 512));
  return std::min(most, random.pick(kModelSizes));
}

class Draw {
 public:
  Draw(const CaseDemand& demand, Random random) : demand_(demand), random_(random) {}

  Call call(std::string name) {
    Call call;
    call.operation = demand_.operation;
    call.name = std::move(name);
    call.epsilon = random_.chance(1, 8) ? random_.pick(kEpsilons) : kEpsilons[random_.below(2)];
    if (demand_.epsilon) call.epsilon = *demand_.epsilon;
    draw_shape();
    for (const TensorSpec& spec : call.operation->tensors) {
      const bool is_left_out =
          spec.need == Need::optional && spec.extent == Extent::elements && !demand_.with_optional;
      if (spec.direction == Direction::out || is_left_out || spec.extent == Extent::row) continue;
      if (spec.extent == Extent::one) {
        draw_number(call, spec);
        continue;
      }
      if (const auto dtype = dtype_of(spec)) call.tensors[std::string(spec.name)] = tensor(spec, *dtype);
    }
    make_rotation(call);
    const oracle::StandardFloatEnvironment environment;
    call.operation->complete(call, call.epsilon);
    if (!demand_.with_statistics) leave_out_statistics(call);
    return call;
  }

 private:
  void draw_shape() {
    hidden_ = draw_hidden(random_, demand_.max_hidden);
    const std::int64_t rows =
        std::max(demand_.least_rows, random_.chance(1, 2) ? 1 : random_.between(1, demand_.max_rows));
    const std::int64_t multiple = demand_.hidden_multiple;
    hidden_ = std::max(hidden_ / multiple * multiple, multiple);
    const bool needs_pairs = std::ranges::any_of(demand_.operation->tensors, [](const TensorSpec& spec) {
      return std::ranges::find(spec.dtypes, DType::uint8) != spec.dtypes.end() &&
             spec.extent == Extent::codes;
    });  // a byte may hold two codes
    if (needs_pairs && hidden_ % 2 != 0) hidden_ += multiple;
    shape_ = {rows, hidden_};
    divide_rows();
    if (!has_heads(*demand_.operation)) return;
    hidden_ = std::min<std::int64_t>(std::max<std::int64_t>(hidden_ / 2 * 2, 2), 256);
    shape_ = {rows, random_.between(1, 4), hidden_};
    pairs_ = random_.chance(1, 4) ? random_.between(0, hidden_ / 2) : hidden_ / 2;
  }

  static void leave_out_statistics(Call& call) {
    if (call.operation->epsilon_without.empty()) return;
    for (const TensorSpec& spec : call.operation->tensors)
      if (spec.direction == Direction::in && spec.extent == Extent::row)
        call.tensors.erase(std::string(spec.name));
  }

  // Rows beside each other, each with its row of the weight; or in a few groups, each row of which goes
  // with the same row of it. What is drawn of this leaves calls of other operations as they are.
  void divide_rows() {
    const auto several = [&](const TensorSpec& spec) {
      return spec.rows == HiddenRows::several || (spec.rows == HiddenRows::any && demand_.with_rows);
    };
    constexpr std::int64_t kMostRowsOfWeight = 16;
    Random aside = random_.split(11);
    if (std::ranges::none_of(demand_.operation->tensors, several) || aside.chance(1, 4)) return;
    const std::int64_t rows = shape_.front();
    rows_of_weight_ = {rows};
    if (rows <= kMostRowsOfWeight && aside.chance(1, 2)) return;
    std::int64_t groups = aside.between(1, 4);
    while (rows % groups != 0) --groups;
    shape_ = {rows / groups, groups, hidden_};
    rows_of_weight_ = {groups};
    if (rows <= kMostRowsOfWeight && aside.chance(1, 4)) rows_of_weight_ = {rows / groups, groups};
  }

  std::optional<DType> dtype_of(const TensorSpec& spec) const {
    if (spec.dtype == DTypeRule::activation) return demand_.dtype;
    if (spec.extent == Extent::rotation) return demand_.rotation.value_or(demand_.dtype);
    if (spec.need == Need::always) return demand_.weight.value_or(demand_.dtype);
    return spec.name == "bias" ? demand_.bias : demand_.weight;
  }

  // The exponents of a number. As it is used: a global scale, or its inverse, brings the largest numbers of a
  // tensor near the end of the codes; an upper bound is below the largest number of some rows. Or it is of
  // any size, so that the least scale is above it, or no number reaches it.
  std::pair<int, int> exponents_of(const TensorSpec& spec) {
    if (spec.name == "global_scale") return {4, 12};
    if (spec.name == "scale") return {-10, -4};
    return random_.chance(1, 4) ? std::pair(-149, 127) : std::pair(-2, 2);
  }

  void draw_number(Call& call, const TensorSpec& spec) {
    if (spec.need == Need::optional && !demand_.with_bound) return;
    const auto [least, most] = exponents_of(spec);
    const float significand = 1 + static_cast<float>(random_.below(1 << 23)) * 0x1p-23f;
    const float value = std::ldexp(significand, static_cast<int>(random_.between(least, most)));
    Tensor number{DType::fp32, {1}, std::vector<std::byte>(4)};
    store_bits(number.bytes, DType::fp32, 0, std::bit_cast<std::uint32_t>(value));
    call.tensors[std::string(spec.name)] = std::move(number);
  }

  RowClass row_class() {
    auto result = oracle::box_search::mostly_ordinary(random_);
    while (demand_.finite && (result == RowClass::not_finite || result == RowClass::huge))
      result = oracle::box_search::mostly_ordinary(random_);
    return result;
  }

  Tensor tensor(const TensorSpec& spec, DType dtype) {
    std::vector<float> values;
    Tensor result{dtype, {}, {}};
    if (spec.extent == Extent::hidden) {
      // A weight may have rows and a bias none.
      if (spec.rows != HiddenRows::one && (spec.name == "weight" || random_.split(12).chance(1, 2)))
        result.shape = rows_of_weight_;
      result.shape.push_back(hidden_);
      values = oracle::box_search::random_weight(random_, dtype, result.elements());
    } else if (spec.extent == Extent::rotation) {
      result.shape = {shape_.front(), pairs_};
      values.assign(static_cast<std::size_t>(shape_.front() * pairs_), 0.0f);
    } else {
      result.shape = shape_;
      std::int64_t rows = 1;
      for (const std::int64_t size : shape_) rows *= size;
      rows /= hidden_;
      for (std::int64_t row = 0; row < rows; ++row) {
        const auto of_row = oracle::box_search::random_row(random_, dtype, hidden_, row_class());
        values.insert(values.end(), of_row.begin(), of_row.end());
      }
    }
    result.bytes = oracle::box_search::packed(std::move(values), dtype);
    return result;
  }

  // Angles that no position has, in all quadrants; square roots are the same on every machine.
  void make_rotation(Call& call) {
    if (!call.has("cos")) return;
    std::vector<float> cosines, sines;
    for (std::int64_t i = 0; i < shape_.front() * pairs_; ++i) {
      const bool plain = random_.chance(1, 16);
      const double c = plain ? 1.0 : static_cast<double>(random_.between(-(1 << 24), 1 << 24)) * 0x1p-24;
      const double s = std::sqrt(1 - c * c);
      cosines.push_back(static_cast<float>(c));
      sines.push_back(static_cast<float>(random_.chance(1, 2) ? s : -s));
    }
    Tensor& cosine = call.tensors.at("cos");
    cosine.bytes = oracle::box_search::packed(std::move(cosines), cosine.dtype);
    Tensor& sine = call.tensors.at("sin");
    sine.bytes = oracle::box_search::packed(std::move(sines), sine.dtype);
  }

  const CaseDemand& demand_;
  Random random_;
  std::vector<std::int64_t> shape_;
  std::vector<std::int64_t> rows_of_weight_;  // its leading dimensions
  std::int64_t hidden_ = 0;
  std::int64_t pairs_ = 0;
};

bool is_finite(const Call& call) {
  return std::ranges::all_of(call.tensors, [](const auto& entry) {
    const Tensor& tensor = entry.second;
    const oracle::Format& format = oracle::format_of(tensor.dtype);
    for (std::int64_t i = 0; i < tensor.elements(); ++i) {
      const std::uint32_t bits = load_bits(tensor.bytes, tensor.dtype, i);
      if (oracle::is_nan(format, bits) || oracle::is_infinite(format, bits)) return false;
    }
    return true;
  });
}

}  // namespace

Call random_call(const CaseDemand& demand, std::uint64_t seed, std::int64_t index) {
  Random random = Random(seed).split(static_cast<std::uint64_t>(index));
  while (true) {
    Call call = Draw(demand, random).call(fmt::format("case-{}", index));
    call.description = fmt::format("Case {} of seed {} of the Python package.", index, seed);
    if (!demand.finite || is_finite(call)) return call;
    random = random.split(0);
  }
}

Call without_outputs(const Call& call) {
  Call result = call;
  for (const TensorSpec& spec : call.operation->tensors) {
    if (spec.direction == Direction::out) result.tensors.erase(std::string(spec.name));
  }
  return result;
}

Call violating_part(const Call& call, const Violation& violation, const Policy& policy) {
  if (violation.kind == "interval") {
    Call part = call;
    for (const TensorSpec& spec : call.operation->tensors) {
      if (spec.direction == Direction::out && spec.name != violation.tensor)
        part.tensors.erase(std::string(spec.name));
    }
    const std::array<oracle::judged::ColumnGroup, 1> group = {{{{violation.elements.at(0).column}, {}}}};
    return slice_of_columns(part, group);
  }
  const std::array<std::int64_t, 1> row = {violation.row};
  Call part = slice_of_rows(call, row, &policy);
  for (const TensorSpec& spec : call.operation->tensors) {  // sums over rows are not those of one row
    if (spec.direction == Direction::out && spec.extent == Extent::hidden)
      part.tensors.erase(std::string(spec.name));
  }
  return part;
}

}  // namespace normproof::judging
