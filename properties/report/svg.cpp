#include "properties/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "properties/report/html.h"

namespace normproof::svg {
namespace {

using html::escaped;

constexpr const char* kFont = "font-family=\"system-ui, DejaVu Sans, sans-serif\"";
constexpr std::array kColors = {"#2171b5", "#c0392b", "#1b7f3b", "#8e6bbf", "#b9770e"};

// On a background of its own: in a dark page, too, it is dark on white.
std::string begin(double width, double height) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" {2} font-size=\"12\" fill=\"#1c2330\">\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n",
      width, height, kFont);
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text,
                    std::string_view attributes = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor,
                     attributes, escaped(text));
}

// White to red.
std::string color_of(double share) {
  const double part = std::sqrt(std::clamp(share, 0.0, 1.0));  // few marks must be visible too
  const auto mix = [part](int from, int to) {
    return static_cast<int>(std::lround(from + (to - from) * part));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(0xfd, 0xb3), mix(0xe4, 0x1a), mix(0xe1, 0x1e));
}

// What the colours of a heat map stand for.
std::string legend(double x, double y) {
  constexpr std::array<std::pair<double, const char*>, 4> kSteps = {
      {{0, "none"}, {0.01, "1 %"}, {0.1, "10 %"}, {1, "all"}}};
  std::string text = text_at(x, y + 12, "start", "of a cell's elements differ:", "fill=\"#596273\"");
  x += 160;
  for (const auto& [share, label] : kSteps) {
    text += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"14\" height=\"14\" fill=\"{}\" stroke=\"#596273\"/>\n", x,
        y + 1, share > 0 ? color_of(share) : "#f6f7f9");
    text += text_at(x + 20, y + 12, "start", label, "fill=\"#596273\"");
    x += 64;
  }
  return text;
}

// The axis of values of one plot.
class Axis {
 public:
  explicit Axis(const LinePlot& plot) : logarithmic_(plot.logarithmic) {
    bool any = false;
    for (const Line& line : plot.lines) {
      for (const double value : line.values) {
        if (!shows(value)) continue;
        const double place = scaled(value);
        low_ = any ? std::min(low_, place) : place;
        high_ = any ? std::max(high_, place) : place;
        any = true;
      }
    }
    if (logarithmic_) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    if (plot.least) low_ = scaled(*plot.least);
    if (plot.largest) high_ = scaled(*plot.largest);
    if (high_ - low_ < 1e-12) high_ = low_ + 1;
  }
  bool shows(double value) const { return std::isfinite(value) && (!logarithmic_ || value > 0); }
  // 0 at the bottom, 1 at the top.
  double place_of(double value) const { return (scaled(value) - low_) / (high_ - low_); }
  struct Tick {
    double place;
    std::string label;
  };
  std::vector<Tick> ticks() const {
    std::vector<Tick> result;
    if (logarithmic_) {
      const int step = std::max(1, static_cast<int>(std::lround((high_ - low_) / 5)));
      for (int power = static_cast<int>(low_); power <= static_cast<int>(high_); power += step)
        result.push_back({(power - low_) / (high_ - low_), fmt::format("1e{}", power)});
    } else {
      for (int tick = 0; tick <= 4; ++tick)
        result.push_back({tick / 4.0, fmt::format("{:.3g}", low_ + (high_ - low_) * tick / 4)});
    }
    return result;
  }

 private:
  double scaled(double value) const { return logarithmic_ ? std::log10(value) : value; }
  bool logarithmic_;
  double low_ = 0, high_ = 1;
};

constexpr double kPlotWidth = 640, kPlotHeight = 170, kLeft = 74, kTop = 34, kBottom = 44, kRight = 20;

std::string draw(const LinePlot& plot, double top) {
  std::string text = text_at(kLeft, top + 18, "start", plot.title, "font-weight=\"600\"");
  const Axis axis(plot);
  const double bottom = top + kTop + kPlotHeight;
  const auto height_of = [&](double place) { return bottom - place * kPlotHeight; };
  for (const Axis::Tick& tick : axis.ticks()) {
    text +=
        fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e3e6ec\"/>\n",
                    kLeft, kLeft + kPlotWidth, height_of(tick.place), height_of(tick.place));
    text += text_at(kLeft - 8, height_of(tick.place) + 4, "end", tick.label, "fill=\"#596273\"");
  }
  std::size_t places = 1;
  for (const Line& line : plot.lines) places = std::max(places, line.values.size());
  const auto place_at = [&](std::size_t index) {
    return kLeft +
           kPlotWidth * (places == 1 ? 0.5 : static_cast<double>(index) / static_cast<double>(places - 1));
  };
  const std::size_t step = std::max<std::size_t>(1, (places + 15) / 16);
  for (std::size_t index = 0; index < places; index += step)
    text += text_at(place_at(index), bottom + 16, "middle", std::to_string(index + 1), "fill=\"#596273\"");
  text += text_at(kLeft + kPlotWidth, bottom + 32, "end", plot.place_title, "fill=\"#596273\"");
  text += text_at(kLeft, bottom + 32, "start", plot.value_title, "fill=\"#596273\"");
  double legend = kLeft + kPlotWidth;
  for (std::size_t number = 0; number < plot.lines.size(); ++number) {
    const Line& line = plot.lines[number];
    const char* color = kColors[number % kColors.size()];
    std::string points, dots;
    for (std::size_t index = 0; index < line.values.size(); ++index) {
      if (!axis.shows(line.values[index])) continue;
      const double x = place_at(index), y = height_of(axis.place_of(line.values[index]));
      points += fmt::format("{:.1f},{:.1f} ", x, y);
      dots += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"{}\"><title>{}: {:.4g}</title></circle>\n", x,
          y, color, index + 1, line.values[index]);
    }
    text += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"/>\n{}",
                        points, color, dots);
    if (plot.lines.size() > 1) {
      text += text_at(legend, top + 18, "end", line.name, fmt::format("fill=\"{}\"", color));
      legend -= 12 + 7.0 * static_cast<double>(line.name.size());
    }
  }
  return text;
}

}  // namespace

std::string bars(std::span<const Bar> bars) {
  constexpr double kLabel = 150, kWidth = 420, kText = 190, kStep = 22;
  std::string text = begin(kLabel + kWidth + kText, kStep * static_cast<double>(bars.size()) + 4);
  for (std::size_t index = 0; index < bars.size(); ++index) {
    const Bar& bar = bars[index];
    const double y = kStep * static_cast<double>(index) + 2;
    // What is there at all is seen.
    const double width = bar.share > 0 ? std::max(1.5, bar.share * kWidth) : 0;
    text += text_at(kLabel - 8, y + 14, "end", bar.label);
    text += fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" rx=\"2\" fill=\"{}\"/>\n",
                        kLabel, y + 2, width, kStep - 6, index == 0 ? "#4c8fbd" : "#c0392b");
    text += text_at(kLabel + width + 8, y + 14, "start", bar.text, "fill=\"#596273\"");
  }
  return text + "</svg>\n";
}

std::string heat_map(const Grid& grid) {
  constexpr double kMargin = 70, kLargestWidth = 860, kLargestCell = 22, kSmallestHeight = 4;
  const double cell_width =
      std::min(kLargestCell, kLargestWidth / static_cast<double>(std::max<std::int64_t>(grid.columns, 1)));
  const double cell_height = std::clamp(cell_width, kSmallestHeight, kLargestCell);
  const double width = cell_width * static_cast<double>(grid.columns),
               height = cell_height * static_cast<double>(grid.rows);
  std::string text = begin(kMargin + std::max(width, 420.0) + 10, height + 66);
  text += fmt::format(
      "<rect x=\"{}\" y=\"20\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#f6f7f9\" stroke=\"#e3e6ec\"/>\n",
      kMargin, width, height);
  for (std::int64_t row = 0; row < grid.rows; ++row) {
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      const auto index = static_cast<std::size_t>(row * grid.columns + column);
      if (grid.shares[index] <= 0) continue;
      text += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\">",
                          kMargin + cell_width * static_cast<double>(column),
                          20 + cell_height * static_cast<double>(row), cell_width, cell_height,
                          color_of(grid.shares[index]));
      if (!grid.tooltips.empty()) text += fmt::format("<title>{}</title>", escaped(grid.tooltips[index]));
      text += "</rect>\n";
    }
  }
  text += text_at(kMargin - 6, 20 + std::min(12.0, height), "end", grid.first_row, "fill=\"#596273\"");
  if (grid.rows > 1) text += text_at(kMargin - 6, 20 + height, "end", grid.last_row, "fill=\"#596273\"");
  text += text_at(kMargin, 14, "start", grid.first_column, "fill=\"#596273\"");
  if (width > 120) text += text_at(kMargin + width, 14, "end", grid.last_column, "fill=\"#596273\"");
  text += text_at(kMargin, height + 38, "start", grid.row_title + " down, " + grid.column_title + " across",
                  "fill=\"#596273\"");
  text += legend(kMargin, height + 46);
  return text + "</svg>\n";
}

std::string line_plots(std::span<const LinePlot> plots) {
  constexpr double kStep = kTop + kPlotHeight + kBottom;
  std::string text = begin(kLeft + kPlotWidth + kRight, kStep * static_cast<double>(plots.size()) + 6);
  for (std::size_t index = 0; index < plots.size(); ++index)
    text += draw(plots[index], kStep * static_cast<double>(index));
  return text + "</svg>\n";
}

}  // namespace normproof::svg
