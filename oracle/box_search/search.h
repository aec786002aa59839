// The search for unknowns that explain a row: fp32 numbers, one or two of them, that give every output
// element its bits. It works on boxes, a range of numbers for each unknown, and ends with a witness or with
// the proof that there is none; SEARCH.md says why.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "oracle/box_search/line.h"
#include "oracle/feasible.h"

namespace normproof::oracle::box_search {

// A range of fp32 numbers, or NaN alone (low = high = kNanPosition).
struct Side {
  Position low = 0;
  Position high = 0;
  bool is_point() const { return low == high; }
  bool contains(Position p) const { return low <= p && p <= high; }
  friend bool operator==(const Side&, const Side&) = default;
};
inline constexpr Side kNanSide{kNanPosition, kNanPosition};

// A problem of one unknown has a second side of one point.
struct Box {
  Side first;
  Side second;
  static constexpr std::array<Side Box::*, 2> sides() { return {&Box::first, &Box::second}; }
  bool is_point() const { return first.is_point() && second.is_point(); }
  friend bool operator==(const Box&, const Box&) = default;
};
struct Point {
  Position first = 0;
  Position second = 0;
  Box box() const { return {{first, first}, {second, second}}; }
  friend bool operator==(const Point&, const Point&) = default;
};
inline Point point_of(const Box& box) { return {box.first.low, box.second.low}; }
inline bool contains(const Box& box, const Point& point) {
  return box.first.contains(point.first) && box.second.contains(point.second);
}

// What a box says of one element.
enum class Status : std::uint8_t {
  satisfied,  // every point of the box gives the element's bits
  active,     // some may, some may not; never of a box of one point
  dead        // none does
};

template <typename Point>
struct SearchResultOf {
  std::optional<Point> witness;
  std::int64_t boxes = 0;
  bool gave_up = false;  // only where a limit was set
  // Elements that ever killed or cut a box, each once: these alone refute what the search refuted.
  std::vector<std::int32_t> used;
};

using SearchResult = SearchResultOf<Point>;

// The box of a problem of other unknowns than two, which then says sides() and point_of().
template <typename Problem>
struct BoxOf {
  using Type = Box;
};
template <typename Problem>
  requires requires { typename Problem::SearchBox; }
struct BoxOf<Problem> {
  using Type = typename Problem::SearchBox;
};

// Problem: Status status(std::int32_t element, const Box&), and double spread(const Box&, side), which says
// along which of the sides the outputs run further; of two, `second`. A box within another one must never be
// satisfied or active where the other is dead.
template <typename Problem>
class Search {
 public:
  using Box = typename BoxOf<Problem>::Type;
  using Result = SearchResultOf<decltype(point_of(Box()))>;

  // The search may look at so many boxes; negative: at as many as it takes.
  explicit Search(const Problem& problem, std::int64_t most_boxes = -1)
      : problem_(problem), most_boxes_(most_boxes) {}

  // Looks for a witness in any of `start`. `collect(box, elements)` sets the elements of the row that `box`
  // does not satisfy, and may add some that it does.
  template <typename Collect>
  Result run(const std::vector<Box>& start, const Collect& collect) {
    result_ = {};
    for (const Box& box : start) {
      if (search_box(box, collect)) break;
    }
    std::ranges::sort(result_.used);
    const auto repeated = std::ranges::unique(result_.used);
    result_.used.erase(repeated.begin(), repeated.end());
    return std::move(result_);
  }

  // The same for some elements alone.
  Result run(const std::vector<Box>& start, const std::vector<std::int32_t>& elements) {
    return run(start, [&](const Box&, std::vector<std::int32_t>& out) { out = elements; });
  }

 private:
  struct Node {
    Box box;
    std::vector<std::int32_t> elements;
  };
  // Of many elements these cut the box first; most of the others are satisfied by what is left.
  static constexpr std::size_t kFirstElements = 24;
  static constexpr int kPasses = 12;

  template <typename Collect>
  bool search_box(const Box& start, const Collect& collect) {
    Node root{start, {}};
    collect(root.box, root.elements);
    if (root.elements.size() > 2 * kFirstElements) {
      if (!contract_by_few(root)) {
        ++result_.boxes;
        return false;
      }
      collect(root.box, root.elements);
    }
    std::vector<Node> open;
    open.push_back(std::move(root));
    while (!open.empty()) {
      Node node = std::move(open.back());
      open.pop_back();
      ++result_.boxes;
      if ((most_boxes_ >= 0 && result_.boxes > most_boxes_) || is_spent()) {
        result_.gave_up = true;
        return true;
      }
      if (!contract_by_few(node) || !contract(node.box, node.elements)) continue;
      Box tried = node.box;
      for (const auto side : Box::sides()) {
        const Position position = middle(tried.*side);
        tried.*side = {position, position};
      }
      const std::optional<std::int32_t> open_element = first_open(tried, node.elements);
      if (!open_element) {
        result_.witness = point_of(tried);
        return true;
      }
      if (node.box.is_point()) {
        note(*open_element);
      } else {
        split(std::move(node), open);
      }
    }
    return false;
  }

  // A problem may bound the work of a search by more than its boxes.
  bool is_spent() const {
    if constexpr (requires { problem_.is_spent(); }) return problem_.is_spent();
    return false;
  }

  // Cuts the box by some of its elements, where it has many: those that cut other boxes last, and others.
  bool contract_by_few(Node& node) {
    if (node.elements.size() <= 2 * kFirstElements) return true;
    const std::size_t known = std::min(kFirstElements, result_.used.size());
    std::vector<std::int32_t> few(result_.used.end() - static_cast<std::ptrdiff_t>(known),
                                  result_.used.end());
    for (std::size_t i = 0; i < kFirstElements; ++i) {
      few.push_back(node.elements[i * node.elements.size() / kFirstElements]);
    }
    return contract(node.box, few);
  }

  // An element whose bits the point does not give.
  std::optional<std::int32_t> first_open(const Box& point, const std::vector<std::int32_t>& elements) const {
    for (const std::int32_t element : elements) {
      const Status status = problem_.status(element, point);
      if (status == Status::active) {
        throw std::logic_error("oracle: a single point neither gives an element's bits nor does not");
      }
      if (status == Status::dead) return element;
    }
    return std::nullopt;
  }

  // Cuts off what one element alone excludes at an end of a side, until nothing moves or it is time to halve
  // the box; drops satisfied elements. False: the box has no witness.
  bool contract(Box& box, std::vector<std::int32_t>& elements) {
    bool moved = true;
    for (int pass = 0; pass < kPasses && moved && !elements.empty(); ++pass) {
      moved = false;
      std::size_t kept = 0;
      for (const std::int32_t element : elements) {
        const Status status = problem_.status(element, box);
        if (status == Status::satisfied) continue;
        if (status == Status::dead) {
          note(element);
          return false;
        }
        const Box before = box;
        for (const auto side : Box::sides())
          if (!cut(element, box, side)) return false;
        moved = moved || !(box == before);
        elements[kept++] = element;
      }
      elements.resize(kept);
    }
    return true;
  }

  // The range that is left of one side of a box once every slab at its ends in which `element` is dead is
  // gone. False: nothing is left.
  bool cut(std::int32_t element, Box& box, Side Box::* side) {
    Side& range = box.*side;
    if (range.is_point()) return true;
    Box slab = box;
    const auto is_dead = [&](std::int64_t low, std::int64_t high) {
      slab.*side = {static_cast<Position>(low), static_cast<Position>(high)};
      return problem_.status(element, slab) == Status::dead;
    };
    if (is_dead(range.low, range.low)) {
      note(element);
      const std::int64_t low = first_where(std::int64_t{range.low} + 1, range.high,
                                           [&](std::int64_t p) { return !is_dead(range.low, p); });
      if (low > range.high) return false;
      range.low = static_cast<Position>(low);
    }
    if (!range.is_point() && is_dead(range.high, range.high)) {
      note(element);
      const std::int64_t beyond = first_where(std::int64_t{range.low}, std::int64_t{range.high} - 1,
                                              [&](std::int64_t p) { return is_dead(p, range.high); });
      if (beyond == range.low) return false;
      range.high = static_cast<Position>(beyond - 1);
    }
    return true;
  }

  // Two halves of the side along which the outputs run further. Halves by value, since a window around zero
  // holds a billion floats that are all but zero.
  void split(Node node, std::vector<Node>& open) {
    const auto side = longest_side(node.box);
    const Side range = node.box.*side;
    const Position last_below = std::min(middle(range), range.high - 1);
    Node below{node.box, node.elements};
    (below.box.*side).high = last_below;
    (node.box.*side).low = last_below + 1;
    open.push_back(std::move(node));
    open.push_back(std::move(below));
  }

  Side Box::* longest_side(const Box& box) const {
    const auto sides = Box::sides();
    std::size_t longest = 0;
    for (std::size_t i = 1; i < sides.size(); ++i) {
      if ((box.*sides[i]).is_point()) continue;
      if ((box.*sides[longest]).is_point() || problem_.spread(box, i) > problem_.spread(box, longest))
        longest = i;
    }
    return sides[longest];
  }

  // The number halfway between the ends; next to an infinity, which is a case of its own.
  static Position middle(const Side& range) {
    if (range.is_point()) return range.low;
    if (range.high == kPlusInfinity) return range.high - 1;
    if (range.low == kMinusInfinity) return range.low;
    const double sum = static_cast<double>(number_at(range.low)) + static_cast<double>(number_at(range.high));
    return std::clamp(order_of(static_cast<float>(sum / 2)), range.low, range.high);
  }

  void note(std::int32_t element) {
    if (result_.used.empty() || result_.used.back() != element) result_.used.push_back(element);
  }

  const Problem& problem_;
  std::int64_t most_boxes_;
  Result result_;
};

// Without an element the others may need a long search: bits of which each alone excludes nearly all, but
// together no box of any size. Then the element stays.
inline constexpr std::int64_t kMostBoxesWithout = 5000;

// Elements of `used` that refute `start` without a witness, and of which none can be left out.
template <typename Problem>
std::vector<std::int32_t> irreducible(const Problem& problem,
                                      const std::vector<typename BoxOf<Problem>::Type>& start,
                                      std::vector<std::int32_t> used) {
  Search<Problem> search(problem, kMostBoxesWithout);
  for (std::size_t next = 0; next < used.size();) {
    std::vector<std::int32_t> rest = used;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(next));
    const auto without = search.run(start, rest);
    if (without.witness || without.gave_up) {
      ++next;  // needed, and still so among fewer elements
      continue;
    }
    // What a refutation within `rest` uses can take the place of all of `rest`. Elements before `next` that
    // it does without are gone as well.
    next =
        static_cast<std::size_t>(std::ranges::lower_bound(without.used, used[next]) - without.used.begin());
    used = without.used;
  }
  return used;
}

}  // namespace normproof::oracle::box_search
