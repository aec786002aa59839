#include "cli/html_differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/diagnosis.h"
#include "oracle/canonical.h"
#include "oracle/formats.h"
#include "properties/report/html.h"
#include "properties/report/svg.h"

namespace normproof {

std::string code_html(std::string_view text) { return fmt::format("<code>{}</code>", html::escaped(text)); }

namespace {

using html::escaped;
using Rows = std::vector<std::vector<std::string>>;

// "1.0078125 0x3f81".
std::string number(DType dtype, std::uint32_t bits) {
  return fmt::format("{} {}", escaped(oracle::value_text(dtype, bits)),
                     code_html(oracle::hex_bits(dtype, bits)));
}

std::string roots(const oracle::RootInterval& interval) {
  if (interval.empty()) return "none";
  const auto end = [](std::int64_t bits) {
    return bits < 0 || bits > UINT32_MAX ? std::string("-")
                                         : number(DType::fp32, static_cast<std::uint32_t>(bits));
  };
  return fmt::format("{} to {}", end(interval.low), end(interval.high));
}

// What the correctly rounded r gives for the element, and how far what was got is from that.
std::pair<std::string, std::string> expected_html(const oracle::Certificate& certificate,
                                                  const oracle::CertificateElement& element,
                                                  const oracle::Formula& formula) {
  if (element.tensor == Role::scales) return {"-", "-"};
  const DType dtype = formula.output_dtype();
  const std::uint32_t wanted = oracle::bits_at_root(certificate, element, formula);
  if (oracle::same(dtype, wanted, element.got)) return {number(dtype, wanted), "0"};
  const std::uint64_t apart = oracle::ulp_distance(dtype, wanted, element.got);
  return {number(dtype, wanted), apart == UINT64_MAX ? "NaN" : std::to_string(apart)};
}

}  // namespace

std::string certificate_html(const oracle::Certificate& certificate, const oracle::Formula& formula) {
  Rows rows = {{"tensor", "column", "x, or its sum with the residual", "weight", "got", "expected",
                "ulp apart", "inverse RMS that gives what was got"}};
  for (const oracle::CertificateElement& element : certificate.elements) {
    const bool is_scale = element.tensor == Role::scales;
    const auto [expected, apart] = expected_html(certificate, element, formula);
    rows.push_back({std::string(name_of(element.tensor)), std::to_string(element.column),
                    number(DType::fp32, element.operand),
                    formula.formats.weight ? number(*formula.formats.weight, element.weight) : "-",
                    number(is_scale ? DType::fp32 : formula.output_dtype(), element.got), expected, apart,
                    roots(element.needs)});
  }
  std::string text = fmt::format("<h3>Row {}: {}</h3>\n", certificate.row, name_of(certificate.kind));
  text += html::table(rows);
  text += fmt::format(
      "<p>Any correct summation gives an inverse RMS of {}; the correctly rounded one, by which the expected "
      "bits "
      "are computed, is {}.</p>\n",
      certificate.admissible.interval.empty() ? "NaN alone" : roots(certificate.admissible.interval),
      number(DType::fp32, certificate.correctly_rounded_root));
  return text + html::details("as text", html::preformatted(oracle::to_text(certificate, formula)));
}

std::string mismatches_html(const std::vector<oracle::Mismatch>& mismatches) {
  if (mismatches.empty()) return {};
  Rows rows = {{"tensor", "row", "column", "got", "expected", "ulp apart"}};
  for (const oracle::Mismatch& mismatch : mismatches) {
    rows.push_back({std::string(name_of(mismatch.tensor)), std::to_string(mismatch.row),
                    std::to_string(mismatch.column), number(mismatch.dtype, mismatch.got),
                    number(mismatch.dtype, mismatch.wanted),
                    mismatch.ulp_distance == UINT64_MAX ? "NaN" : std::to_string(mismatch.ulp_distance)});
  }
  return html::table(rows);
}

namespace {

std::string histogram_html(const DifferenceHistogram& histogram) {
  const double total = static_cast<double>(std::max<std::int64_t>(histogram.total(), 1));
  std::vector<svg::Bar> bars;
  const auto add = [&](const std::string& label, std::int64_t count) {
    const double share = static_cast<double>(count) / total;
    bars.push_back(
        {label, share,
         fmt::format("{} ({})", count, share_text(count, std::max<std::int64_t>(histogram.total(), 1)))});
  };
  for (std::size_t bin = 0; bin < histogram.elements.size(); ++bin)
    add(DifferenceHistogram::label(bin), histogram.elements[bin]);
  add("NaN on one side", histogram.nan_mismatches);
  return svg::bars(bars);
}

std::string map_html(const DifferenceMap& map) {
  svg::Grid grid;
  grid.rows = map.cell_rows();
  grid.columns = map.cell_columns();
  if (grid.rows == 0 || grid.columns == 0) return {};
  const auto range = [](std::int64_t first, std::int64_t last) {
    return first == last ? std::to_string(first) : fmt::format("{} to {}", first, last);
  };
  for (std::int64_t row = 0; row < grid.rows; ++row) {
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      const DifferenceMap::Cell cell = map.cell(row, column);
      grid.shares.push_back(static_cast<double>(cell.differing) / static_cast<double>(cell.elements()));
      grid.tooltips.push_back(
          fmt::format("rows {}, columns {}: {} of {} elements differ", range(cell.first_row, cell.last_row),
                      range(cell.first_column, cell.last_column), cell.differing, cell.elements()));
    }
  }
  const DifferenceMap::Cell first = map.cell(0, 0), last = map.cell(grid.rows - 1, grid.columns - 1);
  grid.first_row = std::to_string(first.first_row);
  grid.last_row = std::to_string(last.last_row);
  grid.first_column = std::to_string(first.first_column);
  grid.last_column = std::to_string(last.last_column);
  grid.row_title = "rows";
  grid.column_title = "columns";
  return svg::heat_map(grid);
}

std::string worst_rows_html(const DifferenceMap& map) {
  Rows rows = {{"row", "elements that differ", "at most"}};
  for (const DifferenceMap::Row& row : map.worst_rows())
    rows.push_back({std::to_string(row.row), std::to_string(row.differing),
                    row.farthest == UINT64_MAX ? "NaN on one side" : fmt::format("{} ulp", row.farthest)});
  if (rows.size() == 1) return {};
  return "<h3>The worst rows</h3>\n" + html::table(rows);
}

// The columns that differ, folded: cell (a, b) has the columns c with c modulo (rows * columns) equal to
// a * columns + b.
svg::Grid folded(const DifferenceMap& map, std::int64_t rows, std::int64_t columns) {
  const std::vector<std::int64_t>& by_column = map.by_column();
  const std::int64_t modulus = rows * columns;
  std::vector<std::int64_t> differing(static_cast<std::size_t>(modulus)), all(differing);
  for (std::size_t column = 0; column < by_column.size(); ++column) {
    const std::size_t cell = column % static_cast<std::size_t>(modulus);
    differing[cell] += by_column[column];
    all[cell] += map.rows_compared();
  }
  svg::Grid grid;
  grid.rows = rows;
  grid.columns = columns;
  for (std::size_t cell = 0; cell < differing.size(); ++cell) {
    grid.shares.push_back(
        all[cell] > 0 ? static_cast<double>(differing[cell]) / static_cast<double>(all[cell]) : 0);
    grid.tooltips.push_back(fmt::format("columns {} modulo {}: {} of {} elements differ", cell, modulus,
                                        differing[cell], all[cell]));
  }
  grid.first_column = "0";
  grid.last_column = std::to_string(columns - 1);
  grid.first_row = "0";
  grid.last_row = std::to_string((rows - 1) * columns);
  return grid;
}

// Vectors are 16 bytes, warps 32 threads, blocks mostly up to 1024.
std::string folded_html(const DifferenceMap& map, DType dtype) {
  constexpr std::int64_t kWarp = 32, kBlock = 1024;
  const auto hidden = static_cast<std::int64_t>(map.by_column().size());
  const auto vector = static_cast<std::int64_t>(16 / size_of(dtype));
  std::string text;
  const auto add = [&](const std::string& title, std::int64_t rows, std::int64_t columns) {
    if (hidden < 2 * columns) return;
    svg::Grid grid = folded(map, rows, columns);
    grid.row_title = fmt::format("multiples of {}", columns);
    grid.column_title = fmt::format("column modulo {}", columns);
    text += fmt::format("<h4>{}</h4>\n{}", title, svg::heat_map(grid));
  };
  add(fmt::format("By place in a vector of {} elements, 16 bytes", vector), 1, vector);
  add("By lane, where a thread has one column", 1, kWarp);
  add("By thread of a block of 1024, where a thread has one column", std::min(kBlock, hidden) / kWarp, kWarp);
  if (text.empty()) return text;
  return html::details("where they are in vectors, warps and blocks: tails and lanes show here", text);
}

}  // namespace

std::string picture_html(const DifferencePicture& picture, DType dtype) {
  const std::string pattern = column_pattern(picture.map.by_column());
  return fmt::format(
      "<h3>How far elements are off</h3>\n<p>{}</p>\n{}{}{}<h3>Where elements differ</h3>\n{}{}{}",
      escaped(picture.subject), histogram_html(picture.histogram),
      picture.histogram.few_differ() ? mismatches_html(picture.histogram.first) : "",
      worst_rows_html(picture.map), pattern.empty() ? "" : fmt::format("<p>{}.</p>\n", escaped(pattern)),
      map_html(picture.map), folded_html(picture.map, dtype));
}

}  // namespace normproof
