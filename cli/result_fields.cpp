#include "cli/result_fields.h"

#include <fmt/format.h>

#include <utility>

#include "cli/commands.h"

namespace normproof {
namespace {

std::string short_text(const nlohmann::ordered_json& value) {
  constexpr std::size_t kLongest = 120;
  std::string text = value.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + " ...";
  return text;
}

}  // namespace

ResultFields::ResultFields(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) refuse(fmt::format("{} is no object", short_text(object)));
}

const ResultFields::Json& ResultFields::at(const char* key) const {
  const auto found = object_.find(key);
  if (found == object_.end()) refuse(fmt::format("{} is missing", key));
  return *found;
}

std::int64_t ResultFields::count(const char* key, std::int64_t least, std::int64_t most) const {
  const Json& value = at(key);
  // What is no integer, or beyond 64 bits, is another type of number. An unsigned one may not fit.
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::uint64_t(INT64_MAX));
  if (!fits || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
    refuse(key, fmt::format("must be a whole number from {} to {}", least, most));
  return value.get<std::int64_t>();
}

std::uint64_t ResultFields::seed(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number_unsigned()) refuse(key, "must be a whole number from 0 to 2^64 - 1");
  return value.get<std::uint64_t>();
}

double ResultFields::seconds(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number() || !(value.get<double>() >= 0)) refuse(key, "must be a number of seconds");
  return value.get<double>();
}

bool ResultFields::flag(const char* key) const {
  if (!at(key).is_boolean()) refuse(key, "must be true or false");
  return at(key).get<bool>();
}

std::string ResultFields::text(const char* key) const {
  if (!at(key).is_string()) refuse(key, "must be a text");
  return at(key).get<std::string>();
}

std::vector<std::string> ResultFields::texts(const char* key) const {
  const Json& list = at(key);
  if (!list.is_array()) refuse(key, "must be a list of texts");
  std::vector<std::string> all;
  for (const Json& each : list) {
    if (!each.is_string()) refuse(key, "must be a list of texts");
    all.push_back(each.get<std::string>());
  }
  return all;
}

ResultFields ResultFields::fields(const char* key) const {
  return {at(key), fmt::format("{}, {}", where_, key)};
}

std::vector<ResultFields> ResultFields::rows(const char* key) const {
  const Json& list = at(key);
  if (!list.is_array()) refuse(key, "must be a list");
  std::vector<ResultFields> all;
  for (const Json& each : list) all.emplace_back(each, fmt::format("{}, {}[{}]", where_, key, all.size()));
  return all;
}

void ResultFields::refuse(const char* key, std::string_view demand) const {
  refuse(fmt::format("{} is {}, {}", key, short_text(at(key)), demand));
}

void ResultFields::refuse(std::string_view problem) const {
  throw UsageError(fmt::format("{}: corrupt result file: {}", where_, problem));
}

}  // namespace normproof
