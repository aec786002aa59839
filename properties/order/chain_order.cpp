#include "properties/order/chain_order.h"

#include <algorithm>
#include <utility>

#include "properties/order/subtrees.h"

namespace normproof::order {
namespace {

constexpr std::size_t kSampledRows = 96;
constexpr std::size_t kControlLists = 4;
constexpr int kMostPivots =
    24;  // in vain: each may be the first or the last part, by a chance of 2 in 3 at most

std::size_t drawn(Random& random, std::size_t count) { return static_cast<std::size_t>(random.below(count)); }

// Whether a sample of rows reads as sums that take their parts in the order of the lists.
bool kahan_takes(BlackBox& box, const Reader& reader, const ChainRows& rows, const std::vector<Leaves>& lists,
                 Random& random) {
  if (!rows.usable()) return false;
  std::vector<Probe> probes;
  for (std::size_t i = 0; i < kSampledRows; ++i) {
    const Leaves& p = lists[drawn(random, lists.size())];
    const std::size_t t = drawn(random, p.size() - 2);
    probes.push_back(rows.in_turn(p[t], p[t + 1], p[t + 2]));
  }
  return std::ranges::all_of(reader.reads().ask(box, probes),
                             [](Reading reading) { return reading == Reading::absorbed; });
}

bool neumaier_takes(BlackBox& box, const Reader& reader, const ChainRows& rows,
                    const std::vector<Leaves>& lists, Random& random) {
  if (std::ranges::any_of(lists, [](const Leaves& p) { return p.size() < 4; })) return false;
  std::vector<Probe> absorbed, survived, probes;
  for (std::size_t i = 0; i < std::min(kControlLists, lists.size()); ++i) {
    const Leaves& p = lists[i];
    absorbed.push_back(rows.before_control(p[0], p[1], p[2], false));
    survived.push_back(rows.before_control(p[1], p[2], p[3], true));
  }
  const auto controls = Controls::read(box, reader.epsilon_bits(), absorbed, survived);
  if (!controls) return false;
  for (std::size_t i = 0; i < kSampledRows; ++i) {
    const Leaves& p = lists[drawn(random, lists.size())];
    const std::size_t t = 2 + drawn(random, p.size() - 3);
    const bool opposite = i % 2 != 0;
    probes.push_back(opposite ? rows.before(p[t + 1], p[t - 1], p[t], p[t - 2])
                              : rows.before(p[t], p[t - 2], p[t + 1], p[t - 1]));
  }
  const std::vector<Reading> readings = controls->ask(box, probes);
  for (std::size_t i = 0; i < readings.size(); ++i)
    if (readings[i] != (i % 2 != 0 ? Reading::absorbed : Reading::survived)) return false;
  return true;
}

// Parts of one chain that lie between others; `after` and `before`: a part that is
// known to come later, or earlier.
struct ChainSegment {
  Leaves leaves;
  std::optional<std::int32_t> before, after;
  int pivots = 0;  // that were tried in vain
};

// Quicksort of Kahan's sums: a pivot is compared with all others of its segment in one round.
class Sorter {
 public:
  Sorter(BlackBox& box, const Reader& reader, const ChainRows& rows, Random& random)
      : box_(box), reader_(reader), rows_(rows), random_(random) {}

  bool sort(std::vector<Leaves>& lists) {
    std::vector<std::vector<ChainSegment>> chains;
    for (Leaves& leaves : lists) {
      for (std::size_t i = leaves.size(); i > 1; --i) std::swap(leaves[i - 1], leaves[drawn(random_, i)]);
      chains.push_back({ChainSegment{leaves, {}, {}}});
    }
    while (ask(chains)) {
      for (std::size_t c = 0; c < chains.size(); ++c)
        if (!take(chains[c])) return false;
    }
    for (std::size_t c = 0; c < chains.size(); ++c) {
      lists[c].clear();
      for (const ChainSegment& segment : chains[c]) lists[c].push_back(segment.leaves.front());
    }
    return true;
  }

 private:
  // The rows of all segments of more than one part; false where there is none.
  bool ask(std::vector<std::vector<ChainSegment>>& chains) {
    std::vector<Probe> probes;
    for (std::vector<ChainSegment>& chain : chains)
      for (ChainSegment& segment : chain) ask_segment(segment, probes);
    readings_ = probes.empty() ? std::vector<Reading>() : reader_.reads().ask(box_, probes);
    next_ = 0;
    return !probes.empty();
  }

  void ask_segment(ChainSegment& segment, std::vector<Probe>& probes) {
    if (segment.leaves.size() < 2) return;
    if (segment.after || segment.before)
      std::swap(segment.leaves.front(), segment.leaves[drawn(random_, segment.leaves.size())]);
    const std::int32_t pivot = segment.leaves.front();
    const std::int32_t other = segment.leaves[1];
    for (std::size_t i = 1; i < segment.leaves.size(); ++i) {
      const std::int32_t leaf = segment.leaves[i];
      if (segment.after) {
        probes.push_back(rows_.in_turn(leaf, pivot, *segment.after));
      } else if (segment.before) {
        probes.push_back(rows_.in_turn(*segment.before, pivot, leaf));
      } else if (i > 1) {  // on which side of the pivot `other` lies is told by those of the other side
        probes.push_back(rows_.in_turn(leaf, pivot, other));
        probes.push_back(rows_.in_turn(other, pivot, leaf));
      }
    }
  }

  bool absorbed() { return readings_[next_++] == Reading::absorbed; }

  // The chain's segments divided by their pivots. False where the answers contradict each other.
  bool take(std::vector<ChainSegment>& chain) {
    std::vector<ChainSegment> divided;
    for (ChainSegment& segment : chain) {
      if (segment.leaves.size() < 2) {
        divided.push_back(std::move(segment));
      } else if (!divide(segment, divided)) {
        return false;
      }
    }
    chain = std::move(divided);
    return true;
  }

  bool divide(ChainSegment& segment, std::vector<ChainSegment>& divided) {
    const std::int32_t pivot = segment.leaves.front();
    Leaves earlier, later;
    if (segment.after || segment.before) {
      for (std::size_t i = 1; i < segment.leaves.size(); ++i) {
        const bool is_earlier = segment.after ? absorbed() : !absorbed();
        (is_earlier ? earlier : later).push_back(segment.leaves[i]);
      }
    } else {
      const std::int32_t other = segment.leaves[1];
      Leaves before_other, after_other, beside;  // beside: on the side of `other`
      for (std::size_t i = 2; i < segment.leaves.size(); ++i) {
        const bool is_first = absorbed(), is_last = absorbed();
        (is_first ? before_other : is_last ? after_other : beside).push_back(segment.leaves[i]);
      }
      if (!before_other.empty() && !after_other.empty()) return false;
      if (before_other.empty() && after_other.empty()) {  // the pivot is the first or the last part
        if (++segment.pivots > kMostPivots) return false;
        std::ranges::rotate(segment.leaves, segment.leaves.begin() + 1);
        divided.push_back(std::move(segment));
        return true;
      }
      beside.push_back(other);
      earlier = before_other.empty() ? std::move(beside) : std::move(before_other);
      later = after_other.empty() ? std::move(beside) : std::move(after_other);
    }
    if (!earlier.empty()) divided.push_back({std::move(earlier), segment.before, pivot});
    divided.push_back({{pivot}, {}, {}});
    if (!later.empty()) divided.push_back({std::move(later), pivot, segment.after});
    return true;
  }

  BlackBox& box_;
  const Reader& reader_;
  const ChainRows& rows_;
  Random& random_;
  std::vector<Reading> readings_;
  std::size_t next_ = 0;
};

}  // namespace

std::optional<ChainOrder> order_chains(BlackBox& box, const Reader& reader, std::vector<Leaves> lists,
                                       Random& random, std::string& why) {
  const ChainRows rows(box, reader);
  for (Leaves& leaves : lists) std::ranges::sort(leaves);
  for (const bool descending : {false, true}) {
    if (descending)
      for (Leaves& leaves : lists) std::ranges::reverse(leaves);
    if (kahan_takes(box, reader, rows, lists, random)) return ChainOrder{false, std::move(lists)};
    if (neumaier_takes(box, reader, rows, lists, random)) return ChainOrder{true, std::move(lists)};
  }
  if (rows.usable() && Sorter(box, reader, rows, random).sort(lists))
    return ChainOrder{false, std::move(lists)};
  why = "its wide additions are no sums of Kahan's, and none of Neumaier's in ascending or descending order";
  return std::nullopt;
}

}  // namespace normproof::order
