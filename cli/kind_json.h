// The kind of a call in the JSON of results, by the same keys in each of them.
#pragma once

#include "cli/result_fields.h"
#include "corpus/call_kind.h"
#include "corpus/json.h"

namespace normproof {

nlohmann::ordered_json json_of(const CallKind& kind);
// Throws UsageError for what no target has.
CallKind kind_from(const ResultFields& fields);

}  // namespace normproof
