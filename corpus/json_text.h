// JSON documents as text: written whatever bytes their strings have, and what reading must refuse.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace normproof {

// The document's text; a negative indent: on one line. JSON is UTF-8: in a string that is not, the bytes that
// are none become \xNN.
std::string json_text(const nlohmann::ordered_json& document, int indent = -1);

// What forbids a text to be JSON though the library that reads it takes it: a byte order mark, and a NUL, at
// which it stops. Empty where there is neither.
std::string json_objection(std::string_view text);

}  // namespace normproof
