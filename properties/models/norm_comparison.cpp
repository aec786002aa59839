#include "properties/models/norm_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "oracle/formats.h"

namespace normproof {

std::optional<ComparedNorm> NormComparison::run() {
  match_rows();
  if (result_.rows == 0) return std::nullopt;
  adapt();
  if (call_text(0) != call_text(1)) return differs_by({NormDifference::call, call_text(0), call_text(1)});
  compare_bits();
  compare_digests();
  if (const auto other = other_parameter()) return differs_by(*other);
  if (result_.different > 0 || result_.same_inputs < result_.rows) explain();
  if (!is_arithmetic(result_.difference) && unseen_) {
    result_.difference = NormDifference::unseen;
    result_.text = fmt::format("all inputs of call {} are the same bits, its outputs are not", *unseen_);
  }
  return std::move(result_);
}

void NormComparison::match_rows() {
  std::map<RowPlace, std::int64_t> places;
  for (std::size_t row = 0; row < calls_[1]->places.size(); ++row)
    places[calls_[1]->places[row]] = static_cast<std::int64_t>(row);
  std::array<std::vector<std::int64_t>, 2> rows;
  for (std::size_t row = 0; row < calls_[0]->places.size(); ++row) {
    const auto found = places.find(calls_[0]->places[row]);
    if (found == places.end()) continue;
    rows[0].push_back(static_cast<std::int64_t>(row));
    rows[1].push_back(found->second);
    places_.push_back(found->first);
  }
  result_.rows = static_cast<std::int64_t>(places_.size());
  for (std::size_t side : {0, 1}) select(side, rows[side]);
}

void NormComparison::compare_bits() {
  for (std::int64_t row = 0; row < result_.rows; ++row) {
    if (!same_row(row, Direction::in)) continue;
    ++result_.same_inputs;
    if (same_row(row, Direction::out)) continue;
    auto element = differing_element(row);
    if (!element) continue;
    ++result_.different;
    if (result_.element) continue;
    element->place = places_[static_cast<std::size_t>(row)];
    result_.element = std::move(element);
  }
}

void NormComparison::compare_digests() {
  const auto &one = calls_[0]->digests, &other = calls_[1]->digests;
  result_.other_inputs = result_.same_inputs < result_.rows;
  if (!digests_agree() || one.empty() || other.empty()) return;
  result_.whole = true;
  for (std::size_t call = 0; call < std::min(one.size(), other.size()); ++call) {
    const bool same_inputs = one[call].inputs == other[call].inputs;
    result_.other_inputs |= !same_inputs;
    if (same_inputs && one[call].outputs != other[call].outputs && !unseen_) unseen_ = call;
  }
}

ComparedNorm NormComparison::differs_by(const OtherParameter& what) {
  result_.difference = what.difference;
  result_.text = fmt::format("{} and {}", what.one, what.other);
  return std::move(result_);
}

void NormComparison::conclude(bool common) {
  const bool differ = result_.different > 0;
  const bool one = result_.sides[0].policy.has_value(), other = result_.sides[1].policy.has_value();
  if (common) {
    result_.difference = differ ? NormDifference::order : NormDifference::passed_on;
  } else if (one && other) {
    result_.difference = NormDifference::policy;
  } else if (one || other) {
    result_.difference = NormDifference::bug;
  } else if (differ) {
    result_.difference = NormDifference::unknown;
  } else {
    // Rows with the same inputs gave the same bits.
    result_.difference = result_.same_inputs > 0 ? NormDifference::passed_on : NormDifference::undecided;
  }
}

std::optional<DifferingColumn> differing_column(DType dtype, std::span<const std::byte> one,
                                                std::span<const std::byte> other, std::int64_t row,
                                                std::int64_t columns) {
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t index = row * columns + column;
    const std::array bits = {load_bits(one, dtype, index), load_bits(other, dtype, index)};
    if (bits[0] == bits[1] || (oracle::is_nan(dtype, bits[0]) && oracle::is_nan(dtype, bits[1]))) continue;
    return DifferingColumn{dtype, column, bits};
  }
  return std::nullopt;
}

}  // namespace normproof
