// One row of the witness judge. The quick way tries a window of r around the correctly rounded one: since
// outputs are monotone in r, an element that is right at both ends is right throughout, so two evaluations of
// the row leave only the few elements that bound the feasible interval. The full way does the same on the
// exact admissible interval and, should nothing be left, searches all r for the certificate.
#include "oracle/witness_row.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "oracle/feasible.h"

namespace normproof::oracle {
namespace {

constexpr std::int64_t kBlock = 512;       // elements evaluated before the next look at what differs
constexpr std::int64_t kFirstWindow = 32;  // numbers on each side of the correctly rounded r
constexpr std::size_t kFirstColumns = 4;   // differing elements to look at in the first pass
constexpr std::size_t kMaximumColumns = 256;

float root_value(std::int64_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }

std::int64_t root_bits(double r) { return std::bit_cast<std::uint32_t>(static_cast<float>(r)); }

RootInterval intersection(const RootInterval& a, const RootInterval& b) {
  return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

}  // namespace

WitnessRow::WitnessRow(const Formula& formula)
    : formula_(formula),
      output_format_(format_of(formula.output_dtype())),
      output_bytes_(output_format_.bits / 8),
      model_(formula),
      at_low_(static_cast<std::size_t>(kBlock * output_bytes_)),
      at_high_(at_low_.size()) {}

std::uint32_t WitnessRow::got_bits(std::int64_t column) const {
  std::uint32_t bits = 0;
  std::memcpy(&bits, got_.data() + column * output_bytes_, static_cast<std::size_t>(output_bytes_));
  return bits;
}

RowFinding WitnessRow::judge(FastRow& fast, std::span<const std::byte> got) {
  got_ = got;
  if (auto finding = judge_quickly(fast)) return *finding;
  return judge_fully(fast);
}

bool WitnessRow::explains(FastRow& fast, float r) {
  const std::span<const std::byte> wanted = fast.outputs(r);
  if (std::memcmp(wanted.data(), got_.data(), got_.size()) == 0) return true;
  for (std::int64_t j = 0; j < formula_.hidden_size; ++j) {
    if (!same(output_format_, fast.output(r, j), got_bits(j))) return false;
  }
  return true;
}

// Fills columns_ with elements that are wrong at an end of the window, `limit` of them or somewhat more.
void WitnessRow::collect_differing(FastRow& fast, const RootInterval& window, std::size_t limit) {
  columns_.clear();
  const bool one = window.low == window.high;
  for (std::int64_t begin = 0; begin < formula_.hidden_size; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, formula_.hidden_size - begin);
    const auto bytes = static_cast<std::size_t>(count * output_bytes_);
    fast.outputs(root_value(window.low), begin, count, at_low_.data());
    if (!one) fast.outputs(root_value(window.high), begin, count, at_high_.data());
    const std::byte* high = one ? at_low_.data() : at_high_.data();
    const std::byte* got = got_.data() + begin * output_bytes_;
    // Words first: almost all are equal.
    for (std::size_t offset = 0; offset < bytes; offset += 8) {
      const std::size_t size = std::min<std::size_t>(8, bytes - offset);
      std::uint64_t a = 0, b = 0, g = 0;
      std::memcpy(&a, at_low_.data() + offset, size);
      std::memcpy(&b, high + offset, size);
      std::memcpy(&g, got + offset, size);
      if (((a ^ g) | (b ^ g)) == 0) continue;
      const std::uint64_t mask = ~std::uint64_t{0} >> (64 - output_format_.bits);
      for (std::size_t i = 0; i * static_cast<std::size_t>(output_bytes_) < size; ++i) {
        const auto shift = static_cast<int>(i) * output_format_.bits;
        const std::uint64_t wanted = g >> shift & mask;
        if (same(output_format_, a >> shift & mask, wanted) &&
            same(output_format_, b >> shift & mask, wanted))
          continue;
        columns_.push_back(begin + static_cast<std::int64_t>(offset) / output_bytes_ +
                           static_cast<std::int64_t>(i));
      }
      if (columns_.size() >= limit) return;
    }
  }
}

// Narrows the window to those of its r that explain the row. False where none is left.
bool WitnessRow::narrow(FastRow& fast, RootInterval& window) {
  for (std::size_t limit = kFirstColumns; !window.empty(); limit = std::min(4 * limit, kMaximumColumns)) {
    collect_differing(fast, window, limit);
    if (columns_.empty()) return true;
    for (const std::int64_t column : columns_) {
      const auto output = [&](std::int64_t r) { return fast.output(root_value(r), column); };
      window = intersection(window, feasible_interval(output_format_, got_bits(column), window, output));
      if (window.empty()) return false;
    }
  }
  return false;
}

// Extends a feasible interval to all r of `limit` that explain the row, in steps that grow.
void WitnessRow::widen(FastRow& fast, RootInterval& feasible, const RootInterval& limit) {
  const auto extend = [&](bool upwards) {
    for (std::int64_t step = 4 * kFirstWindow;; step *= 8) {
      const std::int64_t end = upwards ? feasible.high : feasible.low;
      RootInterval further = upwards ? RootInterval{end, std::min(limit.high, end + step)}
                                     : RootInterval{std::max(limit.low, end - step), end};
      const std::int64_t wanted = upwards ? further.high : further.low;
      if (wanted == end) return;
      if (!narrow(fast, further)) return;  // cannot be: `end` explains the row
      (upwards ? feasible.high : feasible.low) = upwards ? further.high : further.low;
      if ((upwards ? feasible.high : feasible.low) != wanted) return;
    }
  };
  extend(false);
  extend(true);
}

std::optional<RowFinding> WitnessRow::judge_quickly(FastRow& fast) {
  const double sum = fast.fp64_square_sum();
  const RootInterval sure = model_.surely_admissible(sum);
  if (sure.empty() || !model_.needs_more_bits(fast.variance_operands(), sum)) return std::nullopt;

  const auto count = static_cast<double>(formula_.hidden_size);
  const double m = sum / count + static_cast<double>(std::bit_cast<float>(formula_.epsilon_bits));
  const double r = 1 / std::sqrt(m);
  const double error = r * (count + 16) * 0x1p-52;
  const std::int64_t rounded = root_bits(r);
  if (root_bits(r - error) != rounded || root_bits(r + error) != rounded)
    return std::nullopt;  // too close to a tie

  RootInterval window = intersection(sure, {rounded - kFirstWindow, rounded + kFirstWindow});
  const RootInterval first = window;
  if (!narrow(fast, window)) {
    // The kernel's r lies further off, or there is none.
    window = sure;
    if (!narrow(fast, window)) return std::nullopt;
  } else if (window.low == first.low || window.high == first.high) {
    widen(fast, window, sure);
  }
  // What touches the end of the part that fp64 is sure of may go on.
  if (window.low == sure.low || window.high == sure.high) {
    widen(fast, window, model_.admissible(exact_square_sum(fast.variance_operands())).interval);
  }
  RowFinding finding;
  finding.feasible = window;
  finding.correctly_rounded_root = static_cast<std::uint32_t>(rounded);
  return finding;
}

RowFinding WitnessRow::judge_fully(FastRow& fast) {
  std::span<const float> operands = fast.variance_operands();
  if (row_of(formula_.policy.variance).in_activation_dtype) {
    rounded_operands_.assign(operands.begin(), operands.end());
    for (float& operand : rounded_operands_) {
      const Value value =
          round_to(formula_.formats.activation, decode(DType::fp32, std::bit_cast<std::uint32_t>(operand)));
      operand = std::bit_cast<float>(static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), value)));
    }
    operands = rounded_operands_;
  }
  const SquareSum squares = exact_square_sum(operands);
  const Admissible admissible = model_.admissible(squares);
  RowFinding finding;
  finding.correctly_rounded_root = oracle::correctly_rounded_root(formula_, squares);
  const Value mean = round_to(DType::fp32, quotient(squares.sum, Value::integer(formula_.hidden_size)));
  finding.zero_or_special_mean =
      squares.has_nan || squares.has_infinity || mean.is_zero() || !mean.is_finite();
  if (admissible.nan && explains(fast, std::numeric_limits<float>::quiet_NaN())) {
    finding.nan_explains = true;
    return finding;
  }
  finding.feasible = admissible.interval;
  if (!finding.feasible.empty() && narrow(fast, finding.feasible)) return finding;
  finding.certificate = violation(fast, admissible);
  finding.certificate->correctly_rounded_root = finding.correctly_rounded_root;
  return finding;
}

// Of all elements' intervals the one that begins last and the one that ends first: if these two meet, all do
// (Helly).
Certificate WitnessRow::violation(FastRow& fast, const Admissible& admissible) {
  const RootInterval all{0, kInfiniteRoot};
  const auto element = [&](std::int64_t column) {
    CertificateElement result;
    result.column = column;
    result.operand = std::bit_cast<std::uint32_t>(fast.output_operands()[static_cast<std::size_t>(column)]);
    result.got = got_bits(column);
    result.needs = feasible_interval(output_format_, result.got, all,
                                     [&](std::int64_t r) { return fast.output(root_value(r), column); });
    return result;
  };
  Certificate certificate;
  certificate.admissible = admissible;
  RootInterval common = all;
  std::int64_t begins_last = 0;
  std::int64_t ends_first = 0;
  for (std::int64_t j = 0; j < formula_.hidden_size; ++j) {
    const auto output = [&](std::int64_t r) { return fast.output(root_value(r), j); };
    const ElementOrder order(output_format_, got_bits(j), output(all.low), output(all.high));
    if (order.impossible()) {
      certificate.elements = {element(j)};
      return certificate;
    }
    // One evaluation each says whether this element moves an end; only then the end is searched.
    if (order.compare(output(common.low)) < 0) {
      common.low =
          first_where(common.low, all.high, [&](std::int64_t r) { return order.compare(output(r)) >= 0; });
      begins_last = j;
    }
    if (order.compare(output(common.high)) > 0) {
      common.high =
          first_where(all.low, common.high, [&](std::int64_t r) { return order.compare(output(r)) > 0; }) - 1;
      ends_first = j;
    }
    if (common.low > all.high || common.high < all.low) {  // beyond every r: this element alone is the proof
      certificate.elements = {element(j)};
      return certificate;
    }
  }
  if (common.empty()) {
    certificate.elements = {element(ends_first), element(begins_last)};
    // One of them may be empty by itself.
    for (const std::size_t i : {0u, 1u}) {
      if (!certificate.elements[i].needs.empty()) continue;
      certificate.elements = {certificate.elements[i]};
      break;
    }
    return certificate;
  }
  certificate.kind = ViolationKind::scale;
  const RootInterval& allowed = admissible.interval;
  if (!allowed.empty()) {
    certificate.elements = {element(common.low > allowed.high ? begins_last : ends_first)};
    return certificate;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::int64_t j = 0; j < formula_.hidden_size; ++j) {
    if (same(output_format_, fast.output(nan, j), got_bits(j))) continue;
    certificate.elements = {element(j)};
    break;
  }
  return certificate;
}

}  // namespace normproof::oracle
