#include "properties/judging/difference_histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <numeric>
#include <optional>
#include <span>

#include "oracle/canonical.h"
#include "oracle/fast_row.h"
#include "oracle/formats.h"
#include "properties/judging/in_parallel.h"

namespace normproof {
namespace {

// Steps from the canonical r, the nearest first: of several r that explain as much the first is taken.
constexpr std::array kSteps = {0, -1, 1, -2, 2};
constexpr int kNeighbours = 2;  // of r, on each side
// Of the rows that one thread takes at a time.
constexpr std::int64_t kBlockElements = 1 << 18;
// A share below this is named element by element.
constexpr std::int64_t kFewOneIn = 100;

template <class Bits>
std::uint32_t bits_at(std::span<const std::byte> packed, std::int64_t index) {
  Bits bits;
  std::memcpy(&bits, packed.data() + static_cast<std::size_t>(index) * sizeof(Bits), sizeof(Bits));
  return bits;
}

// Calls visit with a number of the dtype's size.
template <class Visit>
void with_bits_of(DType dtype, Visit visit) {
  switch (size_of(dtype)) {
    case 1:
      return visit(std::uint8_t{});
    case 2:
      return visit(std::uint16_t{});
    default:
      return visit(std::uint32_t{});
  }
}

// UINT64_MAX where one of the two is NaN.
std::uint64_t distance(const oracle::Format& format, std::uint32_t a, std::uint32_t b) {
  return oracle::same(format, a, b) ? std::uint64_t{0} : oracle::ulp_distance(format, a, b);
}

// Adds rows of `columns` elements, of which the first is `first_row`, to what is known.
void compare(std::span<const std::byte> got, std::span<const std::byte> wanted, DType dtype,
             std::int64_t first_row, std::int64_t columns, DifferenceHistogram& histogram,
             DifferenceMap* map) {
  const oracle::Format& format = oracle::format_of(dtype);
  with_bits_of(dtype, [&](auto bits) {
    using Bits = decltype(bits);
    const auto count = static_cast<std::int64_t>(got.size() / sizeof(Bits));
    if (map != nullptr) map->add_rows(count / columns);
    std::int64_t equal = 0;
    for (std::int64_t index = 0; index < count; ++index) {
      const std::uint32_t a = bits_at<Bits>(got, index), b = bits_at<Bits>(wanted, index);
      if (a == b) {
        ++equal;
        continue;
      }
      const std::uint64_t apart = distance(format, a, b);
      histogram.add(apart);
      if (apart == 0) continue;
      const std::int64_t row = first_row + index / columns, column = index % columns;
      if (map != nullptr) map->add(row, column, apart);
      if (histogram.first.size() < oracle::kMaximumListed)
        histogram.first.push_back({Role::out, row, column, dtype, a, b, apart});
    }
    histogram.elements[0] += equal;
  });
}

// The r of those that honest kernels arrive at that explains most of the loaded row. Outputs are monotone in
// r: only elements that differ between the two outermost r are looked at in between.
float best_root(oracle::FastRow& fast, DType dtype, std::span<const std::byte> got,
                std::vector<std::byte>& at_lowest, std::vector<std::int64_t>& moving) {
  const auto root = std::bit_cast<std::uint32_t>(fast.canonical_scale().inverse_root);
  const auto value = [root](int step) {
    return std::bit_cast<float>(root + static_cast<std::uint32_t>(step));
  };
  // Only positive finite numbers have neighbours that an evaluation could arrive at.
  if (root <= kNeighbours || root >= 0x7f7fffff - kNeighbours) return value(0);
  const auto lowest = fast.outputs(value(-kNeighbours));
  at_lowest.assign(lowest.begin(), lowest.end());
  const auto highest = fast.outputs(value(kNeighbours));
  moving.clear();
  std::optional<DifferenceHistogram> best;
  float result = 0;
  with_bits_of(dtype, [&](auto bits) {
    using Bits = decltype(bits);
    for (std::int64_t j = 0; j < static_cast<std::int64_t>(got.size() / sizeof(Bits)); ++j)
      if (bits_at<Bits>(at_lowest, j) != bits_at<Bits>(highest, j)) moving.push_back(j);
    for (const int step : kSteps) {
      DifferenceHistogram candidate;
      for (const std::int64_t j : moving)
        candidate.add(distance(oracle::format_of(dtype), bits_at<Bits>(got, j), fast.output(value(step), j)));
      // More equal elements first, then more that are one ulp off, ...
      if (best && candidate.elements <= best->elements) continue;
      best = candidate;
      result = value(step);
    }
  });
  return result;
}

}  // namespace

void DifferenceHistogram::add(std::uint64_t distance) {
  if (distance == UINT64_MAX) {
    ++nan_mismatches;
    return;
  }
  std::size_t bin = 0;
  while (distance > kUpTo[bin]) ++bin;
  ++elements[bin];
}

DifferenceHistogram& DifferenceHistogram::operator+=(const DifferenceHistogram& other) {
  for (std::size_t bin = 0; bin < elements.size(); ++bin) elements[bin] += other.elements[bin];
  nan_mismatches += other.nan_mismatches;
  const std::size_t room = oracle::kMaximumListed - first.size();
  first.insert(first.end(), other.first.begin(),
               other.first.begin() + static_cast<std::ptrdiff_t>(std::min(room, other.first.size())));
  return *this;
}

std::string DifferenceHistogram::label(std::size_t bin) {
  if (bin == 0) return "equal";
  const std::uint64_t first = kUpTo[bin - 1] + 1, last = kUpTo[bin];
  if (bin + 1 == kUpTo.size()) return fmt::format("{} ulp or more", first);
  return first == last ? fmt::format("{} ulp", first) : fmt::format("{} to {} ulp", first, last);
}

std::int64_t DifferenceHistogram::total() const {
  return std::accumulate(elements.begin(), elements.end(), nan_mismatches);
}

bool DifferenceHistogram::few_differ() const {
  return differing() <= static_cast<std::int64_t>(oracle::kMaximumListed) &&
         differing() * kFewOneIn < total();
}

std::string to_text(const DifferenceHistogram& histogram) {
  if (histogram.few_differ())
    return fmt::format("{} of {} elements differ{}", histogram.differing(), histogram.total(),
                       histogram.differing() == 1 ? "s" : "");
  std::string text;
  const auto append = [&](std::int64_t count, const std::string& what) {
    if (count == 0) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", share_text(count, histogram.total()), what);
  };
  for (std::size_t bin = 0; bin < histogram.elements.size(); ++bin)
    append(histogram.elements[bin], DifferenceHistogram::label(bin));
  append(histogram.nan_mismatches, "NaN on one side only");
  return text;
}

std::string share_text(std::int64_t part, std::int64_t whole) {
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  if (part > 0 && percent < 0.05) return "less than 0.1 %";
  if (part < whole && percent >= 99.95) return "more than 99.9 %";
  return fmt::format("{:.1f} %", percent);
}

DifferenceHistogram difference_histogram(const Case& test_case, const CaseTensors& tensors,
                                         const Outputs& outputs, const oracle::Policy& policy,
                                         const std::vector<std::int64_t>& rows, DifferenceMap* map,
                                         int threads) {
  const DType dtype = test_case.output_dtype();
  const std::int64_t columns = test_case.hidden_size();
  const auto hidden = static_cast<std::size_t>(columns);
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t block_rows = std::max<std::int64_t>(1, kBlockElements / columns);
  const std::int64_t blocks = (count + block_rows - 1) / block_rows;
  std::vector<DifferenceHistogram> histograms(static_cast<std::size_t>(blocks));
  std::mutex mutex;  // guards `map`
  in_parallel(blocks, threads, [&](std::int64_t block) {
    const oracle::StandardFloatEnvironment environment;
    const oracle::Formula formula = oracle::formula_of(test_case, policy);
    oracle::FastRow fast(formula, tensors[Role::weight]);
    std::optional<DifferenceMap> part;
    if (map != nullptr) part.emplace(test_case.rows(), columns);
    std::vector<std::byte> at_lowest;
    std::vector<std::int64_t> moving;
    for (std::int64_t index = block * block_rows; index < std::min(count, (block + 1) * block_rows);
         ++index) {
      const std::int64_t row = rows[static_cast<std::size_t>(index)];
      const std::size_t first = static_cast<std::size_t>(row) * hidden;
      fast.load_row(tensors, row);
      if (formula.has(NormStep::quantize_by_row))
        fast.set_stored_scale(std::bit_cast<float>(oracle::row_scale_bits(formula, outputs, row)));
      const auto got = std::span(outputs[Role::out]).subspan(first * size_of(dtype), hidden * size_of(dtype));
      const float root = best_root(fast, dtype, got, at_lowest, moving);
      compare(got, fast.outputs(root), dtype, row, columns, histograms[static_cast<std::size_t>(block)],
              part ? &*part : nullptr);
    }
    if (!part) return;
    const std::lock_guard lock(mutex);
    *map += *part;
  });
  DifferenceHistogram total;
  for (const DifferenceHistogram& histogram : histograms) total += histogram;
  return total;
}

DifferenceHistogram difference_histogram(std::span<const std::byte> got, std::span<const std::byte> wanted,
                                         DType dtype, std::int64_t columns, DifferenceMap* map) {
  DifferenceHistogram histogram;
  compare(got, wanted, dtype, 0, columns, histogram, map);
  return histogram;
}

}  // namespace normproof
