// What a run of verify has seen of judged operations, and how it is said.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/result_fields.h"
#include "properties/demands.h"
#include "properties/judging/tally.h"

namespace normproof {

struct JudgedCombination {
  std::string operation;
  DType dtype = DType::bf16;
  std::string weight{};  // "bf16", "none"; empty for an operation that has none
  std::string codes{};   // "int8"; empty for an operation that does not quantize
  Counts counts{};       // elements: of outputs; mismatches: rows, heads or columns that do not conform
  friend bool operator==(const JudgedCombination&, const JudgedCombination&) = default;
};
std::string to_string(const JudgedCombination& combination);

struct JudgedOperationResult {
  std::string operation, policy;
  bool canonical = false;                    // judged by every bit; otherwise any order of summation conforms
  double seconds = 0;                        // its share of the time
  std::int64_t looked_at = 0;                // calls that conform of which it was asked how much that says
  std::int64_t saying_little = 0;            // of them: outputs with random statistics would conform as well
  std::vector<std::string> not_looked_at{};  // by any call
  std::int64_t undecided = 0;                // rows, or other units, whose search was given up
  std::map<std::string, std::int64_t> not_taken{};  // by reason
};

// Of the promises about several calls those that need no device.
inline constexpr std::array kJudgedPromises = {Promise::deterministic, Promise::batch_invariant,
                                               Promise::layout_invariant};
struct JudgedPromise {
  std::int64_t comparisons = 0;
  std::int64_t differing = 0;
  std::string first{};  // the first pair that differs
};

// A relation between calls that holds of every faithful target (properties/judged/relations.h).
struct JudgedRelation {
  std::string name;
  std::int64_t checked = 0;  // times that calls were related
  std::int64_t not_compared =
      0;  // times that the target's limits, its policy or its runs left nothing to compare
  std::int64_t broken = 0;
  std::string first{};  // how the first of them was broken
};

struct JudgedResult {
  std::vector<JudgedCombination> combinations;
  std::vector<JudgedOperationResult> operations;
  std::array<JudgedPromise, kJudgedPromises.size()> promises;
  std::vector<JudgedRelation> relations;  // in the order of the table; of those that some operation has
  double seconds = 0;
  Counts total() const;
  // Whether all were judged by every bit.
  bool is_canonical() const {
    return !operations.empty() && std::ranges::all_of(operations, &JudgedOperationResult::canonical);
  }
};

// Lines of the table of `verify`, in its columns. Of judged operations no special rows are counted.
std::string table_line(std::string_view operation, std::string_view dtype, const Counts& counts,
                       const std::string& special_rows);
std::string judged_table_text(const JudgedResult& result);
// By which policy each operation was judged, what was not looked at; promises.
std::string judged_text(const JudgedResult& result);
nlohmann::ordered_json judged_json(const JudgedResult& result);
// Adds what a shard says. Refuses what cannot be.
void add_judged(JudgedResult& all, const ResultFields& part);

}  // namespace normproof
