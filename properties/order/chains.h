// Compensated sums: chains of additions with a running sum and its correction, as trees, and the rows that
// determine them.
//
// Of three parts of one chain, every question of a triple survives: what an addition loses comes back with
// the next one. So the questions of a certificate (certify.h) tell which additions are of one chain: those
// whose opposite survives too. By the argument there the answers determine the tree with each chain drawn
// together to one addition of many parts. In which order the parts are added other rows say, since no
// compensation is perfect:
//   Kahan's sum loses what it has summed up to half a unit of the last place when a larger number comes. With
//   B = 2^24 at a, 0.39 at k and 0.9922 at w, three parts of a chain, the sum is B where k comes before a and
//   a before w, and B + 2 in every other order. A row for each three that follow each other determines the
//   order of the chain: the first one says p1 < p2 < p3, the next p2 < p3 < p4, and so on. Neumaier's sum
//   keeps all that is lost in c, but c is an fp32 sum. With B = 2^24 and 1 at x and y, and two numbers of
//   just less than 2^-24 at u and v, the sum is B + 2 where both u and v come before the later one of x and
//   y, and B otherwise: max(u, v) < max(x, y). For x, y = p[t+1], p[t-1] and u, v = p[t], p[t-2], and p4, p1
//   against p3, p2, such rows say that p4 comes after the first three, p5 after p4, and so on. Of the first
//   three no row is known whose sum depends on their order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oracle/sum_tree.h"
#include "properties/order/reader.h"

namespace normproof::order {

using oracle::SumTree;

// The parts of a chain in the order in which they are added: numbers of the tree, the first running sum
// included. Only chains of at least three parts.
using Chain = std::vector<std::int32_t>;
std::vector<Chain> chains_of(const SumTree& tree);

// Whether the addition is part of a chain whose next addition is that above it.
std::vector<bool> is_followed(const SumTree& tree);

// Rows about one chain, by leaves of its parts. All are read by `unit()` of the reader or by control rows of
// their own.
class ChainRows {
 public:
  ChainRows(const BlackBox& box, const Reader& reader);
  // Whether the reader's unit leaves room for rows of Kahan's sum.
  bool usable() const { return lost_ != 0; }

  // Absorbed exactly where Kahan's sum adds the first before the second, and that before the third.
  Probe in_turn(std::int32_t first, std::int32_t second, std::int32_t third) const;
  // Survives exactly where Neumaier's sum adds `u` and `v` before the later one of `x` and `y`.
  Probe before(std::int32_t u, std::int32_t v, std::int32_t x, std::int32_t y) const;
  // Control rows for before(), by three leaves of one chain.
  Probe before_control(std::int32_t x, std::int32_t y, std::int32_t other, bool survived) const;

 private:
  std::uint32_t big_, one_, small_, nudge_, unit_;
  std::uint32_t lost_ = 0;  // less than half when squared, and more than 1 together with the unit
};

// A row that tells the order of a chain, and what it reads as where the order is the claimed one.
struct OrderRow {
  Probe probe;
  Reading expected = Reading::absorbed;
  std::int32_t earlier = 0, later = 0;  // two of the leaves, for people
  bool reads_unit = true;               // by the reader's controls; else by before_control()
};

// The rows of all chains of the tree. Empty where its accumulator's rows cannot be made: then `why` says so.
std::vector<OrderRow> order_rows(const ChainRows& rows, const SumTree& tree, std::string& why);
// As they are read. Nothing where control rows in the chains of the tree do not read as two numbers.
std::optional<std::vector<Reading>> ask(BlackBox& box, const Reader& reader, const ChainRows& rows,
                                        const SumTree& tree, const std::vector<OrderRow>& asked);

}  // namespace normproof::order
