// residual_out of operations with a fused add.
#include "oracle/judged/residual_sum.h"

#include <fmt/format.h>

#include "oracle/box_search/packed_row.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {

namespace search = box_search;

RowSum sum_of_row(const Call& call, std::int64_t row) {
  const std::int64_t count = call.hidden_size();
  std::vector<float> x, residual;
  search::widen("x", call.at("x").row(row, count), call.dtype(), count, x);
  search::widen("residual", call.at("residual").row(row, count), call.dtype(), count, residual);
  for (std::size_t j = 0; j < x.size(); ++j) x[j] += residual[j];
  RowSum sum{x, {}};
  // A sum of two numbers of T has so few bits that rounding it to fp32 first changes nothing.
  row_kernels().round_values[static_cast<std::size_t>(call.dtype())](
      x.data(), static_cast<std::int64_t>(x.size()), ActivationRounding::nearest_even);
  sum.rounded = search::pack(x, call.dtype(), count);
  return sum;
}

namespace {

// The sum that is kept, bit for bit.
class SumJudge : public UnitJudge {
 public:
  explicit SumJudge(const Call& call) : call_(call) {}
  bool conforms(std::int64_t row) override { return differing(row).empty(); }
  Violation violation(std::int64_t row) override {
    Violation violation;
    violation.tensor = "residual_out";
    violation.kind = "mismatch";
    violation.place = fmt::format("row {}", row);
    violation.row = row;
    violation.elements = differing(row);
    violation.reason = fmt::format("{} of {} elements are not rnd_T(x + residual)", violation.elements.size(),
                                   call_.hidden_size());
    return violation;
  }
  std::vector<std::byte> canonical(std::int64_t row) override { return sum_of_row(call_, row).rounded; }
  bool accepts_wrong(std::int64_t, Random&) override { return false; }

 private:
  std::vector<Element> differing(std::int64_t row) const {
    const std::int64_t hidden = call_.hidden_size();
    const Tensor wanted{call_.dtype(), {hidden}, sum_of_row(call_, row).rounded};
    const Tensor& sum = call_.at("residual_out");
    std::vector<Element> elements;
    for (std::int64_t j = 0; j < hidden; ++j) {
      const std::int64_t at = row * hidden + j;
      const NamedBits got = named("got", sum, at), right = named("canonical", wanted, j);
      if (same(wanted.dtype, got.bits, right.bits)) continue;
      elements.push_back(
          {j, {named("x", call_.at("x"), at), named("residual", call_.at("residual"), at), got, right}});
    }
    return elements;
  }
  const Call& call_;
};

}  // namespace

Part residual_part(const Call& call) {
  return {"residual_out",     "row", call.rows(),
          call.hidden_size(), 1,     [&call] { return std::make_unique<SumJudge>(call); }};
}

}  // namespace normproof::oracle::judged
