// What `normproof assess` says of the studies of the norm family.
#pragma once

#include <vector>

#include "corpus/json.h"
#include "properties/assess/family/family_study.h"

namespace normproof {

// 1234567 as "1,234,567".
std::string grouped(std::int64_t number);
// What stands behind a figure that is not reached.
inline std::string_view mark(bool passed) { return passed ? "" : "  <- FAILED"; }

void print_family_head();
void print(const assess::family::FamilyFigures& figures);
nlohmann::ordered_json json_of(const assess::family::FamilyFigures& figures);

}  // namespace normproof
