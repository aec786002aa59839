// The JSON type of this project: nlohmann's, whose members json.cpp compiles once for all sources that use
// them.
#pragma once

#include <nlohmann/json.hpp>

extern template class nlohmann::basic_json<nlohmann::ordered_map>;
