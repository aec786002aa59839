// What a compensated sum does with its correction, from rows whose sum it changes.
#include "properties/order/compensated.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "corpus/float_format.h"
#include "oracle/row_kernels.h"

namespace normproof::order {
namespace {

using Accumulator = SumTree::Accumulator;

constexpr float kBig = 0x1p24f;  // the sums of all rows are this or 2 more
constexpr std::size_t kRandomRows = 32;
constexpr std::size_t kTellingRows = 12;  // that tell the last correction of Kahan's sums
constexpr int kDraws = 20000;
constexpr int kMostSums = 400;  // that are computed
constexpr std::size_t kFusedControls = 4;

SumTree with(SumTree tree, Accumulator accumulator) {
  tree.accumulator = accumulator;
  return tree;
}

class RowDrawer {
 public:
  RowDrawer(const BlackBox& box, const Reader& reader, const SumTree& tree, Random& random)
      : format_(format_of(box.dtype())),
        unit_(reader.unit()),
        tree_(tree),
        smallest_(oracle::smallest_leaves(tree)),
        chains_(chains_of(tree)),
        random_(random),
        row_(static_cast<std::size_t>(tree.leaves), 0.0f) {}

  // What the tree with that accumulator gives of a row.
  float sum_of(const Probe& probe, Accumulator accumulator) {
    const oracle::StandardFloatEnvironment environment;
    for (const Probe::Element& element : probe.elements)
      row_[static_cast<std::size_t>(element.column)] = static_cast<float>(value_of(format_, element.bits));
    const float sum = sum_of_squares_fp32(with(tree_, accumulator), row_, scratch_);
    for (const Probe::Element& element : probe.elements) row_[static_cast<std::size_t>(element.column)] = 0;
    return sum;
  }

  // A big number, a unit and some small ones in one chain.
  Probe random_row() {
    std::vector<std::int32_t> columns = columns_of(draw_chain(), 3 + below(6));
    Probe probe{{{columns[0], bits(4096)}, {columns[1], unit_}}, columns[1]};
    for (std::size_t i = 2; i < columns.size(); ++i) {
      const int exponent = below(2) == 0 ? -static_cast<int>(below(3)) - 1 : -static_cast<int>(below(7)) - 20;
      const double square = std::ldexp(1 + static_cast<double>(below(1024)) / 1024, exponent);
      probe.elements.push_back({columns[i], of_8_bits(std::sqrt(square))});
    }
    return probe;
  }

  // Numbers before one of more than 2^23, whose square ends as 2^24 + 1.02 to 2^24 + 1.48: then c is a whole
  // half of the last bit of the sum, which is odd, and to subtract it is to take the next even number. An
  // empty row where the draw does not come out so.
  Probe telling_row() {
    const std::vector<std::int32_t> columns = first_columns_of(draw_chain());
    const bool unit_outside = chains_.size() > 1 && below(2) == 0;
    const std::size_t inside = unit_outside ? 0 : 1;
    if (columns.size() < inside + 2) return {};
    const std::int32_t unit_column = unit_outside ? outside(columns) : columns[0];
    if (unit_column < 0) return {};
    const double unit = value_of(format_, unit_), y = value_of(format_, of_8_bits(2897 + 1198 * share()));
    double left = kBig + 1.25 - y * y - (unit_outside ? 0 : unit * unit);
    Probe probe{{{unit_column, unit_}, {columns.back(), of_8_bits(y)}}, unit_column};
    for (std::size_t i = inside; i + 1 < columns.size() && left > 0.3; ++i) {
      const bool is_last = i + 2 == columns.size();
      const double root = std::sqrt(left) * (is_last ? 1 : 1 - 0.02 * share());
      const double e = value_of(format_, of_8_bits(root));
      probe.elements.push_back({columns[i], of_8_bits(root)});
      left -= e * e;
    }
    return std::abs(left) < 0.23 ? probe : Probe{};
  }

 private:
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(random_.below(count)); }
  double share() { return static_cast<double>(random_.below(1u << 20)) * 0x1p-20; }
  std::uint32_t bits(double number) const { return rounded(format_, number); }
  // The nearest number of 8 bits, in the box's dtype: its square is exact, so that an fma changes nothing.
  std::uint32_t of_8_bits(double number) const {
    const FloatFormat narrow = format_of(DType::bf16);
    return bits(value_of(narrow, rounded(narrow, number)));
  }
  const Chain& draw_chain() { return chains_[below(chains_.size())]; }
  std::int32_t leaf_of(std::int32_t part) const { return smallest_[static_cast<std::size_t>(part)]; }

  // At most `count` leaves of the chain's parts, in any order.
  std::vector<std::int32_t> columns_of(const Chain& chain, std::size_t count) {
    std::vector<std::int32_t> columns;
    for (std::size_t tries = 0; tries < 4 * count && columns.size() < std::min(count, chain.size());
         ++tries) {
      const std::int32_t column = leaf_of(chain[below(chain.size())]);
      if (std::ranges::find(columns, column) == columns.end()) columns.push_back(column);
    }
    while (columns.size() < 2) {
      const auto column = static_cast<std::int32_t>(below(row_.size()));
      if (std::ranges::find(columns, column) == columns.end()) columns.push_back(column);
    }
    return columns;
  }

  // Leaves of the last few parts in the order in which the chain takes them: a zero that comes after them
  // would take the correction in as well.
  std::vector<std::int32_t> first_columns_of(const Chain& chain) {
    std::vector<std::int32_t> columns;
    const std::size_t count = std::min<std::size_t>(chain.size(), 3 + below(5));
    const std::size_t first = chain.size() - count;
    for (std::size_t i = 0; i < count; ++i) columns.push_back(leaf_of(chain[first + i]));
    return columns;
  }

  std::int32_t outside(const std::vector<std::int32_t>& columns) {
    const Chain& other = draw_chain();
    const std::int32_t column = leaf_of(other.front());
    return std::ranges::find(columns, column) == columns.end() && leaf_of(other[1]) != columns[0] ? column
                                                                                                  : -1;
  }

  FloatFormat format_;
  std::uint32_t unit_;
  const SumTree& tree_;
  std::vector<std::int32_t> smallest_;
  std::vector<Chain> chains_;
  Random& random_;
  std::vector<float> row_, scratch_;
};

bool is_readable(float sum) { return sum == kBig || sum == kBig + 2; }
Reading reading_of(float sum) { return sum == kBig ? Reading::absorbed : Reading::survived; }

}  // namespace

bool has_accumulator(BlackBox& box, const Reader& reader, const SumTree& tree, Random& random,
                     std::string& why) {
  RowDrawer drawer(box, reader, tree, random);
  std::vector<Probe> rows;
  std::vector<Reading> expected;
  const auto add = [&](Probe row) {
    const float sum = drawer.sum_of(row, tree.accumulator);
    if (!is_readable(sum)) return false;
    rows.push_back(std::move(row));
    expected.push_back(reading_of(sum));
    return true;
  };
  for (int sums = 0; sums < kMostSums && rows.size() < kRandomRows; ++sums) add(drawer.random_row());
  if (tree.accumulator != Accumulator::neumaier) {
    std::size_t telling = 0;
    for (int draw = 0; draw < kDraws && telling < kTellingRows; ++draw) {
      Probe row = drawer.telling_row();
      if (row.elements.empty()) continue;
      const float sum = drawer.sum_of(row, Accumulator::kahan);
      const float corrected = drawer.sum_of(row, Accumulator::kahan_corrected);
      if (sum != corrected && is_readable(sum) && is_readable(corrected) && add(std::move(row))) ++telling;
    }
    if (telling == 0) {
      why = "no row tells whether Kahan's sum subtracts its last correction";
      return false;
    }
  }
  const std::vector<Reading> readings = reader.reads().ask(box, rows);
  const auto wrong =
      static_cast<std::size_t>(std::ranges::mismatch(readings, expected).in1 - readings.begin());
  if (wrong == readings.size()) return true;
  why = fmt::format("another sum than {} has for row {} of {} drawn ones", name_of(tree.accumulator), wrong,
                    readings.size());
  return false;
}

std::optional<std::vector<std::uint8_t>> fused_terms(BlackBox& box, const Reader& reader,
                                                     const SumTree& tree) {
  std::vector<std::uint8_t> fused(static_cast<std::size_t>(tree.leaves), 0);
  if (tree.accumulator == Accumulator::neumaier) return std::nullopt;
  // 2^24, then 1 - 2^-22 that is lost, then 5 * 2^-24 and a trace. Rounded first, the last two are 1 + 2^-24,
  // rounded to 1, which is lost; with the trace they are more.
  const auto bits = [](float value) { return std::bit_cast<std::uint32_t>(value); };
  const std::uint32_t big = bits(4096), lost = bits(1 - 0x1p-23f), trace = bits(2.2360680103302f * 0x1p-12f),
                      nudge = bits(0x1p-8f);
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  std::vector<Probe> absorbed, survived, rows;
  std::vector<std::int32_t> leaves;
  for (const Chain& chain : chains_of(tree)) {
    const auto leaf = [&](std::size_t i) { return smallest[static_cast<std::size_t>(chain[i])]; };
    const Probe first{{{leaf(0), big}, {leaf(1), lost}}, leaf(1)};
    const auto row = [&](std::size_t i, std::uint32_t last) {
      Probe probe = first;
      probe.elements.push_back({leaf(i), last});
      return probe;
    };
    if (absorbed.size() < kFusedControls) {
      absorbed.push_back(first);
      survived.push_back(row(2, nudge));
    }
    for (std::size_t i = 2; i < chain.size(); ++i) {
      if (!tree.is_leaf(chain[i])) continue;
      rows.push_back(row(i, trace));
      leaves.push_back(chain[i]);
    }
  }
  const auto controls = Controls::read(box, reader.epsilon_bits(), absorbed, survived);
  if (!controls) return std::nullopt;
  const std::vector<Reading> readings = controls->ask(box, rows);
  std::ranges::reverse(rows);  // in other rows of the calls: which are fused may depend on that
  std::vector<Reading> again = controls->ask(box, rows);
  std::ranges::reverse(again);
  if (again != readings || std::ranges::find(readings, Reading::other) != readings.end()) return std::nullopt;
  for (std::size_t i = 0; i < leaves.size(); ++i)
    fused[static_cast<std::size_t>(leaves[i])] = readings[i] == Reading::survived ? 1 : 0;
  return fused;
}

}  // namespace normproof::order
