#include "properties/run/difference_histogram.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>

#include "oracle/canonical.h"
#include "oracle/fast_row.h"
#include "oracle/formats.h"

namespace normproof {
namespace {

constexpr int kNeighbours = 2;  // of r, on each side

std::uint32_t packed_bits(std::span<const std::byte> packed, DType dtype, std::int64_t index) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, packed.data() + static_cast<std::size_t>(index) * size_of(dtype), size_of(dtype));
  return bits;
}

// Calls visit(index, distance) for every element; the distance is UINT64_MAX where one of the two is NaN.
template <class Visit>
void compare(std::span<const std::byte> got, std::span<const std::byte> wanted, DType dtype, Visit visit) {
  const auto count = static_cast<std::int64_t>(got.size() / size_of(dtype));
  for (std::int64_t index = 0; index < count; ++index) {
    const std::uint32_t a = packed_bits(got, dtype, index), b = packed_bits(wanted, dtype, index);
    visit(index, oracle::same(dtype, a, b) ? std::uint64_t{0} : oracle::ulp_distance(dtype, a, b));
  }
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

std::string DifferenceHistogram::label(std::size_t bin) {
  if (bin == 0) return "equal";
  const std::uint64_t first = kUpTo[bin - 1] + 1, last = kUpTo[bin];
  if (bin + 1 == kUpTo.size()) return fmt::format("{} ulp or more", first);
  return first == last ? fmt::format("{} ulp", first) : fmt::format("{} to {} ulp", first, last);
}

std::int64_t DifferenceHistogram::total() const {
  return std::accumulate(elements.begin(), elements.end(), nan_mismatches);
}

std::string to_text(const DifferenceHistogram& histogram) {
  const double percent = 100.0 / static_cast<double>(std::max<std::int64_t>(histogram.total(), 1));
  std::string text;
  const auto append = [&](std::int64_t count, const std::string& what) {
    if (count == 0) return;
    text +=
        fmt::format("{}{:.1f} % {}", text.empty() ? "" : ", ", percent * static_cast<double>(count), what);
  };
  for (std::size_t bin = 0; bin < histogram.elements.size(); ++bin)
    append(histogram.elements[bin], DifferenceHistogram::label(bin));
  append(histogram.nan_mismatches, "NaN on one side only");
  return text;
}

DifferenceHistogram difference_histogram(const Case& test_case, const CaseTensors& tensors,
                                         const Outputs& outputs, const oracle::Policy& policy,
                                         const std::vector<std::int64_t>& rows, DifferenceMap* map) {
  const oracle::StandardFloatEnvironment environment;
  oracle::FastRow fast(oracle::formula_of(test_case, policy), tensors.weight);
  const DType dtype = test_case.output_dtype();
  const auto hidden = static_cast<std::size_t>(test_case.hidden_size());
  DifferenceHistogram total;
  for (const std::int64_t row : rows) {
    const std::size_t first = static_cast<std::size_t>(row) * hidden;
    const std::size_t input = first * size_of(test_case.dtype);
    fast.load(tensors.input.data() + input,
              tensors.residual.empty() ? nullptr : tensors.residual.data() + input);
    const auto got = std::span(outputs.out).subspan(first * size_of(dtype), hidden * size_of(dtype));
    const auto root = std::bit_cast<std::uint32_t>(fast.canonical_scale().inverse_root);
    std::optional<DifferenceHistogram> best;
    float best_root = 0;
    for (int step = -kNeighbours; step <= kNeighbours; ++step) {
      // Only positive finite numbers have neighbours that an evaluation could arrive at.
      if (step != 0 && (root <= kNeighbours || root >= 0x7f7fffff - kNeighbours)) continue;
      const float r = std::bit_cast<float>(root + static_cast<std::uint32_t>(step));
      DifferenceHistogram candidate;
      compare(got, fast.outputs(r), dtype,
              [&](std::int64_t, std::uint64_t distance) { candidate.add(distance); });
      // More equal elements first, then more that are one ulp off, ...
      if (best && candidate.elements <= best->elements) continue;
      best = candidate;
      best_root = r;
    }
    if (map != nullptr) {
      compare(got, fast.outputs(best_root), dtype, [&](std::int64_t column, std::uint64_t distance) {
        if (distance != 0) map->add(row, column);
      });
    }
    for (std::size_t bin = 0; bin < total.elements.size(); ++bin) total.elements[bin] += best->elements[bin];
    total.nan_mismatches += best->nan_mismatches;
  }
  return total;
}

DifferenceHistogram difference_histogram(std::span<const std::byte> got, std::span<const std::byte> wanted,
                                         DType dtype, std::int64_t columns, DifferenceMap* map) {
  DifferenceHistogram histogram;
  compare(got, wanted, dtype, [&](std::int64_t index, std::uint64_t distance) {
    histogram.add(distance);
    if (distance != 0 && map != nullptr) map->add(index / columns, index % columns);
  });
  return histogram;
}

}  // namespace normproof
