// What operations that quantize block by block have in common: the shapes of their scales, and the formula of
// a call. block_judge.cpp has the judge.
#include "oracle/judged/block_quant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "oracle/judged/search_violation.h"
#include "oracle/policy_rows.h"

namespace normproof::oracle::judged {
namespace {

std::uint32_t no_least_scale(DType, std::uint32_t) { return 0; }
std::uint32_t least_scale_1e_10(DType, std::uint32_t) { return 0x2edbe6ffu; }

std::int64_t ceil_to(std::int64_t number, std::int64_t multiple) {
  return (number + multiple - 1) / multiple * multiple;
}

// The row of a policy table by the name of its value.
template <typename Enum, typename Row>
Enum enumerator(std::span<const Row> rows, std::string_view name) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].text.name == name) return static_cast<Enum>(i);
  throw std::logic_error("oracle: no value " + std::string(name));
}

std::uint32_t number_bits(const Tensor& tensor) { return load_bits(tensor.bytes, tensor.dtype, 0); }

}  // namespace

BlockFamily family_of(const JudgedOperation& operation) {
  const auto has_bound = [&](std::string_view name) {
    return std::ranges::find(operation.bounds, name, &Bound::name) != operation.bounds.end();
  };
  return find_tensor(operation, "global_scale") != nullptr ? BlockFamily::nvfp4
         : has_bound("group_size")                         ? BlockFamily::block
                                                           : BlockFamily::mx;
}

std::optional<std::int64_t> block_of(BlockFamily family) {
  if (family == BlockFamily::block) return std::nullopt;
  return family == BlockFamily::mx ? 32 : 16;
}

const NamedFloor& floor_by_name(std::string_view name) {
  static const std::vector<NamedFloor> kTable = [] {
    std::vector<NamedFloor> rows;
    for (const ScaleFloorRow& row : scale_floor_rows()) rows.push_back({row.text.name, row});
    rows.push_back({"maximum_1e-10", {{}, 0x2edbe6ffu, no_least_scale, false}});
    rows.push_back({"least_scale_1e-10", {{}, 0, least_scale_1e_10, false}});
    return rows;
  }();
  return *std::ranges::find(kTable, name, &NamedFloor::name);
}

// --- Shapes. ---

namespace {

// What the shape of the scales says, given how many blocks there are; nothing: it fits no layout.
std::optional<ScaleLayout> layout_of(const Tensor& scales, const Call& call, std::int64_t blocks,
                                     std::string_view asked, bool may_be_swizzled) {
  using Layout = ScaleLayout::Kind;
  const std::int64_t rows = call.rows();
  std::vector<std::int64_t> leading = call.at("x").shape;
  leading.back() = blocks;
  const std::vector<std::int64_t>& shape = scales.shape;
  const ScaleLayout swizzled{Layout::swizzled, rows, blocks, 0};
  const std::vector<std::int64_t> padded = swizzled.shape();
  const bool is_row = shape == leading || shape == std::vector{rows, blocks};
  const bool is_column = shape.size() == 2 && shape[0] == blocks &&
                         (shape[1] == rows || shape[1] == ceil_to(rows, 4) || shape[1] == ceil_to(rows, 16));
  const bool is_swizzled =
      may_be_swizzled && (shape == padded || shape == std::vector{padded[0] * padded[1]});
  if (asked == "swizzled_128x4") return is_swizzled ? std::optional(swizzled) : std::nullopt;
  if (asked == "column_major") {
    if (is_column) return ScaleLayout{Layout::column_major, rows, blocks, shape[1]};
    return is_row ? std::optional(ScaleLayout{Layout::column_major, rows, blocks, rows}) : std::nullopt;
  }
  if (is_row) return ScaleLayout{Layout::row_major, rows, blocks, 0};
  if (is_column) return ScaleLayout{Layout::column_major, rows, blocks, shape[1]};
  return is_swizzled ? std::optional(swizzled) : std::nullopt;
}

// How many blocks the shape says where the size of a block is open.
std::int64_t blocks_by_shape(const Tensor& scales, const Call& call) {
  std::vector<std::int64_t> leading = call.at("x").shape;
  if (scales.shape.empty()) return 0;
  leading.back() = scales.shape.back();
  if (scales.shape == leading || scales.shape == std::vector{call.rows(), scales.shape.back()})
    return scales.shape.back();
  return scales.shape.front();
}

std::int64_t usual_block(std::int64_t hidden) { return hidden < 512 ? 64 : 128; }

// 128, 64, or an even division of H.
std::int64_t block_by_count(std::int64_t hidden, std::int64_t blocks) {
  for (const std::int64_t block : {128, 64})
    if ((hidden + block - 1) / block == blocks) return block;
  return blocks > 0 && hidden % blocks == 0 ? hidden / blocks : 0;
}

}  // namespace

bool shape_says_block(const JudgedOperation& operation, const Policy& policy) {
  const bool has_blocks =
      std::ranges::find(operation.tensors, Extent::blocks, &TensorSpec::extent) != operation.tensors.end();
  return has_blocks && !block_of(family_of(operation)) && !policy.bound("group_size");
}

BlockShape block_shape_of(const Call& call, const Policy* policy) {
  const BlockFamily family = family_of(*call.operation);
  const std::int64_t hidden = call.hidden_size();
  const std::string_view asked = policy == nullptr ? "as_shaped" : policy->value("scale_layout");
  const Tensor* scales = call.find("scales");
  BlockShape result;
  const auto group =
      policy != nullptr && family == BlockFamily::block ? policy->bound("group_size") : std::nullopt;
  const auto count = [&](std::int64_t block) { return (hidden + block - 1) / block; };
  result.block = block_of(family).value_or(0);
  if (group) result.block = *group;
  if (scales == nullptr) {
    if (result.block == 0) result.block = usual_block(hidden);
    result.layout = {ScaleLayout::Kind::row_major, call.rows(), count(result.block), 0};
    if (asked == "column_major")
      result.layout = {ScaleLayout::Kind::column_major, call.rows(), count(result.block), call.rows()};
    if (asked == "swizzled_128x4") result.layout.kind = ScaleLayout::Kind::swizzled;
    return result;
  }
  const std::int64_t blocks = result.block != 0 ? count(result.block) : blocks_by_shape(*scales, call);
  const auto layout = layout_of(*scales, call, blocks, asked, family != BlockFamily::block);
  if (!layout || blocks < 1 || blocks > hidden) {
    result.objection = fmt::format(
        "scales: expected one for each row and block of {}, [rows, blocks] or [blocks, rows]{}, got shape "
        "({})",
        result.block == 0 ? "64 or 128" : std::to_string(result.block),
        family == BlockFamily::block ? "" : " or the padded shape of the swizzled layout",
        fmt::join(scales->shape, ", "));
    return result;
  }
  result.layout = *layout;
  if (result.block == 0) result.block = block_by_count(hidden, blocks);
  if (result.block == 0 && policy != nullptr)
    result.objection = fmt::format(
        "scales: {} blocks of {} elements leave the size of a block open; group_size=... in the policy says "
        "it",
        blocks, hidden);
  return result;
}

std::string block_objection(const Call& call) {
  const BlockFamily family = family_of(*call.operation);
  const Tensor* out = call.find("out");
  const bool packed = family == BlockFamily::nvfp4 || (out != nullptr && out->dtype == DType::uint8);
  if (packed && call.hidden_size() % 2 != 0)
    return fmt::format("x: expected an even hidden size, since a byte holds two codes, got {}",
                       call.hidden_size());
  for (const std::string_view name : {"scale_ub", "global_scale"}) {
    const Tensor* tensor = call.find(name);
    if (tensor == nullptr) continue;
    const float number = std::bit_cast<float>(number_bits(*tensor));
    if (!(number > 0) || !std::isfinite(number))
      return fmt::format("{}: expected a finite number above 0, got {}", name,
                         value_text(DType::fp32, number_bits(*tensor)));
  }
  return block_shape_of(call, nullptr).objection;
}

std::string block_policy_objection(const Policy& policy) {
  if (family_of(*policy.operation) == BlockFamily::block && !policy.is("scale_type", "fp32")) {
    if (policy.is("scaling", "range_over_maximum"))
      return "scaling=range_over_maximum makes codes of the maximum, not of a scale that is a power of two";
    if (policy.is("scaling", "approximate_inverse"))
      return "scaling=approximate_inverse: the inverse of a power of two is exact";
  }
  if (family_of(*policy.operation) == BlockFamily::nvfp4 && policy.is("reciprocals", "approximate") &&
      policy.is("scaling", "quotient") && policy.value("scale_order").ends_with("_quotient"))
    return "reciprocals=approximate: there is no reciprocal in quotients";
  return {};
}

std::string block_misfit(const Call& call, const Policy& policy) {
  const BlockShape shape = block_shape_of(call, &policy);
  if (!shape.objection.empty()) return shape.objection;
  const Tensor* scales = call.find("scales");
  if (scales != nullptr && policy.follows("scale_type", "fp32") && scales->dtype == DType::uint8)
    return "scales: a scale in a byte (e8m0) is a power of two; scale_type=ue8m0_ceil and others say which";
  return {};
}

// --- The formula of a call. ---

namespace {

oracle::Policy formula_policy(const Policy& policy) {
  oracle::Policy result = quantization_policy(policy);
  result.weight = enumerator<WeightPolicy>(weight_rows(), policy.value("weight"));
  if (policy.follows("sum", "fp32")) result.sum = SumPolicy::fp32;
  result.inverse_root.ulp_bound = static_cast<int>(policy.bound("inverse_root_ulp").value_or(2));
  result.inverse_root.sum_depth = policy.bound("sum_depth");
  return result;
}

BlockScaleKind kind_of(const Policy& policy) {
  static constexpr std::array<std::pair<std::string_view, BlockScaleKind>, 6> kKinds = {{
      {"fp32", BlockScaleKind::fp32},
      {"ue8m0_ceil", BlockScaleKind::ceil},
      {"ue8m0_ceil_log2", BlockScaleKind::ceil_log2},
      {"ue8m0_floor", BlockScaleKind::floor},
      {"ue8m0_ceil_exponent", BlockScaleKind::ceil_exponent},
      {"ue8m0_even", BlockScaleKind::even},
  }};
  const std::string_view name = policy.value("scale_type");
  return std::ranges::find(kKinds, name, &std::pair<std::string_view, BlockScaleKind>::first)->second;
}

// The fp32 number on the other side of 1 / range, or the nearest one where that is exact.
Value other_inverse(const Value& range) {
  const Value inverse = quotient(Value::integer(1), range);
  const Value nearest = round_to(DType::fp32, inverse);
  return round_to(DType::fp32, inverse, nearest < inverse ? Rounding::up : Rounding::down);
}

GlobalScaleForm scale_form(const Policy& policy) {
  const auto order = [&](std::string_view name) { return policy.is("scale_order", name); };
  return order("maximum_first")            ? GlobalScaleForm::maximum_first
         : order("global_first_quotient")  ? GlobalScaleForm::global_first_quotient
         : order("maximum_first_quotient") ? GlobalScaleForm::maximum_first_quotient
                                           : GlobalScaleForm::global_first;
}

}  // namespace

oracle::Policy quantization_policy(const Policy& policy) {
  oracle::Policy result;
  const auto set = [&](std::string_view axis, auto rows, auto& value) {
    if (!policy.has(axis)) return;
    for (const auto& row : rows)
      if (row.text.name == policy.value(axis))
        value = enumerator<std::remove_reference_t<decltype(value)>>(rows, row.text.name);
  };
  set("before_quantization", before_quantization_rows(), result.before_quantization);
  set("row_maximum", row_maximum_rows(), result.row_maximum);
  set("maximum_nan", maximum_nan_rows(), result.maximum_nan);
  set("fp8_nan", fp8_nan_rows(), result.fp8_nan);
  set("range", range_rows(), result.range);
  set("int8_low", int8_low_rows(), result.int8_low);
  set("scaling", scaling_rows(), result.scaling);  // of NVFP4 it has values of its own
  return result;
}

ScaleRecipe recipe_of(const Call& call, const Policy& policy, const Value& range, DType quantized) {
  ScaleRecipe recipe;
  recipe.range = range;
  recipe.drops_nan = policy.follows("maximum_nan", "drop");
  recipe.floor = &floor_by_name("none").row;
  if (policy.has("scale_floor")) recipe.floor = &floor_by_name(policy.value("scale_floor")).row;
  recipe.least_scale = recipe.floor->least_scale(
      quantized, static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), range)));
  if (const Tensor* bound = call.find("scale_ub")) recipe.bound = number_bits(*bound);
  if (policy.follows("row_scale", "product")) recipe.inverse_range = quotient(Value::integer(1), range);
  if (policy.follows("row_scale", "product_other")) recipe.inverse_range = other_inverse(range);
  return recipe;
}

BlockSetup block_setup_of(const Call& call, const Policy& policy) {
  const BlockFamily family = family_of(*call.operation);
  BlockSetup setup;
  const DType of_codes = call.at("out").dtype;
  if (of_codes != DType::uint8) setup.quantized = of_codes;
  Formula& formula = setup.formula;
  formula.formats.activation = call.dtype();
  formula.formats.weight = dtype_of(call.find("weight"));
  formula.formats.quantized = setup.quantized.value_or(DType::fp8_e4m3fn);  // of e2m1: only y is made of it
  formula.steps = {NormStep::add_residual, NormStep::normalize, NormStep::quantize_by_row};
  if (!call.has("residual")) formula.steps = formula.steps.without(NormStep::add_residual);
  formula.hidden_size = call.hidden_size();
  formula.parameter_bits[static_cast<std::size_t>(Parameter::epsilon)] = call.epsilon;
  formula.policy = formula_policy(policy);
  const BlockCodes codes(setup.quantized, formula.policy);
  BlockScaleSettings& scale = setup.scale;
  scale.recipe = recipe_of(call, policy, codes.range(), *formula.formats.quantized);
  formula.scale_ub_bits = scale.recipe.bound;
  scale.formula = formula;
  scale.element = &codes.format();
  scale.kind = family == BlockFamily::nvfp4 ? BlockScaleKind::e4m3 : kind_of(policy);
  scale.storage = family == BlockFamily::nvfp4              ? BlockScaleStorage::e4m3
                  : call.at("scales").dtype == DType::uint8 ? BlockScaleStorage::e8m0
                                                            : BlockScaleStorage::fp32;
  if (family == BlockFamily::nvfp4) {
    scale.global = number_bits(call.at("global_scale"));
    scale.global_form = scale_form(policy);
    scale.factor_form = policy.is("scaling", "inverse_of_product") ? GlobalFactorForm::inverse_of_product
                        : policy.is("scaling", "quotient")         ? GlobalFactorForm::quotient
                                                                   : GlobalFactorForm::inverse_times_global;
    scale.approximate = policy.is("reciprocals", "approximate");
  }
  setup.block = block_shape_of(call, &policy).block;
  return setup;
}

// --- What else the table asks. ---

std::vector<std::string> block_not_looked_at(const Call& call) {
  std::vector<std::string> result = {"the order of summation (any that the policy admits)",
                                     "the padding of scales",
                                     "subnormal results that are flushed to zero (they are refused)"};
  const BlockFamily family = family_of(*call.operation);
  if (family != BlockFamily::nvfp4)
    result.emplace_back(
        "with scale_type=ue8m0_ceil_log2: which of two exponents a quotient next to a power of two gets");
  if (family != BlockFamily::mx)
    result.emplace_back("with approximate reciprocals: that the one of a number is the same everywhere");
  return result;
}

std::vector<ColumnGroup> block_columns(const Call& call, const Policy& policy) {
  if (family_of(*call.operation) == BlockFamily::block) return single_columns(call, policy);
  std::vector<ColumnGroup> groups;  // a byte holds two codes
  for (std::int64_t column = 0; column + 1 < call.hidden_size(); column += 2)
    groups.push_back({{column, column + 1}, {}});
  if (call.hidden_size() % 2 != 0) groups.push_back({{call.hidden_size() - 1}, {}});
  return groups;
}

namespace {

constexpr std::string_view kByRows = "by rows", kByColumns = "by columns",
                           kPadded = "by columns that are padded (TMA)", kTiles = "in tiles of 128 x 4";

std::string_view name_of_layout(const ScaleLayout& layout) {
  if (layout.kind == ScaleLayout::Kind::row_major) return kByRows;
  if (layout.kind == ScaleLayout::Kind::swizzled) return kTiles;
  return layout.stride == layout.rows ? kByColumns : kPadded;
}

}  // namespace

BlockLayouts layouts_of_scales(const Call& call, const Policy& policy) {
  using Layout = ScaleLayout::Kind;
  const BlockShape own = block_shape_of(call, &policy);
  const std::int64_t rows = own.layout.rows, blocks = own.layout.blocks;
  const bool asks_columns = policy.is("scale_layout", "column_major");
  const bool asks_tiles = policy.follows("scale_layout", "swizzled_128x4");
  BlockLayouts result;
  if (call.has("scales")) result.present = name_of_layout(own.layout);
  // A shape that reads otherwise, as a square does, gives way to the usual one.
  Call read = call;
  const auto add = [&](std::string_view name, const ScaleLayout& layout, std::vector<std::int64_t> shape) {
    read.tensors["scales"] = {DType::fp32, shape, {}};
    const BlockShape seen = block_shape_of(read, &policy);
    const bool is_meant = seen.objection.empty() && seen.block == own.block &&
                          seen.layout.kind == layout.kind && seen.layout.stride == layout.stride;
    if (!is_meant && !result.all.empty()) shape = result.all.front().shape;
    result.all.push_back({name, shape, is_meant && layout.kind != Layout::swizzled});
  };
  if (!asks_columns && !asks_tiles) {
    std::vector<std::int64_t> shape = call.at("x").shape;
    shape.back() = blocks;
    add(kByRows, {Layout::row_major, rows, blocks, 0}, std::move(shape));
  }
  if (!asks_tiles) {
    for (const std::int64_t multiple : {1, 4, 16}) {
      const ScaleLayout columns{Layout::column_major, rows, blocks, ceil_to(rows, multiple)};
      add(multiple == 1 ? kByColumns : kPadded, columns, columns.shape());
    }
  }
  if (!asks_columns && family_of(*call.operation) != BlockFamily::block) {
    const ScaleLayout tiles{Layout::swizzled, rows, blocks, 0};
    add(kTiles, tiles, tiles.shape());
    add(kTiles, tiles, {tiles.shape()[0] * tiles.shape()[1]});
  }
  return result;
}

Tensor slice_of_blocks(const Call& call, std::string_view tensor, std::span<const std::int64_t> rows,
                       const Policy* policy) {
  const Tensor& scales = call.at(tensor);
  const ScaleLayout from = block_shape_of(call, policy).layout;
  ScaleLayout to = from;
  to.rows = static_cast<std::int64_t>(rows.size());
  if (to.kind == ScaleLayout::Kind::column_major) to.stride = to.rows;
  Tensor result{scales.dtype, to.shape(), {}};
  result.bytes.resize(static_cast<std::size_t>(result.elements()) * size_of(result.dtype));
  for (std::int64_t row = 0; row < to.rows; ++row) {
    for (std::int64_t block = 0; block < from.blocks; ++block)
      store_bits(
          result.bytes, result.dtype, to.index(row, block),
          load_bits(scales.bytes, scales.dtype, from.index(rows[static_cast<std::size_t>(row)], block)));
  }
  return result;
}

}  // namespace normproof::oracle::judged
