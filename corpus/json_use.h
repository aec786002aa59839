// What most sources do with JSON. Precompiled with json.h, its templates are instantiated once and not in
// each of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/json.h"

namespace normproof {

inline void use_json() {
  nlohmann::ordered_json json;
  json["text"] = "text";
  json["string"] = std::string("text");
  json["view"] = std::string_view("text");
  json["number"] = 1;
  json["count"] = std::int64_t{1};
  json["size"] = std::size_t{1};
  json["double"] = 1.0;
  json["yes"] = true;
  json["numbers"] = std::vector<std::int64_t>{1};
  json["texts"] = std::vector<std::string>{"text"};
  json["list"] = nlohmann::ordered_json::array();
  json["list"].push_back(json);
  json["object"] = {{"key", "text"}, {"number", 1}};
  if (json.contains("text")) json = nlohmann::ordered_json::parse(json.dump());
  for (const auto& each : json) json["string"] = each.is_string() ? each.get<std::string>() : "";
  for (const auto& [key, value] : json.items()) json[key] = value.get<std::int64_t>();
  json["number"] = json.at("number").get<double>() + json.value("count", 1);
}

}  // namespace normproof
