// The roots of each row by the same bisection that the witness judge uses.
#include "oracle/row_roots.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "oracle/fast_row.h"
#include "oracle/feasible.h"
#include "oracle/inverse_root.h"
#include "oracle/row_kernels.h"
#include "oracle/witness_row.h"

namespace normproof::oracle {
namespace {

// Calls `look` for each row, which `fast` has loaded, until it returns false.
template <typename Look>
void for_each_row(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                  const Formula& formula, Look look) {
  require_input_sizes(test_case, tensors);
  require_output_sizes(test_case, outputs);
  const StandardFloatEnvironment environment;
  FastRow fast(formula, tensors[Role::weight]);
  const std::size_t input_bytes =
      static_cast<std::size_t>(formula.hidden_size * format_of(formula.formats.activation).bits / 8);
  for (std::size_t row = 0; row * input_bytes < tensors[Role::input].size(); ++row) {
    fast.load_row(tensors, static_cast<std::int64_t>(row));
    if (!look(fast, row)) return;
  }
}

bool has_neighbours(float root) { return root > 0 && std::isfinite(root); }

// The r that lies in most of the intervals.
std::int64_t most_covered(const std::vector<RootInterval>& intervals, std::int64_t otherwise) {
  std::vector<std::pair<std::int64_t, int>> ends;  // where one more, or one less, covers
  for (const RootInterval& interval : intervals) {
    if (interval.empty()) continue;
    ends.emplace_back(interval.low, 1);
    ends.emplace_back(interval.high + 1, -1);
  }
  std::ranges::sort(ends);
  std::int64_t best = otherwise;
  int most = 0, covering = 0;
  for (const auto& [bits, change] : ends) {
    covering += change;
    if (covering <= most) continue;
    most = covering;
    best = bits;
  }
  return best;
}

}  // namespace

std::vector<ShownRow> shown_rows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                                 const Policy& policy, bool explained) {
  const Formula formula = formula_of(test_case, policy);
  const auto row_bytes =
      static_cast<std::size_t>(formula.hidden_size * format_of(formula.output_dtype()).bits / 8);
  WitnessRow witness_row(formula);
  std::vector<ShownRow> rows;
  for_each_row(test_case, tensors, outputs, formula, [&](FastRow& fast, std::size_t index) {
    ShownRow row;
    row.operands.assign(fast.variance_operands().begin(), fast.variance_operands().end());
    row.honest_root = fast.canonical_scale().inverse_root;
    row.roots = witness_row.explaining_roots(
        fast, std::span(outputs[Role::out]).subspan(index * row_bytes, row_bytes),
        row_scale_bits(formula, outputs, static_cast<std::int64_t>(index)));
    const bool goes_on = !explained || !row.roots.empty() || !has_neighbours(row.honest_root);
    rows.push_back(std::move(row));
    if (!goes_on) rows.clear();
    return goes_on;
  });
  return rows;
}

std::vector<RowFit> best_fits(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                              const Policy& policy) {
  const Formula formula = formula_of(test_case, policy);
  const Format& format = format_of(formula.output_dtype());
  std::vector<RowFit> fits;
  for_each_row(test_case, tensors, outputs, formula, [&](FastRow& fast, std::size_t row) {
    const auto got = [&](std::int64_t column) {
      return load_bits(outputs[Role::out], formula.output_dtype(),
                       static_cast<std::int64_t>(row) * formula.hidden_size + column);
    };
    if (formula.has(NormStep::quantize_by_row))
      fast.set_stored_scale(
          std::bit_cast<float>(row_scale_bits(formula, outputs, static_cast<std::int64_t>(row))));
    const float honest = fast.canonical_scale().inverse_root;
    std::int64_t best = std::bit_cast<std::uint32_t>(honest);
    if (has_neighbours(honest)) {
      // As far as the order of summation moves r, and a little.
      const std::int64_t reach = formula.hidden_size + 8;
      const RootInterval window{std::max<std::int64_t>(best - reach, 0),
                                std::min(best + reach, kInfiniteRoot)};
      std::vector<RootInterval> intervals;
      for (std::int64_t column = 0; column < formula.hidden_size; ++column) {
        intervals.push_back(feasible_interval(
            format, got(column), window, [&](std::int64_t r) { return fast.output(root_value(r), column); }));
      }
      best = most_covered(intervals, best);
    }
    RowFit fit{static_cast<std::uint32_t>(best), {}};
    for (std::int64_t column = 0; column < formula.hidden_size; ++column) {
      if (!same(format, fast.output(root_value(best), column), got(column)))
        fit.differing_columns.push_back(column);
    }
    fits.push_back(std::move(fit));
    return true;
  });
  return fits;
}

bool holds_root_of_number(const RootInterval& roots, const Format& format, int ulp_bound) {
  const std::int64_t low = roots.low - ulp_bound, high = roots.high + ulp_bound;
  if (roots.empty()) return false;
  if (low <= 0 || high >= kInfiniteRoot) return true;
  const double least = 1 / std::pow(static_cast<double>(root_value(high)), 2);
  const double largest = 1 / std::pow(static_cast<double>(root_value(low)), 2);
  // From the last number of the format below the range on; fp64 is off by far less than such a number.
  const auto exact = [](double value) {
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);
    return Value::finite(false, static_cast<std::int64_t>(std::ldexp(fraction, 53)), exponent - 53);
  };
  std::uint64_t bits = next_down(format, round_bits(format, exact(least), Rounding::down));
  for (; !is_infinite(format, bits); bits = next_up(format, bits)) {
    const Value m = decode(format, bits);
    if (m.is_zero() || m.negative()) continue;
    const auto root = static_cast<std::int64_t>(inverse_root_bits(m));
    if (low <= root && root <= high) return true;
    if (to_double(m) > largest) return false;
  }
  return false;
}

}  // namespace normproof::oracle
