// Plots as SVG, to stand in a page or in a file of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace normproof::svg {

// A bar per share of a whole. `share` is 0 to 1; texts are text.
struct Bar {
  std::string label;
  double share = 0;
  std::string text;  // beside the bar
};
std::string bars(std::span<const Bar> bars);

// How much of each cell of a grid is marked.
struct Grid {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> shares;         // rows * columns, 0 to 1
  std::vector<std::string> tooltips;  // of the same size, text; may be empty
  std::string row_title, column_title;
  // What the outermost cells stand for.
  std::string first_row, last_row, first_column, last_column;
};
std::string heat_map(const Grid& grid);

// Lines over the same places 1, 2, 3, ...
struct Line {
  std::string name;
  std::vector<double> values;
};
struct LinePlot {
  std::string title, place_title, value_title;
  std::vector<Line> lines;
  bool logarithmic = false;              // values of 0 are left out
  std::optional<double> least, largest;  // of the value axis; else what the values need
};
// Plots below each other in one drawing. Texts are text.
std::string line_plots(std::span<const LinePlot> plots);

}  // namespace normproof::svg
