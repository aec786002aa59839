#include "properties/judged/canonical.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "oracle/exact.h"
#include "oracle/formats.h"
#include "oracle/judged/search_violation.h"
#include "oracle/row_kernels.h"
#include "properties/targets/judged_target.h"

namespace normproof::judging {
namespace {

using oracle::judged::Extent;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

constexpr std::size_t kMostElements = 4;  // of a violation

std::vector<std::string> outputs_of(const Call& call) {
  std::vector<std::string> names;
  for (const Spec& spec : call.operation->tensors)
    if (spec.direction == Direction::out && call.has(spec.name)) names.emplace_back(spec.name);
  return names;
}

// A number in fp32 as an element of the tensor, whatever its dtype.
void store_rounded(Tensor& tensor, std::int64_t element, std::uint32_t bits) {
  const std::uint64_t rounded =
      tensor.dtype == DType::fp32
          ? bits
          : oracle::round_bits(oracle::format_of(tensor.dtype), oracle::decode(DType::fp32, bits));
  store_bits(tensor.bytes, tensor.dtype, element, static_cast<std::uint32_t>(rounded));
}

// Numbers for each row are filled in fp32, whatever dtype was asked for.
void round_to(DType dtype, Tensor& filled) {
  if (filled.dtype != DType::fp32 || dtype == DType::fp32) return;
  Tensor rounded{dtype, filled.shape, {}};
  rounded.bytes.resize(static_cast<std::size_t>(rounded.elements()) * size_of(dtype));
  for (std::int64_t i = 0; i < rounded.elements(); ++i)
    store_rounded(rounded, i, load_bits(filled.bytes, DType::fp32, i));
  filled = std::move(rounded);
}

// How the elements of an output are counted: in rows, or one by one.
struct Units {
  std::string_view name;
  std::int64_t elements = 1;  // of one
};
Units units_of(const Spec& spec, const Tensor& tensor) {
  if (spec.extent == Extent::elements || spec.extent == Extent::codes)
    return {"row", std::max<std::int64_t>(tensor.shape.back(), 1)};
  return {spec.extent == Extent::hidden ? "column" : spec.extent == Extent::row ? "row" : "element", 1};
}

// Of a unit whose elements `wrong` differ.
Violation violation_of(const Spec& spec, const Units& units, const Tensor& got, const Tensor& canonical,
                       std::int64_t unit, std::span<const std::int64_t> wrong) {
  Violation violation;
  violation.tensor = spec.name;
  violation.kind = "canonical";
  violation.place = fmt::format("{} {}", units.name, unit);
  violation.row = units.name == "row" ? unit : 0;
  violation.reason =
      fmt::format("not the canonical bits: {} of its {} elements; the kernel promises each bit", wrong.size(),
                  units.elements);
  for (const std::int64_t index : wrong.first(std::min(wrong.size(), kMostElements))) {
    oracle::judged::Element element{
        index % units.elements,
        {oracle::judged::named("got", got, index), oracle::judged::named("canonical", canonical, index)}};
    if (units.elements == 1) element.place = fmt::format("element {}", index);
    violation.elements.push_back(std::move(element));
  }
  return violation;
}

// What a kernel reads that is not given all statistics of the forward pass: it computes the others.
std::optional<Call> with_own_statistics(const Call& call) {
  if (call.operation->takes_epsilon || !takes_epsilon(call)) return std::nullopt;
  Call result = call;
  call.operation->complete(result, call.epsilon);
  for (const auto& [name, given] : call.tensors) result.tensors[name] = given;
  return result;
}

}  // namespace

Call as_canonical(Call call, const Policy& policy, std::span<const std::string> outputs) {
  const oracle::StandardFloatEnvironment environment;
  if (call.operation->fill != nullptr) {
    const Call asked = call;
    call.operation->fill(call, policy, outputs);
    for (const std::string& name : outputs)
      if (const Tensor* wanted = asked.find(name); wanted != nullptr)
        round_to(wanted->dtype, call.tensors.at(name));
    return call;
  }
  std::map<std::string_view, Tensor> made;  // apart from the call, which judges read
  for (const std::string& name : outputs) {
    Tensor& tensor = call.tensors.at(name);
    tensor.bytes.assign(static_cast<std::size_t>(tensor.elements()) * size_of(tensor.dtype), std::byte{0});
    made[name] = tensor;
  }
  const std::optional<Call> completed = with_own_statistics(call);
  for (const oracle::judged::Part& part : call.operation->parts(completed ? *completed : call, policy)) {
    const auto judge = part.judge();
    std::vector<std::byte> bytes;
    for (std::int64_t unit = 0; unit < part.units; ++unit) {
      const std::vector<std::byte> of_unit = judge->canonical(unit);
      bytes.insert(bytes.end(), of_unit.begin(), of_unit.end());
      for (const auto& unknown : judge->unknowns(unit))
        if (const auto found = made.find(unknown.name); found != made.end())
          store_rounded(found->second, unit, unknown.bits);
    }
    made[part.tensor].bytes = std::move(bytes);
  }
  for (auto& [name, tensor] : made) call.tensors.find(name)->second.bytes = std::move(tensor.bytes);
  return call;
}

Call as_canonical(Call call, const Policy& policy) {
  const std::vector<std::string> outputs = outputs_of(call);
  return as_canonical(std::move(call), policy, outputs);
}

Judgement compare_with_canonical(const Call& given, const Policy& policy, std::size_t listed) {
  const Call canonical = without_padding(as_canonical(given, policy), policy);
  std::optional<Call> cut;
  if (has_padding(given)) cut = without_padding(given, policy);
  const Call& call = cut ? *cut : given;
  Judgement judgement;
  judgement.canonical = true;
  judgement.not_looked_at = {"which NaN a NaN is"};
  if (has_padding(call)) judgement.not_looked_at.emplace_back("the padding of scales");
  add_what_is_absent(given, policy, judgement.not_looked_at);
  for (const Spec& spec : call.operation->tensors) {
    if (spec.direction != Direction::out) continue;
    if (!call.has(spec.name)) {
      judgement.not_looked_at.push_back(fmt::format("{}, which was not asked for", spec.name));
      continue;
    }
    const Tensor &got = call.at(spec.name), &wanted = canonical.at(spec.name);
    if (got.dtype != wanted.dtype || got.elements() != wanted.elements())
      throw std::logic_error(fmt::format("{}: the canonical order gives {} elements of {}, not {} of {}",
                                         spec.name, wanted.elements(), name_of(wanted.dtype), got.elements(),
                                         name_of(got.dtype)));
    const Units units = units_of(spec, got);
    const std::int64_t count = got.elements() / units.elements;
    PartVerdict verdict{spec.name, units.name, count, count, got.elements()};
    for (std::int64_t unit = 0; unit < count && got.bytes != wanted.bytes; ++unit) {
      std::vector<std::int64_t> wrong;
      for (std::int64_t i = unit * units.elements; i < (unit + 1) * units.elements; ++i)
        if (!oracle::same(got.dtype, load_bits(got.bytes, got.dtype, i),
                          load_bits(wanted.bytes, wanted.dtype, i)))
          wrong.push_back(i);
      if (wrong.empty()) continue;
      --verdict.conforming;
      if (judgement.first_violations.size() < listed)
        judgement.first_violations.push_back(violation_of(spec, units, got, wanted, unit, wrong));
    }
    judgement.parts.push_back(verdict);
  }
  return judgement;
}

}  // namespace normproof::judging
