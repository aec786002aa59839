// ResultFields: reads an object of a --json result strictly. Whatever is not what the command writes is
// refused with the place and the value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "corpus/json.h"

namespace normproof {

// Of numbers that targets read and write: dtype_from_name() but for uint8, which is something else.
inline std::optional<DType> target_dtype_from_name(std::string_view name) {
  const std::optional<DType> dtype = dtype_from_name(name);
  return dtype == DType::uint8 ? std::nullopt : dtype;
}

// Every method but has() throws UsageError where the field is missing or has another value than it may have.
class ResultFields {
 public:
  using Json = nlohmann::ordered_json;

  // `where`, for messages: "2of3.json", "2of3.json, combinations[4]". Throws where `object` is no object.
  ResultFields(const Json& object, std::string where);

  bool has(const char* key) const { return object_.contains(key); }
  // A whole number, from 0 to 10^15 unless said otherwise.
  std::int64_t count(const char* key, std::int64_t least = 0, std::int64_t most = kMostCount) const;
  std::uint64_t seed(const char* key) const;
  double seconds(const char* key) const;  // at least 0
  bool flag(const char* key) const;
  std::string text(const char* key) const;
  std::vector<std::string> texts(const char* key) const;
  ResultFields fields(const char* key) const;             // an object
  std::vector<ResultFields> rows(const char* key) const;  // a list of objects
  // One of some names.
  template <class Value>
  Value named(const char* key, std::optional<Value> (*from_name)(std::string_view)) const {
    const std::optional<Value> value = from_name(text(key));
    if (!value) refuse(key, "must be a name that this program knows");
    return *value;
  }
  // The same, where null stands for none.
  template <class Value>
  std::optional<Value> named_or_null(const char* key,
                                     std::optional<Value> (*from_name)(std::string_view)) const {
    if (at(key).is_null()) return std::nullopt;
    return named(key, from_name);
  }

  [[noreturn]] void refuse(const char* key, std::string_view demand) const;
  [[noreturn]] void refuse(std::string_view problem) const;
  const Json& at(const char* key) const;
  const std::string& where() const { return where_; }

  static constexpr std::int64_t kMostCount = 1'000'000'000'000'000;

 private:
  const Json& object_;
  std::string where_;
};

}  // namespace normproof
