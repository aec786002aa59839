#include "kernels/memory_overlap.h"

#include <algorithm>

namespace normproof::kernels {
namespace {

// Differences of two addresses and their sums do not fit in 64 bits.
__extension__ using Wide = __int128;

// A whole number `k` in [low, high] times a stride.
struct Term {
  Wide stride;
  Wide low;
  Wide high;
};

Wide floor_divide(Wide a, Wide b) { return a / b - (a % b != 0 && a < 0 ? 1 : 0); }
Wide ceiling_divide(Wide a, Wide b) { return -floor_divide(-a, b); }

// Searches whole numbers k of all terms with above < sum of k * stride < below.
class Search {
 public:
  explicit Search(bool all_zero_counts) : all_zero_counts_(all_zero_counts) {}

  // Strides are positive.
  void add(std::int64_t stride, Wide low, Wide high) { terms_[count_++] = {stride, low, high}; }

  // Adds to the term of that stride, if there is one: this is what makes equal layouts cheap. It hides which
  // of the numbers are zero.
  void merge(std::int64_t stride, Wide low, Wide high) {
    for (int i = 0; i < count_; ++i) {
      if (terms_[i].stride != stride) continue;
      terms_[i].low += low;
      terms_[i].high += high;
      return;
    }
    add(stride, low, high);
  }

  // True where such numbers exist, or where the search takes too long to tell.
  bool succeeds(Wide above, Wide below) {
    std::sort(terms_.begin(), terms_.begin() + count_,
              [](const Term& a, const Term& b) { return a.stride > b.stride; });
    return explore(0, above, below, false);
  }

 private:
  bool explore(int index, Wide above, Wide below, bool some_nonzero) {
    if (++steps_ > kMaximumSteps) return true;
    if (index == count_) return above < 0 && 0 < below && (some_nonzero || all_zero_counts_);
    // What the later, smaller terms can add leaves few values for this one.
    Wide least = 0, most = 0;
    for (int i = index + 1; i < count_; ++i) {
      least += terms_[i].low * terms_[i].stride;
      most += terms_[i].high * terms_[i].stride;
    }
    const Term& term = terms_[index];
    const Wide first = std::max(term.low, floor_divide(above - most, term.stride) + 1);
    const Wide last = std::min(term.high, ceiling_divide(below - least, term.stride) - 1);
    for (Wide k = first; k <= last; ++k) {
      const Wide part = k * term.stride;
      if (explore(index + 1, above - part, below - part, some_nonzero || k != 0)) return true;
    }
    return false;
  }

  static constexpr int kMaximumSteps = 10'000;
  bool all_zero_counts_;
  std::array<Term, 6> terms_{};
  int count_ = 0;
  int steps_ = 0;
};

bool is_empty(const MemoryView& view) {
  const auto end = view.sizes.begin() + view.leading_dimensions;
  return view.row_bytes == 0 || std::find(view.sizes.begin(), end, 0) != end;
}

}  // namespace

std::int64_t extent_of(const MemoryView& view) {
  if (is_empty(view)) return 0;
  std::int64_t extent = view.row_bytes;
  for (int i = 0; i < view.leading_dimensions; ++i) extent += (view.sizes[i] - 1) * view.strides[i];
  return extent;
}

bool share_memory(const MemoryView& a, const MemoryView& b) {
  if (is_empty(a) || is_empty(b)) return false;
  const Wide distance = Wide{b.begin} - Wide{a.begin};
  if (distance >= extent_of(a) || -distance >= extent_of(b)) return false;
  // A row of b begins -b.row_bytes to a.row_bytes behind a row of a, both excluded.
  Search search(/*all_zero_counts=*/true);
  for (int i = 0; i < a.leading_dimensions; ++i) search.merge(a.strides[i], 1 - Wide{a.sizes[i]}, 0);
  for (int i = 0; i < b.leading_dimensions; ++i) search.merge(b.strides[i], 0, Wide{b.sizes[i]} - 1);
  return search.succeeds(-Wide{b.row_bytes} - distance, Wide{a.row_bytes} - distance);
}

bool overlaps_itself(const MemoryView& view) {
  if (is_empty(view)) return false;
  // The differences of two row indices, not both the same.
  Search search(/*all_zero_counts=*/false);
  for (int i = 0; i < view.leading_dimensions; ++i) {
    search.add(view.strides[i], 1 - Wide{view.sizes[i]}, Wide{view.sizes[i]} - 1);
  }
  return search.succeeds(-Wide{view.row_bytes}, Wide{view.row_bytes});
}

}  // namespace normproof::kernels
