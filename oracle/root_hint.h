// Where the inverse roots that outputs show may come from: a factor, another divisor, another epsilon,
// columns that were not summed. Plain fp64 arithmetic: a hint for people, never a verdict.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "oracle/row_roots.h"

namespace normproof::oracle {

struct RootQuestion {
  std::span<const ShownRow> rows;
  double epsilon = 0;
  const Format* activation = nullptr;  // T
};

// Causes that give every row an r which explains it, the simplest first, at most `most` of them: "r off by a
// factor 2.5 in every row", "divided by 513 instead of 512". Nothing where some row is explained by no r at
// all, or where honest roots explain every row. `chance`: how likely a list of causes may be to hold one that
// explains the rows by luck; those of longer lists are not reported.
inline constexpr double kUsualChance = 0.02;
std::vector<std::string> root_hints(const RootQuestion& question, std::size_t most,
                                    double chance = kUsualChance);
// The same; where no cause is known, how far the r are from the honest ones.
std::vector<std::string> describe_roots(const RootQuestion& question, std::size_t most);

// The decimal of fewest digits between low and high.
std::string simplest_between(double low, double high);

}  // namespace normproof::oracle
