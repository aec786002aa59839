// How far the outputs of violating rows are from what a policy says: the picture behind the certificates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"
#include "oracle/verdict.h"
#include "properties/judging/difference_map.h"

namespace normproof {

// Elements by their distance, in representable numbers, from the policy's output at the r that explains most
// of the row: among the canonical r and its neighbours up to 2 ulp away, the nearest first.
struct DifferenceHistogram {
  static constexpr std::array<std::uint64_t, 7> kUpTo = {0, 1, 2, 4, 16, 256, UINT64_MAX - 1};
  std::array<std::int64_t, 7> elements{};  // elements[i]: at most kUpTo[i], more than kUpTo[i - 1]
  std::int64_t nan_mismatches = 0;         // NaN on one side only
  std::vector<oracle::Mismatch> first;     // of those that differ, at most kMaximumListed
  std::int64_t total() const;
  std::int64_t differing() const { return total() - elements[0]; }
  // So few that they are named one by one, in place of shares that would round to all and nothing.
  bool few_differ() const;
  void add(std::uint64_t distance);
  DifferenceHistogram& operator+=(const DifferenceHistogram& other);
  // "equal", "1 ulp", "3 to 4 ulp", "257 ulp or more".
  static std::string label(std::size_t bin);
};

// "74.0 % equal, 26.0 % 1 ulp"; where few differ, "1 of 6144 elements differs".
std::string to_text(const DifferenceHistogram& histogram);

// "26.0 %"; "less than 0.1 %" and "more than 99.9 %" where rounding would say that there is none, or no
// other. Requires 0 <= part <= whole, whole > 0.
std::string share_text(std::int64_t part, std::int64_t whole);

// Over the rows given. Requires tensors and outputs of the case's sizes. The elements that differ are added
// to `map`, where there is one.
DifferenceHistogram difference_histogram(const Case& test_case, const CaseTensors& tensors,
                                         const Outputs& outputs, const oracle::Policy& policy,
                                         const std::vector<std::int64_t>& rows, DifferenceMap* map = nullptr,
                                         int threads = 1);

// Of `got` and `wanted`, packed tensors of rows of `columns` elements.
DifferenceHistogram difference_histogram(std::span<const std::byte> got, std::span<const std::byte> wanted,
                                         DType dtype, std::int64_t columns, DifferenceMap* map = nullptr);

}  // namespace normproof
