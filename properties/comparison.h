// Comparison: output rows of one target run held against what they are expected to be, bit by bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/verdict.h"
#include "properties/property.h"

namespace normproof {

class Comparison {
 public:
  // The expected bits come from `authority`, which messages name, for instance "rms_norm of the sums".
  explicit Comparison(std::string authority) : authority_(std::move(authority)) {}

  // Compares row `row` of packed `got` with row `wanted_row` of packed `wanted`; any NaN equals any NaN.
  // The row is not counted when `count` is false, as for the second output of a row.
  void add_row(Role tensor, DType dtype, std::int64_t columns, const std::vector<std::byte>& got,
               std::int64_t row, const std::vector<std::byte>& wanted, std::int64_t wanted_row,
               bool count = true);
  // Compares row `row` of every output of `test_case` with row `wanted_row` of those that are wanted, and
  // counts the row.
  void add_outputs(const Case& test_case, const Outputs& got, std::int64_t row, const Outputs& wanted,
                   std::int64_t wanted_row);
  // Compares one element.
  void add_element(Role tensor, DType dtype, std::int64_t row, std::int64_t column, std::uint32_t got,
                   std::uint32_t wanted);
  void count_row() { verdict_.rows += 1; }

  bool agrees() const { return verdict_.mismatches == 0; }
  std::int64_t elements() const { return verdict_.elements; }  // compared
  // Certificate: the case's kind and the first mismatches.
  std::string describe(const Case& test_case, const RunResult& run) const;
  // Counts this comparison among what was checked.
  void add_to(Tally& tally, const Case& test_case, const RunResult& run) const;

 private:
  Evaluation evaluation(const RunResult& run) const;

  std::string authority_;
  oracle::Verdict verdict_;
};

}  // namespace normproof
