#include "properties/order/root.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "corpus/float_format.h"
#include "oracle/formats.h"

namespace normproof::order {
namespace {

using Root = RootFinding::Root;

constexpr std::uint32_t kEpsilon = 0x358637bd;  // 1e-6
constexpr int kSumDraws = 1 << 18;              // sums
constexpr int kRowsPerPair = 24;                // that tell two candidates apart
constexpr int kLeastRowsPerPair = 6;            // to name one of them
constexpr std::size_t kPlainRows = 64;

struct Candidate {
  Root root;
  bool inverse;  // the sum is multiplied by 1 / H
};
constexpr std::array<Candidate, 6> kRootCandidates = {{{Root::rounded_once, false},
                                                       {Root::rounded_once, true},
                                                       {Root::quotient, false},
                                                       {Root::quotient, true},
                                                       {Root::divides, false},
                                                       {Root::divides, true}}};

float mean_plus_epsilon(float sum, float hidden, bool inverse) {
  const float mean = inverse ? sum * (1.0f / hidden) : sum / hidden;
  return mean + std::bit_cast<float>(kEpsilon);
}

float rounded_once(float m) { return static_cast<float>(1 / std::sqrt(static_cast<double>(m))); }

// fl(x * r) or fl(x / rms).
float scaled(const Candidate& candidate, float x, float sum, float hidden) {
  const float m = mean_plus_epsilon(sum, hidden, candidate.inverse);
  if (candidate.root == Root::divides) return x / std::sqrt(m);
  return x * (candidate.root == Root::quotient ? 1.0f / std::sqrt(m) : rounded_once(m));
}

std::uint32_t output_bits(const BlackBox& box, float value) {
  return rounded(format_of(box.dtype()), static_cast<double>(value));
}

// A row of whole numbers below 256, whose sum of squares is exact in fp32 in any order.
struct Row {
  std::int32_t x = 0;    // the element that is read
  std::int32_t sum = 0;  // of the squares
  std::array<std::uint32_t, kRootCandidates.size()> outputs{};
  bool plain = false;  // x is a power of two, so that an fp32 output shows r
};

constexpr std::int32_t kLargest = 255;
// More elements than a row of this sum can need: greedy squares leave less than 511, 45, 13, 6 and 3.
constexpr std::int32_t kSpare = 9;
constexpr std::int32_t kMostSquares = 16;

Row make_row(const BlackBox& box, std::int32_t x, std::int32_t sum) {
  Row row{x, sum};
  float first = 0;
  for (std::size_t i = 0; i < kRootCandidates.size(); ++i) {
    const float value = scaled(kRootCandidates[i], static_cast<float>(x), static_cast<float>(sum),
                               static_cast<float>(box.hidden_size()));
    if (i == 0) first = value;
    row.outputs[i] = i > 0 && value == first ? row.outputs[0] : output_bits(box, value);
  }
  return row;
}

// Whether another product within 3 ulp may be rounded to another number of the dtype.
bool is_near_tie(DType dtype, float value) {
  const int dropped = 24 - format_of(dtype).precision();
  if (dropped == 0) return true;
  const std::uint32_t half = std::uint32_t{1} << (dropped - 1);
  const std::uint32_t rest = std::bit_cast<std::uint32_t>(value) & (2 * half - 1);
  return rest + 3 >= half && rest <= half + 3;
}

Probe probe_of(const Row& row, std::int32_t hidden, Random& random, DType dtype) {
  std::vector<std::int32_t> numbers = {row.x};
  for (std::int32_t left = row.sum - row.x * row.x; left > 0;) {
    const auto root = static_cast<std::int32_t>(std::sqrt(static_cast<double>(left)));
    numbers.push_back(std::min(root, kLargest));
    left -= numbers.back() * numbers.back();
  }
  Probe probe;
  probe.read = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(hidden)));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    probe.elements.push_back({(probe.read + static_cast<std::int32_t>(i)) % hidden,
                              rounded(format_of(dtype), static_cast<double>(numbers[i]))});
  return probe;
}

// How many rows tell each two candidates apart.
using Separating = std::array<std::array<int, kRootCandidates.size()>, kRootCandidates.size()>;

// Whether some pair of candidates of different roots still lacks rows; `row`: that it would give one to.
bool is_wanted(const Separating& separating, const Row* row) {
  for (std::size_t i = 0; i < kRootCandidates.size(); ++i) {
    for (std::size_t j = i + 1; j < kRootCandidates.size(); ++j) {
      if (kRootCandidates[i].root == kRootCandidates[j].root || separating[i][j] >= kRowsPerPair) continue;
      if (row == nullptr || row->outputs[i] != row->outputs[j]) return true;
    }
  }
  return false;
}

std::int32_t draw_sum(const BlackBox& box, Random& random) {
  const std::int32_t squares = std::min(box.hidden_size() - kSpare, kMostSquares);
  const std::int32_t least = kLargest * kLargest;
  return least + static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(squares * least)));
}

// Draws sums until enough rows tell each two candidates of different roots apart.
std::vector<Row> separating_rows(const BlackBox& box, Random& random, Separating& separating) {
  std::vector<Row> rows;
  const auto hidden = static_cast<float>(box.hidden_size());
  for (int draw = 0; draw < kSumDraws && is_wanted(separating, nullptr); ++draw) {
    const std::int32_t sum = draw_sum(box, random);
    const float r = rounded_once(mean_plus_epsilon(static_cast<float>(sum), hidden, false));
    for (std::int32_t x = kLargest / 2 + 1; x <= kLargest; ++x) {
      if (!is_near_tie(box.dtype(), static_cast<float>(x) * r)) continue;
      const Row row = make_row(box, x, sum);
      if (!is_wanted(separating, &row)) continue;
      for (std::size_t i = 0; i < kRootCandidates.size(); ++i)
        for (std::size_t j = i + 1; j < kRootCandidates.size(); ++j)
          separating[i][j] += row.outputs[i] != row.outputs[j] ? 1 : 0;
      rows.push_back(row);
      break;
    }
  }
  return rows;
}

std::int64_t ulp_apart(float a, float b) {
  return static_cast<std::int64_t>(
      oracle::ulp_distance(DType::fp32, std::bit_cast<std::uint32_t>(a), std::bit_cast<std::uint32_t>(b)));
}

// The farthest r of the rows that show it.
std::int64_t farthest(const BlackBox& box, const std::vector<Row>& rows,
                      const std::vector<std::uint32_t>& read) {
  if (box.output_dtype() != DType::fp32) return -1;
  std::int64_t most = -1;
  const auto hidden = static_cast<float>(box.hidden_size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].plain) continue;
    const float r = std::bit_cast<float>(read[i]) / static_cast<float>(rows[i].x);
    const auto sum = static_cast<float>(rows[i].sum);
    const auto off = [&](bool inverse) {
      return ulp_apart(r, rounded_once(mean_plus_epsilon(sum, hidden, inverse)));
    };
    most = std::max(most, std::min(off(false), off(true)));
  }
  return most;
}

}  // namespace

std::string_view name_of(RootFinding::Root root) {
  switch (root) {
    case Root::not_looked_at:
      return "not told apart";
    case Root::rounded_once:
      return "fl(1 / sqrt(m)), rounded once";
    case Root::quotient:
      return "fl(1 / fl(sqrt(m)))";
    case Root::divides:
      return "x / fl(sqrt(m))";
    case Root::other:
      return "none of the known ones (an approximation, or another precision)";
  }
  return "?";
}

std::string_view code_of(RootFinding::Root root) {
  switch (root) {
    case Root::not_looked_at:
      return "unknown";
    case Root::rounded_once:
      return "rounded_once";
    case Root::quotient:
      return "quotient";
    case Root::divides:
      return "divides";
    case Root::other:
      return "other";
  }
  return "?";
}

RootFinding find_root(BlackBox& box, Random& random) {
  RootFinding finding;
  // Hardly any fp8 output shows one ulp of r, and a scale is not the element that the rows are made for.
  if (box.hidden_size() <= kSpare || box.output_dtype() != box.dtype() || box.reads_largest()) return finding;
  Separating separating{};
  std::vector<Row> rows = separating_rows(box, random, separating);
  for (std::size_t i = 0; i < kPlainRows; ++i) {
    rows.push_back(make_row(box, 64, draw_sum(box, random)));
    rows.back().plain = true;
  }
  std::vector<Probe> probes;
  for (const Row& row : rows) probes.push_back(probe_of(row, box.hidden_size(), random, box.dtype()));
  const std::vector<std::uint32_t> read = box.outputs(probes, kEpsilon);
  finding.rows = static_cast<std::int64_t>(rows.size());
  finding.farthest_ulp = farthest(box, rows, read);

  std::vector<std::size_t> fitting;
  for (std::size_t i = 0; i < kRootCandidates.size(); ++i) {
    bool fits = true;
    for (std::size_t k = 0; k < rows.size(); ++k) fits = fits && rows[k].outputs[i] == read[k];
    if (fits) fitting.push_back(i);
  }
  if (fitting.empty()) {
    finding.root = Root::other;
    return finding;
  }
  const Candidate& first = kRootCandidates[fitting.front()];
  for (std::size_t j = 0; j < kRootCandidates.size(); ++j) {
    if (kRootCandidates[j].root == first.root) continue;
    const auto pair = std::minmax(fitting.front(), j);
    const bool told_apart = separating[pair.first][pair.second] >= kLeastRowsPerPair;
    if (!told_apart || std::ranges::find(fitting, j) != fitting.end()) return finding;
  }
  finding.root = first.root;
  const bool either = fitting.size() > 1;
  finding.mean = either ? "either" : first.inverse ? "sum * (1 / H)" : "sum / H";
  return finding;
}

}  // namespace normproof::order
