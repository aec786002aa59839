// Run-length coding of regular lists of numbers, runs of runs included: "0, 8, 16, ..., and that 32 times,
// each 256 further".
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace normproof::oracle {

// `first`, then count - 1 times `step` more; what came of that so far, the next count - 1 times further; ...
template <std::size_t kWidth>
struct Run {
  using Item = std::array<std::int64_t, kWidth>;
  struct Repeat {
    std::int64_t count = 1;
    Item step{};
    friend bool operator==(const Repeat&, const Repeat&) = default;
  };
  Item first{};
  std::vector<Repeat> repeats;  // the innermost first
};

// The list as runs, whose expansions in turn are the list.
template <std::size_t kWidth>
std::vector<Run<kWidth>> run_lengths(const std::vector<std::array<std::int64_t, kWidth>>& items,
                                     std::size_t most_repeats = 4) {
  using Item = std::array<std::int64_t, kWidth>;
  std::vector<Run<kWidth>> runs;
  for (const Item& item : items) runs.push_back({item, {}});
  const auto difference = [](const Item& a, const Item& b) {
    Item step{};
    for (std::size_t i = 0; i < kWidth; ++i) step[i] = b[i] - a[i];
    return step;
  };
  for (std::size_t pass = 0; pass < most_repeats; ++pass) {
    std::vector<Run<kWidth>> joined;
    for (std::size_t begin = 0; begin < runs.size();) {
      std::size_t end = begin + 1;
      while (end < runs.size() && runs[end].repeats == runs[begin].repeats &&
             difference(runs[end - 1].first, runs[end].first) ==
                 difference(runs[begin].first, runs[begin + 1].first))
        ++end;
      joined.push_back(runs[begin]);
      if (end - begin > 1) {
        joined.back().repeats.push_back(
            {static_cast<std::int64_t>(end - begin), difference(runs[begin].first, runs[begin + 1].first)});
      }
      begin = end;
    }
    if (joined.size() == runs.size()) break;
    runs = std::move(joined);
  }
  return runs;
}

// Appends the run's items. Throws std::invalid_argument where the list would have more than `most`.
template <std::size_t kWidth>
void expand(const Run<kWidth>& run, std::size_t most, std::vector<std::array<std::int64_t, kWidth>>& items) {
  std::size_t total = 1;
  for (const auto& repeat : run.repeats) {
    const bool fits = repeat.count >= 1 && static_cast<std::uint64_t>(repeat.count) <= most / total;
    if (!fits)
      throw std::invalid_argument("more than " + std::to_string(most) + " entries, or a count below 1");
    total *= static_cast<std::size_t>(repeat.count);
  }
  if (items.size() + total > most)
    throw std::invalid_argument("more than " + std::to_string(most) + " entries");
  const std::size_t begin = items.size();
  items.push_back(run.first);
  for (const auto& repeat : run.repeats) {
    const std::size_t size = items.size() - begin;
    for (std::int64_t k = 1; k < repeat.count; ++k) {
      for (std::size_t i = 0; i < size; ++i) {
        auto item = items[begin + i];
        for (std::size_t j = 0; j < kWidth; ++j) item[j] += k * repeat.step[j];
        items.push_back(item);
      }
    }
  }
}

}  // namespace normproof::oracle
