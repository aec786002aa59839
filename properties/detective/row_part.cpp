// A part is drawn at random but for two columns, which are then chosen among all pairs: a row of some
// thousand columns has some million pairs, so that one of them nearly always brings the mean to where it was.
#include "properties/detective/row_part.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "corpus/random.h"

namespace normproof {
namespace {

constexpr int kDraws = 200;    // of each size
constexpr int kMostAsked = 4;  // parts of a size that are shown to the caller
constexpr std::int64_t kMost = 256;

class PartSearch {
 public:
  PartSearch(const std::vector<double>& squares, double epsilon, const std::vector<std::int64_t>& wanted)
      : squares_(squares), epsilon_(epsilon), wanted_(wanted), by_square_(squares.size()) {
    std::iota(by_square_.begin(), by_square_.end(), std::int64_t{0});
    std::ranges::sort(by_square_, {}, [&](std::int64_t column) { return std::pair(square(column), column); });
    mean_ = std::accumulate(squares.begin(), squares.end(), 0.0) / static_cast<double>(squares.size());
    root_ = root(mean_);
  }

  // Columns of the size, of which all but two were drawn; nothing where no pair makes the root the same.
  std::optional<std::vector<std::int64_t>> draw(std::int64_t size) {
    std::vector<std::int64_t> columns = wanted_;
    while (static_cast<std::int64_t>(columns.size()) + 2 < size) {
      const auto column = static_cast<std::int64_t>(random_.below(squares_.size()));
      if (std::ranges::find(columns, column) == columns.end()) columns.push_back(column);
    }
    double sum = 0;
    for (const std::int64_t column : columns) sum += square(column);
    const auto pair = nearest_pair(static_cast<double>(size) * mean_ - sum, columns);
    if (!pair) return std::nullopt;
    columns.push_back(pair->first);
    columns.push_back(pair->second);
    std::ranges::sort(columns);
    return same_root(columns) ? std::optional(columns) : std::nullopt;
  }

  bool same_root(const std::vector<std::int64_t>& columns) const {
    double sum = 0;
    for (const std::int64_t column : columns) sum += square(column);
    return root(sum / static_cast<double>(columns.size())) == root_;
  }

 private:
  double square(std::int64_t column) const { return squares_[static_cast<std::size_t>(column)]; }
  float root(double mean) const { return static_cast<float>(1 / std::sqrt(mean + epsilon_)); }

  // Of two columns that are not taken those whose squares add up most nearly to `sum`.
  std::optional<std::pair<std::int64_t, std::int64_t>> nearest_pair(
      double sum, const std::vector<std::int64_t>& taken) const {
    std::optional<std::pair<std::int64_t, std::int64_t>> best;
    double distance = std::numeric_limits<double>::infinity();
    std::size_t low = 0, high = by_square_.size() - 1;
    const auto is_taken = [&](std::int64_t column) {
      return std::ranges::find(taken, column) != taken.end();
    };
    while (low < high) {
      const std::int64_t a = by_square_[low], b = by_square_[high];
      if (is_taken(a)) {
        ++low;
        continue;
      }
      if (is_taken(b)) {
        --high;
        continue;
      }
      const double off = square(a) + square(b) - sum;
      if (std::abs(off) < distance) {
        distance = std::abs(off);
        best = {a, b};
      }
      off < 0 ? ++low : --high;
    }
    return best;
  }

  const std::vector<double>& squares_;
  double epsilon_;
  const std::vector<std::int64_t>& wanted_;
  std::vector<std::int64_t> by_square_;
  double mean_ = 0;
  float root_ = 0;
  Random random_{1};
};

}  // namespace

std::optional<std::vector<std::int64_t>> part_of_same_root(
    const std::vector<double>& squares, double epsilon, const std::vector<std::int64_t>& wanted,
    const std::function<bool(const std::vector<std::int64_t>& columns)>& accepts) {
  PartSearch search(squares, epsilon, wanted);
  std::vector<std::int64_t> alone = wanted;
  std::ranges::sort(alone);
  if (search.same_root(alone) && accepts(alone)) return alone;
  const auto least = static_cast<std::int64_t>(wanted.size()) + 2;
  const std::int64_t most = std::min(kMost, static_cast<std::int64_t>(squares.size()) / 2);
  for (std::int64_t size = least; size <= most; size = size < 8 ? size + 1 : 2 * size) {
    int asked = 0;
    for (int i = 0; i < kDraws && asked < kMostAsked; ++i) {
      const auto columns = search.draw(size);
      if (!columns) continue;
      ++asked;
      if (accepts(*columns)) return columns;
    }
  }
  return std::nullopt;
}

}  // namespace normproof
