// How many random rows the tests of the searching judges take, of which seed;
// and how many points a window has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "oracle/box_search/random_rows.h"
#include "oracle/box_search/search.h"

namespace normproof::oracle::box_search::test {

using box_search::bell;
using box_search::kOrdinaryRowClasses;
using box_search::kRowClasses;
using box_search::mostly_ordinary;
using box_search::packed;
using box_search::random_row;
using box_search::random_weight;
using box_search::round_to_format;
using box_search::RowClass;

// How many times the usual number of random rows: NORMPROOF_TEST_SCALE, 1 unless set.
inline std::int64_t scale() {
  const char* text = std::getenv("NORMPROOF_TEST_SCALE");
  return text == nullptr ? 1 : std::max<std::int64_t>(1, std::atoll(text));
}
// Added to a test's own seed: NORMPROOF_TEST_SEED, 0 unless set.
inline std::uint64_t seed(std::uint64_t own) {
  const char* text = std::getenv("NORMPROOF_TEST_SEED");
  return own + (text == nullptr ? 0 : 1000 * static_cast<std::uint64_t>(std::atoll(text)));
}

// How many points there are to try.
inline double points_of(const std::vector<Box>& window) {
  const auto width = [](const Side& side) { return static_cast<double>(side.high) - side.low + 1; };
  double points = 0;
  for (const Box& box : window) points += width(box.first) * width(box.second);
  return points;
}

}  // namespace normproof::oracle::box_search::test
