// Where in a tensor elements differ: a grid of cells, each for some rows and columns.
#pragma once

#include <algorithm>
#include <cstdint>
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
        differing_(static_cast<std::size_t>(cell_rows_ * cell_columns_)) {}

  // An element that differs; requires that it exists.
  void add(std::int64_t row, std::int64_t column) {
    ++differing_[static_cast<std::size_t>(row / rows_per_cell_ * cell_columns_ + column / columns_per_cell_)];
  }

  // Requires a map of the same size.
  DifferenceMap& operator+=(const DifferenceMap& other) {
    for (std::size_t cell = 0; cell < differing_.size(); ++cell) differing_[cell] += other.differing_[cell];
    return *this;
  }

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
  std::int64_t rows_, columns_;
  std::int64_t rows_per_cell_, columns_per_cell_;
  std::int64_t cell_rows_, cell_columns_;
  std::vector<std::int64_t> differing_;
};

}  // namespace normproof
