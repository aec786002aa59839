#include "bench/family_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <sstream>
#include <stdexcept>

#include "oracle/judged/block_quant.h"
#include "oracle/judged/operation.h"
#include "properties/targets/interface_dtype.h"

namespace normproof::bench {
namespace {

using oracle::judged::DTypeRule;
using oracle::judged::Extent;
using oracle::judged::find_judged_operation;
using oracle::judged::JudgedOperation;
using oracle::judged::Need;
using oracle::judged::TensorSpec;

// Elements to a scale where neither the operation nor the row says it.
constexpr std::int64_t kBlock = 128;

const JudgedOperation& operation_of(const Row& row) {
  const JudgedOperation* operation = find_judged_operation(row.operation);
  if (operation == nullptr) throw std::invalid_argument("there is no operation " + row.operation);
  return *operation;
}

DType activation_of(normproof_dtype dtype) {
  return dtype == NORMPROOF_FP32 ? DType::fp32 : dtype == NORMPROOF_FP16 ? DType::fp16 : DType::bf16;
}

// The words of a row's details.
struct Details {
  std::map<std::string, DType, std::less<>> dtypes;
  std::set<std::string, std::less<>> in_place, without, with;
  std::int64_t group = 0, heads = 1, rotated = 0;  // 0: as usual
};

Details details_of(const JudgedOperation& operation, const std::string& text) {
  Details details;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const auto count = [&] {
      try {
        return static_cast<std::int64_t>(positive_number(value));
      } catch (const std::exception&) {
        throw std::invalid_argument(word + ": not a number above 0");
      }
    };
    const auto tensor = [&] {
      if (find_tensor(operation, value) == nullptr)
        throw std::invalid_argument(fmt::format("{}: {} has no tensor {}", word, operation.name, value));
      return value;
    };
    if (key == "group") {
      details.group = count();
    } else if (key == "heads") {
      details.heads = count();
    } else if (key == "rotated") {
      details.rotated = count();
    } else if (key == "in_place") {
      details.in_place.insert(tensor());
    } else if (key == "without") {
      details.without.insert(tensor());
    } else if (key == "with") {
      details.with.insert(tensor());
    } else if (find_tensor(operation, key) != nullptr) {
      const std::optional<DType> dtype = dtype_from_name(value);
      if (!dtype) throw std::invalid_argument(word + ": there is no such dtype");
      details.dtypes[key] = *dtype;
    } else {
      throw std::invalid_argument(word + ": neither a tensor nor a word that says how a call looks");
    }
  }
  return details;
}

// Weights, biases and statistics are there, other tensors that may be left out are not.
bool is_there(const TensorSpec& spec, const Details& details) {
  if (details.without.contains(spec.name)) return false;
  if (spec.need != Need::optional || details.with.contains(spec.name)) return true;
  return spec.direction == Direction::in && (spec.extent == Extent::hidden || spec.extent == Extent::row);
}

DType dtype_of(const TensorSpec& spec, const Details& details, DType activation) {
  if (const auto said = details.dtypes.find(spec.name); said != details.dtypes.end()) return said->second;
  if (spec.dtype == DTypeRule::listed) return spec.dtypes.front();
  if (spec.dtype == DTypeRule::fp32 || spec.extent == Extent::row) return DType::fp32;
  return activation;
}

std::int64_t group_of(const JudgedOperation& operation, const Details& details) {
  if (details.group > 0) return details.group;
  return oracle::judged::block_of(family_of(operation)).value_or(kBlock);
}

std::vector<std::int64_t> shape_of(const JudgedOperation& operation, const TensorSpec& spec, const Row& row,
                                   const Details& details, DType dtype) {
  std::vector<std::int64_t> shape = {row.tokens};
  if (has_heads(operation)) shape.push_back(details.heads);
  shape.push_back(row.hidden);
  switch (spec.extent) {
    case Extent::elements:
      break;
    case Extent::hidden:
      return {row.hidden};
    case Extent::row:
      shape.back() = 1;
      break;
    case Extent::rotation:
      return {row.tokens, (details.rotated > 0 ? details.rotated : row.hidden) / 2};
    case Extent::codes:
      if (dtype == DType::uint8) shape.back() /= 2;
      break;
    case Extent::blocks: {
      const std::int64_t group = group_of(operation, details);
      shape.back() = (row.hidden + group - 1) / group;
      break;
    }
    case Extent::one:
      return {1};
  }
  return shape;
}

normproof_measured_values values_of(const TensorSpec& spec) {
  if (spec.direction == Direction::out) return NORMPROOF_VALUES_NONE;
  if (spec.extent == Extent::rotation) return NORMPROOF_VALUES_UNIT;
  if (spec.extent == Extent::one) return NORMPROOF_VALUES_NEAR_ONE;
  if (spec.extent == Extent::row)
    return spec.name == "mean" ? NORMPROOF_VALUES_NEAR_ZERO : NORMPROOF_VALUES_NEAR_ONE;
  return NORMPROOF_VALUES_NORMAL;
}

}  // namespace

FamilyCall::FamilyCall(const Row& row) {
  const JudgedOperation& operation = operation_of(row);
  const Details details = details_of(operation, row.details);
  for (const TensorSpec& spec : operation.tensors) {
    if (!is_there(spec, details)) continue;
    const DType dtype = dtype_of(spec, details, activation_of(row.dtype));
    const std::vector<std::int64_t> shape = shape_of(operation, spec, row, details, dtype);
    normproof_measured_tensor tensor{};
    tensor.role = spec.name.data();
    tensor.dtype = interface_dtype(dtype);
    tensor.rank = static_cast<std::int32_t>(shape.size());
    std::ranges::copy(shape, tensor.sizes);
    tensor.values = values_of(spec);
    tensor.is_weight =
        spec.direction == Direction::in && (spec.extent == Extent::hidden || spec.extent == Extent::one);
    tensor.in_place_of = -1;
    // A sum goes where one of its terms was, as engines have it.
    if (spec.in_place_of == "residual" || details.in_place.contains(spec.name)) {
      const auto other = std::ranges::find_if(
          tensors_, [&](const auto& each) { return spec.in_place_of == std::string_view(each.role); });
      if (other == tensors_.end())
        throw std::invalid_argument(fmt::format("in_place={}: it lies where no input does", spec.name));
      tensor.in_place_of = static_cast<std::int32_t>(other - tensors_.begin());
    }
    tensors_.push_back(tensor);
  }
  if (operation.takes_epsilon) numbers_.push_back({"epsilon", kEpsilon});
  description_ = {operation.name.data(), tensors_.data(), tensors_.size(), numbers_.data(), numbers_.size()};
}

std::vector<PeerRow> read_family_rows(const std::filesystem::path& file) {
  static constexpr std::array<std::string_view, 8> kOwn = {"op",   "details", "H",    "tokens",
                                                           "mode", "copy",    "goal", "goal_us"};
  return read_rows(file, kOwn, [](const Fields& field) {
    PeerRow result;
    Row& row = result.row;
    row.by_name = true;
    row.operation = field.at("op");
    row.details = field.at("details");
    row.hidden = static_cast<std::int64_t>(positive_number(field.at("H")));
    row.tokens = static_cast<std::int64_t>(positive_number(field.at("tokens")));
    row.cold = field.at("mode") == "cold";
    row.heads = details_of(operation_of(row), row.details).heads;
    const auto goal = [&](const char* column) {
      const std::string& text = field.at(column);
      return text.empty() ? std::nullopt : std::optional(positive_number(text));
    };
    row.goal = goal("goal");
    row.goal_us = goal("goal_us");
    const FamilyCall call(row);  // refuses what cannot be called
    return result;
  });
}

}  // namespace normproof::bench
