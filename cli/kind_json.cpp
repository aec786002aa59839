#include "cli/kind_json.h"

namespace normproof {

nlohmann::ordered_json json_of(const CallKind& kind) {
  nlohmann::ordered_json json = {{"operation", name_of(kind.operation)}, {"dtype", name_of(kind.dtype)}};
  for (const auto& [key, of] : kOptionalDTypes) {
    const std::optional<DType>& dtype = kind.*of;
    json[key] = dtype ? nlohmann::ordered_json(name_of(*dtype)) : nlohmann::ordered_json();
  }
  return json;
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
