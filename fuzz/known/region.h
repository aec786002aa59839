// A part of all cases, by what the cases in it look like: what a campaign draws around a bug that ends the
// fuzzer's process, so that the fuzzer can go on.
#pragma once

#include <map>
#include <set>
#include <string>

#include "corpus/case.h"
#include "corpus/json.h"

namespace normproof {

// Operation, dtypes, path, layout, and the sizes by powers of two: for each the values that occurred. A case
// lies in the region where each of its own did. So a few cases grow a region that holds nearly all that fail
// for the same reason.
class Region {
 public:
  bool empty() const { return values_.empty(); }
  void add(const Case& test_case);
  bool holds(const Case& test_case) const;
  // "operation rms_norm; dtype bf16, fp16; ..."
  std::string to_text() const;

  nlohmann::ordered_json to_json() const;
  // Throws nlohmann::json::exception.
  static Region from_json(const nlohmann::ordered_json& document);

 private:
  std::map<std::string, std::set<std::string>> values_;
};

}  // namespace normproof
