// The judge of operations that quantize block by block, and what their outputs are in the canonical order.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "oracle/judged/block_quant.h"
#include "oracle/judged/residual_sum.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {

namespace {

std::string intervals_text(const RootIntervals& intervals) {
  std::string text;
  for (const RootInterval& each : intervals)
    text += fmt::format("{}{}", text.empty() ? "" : " or ", to_text(each));
  return "r in " + text;
}

class BlockJudge : public UnitJudge {
 public:
  BlockJudge(const Call& call, const Policy& policy)
      : call_(call),
        reader_(call, policy),
        high_first_(reader_.high_first()),
        layout_(reader_.layout()),
        row_(block_setup_of(call, policy), bytes_of(call.find("weight"))) {}

  bool conforms(std::int64_t row) override {
    load(row);
    return row_.conforms(got_);
  }
  Violation violation(std::int64_t row) override;
  std::vector<std::byte> canonical(std::int64_t row) override {
    load_inputs(row);
    return packed(row_.outputs(row_.canonical_root()).codes);
  }
  std::vector<NamedBits> unknowns(std::int64_t row) override {
    load_inputs(row);
    return {named("r", row_.canonical_root())};
  }
  bool accepts_wrong(std::int64_t row, Random& random) override {
    load_inputs(row);
    const auto wrong = static_cast<float>(row_.canonical_root() * std::exp2(2 * signed_unit(random)));
    BlockOutputs outputs = row_.outputs(wrong);
    const std::vector<std::byte> normalized = row_.normalized(wrong);
    if (call_.has("normalized")) outputs.normalized = normalized;
    return row_.conforms(outputs);
  }

  // What a row is in the canonical order, into the tensors of `result`.
  void fill(std::int64_t row, Call& result);

 private:
  void load_inputs(std::int64_t row) {
    const std::int64_t count = call_.hidden_size();
    const Tensor* residual = call_.find("residual");
    row_.load(call_.at("x").row(row, count).data(),
              residual == nullptr ? nullptr : residual->row(row, count).data());
  }
  void load(std::int64_t row);
  std::vector<std::byte> packed(const std::vector<std::uint8_t>& codes) const;
  Element element_of(std::int64_t row, const BlockRefutation::Unit& unit, const BlockOutputs& right,
                     std::span<const std::byte> normalized) const;
  NamedBits code(std::string_view name, std::uint32_t bits) const;
  NamedBits scale(std::string_view name, std::uint32_t bits) const {
    return {name, call_.at("scales").dtype, bits, row_.scale_rule().text_of(bits)};
  }

  const Call& call_;
  BlockReader reader_;
  bool high_first_;
  ScaleLayout layout_;
  BlockRow row_;
  BlockOutputs got_;
};

void BlockJudge::load(std::int64_t row) {
  load_inputs(row);
  got_ = reader_.row(row);
}

std::vector<std::byte> BlockJudge::packed(const std::vector<std::uint8_t>& codes) const {
  std::vector<std::byte> bytes;
  if (row_.setup().quantized) {
    for (const std::uint8_t each : codes) bytes.push_back(std::byte{each});
    return bytes;
  }
  for (std::size_t i = 0; i + 1 < codes.size(); i += 2) {
    const std::uint8_t low = codes[high_first_ ? i + 1 : i], high = codes[high_first_ ? i : i + 1];
    bytes.push_back(static_cast<std::byte>(low | high << 4));
  }
  return bytes;
}

NamedBits BlockJudge::code(std::string_view name, std::uint32_t bits) const {
  if (row_.setup().quantized) return {name, *row_.setup().quantized, bits};
  return {name, DType::uint8, bits, fmt::format("{} ({})", value_text(kE2m1, bits), hex_bits(kE2m1, bits))};
}

Element BlockJudge::element_of(std::int64_t row, const BlockRefutation::Unit& unit, const BlockOutputs& right,
                               std::span<const std::byte> normalized) const {
  const std::int64_t count = call_.hidden_size();
  if (!unit.element) {
    const auto block = static_cast<std::size_t>(unit.block);
    return {unit.block * row_.setup().block,
            {scale("got", got_.scales[block]), scale("canonical", right.scales[block])},
            fmt::format("scale of block {} (columns {} to {})", unit.block, unit.block * row_.setup().block,
                        std::min((unit.block + 1) * row_.setup().block, count) - 1)};
  }
  const std::int64_t j = unit.element->column, at = row * count + j;
  Element element{j, {}, {}};
  for (const std::string_view name : {"x", "residual"})
    if (const Tensor* tensor = call_.find(name)) element.values.push_back(named(name, *tensor, at));
  if (const Tensor* weight = call_.find("weight")) element.values.push_back(named("weight", *weight, j));
  if (unit.element->is_code) {
    const auto column = static_cast<std::size_t>(j);
    element.values.push_back(scale("scale", got_.scales[static_cast<std::size_t>(unit.block)]));
    element.values.push_back(code("got", got_.codes[column]));
    element.values.push_back(code("canonical", right.codes[column]));
  } else {
    element.place = fmt::format("column {} of normalized", j);
    element.values.push_back(named("got", call_.at("normalized"), at));
    element.values.push_back({"canonical", call_.dtype(), load_bits(normalized, call_.dtype(), j)});
  }
  return element;
}

Violation BlockJudge::violation(std::int64_t row) {
  load(row);
  const BlockRefutation found = row_.refutation(got_);
  const float usual = row_.canonical_root();
  const BlockOutputs right = row_.outputs(usual);
  const std::vector<std::byte> normalized = row_.normalized(usual);
  Violation violation;
  violation.kind = found.others.empty() ? "rounding" : "scale";
  violation.place = fmt::format("row {}", row);
  violation.row = row;
  const auto tensor_of = [](const BlockRefutation::Unit& unit) -> std::string_view {
    return !unit.element ? "scales" : unit.element->is_code ? "out" : "normalized";
  };
  violation.tensor = tensor_of(found.units.front());
  bool told = false;  // the first that is not what the canonical order gives
  std::string text;
  for (const BlockRefutation::Unit& unit : found.units) {
    Element element = element_of(row, unit, right, normalized);
    const std::size_t last = element.values.size() - 1;
    if (!told && element.values[last].bits != element.values[last - 1].bits) {
      violation.tensor = tensor_of(unit);
      told = true;
    }
    const std::string place =
        element.place.empty() ? fmt::format("column {}", element.column) : element.place;
    text += text.empty() ? "" : ", ";
    text += unit.roots.empty() ? fmt::format("no r gives {}", place)
                               : fmt::format("{} needs {}", place, intervals_text(unit.roots));
    violation.elements.push_back(std::move(element));
  }
  violation.reason = fmt::format("{}; an honest evaluation arrives at {}", text, to_text(found.admissible));
  if (!found.others.empty())
    violation.reason += fmt::format("; the whole row would be explained by {}", to_text(found.others));
  if (!found.admissible.interval.empty()) {
    violation.window = {{{"r", static_cast<std::uint32_t>(found.admissible.interval.low),
                          static_cast<std::uint32_t>(found.admissible.interval.high)}}};
  }
  return violation;
}

void BlockJudge::fill(std::int64_t row, Call& result) {
  load_inputs(row);
  const float root = row_.canonical_root();
  const BlockOutputs outputs = row_.outputs(root);
  const auto put = [&](std::string_view name, const std::vector<std::byte>& bytes) {
    const auto found = result.tensors.find(name);
    if (found == result.tensors.end()) return;
    std::ranges::copy(bytes, found->second.bytes.begin() + row * static_cast<std::ptrdiff_t>(bytes.size()));
  };
  put("out", packed(outputs.codes));
  put("normalized", row_.normalized(root));
  Tensor& scales = result.tensors.find("scales")->second;
  for (std::int64_t block = 0; block < layout_.blocks; ++block)
    store_bits(scales.bytes, scales.dtype, layout_.index(row, block),
               outputs.scales[static_cast<std::size_t>(block)]);
}

}  // namespace

BlockOutputs BlockReader::row(std::int64_t row) const {
  BlockOutputs result;
  const Tensor& scales = call_.at("scales");
  for (std::int64_t block = 0; block < layout_.blocks; ++block)
    result.scales.push_back(load_bits(scales.bytes, scales.dtype, layout_.index(row, block)));
  const Tensor& out = call_.at("out");
  const std::int64_t count = call_.hidden_size();
  if (out.dtype != DType::uint8) {
    for (const std::byte byte : out.row(row, count))
      result.codes.push_back(std::to_integer<std::uint8_t>(byte));
  } else {
    for (const std::byte byte : out.row(row, count / 2)) {
      const auto both = std::to_integer<std::uint8_t>(byte);
      const auto low = static_cast<std::uint8_t>(both & 15), high = static_cast<std::uint8_t>(both >> 4);
      result.codes.push_back(high_first_ ? high : low);
      result.codes.push_back(high_first_ ? low : high);
    }
  }
  if (const Tensor* normalized = call_.find("normalized")) result.normalized = normalized->row(row, count);
  return result;
}

std::vector<Part> block_parts(const Call& call, const Policy& policy) {
  const std::int64_t elements = call.hidden_size() * (call.has("normalized") ? 2 : 1);
  std::vector<Part> result;
  result.push_back({"out", "row", call.rows(), elements + block_shape_of(call, &policy).layout.blocks, 1,
                    [&call, &policy] { return std::make_unique<BlockJudge>(call, policy); }});
  if (call.has("residual")) result.push_back(residual_part(call));
  return result;
}

namespace {

bool names(std::span<const std::string> outputs, std::string_view name) {
  return std::ranges::find(outputs, name) != outputs.end();
}

// Codes of the dtype that is there, and scales as they are there, where the policy can read them; else the
// usual ones, as the policy has them.
void add_blank_outputs(Call& call, const Policy& policy, std::span<const std::string> outputs) {
  const BlockFamily family = family_of(*call.operation);
  const auto blank = [&](std::string_view name, DType dtype, std::vector<std::int64_t> shape) {
    Tensor tensor{dtype, std::move(shape), {}};
    tensor.bytes.resize(static_cast<std::size_t>(tensor.elements()) * size_of(dtype));
    call.tensors[std::string(name)] = std::move(tensor);
  };
  std::vector<std::int64_t> shape = call.at("x").shape;
  const Tensor* given = call.find("out");
  const DType of_codes = given != nullptr               ? given->dtype
                         : family == BlockFamily::nvfp4 ? DType::uint8
                                                        : DType::fp8_e4m3fn;
  DType of_scales = DType::fp32;
  if (family == BlockFamily::nvfp4) of_scales = DType::fp8_e4m3fn;
  if (family == BlockFamily::mx || (family == BlockFamily::block && !policy.is("scale_type", "fp32")))
    of_scales = DType::uint8;
  const Tensor* given_scales = call.find("scales");
  if (given_scales != nullptr && block_misfit(call, policy).empty()) {
    blank("scales", given_scales->dtype, given_scales->shape);
  } else {
    call.tensors.erase("scales");
    blank("scales", of_scales, layouts_of_scales(call, policy).all.front().shape);
  }
  if (names(outputs, "normalized")) blank("normalized", call.dtype(), shape);
  if (names(outputs, "residual_out")) blank("residual_out", call.dtype(), shape);
  if (of_codes == DType::uint8) shape.back() /= 2;
  blank("out", of_codes, shape);
}

}  // namespace

void fill_blocks(Call& call, const Policy& policy, std::span<const std::string> outputs) {
  add_blank_outputs(call, policy, outputs);
  BlockJudge judge(call, policy);
  Call result = call;
  for (std::int64_t row = 0; row < call.rows(); ++row) {
    judge.fill(row, result);
    if (!names(outputs, "residual_out")) continue;
    const std::vector<std::byte> sum = sum_of_row(call, row).rounded;
    std::ranges::copy(
        sum, result.tensors.at("residual_out").bytes.begin() + row * static_cast<std::ptrdiff_t>(sum.size()));
  }
  for (const std::string_view name : {"out", "scales"})
    if (!names(outputs, name)) result.tensors.erase(std::string(name));
  call = std::move(result);
}

}  // namespace normproof::oracle::judged
