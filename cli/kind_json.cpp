#include "cli/kind_json.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <string>

namespace normproof {

nlohmann::ordered_json json_of(const CallKind& kind) {
  nlohmann::ordered_json json = {{"operation", name_of(kind.operation)}, {"dtype", name_of(kind.dtype)}};
  for (const auto& [key, of] : kOptionalDTypes) {
    const std::optional<DType>& dtype = kind.*of;
    json[key] = dtype ? nlohmann::ordered_json(name_of(*dtype)) : nlohmann::ordered_json();
  }
  return json;
}

void add_scale_ub(std::uint32_t bits, nlohmann::ordered_json& json) {
  if (bits == spec_of(Parameter::scale_ub).usual_bits) return;
  json["scale_ub"] = std::stod(fmt::format("{}", std::bit_cast<float>(bits)));
}

std::uint32_t scale_ub_from(const ResultFields& fields) {
  if (!fields.has("scale_ub")) return spec_of(Parameter::scale_ub).usual_bits;
  const nlohmann::ordered_json& value = fields.at("scale_ub");
  if (value.is_number()) {
    const auto number = static_cast<float>(value.get<double>());
    if (number > 0 && std::isfinite(number)) return std::bit_cast<std::uint32_t>(number);
  }
  fields.refuse("scale_ub", "must be an fp32 number above 0");
}

CallKind kind_from(const ResultFields& fields) {
  CallKind kind;
  kind.operation = fields.named("operation", operation_from_name);
  kind.dtype = fields.named("dtype", target_dtype_from_name);
  for (const auto& [key, of] : kOptionalDTypes)
    kind.*of = fields.named_or_null(std::string(key).c_str(), target_dtype_from_name);
  return kind;
}

}  // namespace normproof
