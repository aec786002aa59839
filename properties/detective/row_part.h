// Parts of a row that tell what the row tells: columns whose mean square is that of all of them, so that the
// inverse RMS, which every output was multiplied by, is the same number.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace normproof {

// Ascending columns, `wanted` among them, whose mean of `squares` plus epsilon has the same correctly rounded
// fp32 inverse root as that of all; the smallest such part that was found and that `accepts`. Nothing where
// no part of at most half of the columns was. Requires squares that are finite and at least 0, and wanted
// columns that differ from one another. The search is the same in every run.
std::optional<std::vector<std::int64_t>> part_of_same_root(
    const std::vector<double>& squares, double epsilon, const std::vector<std::int64_t>& wanted,
    const std::function<bool(const std::vector<std::int64_t>& columns)>& accepts);

}  // namespace normproof
