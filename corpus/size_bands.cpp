#include "corpus/size_bands.h"

#include <algorithm>
#include <vector>

namespace normproof {
namespace {

template <std::size_t N>
std::optional<std::size_t> band_of(const std::array<SizeBand, N>& bands, std::int64_t size) {
  const auto* found = std::ranges::find_if(bands, [&](const SizeBand& band) { return band.contains(size); });
  if (found == bands.end()) return std::nullopt;
  return static_cast<std::size_t>(found - bands.begin());
}

// Bands of H from the shortest to the longest, for people.
std::vector<std::size_t> by_size() {
  std::vector<std::size_t> order(kHiddenBands.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [](std::size_t i) { return kHiddenBands[i].first; });
  return order;
}

}  // namespace

std::string to_string(const SizeBand& band) {
  const std::string first = std::to_string(band.first);
  return band.first == band.last ? first : first + "-" + std::to_string(band.last);
}

bool is_wanted(const SizeCell& cell) {
  const SizeBand& rows = kRowBands[cell.first];
  const std::int64_t hidden = kHiddenBands[cell.second].first;
  return hidden <= rows.most_hidden && rows.first * hidden <= kMostElementsOfCell;
}

std::optional<SizeCell> size_cell(const Case& test_case) {
  const auto rows = band_of(kRowBands, test_case.rows());
  const auto hidden = band_of(kHiddenBands, test_case.hidden_size());
  if (!rows || !hidden || !is_wanted({*rows, *hidden})) return std::nullopt;
  return SizeCell{*rows, *hidden};
}

SizesReached& SizesReached::operator+=(const SizesReached& other) {
  for (std::size_t i = 0; i < kRowBands.size(); ++i)
    for (std::size_t j = 0; j < kHiddenBands.size(); ++j) reached_[i][j] |= other.reached_[i][j];
  return *this;
}

std::size_t SizesReached::count() const {
  std::size_t sum = 0;
  for (const auto& row : reached_) sum += static_cast<std::size_t>(std::ranges::count(row, true));
  return sum;
}

std::size_t SizesReached::wanted_count() {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < kRowBands.size(); ++i)
    for (std::size_t j = 0; j < kHiddenBands.size(); ++j) sum += is_wanted({i, j}) ? 1 : 0;
  return sum;
}

std::string SizesReached::missing(std::size_t row_band) const {
  std::string text;
  const auto order = by_size();
  const auto is_missing = [&](std::size_t place) {
    const SizeCell cell{row_band, order[place]};
    return is_wanted(cell) && !has(cell);
  };
  for (std::size_t place = 0; place < order.size(); ++place) {
    if (!is_missing(place)) continue;
    if (!text.empty()) text += ", ";
    text += to_string(kHiddenBands[order[place]]);
    const std::size_t first = place;
    while (place + 1 < order.size() && is_missing(place + 1)) ++place;
    if (place > first) text += (place == first + 1 ? ", " : " to ") + to_string(kHiddenBands[order[place]]);
  }
  return text;
}

std::string sizes_left_out() {
  std::string text;
  const std::vector<std::size_t> order = by_size();
  for (std::size_t row_band = 0; row_band < kRowBands.size(); ++row_band) {
    const auto unwanted =
        std::ranges::find_if(order, [&](std::size_t hidden) { return !is_wanted({row_band, hidden}); });
    if (unwanted == order.end()) continue;
    text += (text.empty() ? "" : ", ") + to_string(kRowBands[row_band]) + " rows with H of " +
            std::to_string(kHiddenBands[*unwanted].first) + " and more";
  }
  return text;
}

}  // namespace normproof
