// Strict JSON text to a tree that keeps numbers as they were written. What ordinary parsers let pass is
// refused: duplicate keys, deep nesting, and documents whose tree would be far larger than any case needs.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace normproof {

struct JsonNode {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  std::string text;               // of a string, a number as it was written, or "true" and "false"
  std::vector<std::string> keys;  // of an object; keys[i] belongs to items[i]
  std::vector<JsonNode> items;    // of an array or object
};

inline constexpr std::size_t kMaximumJsonDepth = 8;
inline constexpr std::size_t kMaximumJsonKeys = 64;  // of one object
inline constexpr std::size_t kMaximumJsonNodes = std::size_t{1} << 20;

// Throws CaseError (case_json.h) with the JSON path reached and the reason.
JsonNode parse_json(std::string_view text);

// The value of a key of an object; nullptr where it has no such key.
const JsonNode* find_key(const JsonNode& object, std::string_view key);

// `path`.key, or path["key"] where the key is no plain word.
std::string json_path(std::string_view path, std::string_view key);
std::string json_path(std::string_view path, std::size_t index);

// The value for a message, shortened.
std::string shown(const JsonNode& node);

}  // namespace normproof
