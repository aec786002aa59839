// Bugs that show at some sizes only, as real kernels have them. Of plug-ins in tests, and of a study of what
// verify's sizes find.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace normproof::assess {

struct SizeBug {
  enum class Effect : std::uint8_t {
    half_summed,  // of each row, over the whole H
    not_written,  // the rows, or those beyond `grid`
    divisor,      // H - 1 for H
  };
  std::string_view name;
  Effect effect;
  std::int64_t rows;  // from so many on
  std::int64_t least_hidden;
  std::int64_t most_hidden;
  std::int64_t grid = 0;  // rank 3 and more: of a leading dimension, no more steps than this are done
};

inline constexpr std::int64_t kAnyHidden = std::int64_t{1} << 40;
inline constexpr auto kSizeBugs = std::to_array<SizeBug>({
    {"half-256x512", SizeBug::Effect::half_summed, 256, 512, kAnyHidden},
    {"half-256x2048", SizeBug::Effect::half_summed, 256, 2048, kAnyHidden},
    {"half-65x6144", SizeBug::Effect::half_summed, 65, 6144, 6144},
    {"half-1024", SizeBug::Effect::half_summed, 1024, 1, kAnyHidden},
    {"half-17x16384", SizeBug::Effect::half_summed, 17, 16384, 16384},
    {"divisor-5120", SizeBug::Effect::divisor, 1, 5120, 5120},
    {"grid-65535", SizeBug::Effect::not_written, 65536, 1, kAnyHidden, 65535},
    {"unwritten-2^23", SizeBug::Effect::not_written, std::int64_t{1} << 23, 1, kAnyHidden},
});

// Whether a call of this shape, the hidden size last, is one that the bug spoils.
inline bool spoils(const SizeBug& bug, std::span<const std::int64_t> shape) {
  std::int64_t rows = 1, largest = 0;
  for (const std::int64_t size : shape.first(shape.size() - 1)) {
    rows *= size;
    largest = std::max(largest, size);
  }
  const std::int64_t hidden = shape.back();
  if (bug.grid > 0 && (shape.size() < 3 || largest <= bug.grid)) return false;
  return rows >= bug.rows && hidden >= bug.least_hidden && hidden <= bug.most_hidden;
}

}  // namespace normproof::assess
