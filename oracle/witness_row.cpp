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
#include "oracle/known_sum.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle {
namespace {

constexpr std::int64_t kBlock = 512;       // elements evaluated before the next look at what differs
constexpr std::size_t kFirstColumns = 32;  // differing elements to look at in the first pass

std::int64_t root_bits(double r) { return std::bit_cast<std::uint32_t>(static_cast<float>(r)); }

// The next `size` bytes, at most 8, the first lowest.
std::uint64_t load_word(const std::byte* data, std::size_t size) {
  std::uint64_t word = 0;
  if (size == sizeof(word)) {
    std::memcpy(&word, data, sizeof(word));
  } else {
    std::memcpy(&word, data, size);
  }
  return word;
}

// About how many r explain a row. Each element allows some 2^(24 - precision), and what they have in common
// shrinks with the number of different mantissas.
std::int64_t expected_width(std::int64_t hidden_size, const Format& format) {
  const std::int64_t mantissas = std::min(hidden_size, std::int64_t{1} << format.mantissa_bits());
  return std::max<std::int64_t>(
      2, (std::int64_t{2} << (format_of(DType::fp32).precision - format.precision)) / mantissas);
}

}  // namespace

WitnessRow::WitnessRow(const Formula& formula)
    : formula_(formula),
      output_format_(format_of(formula.output_dtype())),
      output_bytes_(output_format_.bits / 8),
      model_(formula),
      factor_is_open_(leaves_factor_open(formula)),
      first_window_(expected_width(formula.hidden_size, output_format_)),
      at_low_(static_cast<std::size_t>(kBlock * output_bytes_)),
      at_high_(at_low_.size()) {
  if (formula.has(NormStep::quantize_by_row)) {
    scale_.emplace(formula);
  } else if (formula.formats.quantized) {
    factors_ = code_factors(formula, nullptr, formula.bits_of(Parameter::scale));
  }
}

std::uint32_t WitnessRow::got_bits(std::int64_t column) const {
  std::uint32_t bits = 0;
  std::memcpy(&bits, got_.data() + column * output_bytes_, static_cast<std::size_t>(output_bytes_));
  return bits;
}

void WitnessRow::aim_at(FastRow& fast, std::span<const std::byte> got, std::uint32_t scale) {
  got_ = got;
  if (scale_) {
    scale_->aim_at(scale);
    factors_ = scale_->factors();
  }
  use(fast, 0);
}

void WitnessRow::use(FastRow& fast, std::size_t factor) {
  if (scale_) scale_->choose(factor);
  if (factor < factors_.size()) fast.set_code_factor(factors_[factor].factor);
}

bool WitnessRow::is_scale_at(FastRow& fast, float r) const { return !scale_ || scale_->is_scale_at(fast, r); }

RowFinding WitnessRow::judge(FastRow& fast, std::span<const std::byte> got, std::uint32_t scale,
                             bool with_certificate) {
  aim_at(fast, got, scale);
  return factor_is_open_ ? judge_with_each_factor(fast, with_certificate)
                         : judge_with_one_factor(fast, with_certificate);
}

RowFinding WitnessRow::judge_with_one_factor(FastRow& fast, bool with_certificate) {
  if (auto finding = judge_quickly(fast, with_certificate)) return *finding;
  return judge_fully(fast, with_certificate);
}

// A row conforms if one of the factors explains it. Where none does, each is refuted; but that is looked for
// only once all were tried.
RowFinding WitnessRow::judge_with_each_factor(FastRow& fast, bool with_certificate) {
  RowFinding result;
  for (std::size_t factor = 0; factor < factors(); ++factor) {
    use(fast, factor);
    const RowFinding finding = judge_with_one_factor(fast, false);
    if (!finding.violation) return finding;
    const bool of_scale = result.violation == ViolationKind::scale;
    result = finding;
    if (of_scale) result.violation = ViolationKind::scale;
  }
  if (!with_certificate) return result;
  std::vector<Certificate> parts;
  for (std::size_t factor = 0; factor < factors(); ++factor) {
    use(fast, factor);
    result = judge_fully(fast, true);
    if (!result.violation) return result;
    parts.push_back(std::move(*result.certificate));
  }
  result.certificate = joined(fast, std::move(parts));
  result.violation = result.certificate->kind;
  return result;
}

// The certificates of all factors as one: the elements of each refute their own factor.
Certificate WitnessRow::joined(FastRow& fast, std::vector<Certificate> parts) {
  Certificate result = parts.front();
  result.elements.clear();
  for (const Certificate& part : parts) {
    if (part.kind == ViolationKind::scale) result.kind = ViolationKind::scale;
  }
  for (std::size_t factor = 0; factor < parts.size(); ++factor) {
    use(fast, factor);
    Certificate& part = parts[factor];
    // Where r is limited to what is admissible, NaN has to be refuted too.
    const auto refutes = [&](const CertificateElement& element) {
      return element_refutes_nan(fast, element);
    };
    if (result.kind == ViolationKind::scale && result.admissible.nan &&
        std::ranges::none_of(part.elements, refutes))
      add_refutation_of_nan(fast, part);
    if (factor < factors_.size()) result.factors.push_back(factor_bits(factors_[factor].factor));
    for (CertificateElement& element : part.elements) {
      if (factor < factors_.size()) element.factor = result.factors.back();
      result.elements.push_back(element);
    }
  }
  return result;
}

RootInterval WitnessRow::explaining_roots(FastRow& fast, std::span<const std::byte> got,
                                          std::uint32_t scale) {
  aim_at(fast, got, scale);
  Window all{{0, kInfiniteRoot}};
  for (std::size_t factor = 0; factor < factors(); ++factor) {
    use(fast, factor);
    all = {{0, kInfiniteRoot}};
    if (narrow(fast, all)) break;
  }
  return all.roots;
}

bool WitnessRow::explains(FastRow& fast, float r) {
  if (!is_scale_at(fast, r)) return false;
  const std::span<const std::byte> wanted = fast.outputs(r);
  if (std::memcmp(wanted.data(), got_.data(), got_.size()) == 0) return true;
  for (std::int64_t j = 0; j < formula_.hidden_size; ++j) {
    if (!same(output_format_, fast.output(r, j), got_bits(j))) return false;
  }
  return true;
}

// Fills columns_ with elements that are wrong at an unproven end of the window. Returns true where these are
// all, false where it stopped at `limit` of them or somewhat more.
bool WitnessRow::collect_differing(FastRow& fast, const Window& window, std::size_t limit) {
  columns_.clear();
  const bool one = window.low_is_proven || window.high_is_proven || window.roots.low == window.roots.high;
  const std::int64_t first_end = window.low_is_proven ? window.roots.high : window.roots.low;
  for (std::int64_t begin = 0; begin < formula_.hidden_size; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, formula_.hidden_size - begin);
    const auto bytes = static_cast<std::size_t>(count * output_bytes_);
    fast.outputs(root_value(first_end), begin, count, at_low_.data());
    if (!one) fast.outputs(root_value(window.roots.high), begin, count, at_high_.data());
    const std::byte* high = one ? at_low_.data() : at_high_.data();
    const std::byte* got = got_.data() + begin * output_bytes_;
    if (std::memcmp(at_low_.data(), got, bytes) == 0 && (one || std::memcmp(high, got, bytes) == 0)) continue;
    const auto note = [&](std::size_t offset, std::uint64_t a, std::uint64_t b, std::uint64_t wanted) {
      if (same(output_format_, a, wanted) && same(output_format_, b, wanted)) return;
      columns_.push_back(begin + static_cast<std::int64_t>(offset) / output_bytes_);
    };
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - output_format_.bits);
    const auto element_bytes = static_cast<std::size_t>(output_bytes_);
    for (std::size_t offset = 0; offset < bytes && columns_.size() < limit; offset += sizeof(std::uint64_t)) {
      const std::size_t size = std::min(sizeof(std::uint64_t), bytes - offset);
      const std::uint64_t a = load_word(at_low_.data() + offset, size);
      const std::uint64_t b = load_word(high + offset, size);
      const std::uint64_t g = load_word(got + offset, size);
      if (((a ^ g) | (b ^ g)) == 0) continue;  // almost all are equal
      for (std::size_t i = 0; i < size; i += element_bytes) {
        note(offset + i, a >> 8 * i & mask, b >> 8 * i & mask, g >> 8 * i & mask);
      }
    }
    if (columns_.size() >= limit) return false;
  }
  return true;
}

// Narrows the window to those of its r that explain the row. False where none is left.
bool WitnessRow::narrow(FastRow& fast, Window& window) {
  if (!scale_) return narrow_to_elements(fast, window);
  for (const RootInterval& piece : scale_->within(fast, window.roots)) {
    Window part{piece, window.low_is_proven && piece.low == window.roots.low,
                window.high_is_proven && piece.high == window.roots.high};
    if (!narrow_to_elements(fast, part)) continue;
    window = part;
    return true;
  }
  window.roots = {window.roots.high + 1, window.roots.low - 1};
  return false;
}

bool WitnessRow::narrow_to_elements(FastRow& fast, Window& window) {
  for (std::size_t limit = kFirstColumns;; limit *= 4) {
    if (window.low_is_proven && window.high_is_proven) return true;
    const bool all = collect_differing(fast, window, limit);
    for (const std::int64_t column : columns_) {
      const auto output = [&](std::int64_t r) { return fast.output(root_value(r), column); };
      const RootInterval feasible = feasible_interval(output_format_, got_bits(column), window.roots, output);
      window.roots = intersection(window.roots, feasible);
      if (window.roots.empty()) return false;
    }
    if (all) return true;  // the others are right at both ends, and so in between
    // An end may have met the proven one.
    if (window.roots.low == window.roots.high && (window.low_is_proven || window.high_is_proven)) return true;
  }
}

// Extends the r that explain the row to all of `limit`, in steps that grow.
void WitnessRow::widen(FastRow& fast, RootInterval& feasible, const RootInterval& limit) {
  for (std::int64_t step = first_window_; feasible.low > limit.low; step *= 8) {
    const std::int64_t wanted = std::max(limit.low, feasible.low - step);
    Window further{{wanted, feasible.low}, false, true};
    narrow(fast, further);
    feasible.low = further.roots.low;
    if (feasible.low != wanted) break;
  }
  for (std::int64_t step = first_window_; feasible.high < limit.high; step *= 8) {
    const std::int64_t wanted = std::min(limit.high, feasible.high + step);
    Window further{{feasible.high, wanted}, true, false};
    narrow(fast, further);
    feasible.high = further.roots.high;
    if (feasible.high != wanted) break;
  }
}

std::optional<RowFinding> WitnessRow::judge_quickly(FastRow& fast, bool with_certificate) {
  const double sum = fast.fp64_square_sum();
  const std::span<const float> operands = fast.variance_operands();
  const std::optional<double> known = known_sum(formula_, operands, scratch_);
  const std::optional<RootInterval> admissible = known ? model_.admissible_of_known_sum(*known)
                                                 : model_.needs_more_bits(operands, sum)
                                                     ? model_.admissible_by_fp64(sum)
                                                     : model_.admissible_of_exact_sum(operands, sum);
  if (!admissible) return std::nullopt;

  const auto count = static_cast<double>(formula_.hidden_size);
  const double m =
      sum / count + static_cast<double>(std::bit_cast<float>(formula_.bits_of(Parameter::epsilon)));
  const double r = 1 / std::sqrt(m);
  const double error = r * (count + 16) * 0x1p-52;
  const std::int64_t rounded = root_bits(r);
  if (root_bits(r - error) != rounded || root_bits(r + error) != rounded)
    return std::nullopt;  // too close to a tie

  const RootInterval first = intersection(*admissible, {rounded - first_window_, rounded + first_window_});
  Window window{first};
  if (first.empty() || !narrow(fast, window)) {
    // The kernel's r lies further off, or there is none.
    window = {*admissible};
    if (!narrow(fast, window)) {
      if (with_certificate) return std::nullopt;
      RowFinding finding;
      finding.violation = violation_kind(fast);
      return finding;
    }
  } else {
    RootInterval further = *admissible;
    if (window.roots.low != first.low) further.low = window.roots.low;
    if (window.roots.high != first.high) further.high = window.roots.high;
    widen(fast, window.roots, further);
  }
  RowFinding finding;
  finding.feasible = window.roots;
  finding.correctly_rounded_root = static_cast<std::uint32_t>(rounded);
  return finding;
}

// The operands as the sum of squares reads them.
std::span<const float> WitnessRow::summed_operands(FastRow& fast) {
  const std::span<const float> operands = fast.variance_operands();
  if (!row_of(formula_.policy.variance).in_activation_dtype()) return operands;
  rounded_operands_.assign(operands.begin(), operands.end());
  row_kernels().round_values[static_cast<std::size_t>(formula_.formats.activation)](
      rounded_operands_.data(), formula_.hidden_size, ActivationRounding::nearest_even);
  return rounded_operands_;
}

Admissible WitnessRow::admissible(FastRow& fast) {
  const std::span<const float> operands = summed_operands(fast);
  return model_.admissible(exact_square_sum(operands), exact_known_sum(operands));
}

std::vector<CodeSet> WitnessRow::reachable(FastRow& fast, std::uint32_t scale) {
  const Admissible window = admissible(fast);
  const auto count = static_cast<std::size_t>(formula_.hidden_size);
  std::vector<CodeSet> result(count);
  std::vector<std::byte> low;
  bool any = false;
  const auto code_at = [&](std::byte packed) {
    return compared_code(output_format_, std::to_integer<std::uint32_t>(packed));
  };
  const auto add = [&](const RootInterval& range) {
    any = true;
    const std::span<const std::byte> first = fast.outputs(root_value(range.low));
    low.assign(first.begin(), first.end());
    const std::span<const std::byte> high = fast.outputs(root_value(range.high));
    for (std::size_t j = 0; j < count; ++j) {
      const auto column = static_cast<std::int64_t>(j);
      result[j].set(code_at(low[j]));
      if (low[j] == high[j]) continue;
      add_codes(
          output_format_, range, [&](std::int64_t r) { return fast.output(root_value(r), column); },
          result[j]);
    }
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  aim_at(fast, {}, scale);
  for (std::size_t factor = 0; factor < factors_.size(); ++factor) {
    use(fast, factor);
    const std::vector<RootInterval> pieces =
        scale_ ? scale_->within(fast, window.interval) : std::vector{window.interval};
    for (const RootInterval& piece : pieces)
      if (!piece.empty()) add(piece);
    if (!window.nan || !is_scale_at(fast, nan)) continue;
    any = true;
    const std::span<const std::byte> codes = fast.outputs(nan);
    for (std::size_t j = 0; j < count; ++j) result[j].set(code_at(codes[j]));
  }
  if (!any) result.clear();
  return result;
}

RowFinding WitnessRow::judge_fully(FastRow& fast, bool with_certificate) {
  const std::span<const float> operands = summed_operands(fast);
  const SquareSum squares = exact_square_sum(operands);
  const Admissible admissible = model_.admissible(squares, exact_known_sum(operands));
  RowFinding finding;
  finding.correctly_rounded_root = oracle::correctly_rounded_root(formula_, squares);
  const Value mean = round_to(DType::fp32, quotient(squares.sum, Value::integer(formula_.hidden_size)));
  finding.zero_or_special_mean =
      squares.has_nan || squares.has_infinity || mean.is_zero() || !mean.is_finite();
  if (admissible.nan && explains(fast, std::numeric_limits<float>::quiet_NaN())) {
    finding.nan_explains = true;
    return finding;
  }
  Window window{admissible.interval};
  if (!window.roots.empty() && narrow(fast, window)) {
    finding.feasible = window.roots;
    return finding;
  }
  if (!with_certificate) {
    finding.violation = violation_kind(fast);
    return finding;
  }
  // Without a factor nothing can be said of the elements.
  const bool has_factor = !scale_ || !scale_->factors().empty();
  const CommonRoots common =
      !has_factor
          ? CommonRoots{}
          : common_roots(
                output_format_, formula_.hidden_size, {0, kInfiniteRoot},
                [&](std::int64_t column) { return got_bits(column); },
                [&](std::int64_t r, std::int64_t column) { return fast.output(root_value(r), column); });
  const bool elements_suffice =
      !scale_ || (has_factor && (common.impossible >= 0 || common.interval.empty()));
  finding.certificate =
      elements_suffice ? violation(fast, admissible, common) : violation_with_scale(fast, admissible, common);
  finding.certificate->correctly_rounded_root = finding.correctly_rounded_root;
  finding.violation = finding.certificate->kind;
  return finding;
}

std::optional<Value> WitnessRow::exact_known_sum(std::span<const float> operands) const {
  if (!formula_.policy.inverse_root.order) return std::nullopt;
  std::vector<Value> values;
  values.reserve(operands.size());
  for (const float operand : operands)
    values.push_back(decode(DType::fp32, std::bit_cast<std::uint32_t>(operand)));
  return known_sum(formula_, values);
}

// Whether an r explains a row that no admissible one does.
ViolationKind WitnessRow::violation_kind(FastRow& fast) {
  Window all{{0, kInfiniteRoot}};
  return narrow(fast, all) ? ViolationKind::scale : ViolationKind::rounding;
}

CertificateElement WitnessRow::element_at(FastRow& fast, std::int64_t column) const {
  CertificateElement result;
  result.column = column;
  result.operand = std::bit_cast<std::uint32_t>(fast.output_operands()[static_cast<std::size_t>(column)]);
  result.got = got_bits(column);
  result.needs = feasible_interval(output_format_, result.got, {0, kInfiniteRoot},
                                   [&](std::int64_t r) { return fast.output(root_value(r), column); });
  return result;
}

bool WitnessRow::refutes_nan(FastRow& fast, std::int64_t column) const {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return !same(output_format_, fast.output(nan, column), got_bits(column));
}

bool WitnessRow::element_refutes_nan(FastRow& fast, const CertificateElement& element) const {
  return element.tensor == Role::scales ? !is_scale_at(fast, std::numeric_limits<float>::quiet_NaN())
                                        : refutes_nan(fast, element.column);
}

void WitnessRow::add_refutation_of_nan(FastRow& fast, Certificate& certificate) const {
  for (std::int64_t column = 0; column < formula_.hidden_size; ++column) {
    if (!refutes_nan(fast, column)) continue;
    certificate.elements.push_back(element_at(fast, column));
    return;
  }
}

Certificate WitnessRow::violation(FastRow& fast, const Admissible& admissible,
                                  const CommonRoots& common) const {
  Certificate certificate;
  certificate.admissible = admissible;
  if (common.impossible >= 0) {  // this element alone is the proof
    certificate.elements = {element_at(fast, common.impossible)};
    return certificate;
  }
  if (common.interval.empty()) {
    certificate.elements = {element_at(fast, common.ends_first), element_at(fast, common.begins_last)};
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
    const std::int64_t column = common.interval.low > allowed.high ? common.begins_last : common.ends_first;
    certificate.elements = {element_at(fast, column)};
    if (!admissible.nan || refutes_nan(fast, column)) return certificate;
  }
  add_refutation_of_nan(fast, certificate);  // by an element of its own
  return certificate;
}

// The same where the row's scale is one more unit. Every r is excluded by the elements' common interval, by
// the scale's intervals, or by what is admissible.
Certificate WitnessRow::violation_with_scale(FastRow& fast, const Admissible& admissible,
                                             const CommonRoots& common) {
  const RootInterval all{0, kInfiniteRoot};
  Certificate certificate;
  certificate.admissible = admissible;
  const auto add_scale = [&](const RootInterval& interval) {
    CertificateElement element;
    element.tensor = Role::scales;
    element.got = scale_->scale_bits();
    element.needs = interval;
    const float at = root_value(std::clamp<std::int64_t>(interval.low, 0, kInfiniteRoot));
    float largest = fast.magnitude(at, 0);
    for (std::int64_t column = 1; column < formula_.hidden_size; ++column) {
      const float magnitude = fast.magnitude(at, column);
      if (!(magnitude > largest)) continue;
      largest = magnitude;
      element.column = column;
    }
    element.operand =
        std::bit_cast<std::uint32_t>(fast.output_operands()[static_cast<std::size_t>(element.column)]);
    certificate.elements.push_back(element);
  };
  const std::vector<RootInterval> pieces = scale_->within(fast, all);
  if (pieces.empty()) {
    add_scale(scale_->gap(fast));
    return certificate;
  }
  const bool meets = std::ranges::any_of(
      pieces, [&](const RootInterval& piece) { return !intersection(piece, common.interval).empty(); });
  certificate.kind = meets ? ViolationKind::scale : ViolationKind::rounding;
  const RootInterval allowed = meets ? admissible.interval : all;
  // What is needed to exclude all that is allowed: the scale, and the ends of the elements' common interval.
  bool needs_low = false, needs_high = false, needs_scale = false;
  const auto exclude = [&](const RootInterval& left) {
    if (!left.empty()) (left.high < common.interval.low ? needs_low : needs_high) = true;
  };
  if (intersection(common.interval, allowed).empty()) {
    exclude(allowed);
  } else {
    needs_scale = true;
    for (const RootInterval& piece : pieces) exclude(intersection(piece, allowed));
  }
  if (needs_scale)
    for (const RootInterval& piece : pieces) add_scale(piece);
  if (needs_low) certificate.elements.push_back(element_at(fast, common.begins_last));
  if (needs_high && !(needs_low && common.ends_first == common.begins_last))
    certificate.elements.push_back(element_at(fast, common.ends_first));
  if (!meets || !admissible.nan) return certificate;

  // NaN is refuted by one of these, by the scale, or by an element of its own.
  const auto refutes = [&](const CertificateElement& element) { return element_refutes_nan(fast, element); };
  if (std::ranges::any_of(certificate.elements, refutes)) return certificate;
  if (!needs_scale && !is_scale_at(fast, std::numeric_limits<float>::quiet_NaN())) {
    for (const RootInterval& piece : pieces) add_scale(piece);
    return certificate;
  }
  add_refutation_of_nan(fast, certificate);
  return certificate;
}

}  // namespace normproof::oracle
