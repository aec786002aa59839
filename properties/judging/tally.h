// Tally: what a run has covered. Every figure that is printed at the end comes from here.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "corpus/size_bands.h"
#include "properties/judging/evaluate.h"

namespace normproof {

struct Counts {
  std::int64_t cases = 0;
  std::int64_t rows = 0;
  std::int64_t elements = 0;
  std::int64_t special_rows = 0;
  std::int64_t mismatches = 0;  // elements
  std::int64_t violations = 0;  // cases
  std::int64_t refusals = 0;    // cases refused as demanded
  std::int64_t not_taken = 0;   // cases that the target is not made for; they count nowhere else
  Counts& operator+=(const Counts& other);
  friend bool operator==(const Counts&, const Counts&) = default;
};

// One cell of what must be covered: operation x activation dtype x weight x quantized dtype x path.
struct Combination : CallKind {
  KernelPath path = KernelPath::vectorized;
  CallLimits limits = {};  // of the target
  bool scale_ub = false;   // also with upper bounds of scales
  // Whether the calls of both count in one row of the tables.
  bool shares_row_with(const Combination& other) const {
    return kind() == other.kind() && path == other.path;
  }
  friend bool operator==(const Combination&, const Combination&) = default;
};
std::string to_string(const Combination& combination);

// Every combination that the operations have, in the order of the tables;
// optionally only one operation or dtype.
std::vector<Combination> all_combinations(std::optional<Operation> operation = {},
                                          std::optional<DType> dtype = {});
// Those of them that a run on `target` must reach. A foreign target has no paths of ours: there is one
// combination, of path automatic, for each operation, dtypes and weight that it takes.
std::vector<Combination> combinations_of(const Target& target, std::optional<Operation> operation = {},
                                         std::optional<DType> dtype = {});

// Not thread-safe: each thread has its own, added up at the end.
class Tally {
 public:
  Tally();
  void add(const Case& test_case, const Evaluation& evaluation);
  void add(const Combination& combination, const Counts& counts);
  Tally& operator+=(const Tally& other);

  Counts total() const;
  Counts of(Operation operation, DType dtype) const;
  Counts of(const Combination& combination) const;
  // Bands of rows and of H of which a case was compared.
  const SizesReached& sizes() const { return sizes_; }
  void add(const SizesReached& sizes) { sizes_ += sizes; }
  // Combinations among `wanted` of which no row was compared.
  std::vector<Combination> uncovered(const std::vector<Combination>& wanted) const;

 private:
  static std::size_t index_of(const Combination& combination);
  std::vector<Counts> counts_;  // by index_of
  SizesReached sizes_;
};

}  // namespace normproof
