// Shrink stages that make layout, execution, scalars and weight plain.
#include <algorithm>
#include <array>

#include "corpus/recipe.h"
#include "corpus/shrink_stages.h"

namespace normproof {
namespace {

void flatten(Case& test_case) {
  test_case.shape = {test_case.rows(), test_case.hidden_size()};
  for (CaseTensor& tensor : test_case.tensors) tensor.layout.strides.clear();
}

void make_execution_plain(Case& test_case) {
  test_case.schedule = {};
  test_case.launch = {};
}

void make_layout_plain(Case& test_case) {
  for (CaseTensor& tensor : test_case.tensors) tensor.layout = {};
}

std::uint32_t to_format(const FloatFormat& to, std::uint32_t fp32) {
  const bool negative = (fp32 & kFp32.sign_bit()) != 0;
  const std::uint32_t sign = negative ? to.sign_bit() : 0;
  if (kFp32.is_nan(fp32)) return sign | to.quiet_nan();
  if (kFp32.is_infinite(fp32)) return sign | to.infinity();
  const auto field = static_cast<int>(kFp32.magnitude(fp32) >> kFp32.mantissa_bits);
  const std::uint32_t mantissa = fp32 & kFp32.mantissa_mask();
  return to.round(negative, field == 0 ? mantissa : mantissa | 1u << kFp32.mantissa_bits,
                  std::max(field, 1) - kFp32.bias() - kFp32.mantissa_bits);
}

// The weight rounded to the activation's dtype.
std::optional<Case> narrow_weight(const Case& origin) {
  if (origin.weight_dtype != DType::fp32 || origin.dtype == DType::fp32) return std::nullopt;
  Case candidate = origin;
  candidate.weight_dtype = origin.dtype;
  if (candidate[Role::weight].data.recipe) return candidate;
  const FloatFormat format = format_of(origin.dtype);
  candidate[Role::weight].data.bytes.assign(
      static_cast<std::size_t>(origin.hidden_size()) * size_of(origin.dtype), std::byte{});
  for (std::int64_t i = 0; i < origin.hidden_size(); ++i) {
    store_bits(candidate[Role::weight].data.bytes, origin.dtype, i,
               to_format(format, load_bits(origin[Role::weight].data.bytes, DType::fp32, i)));
  }
  return candidate;
}

std::optional<Case> feature_candidate(const Case& origin, std::int64_t index) {
  Case candidate = origin;
  switch (index) {
    case 0:
      flatten(candidate);
      make_layout_plain(candidate);
      make_execution_plain(candidate);
      candidate.in_place = false;
      candidate.parameter_bits = usual_parameters();
      break;
    case 1:
      make_execution_plain(candidate);
      break;
    case 2:
      make_layout_plain(candidate);
      break;
    case 3:
      flatten(candidate);
      break;
    case 4:
      candidate.in_place = false;
      break;
    case 5:
      candidate.launch.path = KernelPath::automatic;
      break;
    case 6:
      candidate.launch.threads_per_block = 0;
      break;
    case 7:
      candidate.schedule = {};
      break;
    case 8:
      candidate.schedule = {ThreadOrder::reverse, 0};
      break;
    case 9:
      candidate.schedule.seed = 0;
      break;
    case 10:
      candidate.bits_of(Parameter::epsilon) = plainest_bits(Parameter::epsilon);
      break;
    case 11:
      candidate.weight_dtype.reset();
      keep_what_it_has(candidate);
      break;
    case 12:
      candidate.launch.in_graph = false;
      break;
    case 13:
      candidate.bits_of(Parameter::scale_ub) = plainest_bits(Parameter::scale_ub);
      break;
    default:
      return narrow_weight(origin);
  }
  return candidate;
}
constexpr std::int64_t kFeatureCandidates = 15;

std::optional<Case> usual_parameter(const Case& origin, std::int64_t index) {
  const Parameter parameter = kParameters[static_cast<std::size_t>(index)];
  Case candidate = origin;
  candidate.bits_of(parameter) = spec_of(parameter).usual_bits;
  return candidate;
}

// For one tensor: no strides, no offset; for one of its dimensions: gone where it has a single step.
std::optional<Case> layout_candidate(const Case& origin, std::int64_t index) {
  Case candidate = origin;
  TensorLayout& layout = candidate[kRoles[static_cast<std::size_t>(index / 2)]].layout;
  if (index % 2 == 0) {
    layout.strides.clear();
  } else {
    layout.offset = 0;
  }
  return candidate;
}

std::optional<Case> without_dimension(const Case& origin, std::int64_t dim) {
  if (origin.shape.size() < 3 || origin.shape[static_cast<std::size_t>(dim)] != 1) return std::nullopt;
  Case candidate = origin;
  candidate.shape.erase(candidate.shape.begin() + dim);
  for (CaseTensor& tensor : candidate.tensors) {
    std::vector<std::int64_t>& strides = tensor.layout.strides;
    if (!strides.empty()) strides.erase(strides.begin() + dim);
  }
  return candidate;
}

// Smaller strides and offsets of one tensor, where they cannot go: half the
// way to the least one, then a step.
std::optional<Case> tighter_candidate(const Case& origin, std::int64_t index) {
  Case candidate = origin;
  TensorLayout& layout = candidate[kRoles[static_cast<std::size_t>(index / 8)]].layout;
  const std::int64_t way = index % 8;
  if (way < 2) {
    layout.offset = way == 0 ? layout.offset / 2 : layout.offset - 1;
    return candidate;
  }
  const auto dim = static_cast<std::size_t>((way - 2) / 2);
  if (dim >= layout.strides.size()) return std::nullopt;
  std::int64_t& stride = layout.strides[dim];
  const std::int64_t least = std::min(stride, origin.hidden_size());
  stride = way % 2 == 0 ? least + (stride - least) / 2 : stride - 1;
  return candidate;
}

}  // namespace

void append_feature_stages(const Case& origin, std::vector<ShrinkStage>& stages) {
  stages.push_back(
      {kFeatureCandidates, [&origin](std::int64_t index) { return feature_candidate(origin, index); }});
  stages.push_back({static_cast<std::int64_t>(kParameters.size()),
                    [&origin](std::int64_t index) { return usual_parameter(origin, index); }});
  stages.push_back({2 * static_cast<std::int64_t>(kRoles.size()),
                    [&origin](std::int64_t index) { return layout_candidate(origin, index); }});
  stages.push_back({static_cast<std::int64_t>(origin.shape.size()) - 1,
                    [&origin](std::int64_t index) { return without_dimension(origin, index); }});
  stages.push_back({8 * static_cast<std::int64_t>(kRoles.size()),
                    [&origin](std::int64_t index) { return tighter_candidate(origin, index); }});
}

}  // namespace normproof
