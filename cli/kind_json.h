// The kind of a call in the JSON of results, by the same keys in each of them.
#pragma once

#include <cstdint>

#include "cli/result_fields.h"
#include "corpus/call_kind.h"
#include "corpus/json.h"

namespace normproof {

nlohmann::ordered_json json_of(const CallKind& kind);
// "scale_ub", the shortest decimal of these fp32 bits; nothing where they are infinity, which is no bound.
void add_scale_ub(std::uint32_t bits, nlohmann::ordered_json& json);
// The same bits again. Throws UsageError for what is no upper bound.
std::uint32_t scale_ub_from(const ResultFields& fields);
// Throws UsageError for what no target has.
CallKind kind_from(const ResultFields& fields);

}  // namespace normproof
