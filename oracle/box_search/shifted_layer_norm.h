// The search for a LayerNorm whose n is fl(fl(x * r) + fl(-m * r)), or fma(x, r, fl(-m * r)). r enters twice:
// n follows (x - m) r as that of any LayerNorm does, but for roundings of x r and m r. Far from zero, and in
// rows of one or two columns, n is little else than these, and as good as random in r: no box of r excludes
// any, and they are tried one by one. For one r all elements leave a range of m, which is found by
// bisection; so the cost lies in the number of r.
//
// What is made of n rises or falls with it. So the n that give an element its output are a range, and are
// found once. Elements of one x have one n: two of them say all that these say, and refute the row alone
// where no n is left. The elements with the narrowest ranges go first, since they leave the fewest m; a row
// is searched with few of them, and with those besides that the witness of these does not explain.
//
// After so many looks at elements the search is given up: it is then known that each element by itself lies
// within what the window gives.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "oracle/box_search/layer_norm.h"

namespace normproof::oracle::box_search {

// Looks at an element that the search of a row may take, and for each element of the row.
inline constexpr std::int64_t kMostShiftedLooks = 1'000'000;
inline constexpr std::int64_t kMostShiftedLooksPerElement = 32;
// Exact arithmetic repeats what was found in fewer, to the end.
template <typename Ranges>
constexpr bool is_spent(std::int64_t looks, std::int64_t elements) {
  return !std::is_same_v<Ranges, ExactRanges> &&
         looks > kMostShiftedLooks + kMostShiftedLooksPerElement * elements;
}

// What comes of n where that is a number of the row itself.
template <typename Ranges>
class RowOutputs {
 public:
  explicit RowOutputs(const LayerNormRow& row) : row_(row), ranges_(row.output()) {}
  const LayerNormRow& row() const { return row_; }
  Status status_of_output(std::int32_t element, const typename Ranges::Result& n) const {
    return status_of(row_.affine(ranges_, element, n), row_.got()[element]);
  }
  // How far the output of a finite n lies beyond the one that was got, where that is never NaN.
  std::int64_t beyond(std::int32_t element, const typename Ranges::Result& n) const {
    return std::int64_t{end_of(row_.affine(ranges_, element, n).low)} - position_of(row_.got()[element]);
  }
  bool is_ordered(std::int32_t element) const {
    return std::isfinite(row_.factor(element)) && std::isfinite(row_.bias(element));
  }

 private:
  const LayerNormRow& row_;
  Ranges ranges_;
};

// The search's problem, in the arithmetic of `Ranges`. Outputs has what RowOutputs has; where it has elements
// beyond the row's, also status_of_more(box) and looks_at_more().
template <typename Ranges, typename Outputs = RowOutputs<Ranges>>
class ShiftedProblem {
 public:
  explicit ShiftedProblem(const Outputs& outputs)
      : outputs_(outputs),
        row_(outputs.row()),
        ranges_(row_.output()),
        wanted_(static_cast<std::size_t>(row_.slots()) + 1) {}

  Status status(std::int32_t element, const Box& box) const {
    if constexpr (requires { outputs_.status_of_more(box); }) {
      if (element == row_.slots()) {
        looks_ += outputs_.looks_at_more();
        return outputs_.status_of_more(box);
      }
    }
    ++looks_;
    const auto n = row_.normalized(ranges_, element, ranges_.range(box.first.low, box.first.high),
                                   ranges_.range(box.second.low, box.second.high));
    const Side side{end_of(n.low), end_of(n.high)};
    const bool is_finite = n.numbers && !n.nan && side.low != kMinusInfinity && side.high != kPlusInfinity;
    if (!is_finite || !outputs_.is_ordered(element)) {
      wanted_[static_cast<std::size_t>(element)] = {};
      return outputs_.status_of_output(element, n);
    }
    const Side wanted = wanted_of(element, side);
    if (wanted.high < wanted.low || side.high < wanted.low || wanted.high < side.low) return Status::dead;
    return wanted.contains(side.low) && wanted.contains(side.high) ? Status::satisfied : Status::active;
  }

  const LayerNormRow& row() const { return row_; }

  // r before m, of which few are left once r is one number.
  double spread(const Box& box, bool second) const {
    if (second) return row_.spread(box, true);
    const auto reach = std::fmax(std::fabs(static_cast<double>(number_at(box.first.low))),
                                 std::fabs(static_cast<double>(number_at(box.first.high))));
    return row_.spread(box, false) - 8 * 0x1p-23 * reach * static_cast<double>(number_at(box.second.high));
  }

  bool is_spent() const { return box_search::is_spent<Ranges>(looks_, row_.slots()); }
  void begin_again() { looks_ = 0; }

  // Of elements of one x, whose status in one box was asked for, those whose ranges begin last and end first;
  // whether these are of no n together: then `elements` is such a pair.
  bool reduce(std::vector<std::int32_t>& elements) const {
    std::ranges::sort(elements, {}, [&](std::int32_t element) {
      return std::pair(element == row_.slots() ? kNanPosition : position_of(row_.x(element)), element);
    });
    std::vector<std::int32_t> kept;
    for (const std::int32_t element : elements) {
      const bool is_more = element == row_.slots() || !has_wanted(element);
      if (is_more || kept.empty() || !has_wanted(kept.back()) || !is_same_x(kept.back(), element)) {
        kept.push_back(element);
        if (!is_more) kept.push_back(element);  // begins last, ends first
        continue;
      }
      auto &begins = kept[kept.size() - 2], &ends = kept.back();
      if (wanted(begins).low < wanted(element).low) begins = element;
      if (wanted(element).high < wanted(ends).high) ends = element;
      if (wanted(ends).high < wanted(begins).low) {
        elements = {begins, ends};
        return true;
      }
    }
    kept.erase(std::ranges::unique(kept).begin(), kept.end());
    elements = std::move(kept);
    return false;
  }

  // Those first that say most, beside what one number of x r is.
  void sort(std::vector<std::int32_t>& elements) const {
    const auto share = [&](std::int32_t element) -> double {
      if (element == row_.slots()) return NAN;
      const Side& side = wanted(element);
      const double width =
          static_cast<double>(number_at(side.high)) - static_cast<double>(number_at(side.low));
      return width / std::fabs(static_cast<double>(row_.x(element)));
    };
    std::vector<std::pair<double, std::int32_t>> keyed;
    for (const std::int32_t element : elements) {
      const double key = share(element);
      keyed.emplace_back(std::isnan(key) ? std::numeric_limits<double>::infinity() : key, element);
    }
    std::ranges::sort(keyed);
    for (std::size_t i = 0; i < keyed.size(); ++i) elements[i] = keyed[i].second;
  }

 private:
  // Of the n in `known`, those that give the output.
  struct Wanted {
    Side known{1, 0};
    Side wanted{};
  };
  const Side& wanted(std::int32_t element) const { return wanted_[static_cast<std::size_t>(element)].wanted; }
  bool has_wanted(std::int32_t element) const {
    const Side& known = wanted_[static_cast<std::size_t>(element)].known;
    return element != row_.slots() && known.low <= known.high;
  }
  bool is_same_x(std::int32_t a, std::int32_t b) const {
    return b != row_.slots() && position_of(row_.x(a)) == position_of(row_.x(b));
  }

  const Side& wanted_of(std::int32_t element, const Side& side) const {
    Wanted& known = wanted_[static_cast<std::size_t>(element)];
    if (known.known.contains(side.low) && known.known.contains(side.high)) return known.wanted;
    const bool falls = std::signbit(row_.factor(element));
    const auto beyond = [&](std::int64_t n) {
      const auto at = static_cast<Position>(n);
      const std::int64_t difference = outputs_.beyond(element, ranges_.range(at, at));
      return falls ? -difference : difference;
    };
    const std::int64_t low = first_where(side.low, side.high, [&](std::int64_t n) { return beyond(n) >= 0; });
    const std::int64_t end = first_where(low, side.high, [&](std::int64_t n) { return beyond(n) > 0; });
    known = {side, {static_cast<Position>(low), static_cast<Position>(end - 1)}};
    return known.wanted;
  }

  const Outputs& outputs_;
  const LayerNormRow& row_;
  Ranges ranges_;
  mutable std::vector<Wanted> wanted_;
  mutable std::int64_t looks_ = 0;
};

// Whether a point of `box` explains all of `elements`, which are sorted: what the search says of it.
template <typename Problem>
SearchResult search_by_few(const Problem& problem, const Box& box,
                           const std::vector<std::int32_t>& elements) {
  constexpr std::size_t kFew = 48, kMore = 16;
  const auto few = std::min(elements.size(), kFew);
  std::vector<std::int32_t> chosen(elements.begin(), elements.begin() + static_cast<std::ptrdiff_t>(few));
  while (true) {
    SearchResult result = Search<Problem>(problem).run({box}, chosen);
    if (!result.witness) return result;
    std::vector<std::int32_t> open;
    for (std::size_t i = 0; i < elements.size() && open.size() < kMore; ++i)
      if (problem.status(elements[i], result.witness->box()) == Status::dead) open.push_back(elements[i]);
    if (open.empty()) return result;
    chosen.insert(chosen.end(), open.begin(), open.end());
  }
}

// The same window in boxes of which x r and m r overflow in some and not in others, since n is not bounded
// next to an infinity.
inline std::vector<Box> with_overflow_apart(const LayerNormRow& row, const std::vector<Box>& window) {
  std::vector<Box> boxes;
  const auto add = [&](Box box, std::int64_t low, std::int64_t high) {
    if (low > high) return;
    box.second = {static_cast<Position>(low), static_cast<Position>(high)};
    boxes.push_back(box);
  };
  float largest = 0;
  for (std::int64_t j = 0; j < row.slots(); ++j) largest = std::fmax(largest, std::fabs(row.x(j)));
  for (const Box& box : window) {
    const auto [low, high] = box.second;
    const float mean = std::fmax(std::fabs(number_at(box.first.low)), std::fabs(number_at(box.first.high)));
    const float reach = std::fmax(largest, mean);
    if (low == kNanPosition || !std::isfinite(reach) || std::isfinite(reach * number_at(high))) {
      boxes.push_back(box);
      continue;
    }
    const std::int64_t beyond = first_where(
        low, high, [&](std::int64_t r) { return std::isinf(reach * number_at(static_cast<Position>(r))); });
    add(box, low, beyond - 1);
    add(box, beyond, std::min<std::int64_t>(high, kPlusInfinity - 1));
    add(box, std::max<std::int64_t>(beyond, kPlusInfinity), high);
  }
  return boxes;
}

// What a look at each element says of a box. Elements that it satisfies, and those that others say, are gone.
enum class FirstLook : std::uint8_t { open, refuted_by_one, refuted_by_two };
template <typename Problem>
FirstLook look_first(const Problem& problem, const Box& box, std::vector<std::int32_t>& elements) {
  std::optional<std::int32_t> dead;
  std::erase_if(elements, [&](std::int32_t element) {
    const Status status = problem.status(element, box);
    if (status == Status::dead) dead = element;
    return status == Status::satisfied;
  });
  if (dead) {
    elements = {*dead};
    return FirstLook::refuted_by_one;
  }
  return problem.reduce(elements) ? FirstLook::refuted_by_two : FirstLook::open;
}

// The same by some of many elements and in few boxes, which is quicker, and enough for most rows. It gives up
// where they do not tell.
template <typename Problem, typename Collect>
SearchResult search_by_sample(const Problem& problem, const Box& box, const Collect& collect,
                              const std::vector<std::int32_t>& elements) {
  constexpr std::size_t kSample = 64;
  constexpr std::int64_t kMostBoxes = 100;
  SearchResult result;
  result.gave_up = true;
  if (elements.size() < 4 * kSample) return result;
  std::vector<std::int32_t> sample, open;
  for (std::size_t i = 0; i < kSample; ++i) sample.push_back(elements[i * elements.size() / kSample]);
  const FirstLook look = look_first(problem, box, sample);
  if (look == FirstLook::refuted_by_two) return result;
  if (look == FirstLook::refuted_by_one) {
    result.used = sample;
    result.gave_up = false;
    return result;
  }
  problem.sort(sample);
  result = Search<Problem>(problem, kMostBoxes).run({box}, sample);
  if (!result.witness) return result;
  const Box point = result.witness->box();
  collect(point, open);
  result.gave_up = std::ranges::any_of(
      open, [&](std::int32_t element) { return problem.status(element, point) == Status::dead; });
  return result;
}

// Searches the verdict's window for a ShiftedProblem. `collect`: as of Search.
template <typename Problem, typename Collect>
void search_window_by_few(Problem& problem, const Collect& collect, bool with_refutation,
                          RowVerdict& verdict) {
  std::vector<std::int32_t> used, elements;
  bool by_two = false;
  for (const Box& box : with_overflow_apart(problem.row(), verdict.window)) {
    ++verdict.boxes;
    collect(box, elements);
    SearchResult result = search_by_sample(problem, box, collect, elements);
    verdict.boxes += result.boxes;
    if (result.gave_up) {
      const FirstLook look = look_first(problem, box, elements);
      by_two = by_two || look == FirstLook::refuted_by_two;
      if (look != FirstLook::open) {
        used.insert(used.end(), elements.begin(), elements.end());
        continue;
      }
      problem.sort(elements);
      result = search_by_few(problem, box, elements);
      verdict.boxes += result.boxes;
    }
    used.insert(used.end(), result.used.begin(), result.used.end());
    if (!result.witness && !result.gave_up) continue;
    verdict.conforms = true;
    verdict.undecided = result.gave_up;
    if (result.witness) verdict.witness = *result.witness;
    return;
  }
  if (!with_refutation) return;
  std::ranges::sort(used);
  const auto repeated = std::ranges::unique(used);
  used.erase(repeated.begin(), repeated.end());
  problem.begin_again();
  // A search knows nothing of pairs.
  verdict.refutation = by_two ? used : irreducible(problem, verdict.window, used);
  problem.sort(verdict.refutation);
}

// As require_refutation, for a ShiftedProblem.
template <typename Problem>
void require_shifted_refutation(const Problem& problem, const RowVerdict& verdict) {
  for (const Box& box : with_overflow_apart(problem.row(), verdict.window)) {
    std::vector<std::int32_t> elements = verdict.refutation;
    if (look_first(problem, box, elements) != FirstLook::open) continue;
    if (Search<Problem>(problem).run({box}, elements).witness)
      throw std::logic_error("oracle: exact arithmetic does not confirm the certificate");
  }
}

}  // namespace normproof::oracle::box_search
