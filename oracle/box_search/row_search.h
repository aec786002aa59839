// One row before the search: which elements a box satisfies, kills or leaves open, in hardware floats or in
// exact values; the verdict, and the certificate of a row that does not conform.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "oracle/box_search/lanes.h"
#include "oracle/box_search/range.h"
#include "oracle/box_search/search.h"

namespace normproof::oracle::box_search {

// A Row has
//   DType output() const;
//   std::int64_t slots() const;                                    places of elements, in whole blocks
//   std::uint64_t elements_of(std::int64_t begin) const;           which slots of a block have an element
//   const float* got() const;                                      the outputs, one per slot
//   template evaluate(const Arithmetic&, slot, first, second)      the range of one element's output, or of
//                                                                  a block's that begins there
//   double spread(const Box&, bool second) const;

// Where the first `count` slots have an element.
inline std::uint64_t elements_before(std::int64_t count, std::int64_t begin) {
  const std::int64_t left = count - begin;
  if (left <= 0) return 0;
  return left >= kBlock ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
}

inline Position end_of(float number) { return order_of(number); }
inline Position end_of(const Value& number) { return position_of(number); }

// What a range of outputs says of an element with the output `number`.
template <typename Range>
Status status_of(const Range& result, float number) {
  const Position got = position_of(number);
  if (got == kNanPosition) {
    if (!result.nan) return Status::dead;
    return result.numbers ? Status::active : Status::satisfied;
  }
  if (!result.numbers) return Status::dead;
  const Position low = end_of(result.low);
  const Position high = end_of(result.high);
  if (got < low || high < got) return Status::dead;
  return low == high && !result.nan ? Status::satisfied : Status::active;
}

// The search's problem for a row, in the arithmetic of `Ranges`.
template <typename Ranges, typename Row>
class RowProblem {
 public:
  explicit RowProblem(const Row& row) : row_(row), ranges_(row.output()) {}

  Status status(std::int32_t element, const Box& box) const {
    return status_of(row_.evaluate(ranges_, element, ranges_.range(box.first.low, box.first.high),
                                   ranges_.range(box.second.low, box.second.high)),
                     row_.got()[element]);
  }

  double spread(const Box& box, bool second) const { return row_.spread(box, second); }

 private:
  const Row& row_;
  Ranges ranges_;
};

template <typename Row>
using HardwareProblem = RowProblem<HardwareRanges, Row>;
template <typename Row>
using ExactProblem = RowProblem<ExactRanges, Row>;

struct RowVerdict {
  bool conforms = false;   // also where it is undecided
  bool undecided = false;  // the search was given up; each element alone can be explained
  Point witness;           // of a row that conforms and is decided
  std::int64_t boxes = 0;  // that the search looked at
  std::vector<Box> window;
  // Of another row, where asked for: elements that no point of the window explains together, none of which
  // can be left out. None: the window itself is empty, since stored statistics lie outside of it.
  std::vector<std::int32_t> refutation;
};

template <typename Row, typename Visit>
void for_each_element(const Row& row, const Visit& visit) {
  for (std::int64_t begin = 0; begin < row.slots(); begin += kBlock) {
    for (std::uint64_t open = row.elements_of(begin); open != 0; open &= open - 1) {
      visit(static_cast<std::int32_t>(begin + std::countr_zero(open)));
    }
  }
}

// What a verdict says, in words: the witness, or the elements that no point of the window explains.
// `unknowns` are the names of one or two; `column_of`, where given, says which element a slot has.
std::string to_text(const RowVerdict& verdict, std::span<const std::string_view> unknowns,
                    const std::function<std::int64_t(std::int64_t)>& column_of = {});

// "m in [.., ..] with r in [.., ..], or ..".
std::string window_text(std::span<const Box> window, std::span<const std::string_view> unknowns);

// Sets the elements that `box` does not satisfy for sure.
template <typename Row>
void collect_elements(const Row& row, const Box& box, std::vector<std::int32_t>& elements) {
  elements.clear();
  if (box.first.low == kNanPosition || box.second.low == kNanPosition) {
    for_each_element(row, [&](std::int32_t element) { elements.push_back(element); });
    return;
  }
  const LaneArithmetic lanes(row.output());
  const LaneRange first = lanes.range(box.first.low, box.first.high);
  const LaneRange second = lanes.range(box.second.low, box.second.high);
  const int mark = lanes.mark();
  for (std::int64_t begin = 0; begin < row.slots(); begin += kBlock) {
    lanes.rewind(mark);
    std::uint64_t open = row.elements_of(begin);
    if (open == 0) continue;
    open &= lanes.unsatisfied(row.evaluate(lanes, begin, first, second), row.got() + begin);
    for (; open != 0; open &= open - 1) {
      elements.push_back(static_cast<std::int32_t>(begin + std::countr_zero(open)));
    }
  }
}

// Searches the verdict's window. `collect`: as of Search.
template <typename Problem, typename Collect>
void search_window(const Problem& problem, const Collect& collect, bool with_refutation,
                   RowVerdict& verdict) {
  Search<Problem> search(problem);
  const SearchResult result = search.run(verdict.window, collect);
  verdict.boxes = result.boxes;
  verdict.undecided = result.gave_up;
  verdict.conforms = result.gave_up || result.witness.has_value();
  if (result.witness) verdict.witness = *result.witness;
  if (!verdict.conforms && with_refutation)
    verdict.refutation = irreducible(problem, verdict.window, result.used);
}

// The elements of a refutation leave no point of the window. Throws std::logic_error where they do.
template <typename Problem>
void require_refutation(const Problem& problem, const RowVerdict& verdict) {
  Search<Problem> search(problem);
  if (search.run(verdict.window, verdict.refutation).witness)
    throw std::logic_error("oracle: exact arithmetic does not confirm the certificate");
}

// Whether `near`, a point of the verdict's window, explains the whole row.
template <typename Row>
bool is_explained_by(const Row& row, const Point& near, RowVerdict& verdict) {
  if (std::ranges::none_of(verdict.window, [&](const Box& box) { return contains(box, near); })) return false;
  const HardwareProblem<Row> problem(row);
  std::vector<std::int32_t> elements;
  collect_elements(row, near.box(), elements);
  if (!std::ranges::all_of(
          elements, [&](std::int32_t j) { return problem.status(j, near.box()) == Status::satisfied; }))
    return false;
  verdict.conforms = true;
  verdict.witness = near;
  verdict.boxes = 1;
  return true;
}

// Whether a point of `window` explains the whole row; `near` is tried first.
template <typename Row>
RowVerdict judge_row(const Row& row, std::vector<Box> window, const Point& near, bool with_refutation) {
  RowVerdict verdict;
  verdict.window = std::move(window);
  if (is_explained_by(row, near, verdict)) return verdict;
  search_window(
      HardwareProblem<Row>(row),
      [&](const Box& box, std::vector<std::int32_t>& elements) { collect_elements(row, box, elements); },
      with_refutation, verdict);
  return verdict;
}

// A point of `box`, wider than any window, that explains the whole row; nothing
// where none was found in few boxes.
template <typename Row>
std::optional<Point> witness_in(const Row& row, const Box& box) {
  constexpr std::int64_t kMostBoxes = 200;
  const HardwareProblem<Row> problem(row);
  Search<HardwareProblem<Row>> search(problem, kMostBoxes);
  return search
      .run({box}, [&](const Box& part,
                      std::vector<std::int32_t>& elements) { collect_elements(row, part, elements); })
      .witness;
}

// Confirms a verdict by exact arithmetic alone: a witness explains every element; the elements of a
// refutation leave no point of the window. Throws std::logic_error where that is not so.
template <typename Row>
void require_exact(const Row& row, const RowVerdict& verdict) {
  const ExactProblem<Row> problem(row);
  if (verdict.conforms) {
    for_each_element(row, [&](std::int32_t element) {
      if (problem.status(element, verdict.witness.box()) != Status::satisfied) {
        throw std::logic_error("oracle: exact arithmetic does not confirm the witness");
      }
    });
    return;
  }
  require_refutation(problem, verdict);
}

// Whether every box of `inner` lies in one of `outer`.
inline bool covers(const std::vector<Box>& outer, const std::vector<Box>& inner) {
  return std::ranges::all_of(inner, [&](const Box& box) {
    return std::ranges::any_of(outer, [&](const Box& other) {
      return contains(other, {box.first.low, box.second.low}) &&
             contains(other, {box.first.high, box.second.high});
    });
  });
}

}  // namespace normproof::oracle::box_search
