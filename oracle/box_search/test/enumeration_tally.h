// What a test against enumeration counts, and how it says so.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "oracle/box_search/row_search.h"

namespace normproof::oracle::box_search::test {

class EnumerationTally {
 public:
  void look_at(const RowVerdict& verdict) { most_boxes_ = std::max(most_boxes_, verdict.boxes); }
  // One that trying every point of the window agrees with.
  void add_agreed(const RowVerdict& verdict) {
    ++judged_;
    if (verdict.conforms) return;
    ++refuted_;
    ++sizes_[verdict.refutation.size()];
  }
  std::int64_t judged() const { return judged_; }
  std::int64_t refuted() const { return refuted_; }

  void print(std::string_view judge, std::string_view rows, std::uint64_t seed) const {
    std::string sizes;
    for (const auto& [size, times] : sizes_) sizes += fmt::format(" {}: {}", size, times);
    fmt::print(
        "{}, faulty: {} {}, {} refuted, 0 differ from enumeration, at most {} boxes; certificates by size:{} "
        "(seed {})\n",
        judge, judged_, rows, refuted_, most_boxes_, sizes, seed);
  }

 private:
  std::int64_t judged_ = 0, refuted_ = 0, most_boxes_ = 0;
  std::map<std::size_t, std::int64_t> sizes_;  // of the certificates
};

}  // namespace normproof::oracle::box_search::test
