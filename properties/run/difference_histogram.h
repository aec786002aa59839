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
#include "properties/run/difference_map.h"

namespace normproof {

// Elements by their distance, in representable numbers, from the policy's output at the r that explains most
// of the row: among the canonical r and its neighbours up to 2 ulp away.
struct DifferenceHistogram {
  static constexpr std::array<std::uint64_t, 7> kUpTo = {0, 1, 2, 4, 16, 256, UINT64_MAX - 1};
  std::array<std::int64_t, 7> elements{};  // elements[i]: at most kUpTo[i], more than kUpTo[i - 1]
  std::int64_t nan_mismatches = 0;         // NaN on one side only
  std::int64_t total() const;
  void add(std::uint64_t distance);
  // "equal", "1 ulp", "3 to 4 ulp", "257 ulp or more".
  static std::string label(std::size_t bin);
};

// "74.0 % equal, 26.0 % 1 ulp".
std::string to_text(const DifferenceHistogram& histogram);

// Over the rows given. Requires tensors and outputs of the case's sizes. The elements that differ are added
// to `map`, where there is one.
DifferenceHistogram difference_histogram(const Case& test_case, const CaseTensors& tensors,
                                         const Outputs& outputs, const oracle::Policy& policy,
                                         const std::vector<std::int64_t>& rows, DifferenceMap* map = nullptr);

// Of `got` and `wanted`, packed tensors of rows of `columns` elements.
DifferenceHistogram difference_histogram(std::span<const std::byte> got, std::span<const std::byte> wanted,
                                         DType dtype, std::int64_t columns, DifferenceMap* map = nullptr);

}  // namespace normproof
