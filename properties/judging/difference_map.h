// Where in a tensor elements differ: a grid of cells, each for some rows and columns, the columns, and the
// rows that differ most.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

namespace normproof {

class DifferenceMap {
 public:
  static constexpr std::int64_t kMaximumRows = 48, kMaximumColumns = 96;  // of cells

  DifferenceMap(std::int64_t rows, std::int64_t columns)
      : rows_(rows),
        columns_(columns),
        rows_per_cell_(std::max<std::int64_t>(1, (rows + kMaximumRows - 1) / kMaximumRows)),
        columns_per_cell_(std::max<std::int64_t>(1, (columns + kMaximumColumns - 1) / kMaximumColumns)),
        cell_rows_((rows + rows_per_cell_ - 1) / rows_per_cell_),
        cell_columns_((columns + columns_per_cell_ - 1) / columns_per_cell_),
        differing_(static_cast<std::size_t>(cell_rows_ * cell_columns_)),
        by_column_(static_cast<std::size_t>(columns)) {}

  // An element that differs, by so many representable numbers (UINT64_MAX: NaN on one side); requires that it
  // exists. Those of a row come one after the other.
  void add(std::int64_t row, std::int64_t column, std::uint64_t distance) {
    ++differing_[static_cast<std::size_t>(row / rows_per_cell_ * cell_columns_ + column / columns_per_cell_)];
    ++by_column_[static_cast<std::size_t>(column)];
    if (row != current_.row) {
      keep(current_);
      current_ = {row, 0, 0};
    }
    ++current_.differing;
    current_.farthest = std::max(current_.farthest, distance);
  }
  // Rows that were compared.
  void add_rows(std::int64_t rows) { rows_compared_ += rows; }

  // Requires a map of the same size, of other rows.
  DifferenceMap& operator+=(const DifferenceMap& other) {
    for (std::size_t cell = 0; cell < differing_.size(); ++cell) differing_[cell] += other.differing_[cell];
    for (std::size_t column = 0; column < by_column_.size(); ++column)
      by_column_[column] += other.by_column_[column];
    for (const Row& row : other.worst_) keep(row);
    keep(other.current_);
    rows_compared_ += other.rows_compared_;
    return *this;
  }

  struct Row {
    std::int64_t row = -1;
    std::int64_t differing = 0;  // elements
    std::uint64_t farthest = 0;
  };
  static constexpr std::size_t kWorstRows = 8;
  // Those with the most elements that differ, and of them those that are farthest off.
  std::vector<Row> worst_rows() const {
    DifferenceMap all = *this;
    all.keep(current_);
    return all.worst_;
  }
  // How many rows differ in each column.
  const std::vector<std::int64_t>& by_column() const { return by_column_; }
  std::int64_t rows_compared() const { return rows_compared_; }

  std::int64_t cell_rows() const { return cell_rows_; }
  std::int64_t cell_columns() const { return cell_columns_; }
  // What a cell stands for: rows first_row to last_row, columns first_column to last_column.
  struct Cell {
    std::int64_t first_row, last_row, first_column, last_column;
    std::int64_t differing;
    std::int64_t elements() const { return (last_row - first_row + 1) * (last_column - first_column + 1); }
  };
  Cell cell(std::int64_t row, std::int64_t column) const {
    return {row * rows_per_cell_, std::min(rows_, (row + 1) * rows_per_cell_) - 1, column * columns_per_cell_,
            std::min(columns_, (column + 1) * columns_per_cell_) - 1,
            differing_[static_cast<std::size_t>(row * cell_columns_ + column)]};
  }

 private:
  void keep(const Row& row) {
    if (row.differing == 0) return;
    const auto worse = [](const Row& a, const Row& b) {
      return std::tuple(-a.differing, ~a.farthest, a.row) < std::tuple(-b.differing, ~b.farthest, b.row);
    };
    worst_.insert(std::ranges::upper_bound(worst_, row, worse), row);
    if (worst_.size() > kWorstRows) worst_.pop_back();
  }

  std::int64_t rows_, columns_;
  std::int64_t rows_per_cell_, columns_per_cell_;
  std::int64_t cell_rows_, cell_columns_;
  std::vector<std::int64_t> differing_;
  std::vector<std::int64_t> by_column_;
  std::int64_t rows_compared_ = 0;
  Row current_;
  std::vector<Row> worst_;  // the worst first
};

}  // namespace normproof
