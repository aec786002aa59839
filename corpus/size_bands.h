// The sizes that every run must reach: bands of the number of rows times bands of the hidden size H. Kernels
// change their way at thresholds of either, and a grid has limits of its own. One table for all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "corpus/case.h"

namespace normproof {

struct SizeBand {
  std::int64_t first;
  std::int64_t last;
  std::int64_t most_hidden = kNoLimit;  // of a band of rows: with longer rows it would cost too much
  static constexpr std::int64_t kNoLimit = INT64_MAX;
  constexpr bool contains(std::int64_t size) const { return first <= size && size <= last; }
};
std::string to_string(const SizeBand& band);  // "65-256"

// 65,535 is the most that the second and third dimension of a grid take; from 2^23 on, two rows are 2^24.
inline constexpr auto kRowBands = std::to_array<SizeBand>({
    {1, 1},
    {2, 2},
    {3, 16},
    {17, 64},
    {65, 256},
    {257, 1024},
    {1025, 4096},
    {65535, 65537, 128},
    {8388609, 8388609, 1},
});

// The hidden sizes of corpus/models (a test holds them to it), then what lies between. The first band that
// contains a size is its band.
inline constexpr auto kHiddenBands = std::to_array<SizeBand>({
    {64, 64},     {128, 128},     {576, 576},     {768, 768},    {769, 769},     {896, 896},
    {1024, 1024}, {1536, 1536},   {2048, 2048},   {2560, 2560},  {2880, 2880},   {3072, 3072},
    {3584, 3584}, {4096, 4096},   {5120, 5120},   {5125, 5125},  {6144, 6144},   {7168, 7168},
    {8192, 8192}, {12288, 12288}, {16384, 16384}, {1, 1},        {2, 16},        {17, 127},
    {129, 511},   {512, 2047},    {2049, 8191},   {8193, 16383}, {16385, 65536},
});

// A cell: index of the band of rows, index of the band of hidden sizes.
using SizeCell = std::pair<std::size_t, std::size_t>;
// Of a case; nothing where it lies in no band, or beside those that are wanted.
std::optional<SizeCell> size_cell(const Case& test_case);
// Whether a run is to reach the cell: its smallest case has no more elements than this.
inline constexpr std::int64_t kMostElementsOfCell = 1025 * 16384;
bool is_wanted(const SizeCell& cell);

// Which cells have been reached.
class SizesReached {
 public:
  void add(const SizeCell& cell) { reached_[cell.first][cell.second] = true; }
  bool has(const SizeCell& cell) const { return reached_[cell.first][cell.second]; }
  SizesReached& operator+=(const SizesReached& other);
  std::size_t count() const;          // of the wanted ones
  static std::size_t wanted_count();  // of all
  // The bands of H that are missing with this band of rows: "64 to 1024, 2-16"; empty where none is.
  std::string missing(std::size_t row_band) const;

 private:
  std::array<std::array<bool, kHiddenBands.size()>, kRowBands.size()> reached_{};
};

// What the table leaves out, for the end of a report.
std::string sizes_left_out();

}  // namespace normproof
