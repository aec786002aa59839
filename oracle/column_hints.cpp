// Sums over sets of columns, against what each row must have summed.
#include "oracle/column_hints.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <utility>

namespace normproof::oracle {
namespace {

constexpr std::size_t kMostHints = 4;

std::string columns_text(std::size_t first, std::size_t end) {
  return first + 1 == end ? fmt::format("column {} was", first)
                          : fmt::format("columns {}..{} were", first, end - 1);
}

class Search {
 public:
  explicit Search(std::span<const SummedRow> rows) : rows_(rows), hidden_(rows.front().operands.size()) {
    for (const SummedRow& row : rows) {
      std::vector<double> prefix = {0};
      for (const float operand : row.operands)
        prefix.push_back(prefix.back() + static_cast<double>(operand) * static_cast<double>(operand));
      prefix_.push_back(std::move(prefix));
    }
  }

  std::vector<ColumnHint> find() {
    if (hidden_ < 2) return {};
    ends();
    blocks();
    lanes();
    return std::move(found_);
  }

 private:
  // The sum that row `row` had without, or with twice, a part of it that sums to `part`.
  bool fits(std::size_t row, double part, double sign) const {
    const double sum = prefix_[row].back() + sign * part;
    return rows_[row].low <= sum && sum <= rows_[row].high;
  }
  template <typename Part>
  void try_part(Part part, const std::string& columns) {
    for (const double sign : {-1.0, 1.0}) {
      ++causes_;
      if (found_.size() >= kMostHints) return;
      bool all = true;
      for (std::size_t row = 0; all && row < rows_.size(); ++row) all = fits(row, part(row), sign);
      if (all)
        found_.push_back(
            {fmt::format("as if {} {}", columns, sign < 0 ? "not summed" : "summed twice"), causes_});
    }
  }
  // The mean of the columns [first, end) alone.
  void try_mean_of(std::size_t first, std::size_t end) {
    ++causes_;
    if (found_.size() >= kMostHints) return;
    const double scale = static_cast<double>(hidden_) / static_cast<double>(end - first);
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      const double sum = scale * (prefix_[row][end] - prefix_[row][first]);
      if (!(rows_[row].low <= sum && sum <= rows_[row].high)) return;
    }
    found_.push_back(
        {fmt::format("as if the mean were that of columns {}..{} alone", first, end - 1), causes_});
  }

  // Cut off at the front or the end: of the cuts that fit, the roundest.
  void ends() {
    std::vector<std::size_t> cuts;
    for (std::size_t cut = 1; cut < hidden_; ++cut) cuts.push_back(cut);
    std::ranges::sort(cuts, {}, [&](std::size_t cut) {
      const std::size_t left = hidden_ - cut;
      return std::pair(-static_cast<std::ptrdiff_t>(std::max(cut & -cut, left & -left)), cut);
    });
    const std::size_t before = found_.size();
    for (const std::size_t cut : cuts) {
      if (found_.size() > before) break;
      const auto sum = [&](std::size_t row, std::size_t first, std::size_t end) {
        return prefix_[row][end] - prefix_[row][first];
      };
      try_part([&](std::size_t row) { return sum(row, cut, hidden_); }, columns_text(cut, hidden_));
      try_part([&](std::size_t row) { return sum(row, 0, cut); }, columns_text(0, cut));
      try_mean_of(0, cut);
      try_mean_of(cut, hidden_);
    }
    causes_ = 6 * static_cast<double>(hidden_);
  }

  void blocks() {
    for (std::size_t size = std::bit_floor(hidden_ / 4); size >= 1; size /= 2) {
      for (std::size_t first = size; first + size < hidden_; first += size) {
        try_part([&](std::size_t row) { return prefix_[row][first + size] - prefix_[row][first]; },
                 columns_text(first, first + size));
      }
    }
  }

  // Threads that take `width` columns each in turn: one of them, or one warp of 32.
  void lanes() {
    constexpr std::array<std::size_t, 5> kWidths = {1, 2, 4, 8, 16};
    for (const std::size_t width : kWidths) {
      for (std::size_t threads = 2; threads <= 1024 && width * threads < hidden_; threads *= 2) {
        std::vector<std::vector<double>> sums(rows_.size(), std::vector<double>(threads));
        for (std::size_t row = 0; row < rows_.size(); ++row) {
          for (std::size_t column = 0; column < hidden_; ++column)
            sums[row][column / width % threads] += prefix_[row][column + 1] - prefix_[row][column];
        }
        for (std::size_t thread = 0; thread < threads; ++thread) {
          try_part(
              [&](std::size_t row) { return sums[row][thread]; },
              fmt::format("the columns of thread {} of {}, {} each in turn, were", thread, threads, width));
        }
        for (std::size_t warp = 0; 32 * (warp + 1) <= threads && threads > 32; ++warp) {
          const auto part = [&](std::size_t row) {
            double sum = 0;
            for (std::size_t thread = 32 * warp; thread < 32 * (warp + 1); ++thread) sum += sums[row][thread];
            return sum;
          };
          try_part(part, fmt::format("the columns of warp {} of {} threads, {} each in turn, were", warp,
                                     threads, width));
        }
      }
    }
  }

  std::span<const SummedRow> rows_;
  std::size_t hidden_;
  std::vector<std::vector<double>> prefix_;
  std::vector<ColumnHint> found_;
  double causes_ = 0;
};

}  // namespace

std::vector<ColumnHint> column_hints(std::span<const SummedRow> rows) { return Search(rows).find(); }

}  // namespace normproof::oracle
