// Rows of blocks. The quick way evaluates a block at both ends of the r that are left: what has the observed
// bits at both has them between. What has not narrows the range by bisection.
#include "oracle/blocks/block_row.h"

#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "oracle/row_kernels.h"

namespace normproof::oracle {
namespace {

std::uint32_t packed_at(std::span<const std::byte> packed, DType dtype, std::int64_t index) {
  return load_bits(packed, dtype, index);
}

}  // namespace

// Values in hardware arithmetic.
class BlockRow::Fast {
 public:
  explicit Fast(BlockRow& row) : row_(row) {}
  std::int64_t begin(std::int64_t block) const { return row_.begin(block); }
  std::int64_t end(std::int64_t block) const { return row_.end(block); }
  const std::vector<BlockFactor>& factors(std::int64_t block) const {
    return *row_.factors_[static_cast<std::size_t>(block)];
  }
  std::uint32_t maximum(std::int64_t r, std::int64_t block) {
    return std::bit_cast<std::uint32_t>(
        row_.fast_.maximum_of(root_value(r), begin(block), end(block) - begin(block)));
  }
  bool is_nan(std::int64_t r, std::int64_t column) const {
    return std::isnan(row_.fast_.magnitude(root_value(r), column));
  }
  const Format& format(const BlockElement& element) const {
    return element.is_code ? row_.codes_.format() : format_of(row_.setup_.formula.formats.activation);
  }
  std::uint32_t got(const BlockElement& element) const {
    if (element.is_code) return row_.got_->codes[static_cast<std::size_t>(element.column)];
    return packed_at(row_.got_->normalized, row_.setup_.formula.formats.activation, element.column);
  }
  std::uint32_t output(std::int64_t r, const BlockElement& element, const BlockFactor& factor) const {
    const Formula& formula = row_.setup_.formula;
    float y = 0;
    const bool rounded =
        !element.is_code || formula.policy.before_quantization == BeforeQuantization::rounded;
    row_.fast_.normalized(root_value(r), element.column, 1, rounded, &y);
    if (element.is_code) {
      std::uint8_t code = 0;
      row_.codes_.quantize(&y, 1, factor.factor, factor.divides, &code);
      return code;
    }
    std::uint32_t bits = 0;
    row_kernels().pack[static_cast<std::size_t>(formula.formats.activation)](
        &y, 1, reinterpret_cast<std::byte*>(&bits));
    return bits;
  }

 private:
  BlockRow& row_;
};

// The same in exact arithmetic.
class BlockRow::Exact {
 public:
  explicit Exact(BlockRow& row) : row_(row), fast_(row) {}
  std::int64_t begin(std::int64_t block) const { return fast_.begin(block); }
  std::int64_t end(std::int64_t block) const { return fast_.end(block); }
  const std::vector<BlockFactor>& factors(std::int64_t block) const { return fast_.factors(block); }
  const Format& format(const BlockElement& element) const { return fast_.format(element); }
  std::uint32_t got(const BlockElement& element) const { return fast_.got(element); }
  std::uint32_t maximum(std::int64_t r, std::int64_t block) const {
    const bool drops = row_of(formula().policy.maximum_nan).drops;
    Value result;
    for (std::int64_t column = begin(block); column < end(block); ++column) {
      const Value value = y(r, column, rounding_of_maximum());
      if (value.is_nan()) {
        if (!drops) return kFp32Nan;
        continue;
      }
      const Value magnitude = value.negative() ? -value : value;
      if (magnitude > result) result = magnitude;
    }
    return static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), result));
  }
  bool is_nan(std::int64_t r, std::int64_t column) const {
    return y(r, column, rounding_of_maximum()).is_nan();
  }
  std::uint32_t output(std::int64_t r, const BlockElement& element, const BlockFactor& factor) const {
    if (!element.is_code)
      return static_cast<std::uint32_t>(
          round_bits(fast_.format(element), y(r, element.column, BeforeQuantization::rounded)));
    const Value exact = y(r, element.column, formula().policy.before_quantization);
    return row_.codes_.exact(exact, decode(DType::fp32, std::bit_cast<std::uint32_t>(factor.factor)),
                             factor.divides);
  }

 private:
  const Formula& formula() const { return row_.setup_.formula; }
  BeforeQuantization rounding_of_maximum() const {
    const bool rounded = formula().policy.before_quantization == BeforeQuantization::rounded;
    return rounded != row_of(formula().policy.row_maximum).of_other ? BeforeQuantization::rounded
                                                                    : BeforeQuantization::unrounded;
  }
  Value y(std::int64_t r, std::int64_t column, BeforeQuantization rounding) const {
    Arithmetic arithmetic;
    const Value w =
        formula().formats.weight
            ? decode(*formula().formats.weight, packed_at(row_.weight_, *formula().formats.weight, column))
            : Value::integer(1);
    return exact_normalized(arithmetic, formula(), rounding, {row_.exact_operands(column).output_operand, w},
                            decode(DType::fp32, static_cast<std::uint64_t>(r)));
  }
  BlockRow& row_;
  Fast fast_;
};

BlockRow::BlockRow(const BlockSetup& setup, std::span<const std::byte> weight)
    : setup_(setup),
      scale_(setup.scale),
      codes_(setup.quantized, setup.formula.policy),
      fast_(setup.formula, weight),
      model_(setup.formula),
      weight_(weight.begin(), weight.end()),
      factors_(static_cast<std::size_t>(setup.blocks())),
      of_block_(factors_.size()),
      of_byte_(256) {
  const auto size = static_cast<std::size_t>(std::min(setup.block, setup.formula.hidden_size));
  y_low_.resize(size);
  y_high_.resize(size);
  codes_low_.resize(size);
  codes_high_.resize(size);
}

void BlockRow::load(const std::byte* input, const std::byte* residual) {
  fast_.load(input, residual);
  admissible_.reset();
  const auto count = static_cast<std::size_t>(setup_.formula.hidden_size);
  input_ = {input, count * size_of(setup_.formula.formats.activation)};
  residual_ = {};
  if (residual != nullptr) residual_ = {residual, count * size_of(setup_.formula.formats.residual())};
}

SumParts BlockRow::exact_operands(std::int64_t column) const {
  const Formula& formula = setup_.formula;
  Arithmetic arithmetic;
  const Value x = decode(formula.formats.activation, packed_at(input_, formula.formats.activation, column));
  const Value residual = residual_.empty() ? Value()
                                           : decode(formula.formats.residual(),
                                                    packed_at(residual_, formula.formats.residual(), column));
  return exact_sum(arithmetic, formula, x, residual);
}

// That the sum of squares is one of the right numbers.
void BlockRow::require_exact_operands() const {
  for (std::int64_t column = 0; column < setup_.formula.hidden_size; ++column) {
    const float fast = fast_.variance_operands()[static_cast<std::size_t>(column)];
    if (!identical(exact_operands(column).variance_operand,
                   decode(DType::fp32, std::bit_cast<std::uint32_t>(fast))))
      throw std::logic_error("oracle: exact and fast path disagree about the sum of x and residual");
  }
}

const Admissible& BlockRow::admissible() {
  if (admissible_) return *admissible_;
  const double sum = fast_.fp64_square_sum();
  const std::span<const float> operands = fast_.variance_operands();
  const auto quick = model_.needs_more_bits(operands, sum) ? model_.admissible_by_fp64(sum)
                                                           : model_.admissible_of_exact_sum(operands, sum);
  admissible_ = quick ? Admissible{*quick, false} : model_.admissible(exact_square_sum(operands));
  return *admissible_;
}

const std::vector<BlockFactor>& BlockRow::factors_of(std::uint32_t stored, std::vector<BlockFactor>& place) {
  if (setup_.scale.storage == BlockScaleStorage::fp32) {
    place = scale_.factors(stored);
    return place;
  }
  auto& known = of_byte_[stored];
  if (!known) known = scale_.factors(stored);
  return *known;
}

void BlockRow::aim_at(const BlockOutputs& outputs) {
  got_ = &outputs;
  for (std::size_t block = 0; block < factors_.size(); ++block)
    factors_[block] = &factors_of(outputs.scales[block], of_block_[block]);
}

// Narrows the range by elements whose bits are not right at both of its ends.
RootInterval BlockRow::narrowed(const Elements& differing, const BlockFactor& factor, RootInterval range,
                                Elements* deciding) {
  if (differing.empty()) return range;
  Fast source(*this);
  const auto at = [&](std::int64_t j) { return differing[static_cast<std::size_t>(j)]; };
  const CommonRoots common = common_roots(
      source.format(differing.front()), static_cast<std::int64_t>(differing.size()), range,
      [&](std::int64_t j) { return source.got(at(j)); },
      [&](std::int64_t r, std::int64_t j) { return source.output(r, at(j), factor); });
  if (deciding != nullptr) {
    for (const std::int64_t j : {common.begins_last, common.ends_first, common.impossible})
      if (j >= 0) deciding->push_back(at(j));
  }
  return common.interval;
}

// y of the block at both ends, as it is quantized.
void BlockRow::evaluate_ends(std::int64_t block, const RootInterval& range) {
  const std::int64_t first = begin(block), count = end(block) - first;
  const bool rounded = setup_.formula.policy.before_quantization == BeforeQuantization::rounded;
  fast_.normalized(root_value(range.low), first, count, rounded, y_low_.data());
  fast_.normalized(root_value(range.high), first, count, rounded, y_high_.data());
}

bool BlockRow::holds_throughout(std::int64_t block, const RootInterval& range) {
  const std::vector<BlockFactor>& factors = *factors_[static_cast<std::size_t>(block)];
  if (factors.empty() || !got_->normalized.empty()) return false;
  const std::int64_t first = begin(block), count = end(block) - first;
  evaluate_ends(block, range);
  const Policy& policy = setup_.formula.policy;
  std::uint32_t low = 0, high = 0;
  if (row_of(policy.row_maximum).of_other) {
    Fast source(*this);
    low = source.maximum(range.low, block);
    high = source.maximum(range.high, block);
  } else {
    const bool drops = row_of(policy.maximum_nan).drops;
    low = row_kernels().largest_magnitude(y_low_.data(), count, drops);
    high = row_kernels().largest_magnitude(y_high_.data(), count, drops);
  }
  const BlockFactor& factor = factors.front();
  const auto holds = [&](const MaximumInterval& each) {
    return each.low <= low && low <= each.high && each.low <= high && high <= each.high;
  };
  if (std::ranges::none_of(factor.maxima, holds)) return false;
  const std::uint8_t* got = got_->codes.data() + first;
  for (const std::vector<float>* y : {&y_low_, &y_high_}) {
    codes_.quantize(y->data(), count, factor.factor, factor.divides, codes_low_.data());
    if (!std::equal(got, got + count, codes_low_.data())) return false;
  }
  return true;
}

RootInterval BlockRow::code_roots(std::int64_t block, const BlockFactor& factor, RootInterval range,
                                  Elements* deciding) {
  const std::int64_t first = begin(block), count = end(block) - first;
  evaluate_ends(block, range);
  codes_.quantize(y_low_.data(), count, factor.factor, factor.divides, codes_low_.data());
  codes_.quantize(y_high_.data(), count, factor.factor, factor.divides, codes_high_.data());
  Elements differing;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::uint8_t got = got_->codes[static_cast<std::size_t>(first + i)];
    const bool right = codes_low_[at] == got && codes_high_[at] == got;
    if (right || (same(codes_.format(), codes_low_[at], got) && same(codes_.format(), codes_high_[at], got)))
      continue;
    differing.push_back({first + i, true});
  }
  return narrowed(differing, factor, range, deciding);
}

RootInterval BlockRow::normalized_roots(std::int64_t block, RootInterval range, Elements* deciding) {
  if (got_->normalized.empty() || range.empty()) return range;
  const DType activation = setup_.formula.formats.activation;
  const std::int64_t first = begin(block), count = end(block) - first;
  fast_.normalized(root_value(range.low), first, count, true, y_low_.data());
  fast_.normalized(root_value(range.high), first, count, true, y_high_.data());
  const auto pack = row_kernels().pack[static_cast<std::size_t>(activation)];
  std::vector<std::byte> low(static_cast<std::size_t>(count) * size_of(activation)), high(low.size());
  pack(y_low_.data(), count, low.data());
  pack(y_high_.data(), count, high.data());
  Elements differing;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t got = packed_at(got_->normalized, activation, first + i);
    if (!same(activation, packed_at(low, activation, i), got) ||
        !same(activation, packed_at(high, activation, i), got))
      differing.push_back({first + i, false});
  }
  return narrowed(differing, {}, range, deciding);
}

RootIntervals BlockRow::block_roots(std::int64_t block, const RootInterval& range, Elements* deciding) {
  RootIntervals result;
  if (range.empty()) return result;
  Fast source(*this);
  for (const BlockFactor& factor : *factors_[static_cast<std::size_t>(block)]) {
    for (const RootInterval& piece : roots_of_scale(source, block, range, factor)) {
      const RootInterval of_codes = code_roots(block, factor, piece, deciding);
      result.push_back(normalized_roots(block, of_codes, deciding));
    }
  }
  return united(std::move(result));
}

RootIntervals BlockRow::row_roots(RootIntervals live) {
  for (std::int64_t block = 0; block < setup_.blocks() && !live.empty(); ++block) {
    if (live.size() == 1 && holds_throughout(block, live.front())) continue;
    RootIntervals left;
    for (const RootInterval& range : live) {
      const RootIntervals found = block_roots(block, range, nullptr);
      left.insert(left.end(), found.begin(), found.end());
    }
    live = united(std::move(left));
  }
  return live;
}

bool BlockRow::row_of_nan() {
  Fast source(*this);
  for (std::int64_t block = 0; block < setup_.blocks(); ++block) {
    Elements elements;
    for (std::int64_t column = begin(block); column < end(block); ++column) {
      elements.push_back({column, true});
      if (!got_->normalized.empty()) elements.push_back({column, false});
    }
    if (!nan_explains(source, block, true, elements)) return false;
  }
  return true;
}

bool BlockRow::conforms(const BlockOutputs& outputs) {
  aim_at(outputs);
  const Admissible& window = admissible();
  if (!window.interval.empty() && !row_roots({window.interval}).empty()) return true;
  return window.nan && row_of_nan();
}

RootIntervals BlockRow::explaining(const BlockOutputs& outputs) {
  aim_at(outputs);
  return row_roots({RootInterval{0, kInfiniteRoot}});
}

// The codes of a block for the r of a range.
bool BlockRow::add_reached(std::int64_t block, const BlockFactor& factor, const RootInterval& range,
                           std::vector<CodeSet>& codes) {
  if (range.empty()) return false;
  const std::int64_t first = begin(block), count = end(block) - first;
  evaluate_ends(block, range);
  codes_.quantize(y_low_.data(), count, factor.factor, factor.divides, codes_low_.data());
  codes_.quantize(y_high_.data(), count, factor.factor, factor.divides, codes_high_.data());
  const Fast source(*this);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    CodeSet& of_element = codes[static_cast<std::size_t>(first + i)];
    of_element.set(compared_code(codes_.format(), codes_low_[at]));
    if (codes_low_[at] == codes_high_[at]) continue;
    add_codes(
        codes_.format(), range,
        [&](std::int64_t r) { return source.output(r, BlockElement{first + i, true}, factor); }, of_element);
  }
  return true;
}

BlockReach BlockRow::reachable(const BlockOutputs& outputs) {
  aim_at(outputs);
  const Admissible& window = admissible();
  Fast source(*this);
  BlockReach result{std::vector<CodeSet>(static_cast<std::size_t>(setup_.formula.hidden_size)),
                    std::vector<bool>(factors_.size())};
  for (std::int64_t block = 0; block < setup_.blocks(); ++block) {
    bool legal = false;
    for (const BlockFactor& factor : *factors_[static_cast<std::size_t>(block)]) {
      if (!window.interval.empty()) {
        for (const RootInterval& piece : roots_of_scale(source, block, window.interval, factor))
          legal |= add_reached(block, factor, piece, result.codes);
      }
      if (window.nan && is_scale_of_nan(source, block, factor))
        legal |= add_reached(block, factor, {kFp32Nan, kFp32Nan}, result.codes);
    }
    result.legal[static_cast<std::size_t>(block)] = legal;
  }
  return result;
}

namespace {

using Unit = BlockRefutation::Unit;

// Whether a block's scale is among the units, and which of its elements are.
struct UnitsOfBlock {
  bool scale = false;
  std::vector<BlockElement> elements;
};
UnitsOfBlock of_block(const std::vector<Unit>& units, std::int64_t block) {
  UnitsOfBlock result;
  for (const Unit& unit : units) {
    if (unit.block != block) continue;
    if (unit.element) {
      result.elements.push_back(*unit.element);
    } else {
      result.scale = true;
    }
  }
  return result;
}
std::vector<std::int64_t> blocks_of(const std::vector<Unit>& units) {
  std::vector<std::int64_t> blocks;
  for (const Unit& unit : units) blocks.push_back(unit.block);
  std::ranges::sort(blocks);
  const auto rest = std::ranges::unique(blocks);
  blocks.erase(rest.begin(), rest.end());
  return blocks;
}

void add_once(std::vector<Unit>& units, const Unit& unit) {
  const auto equal = [&](const Unit& other) {
    return other.block == unit.block && other.element == unit.element;
  };
  if (std::ranges::none_of(units, equal)) units.push_back(unit);
}

}  // namespace

// Whether no admissible r explains the units.
template <typename Source>
bool BlockRow::refutes(Source& source, const std::vector<Unit>& units) {
  const Admissible& window = admissible();
  bool nan_is_possible = window.nan;
  RootIntervals live = {window.interval};
  if (window.interval.empty()) live.clear();
  for (const std::int64_t block : blocks_of(units)) {
    const UnitsOfBlock here = of_block(units, block);
    if (nan_is_possible) nan_is_possible = nan_explains(source, block, here.scale, here.elements);
    if (!live.empty())
      live = common(live, roots_of_block(source, block, here.scale, here.elements, window.interval));
  }
  return live.empty() && !nan_is_possible;
}

// What refutes NaN: a block's scale with, for each factor, an element that is not what it would be.
void BlockRow::add_units_against_nan(std::vector<Unit>& units) {
  Fast source(*this);
  for (std::int64_t block = 0; block < setup_.blocks(); ++block) {
    std::vector<Unit> here = {{block, {}, {}}};
    for (std::int64_t column = begin(block); column < end(block); ++column) {
      for (const bool is_code : {true, false}) {
        const BlockElement element{column, is_code};
        if (!is_code && got_->normalized.empty()) continue;
        const bool differs =
            std::ranges::any_of(*factors_[static_cast<std::size_t>(block)], [&](const BlockFactor& factor) {
              return !same(source.format(element), source.output(kFp32Nan, element, factor),
                           source.got(element));
            });
        if (differs && here.size() < 64) here.push_back({block, element, {}});
      }
    }
    const UnitsOfBlock found = of_block(here, block);
    if (nan_explains(source, block, true, found.elements)) continue;
    for (const Unit& unit : here) add_once(units, unit);
    return;
  }
}

// Enough units to refute the row: of the blocks that empty the range, what decided their own ranges.
std::vector<Unit> BlockRow::deciding_units() {
  const Admissible& window = admissible();
  std::vector<Unit> units;
  RootIntervals live = {window.interval};
  if (window.interval.empty()) live.clear();
  for (std::int64_t block = 0; block < setup_.blocks() && !live.empty(); ++block) {
    Elements deciding;
    const RootIntervals left = common(live, block_roots(block, window.interval, &deciding));
    if (left == live) continue;
    live = left;
    if (live.empty()) {  // alone it may be enough
      const std::vector<Unit> before = std::move(units);
      units.clear();
      if (!block_roots(block, window.interval, nullptr).empty()) units = before;
    }
    add_once(units, {block, {}, {}});
    for (const BlockElement& element : deciding) add_once(units, {block, element, {}});
  }
  if (!live.empty()) throw std::logic_error("oracle: a row that conforms has no refutation");
  if (window.nan) add_units_against_nan(units);
  return units;
}

BlockRefutation BlockRow::refutation(const BlockOutputs& outputs) {
  aim_at(outputs);
  require_exact_operands();
  Fast fast(*this);
  BlockRefutation result;
  // The certificate's window is the exact one.
  admissible_ = model_.admissible(exact_square_sum(fast_.variance_operands()));
  result.admissible = *admissible_;
  result.units = deciding_units();
  if (!refutes(fast, result.units))
    throw std::logic_error("oracle: the units of a row's refutation do not refute it");
  for (std::size_t i = 0; i < result.units.size();) {
    std::vector<Unit> fewer = result.units;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    if (!fewer.empty() && refutes(fast, fewer)) {
      result.units = std::move(fewer);
    } else {
      ++i;
    }
  }
  for (const std::int64_t block : blocks_of(result.units))
    scale_.require_exact(outputs.scales[static_cast<std::size_t>(block)],
                         *factors_[static_cast<std::size_t>(block)]);
  Exact exact(*this);
  if (!refutes(exact, result.units))
    throw std::logic_error("oracle: exact arithmetic does not confirm a row's refutation");
  constexpr RootInterval kAll{0, kInfiniteRoot};
  for (Unit& unit : result.units) {
    const Elements elements = unit.element ? Elements{*unit.element} : Elements();
    unit.roots = roots_of_block(fast, unit.block, !unit.element, elements, kAll);
  }
  const RootIntervals others = row_roots({kAll});
  if (!others.empty()) result.others = others.front();
  return result;
}

BlockOutputs BlockRow::outputs(float r) {
  BlockOutputs result;
  result.codes.resize(static_cast<std::size_t>(setup_.formula.hidden_size));
  const bool rounded = setup_.formula.policy.before_quantization == BeforeQuantization::rounded;
  for (std::int64_t block = 0; block < setup_.blocks(); ++block) {
    const std::int64_t first = begin(block), count = end(block) - first;
    const float maximum = fast_.maximum_of(r, first, count);
    const std::uint32_t stored = scale_.of(maximum);
    result.scales.push_back(stored);
    const std::vector<BlockFactor>& factors = factors_of(stored, of_block_.front());
    const auto fits = [&](const BlockFactor& factor) {
      return std::isnan(maximum) ? factor.with_nan
                                 : std::ranges::any_of(factor.maxima, [&](const MaximumInterval& each) {
                                     return each.contains(maximum);
                                   });
    };
    const auto found = std::ranges::find_if(factors, fits);
    if (found == factors.end()) throw std::logic_error("oracle: a scale has no factor");
    fast_.normalized(r, first, count, rounded, y_low_.data());
    codes_.quantize(y_low_.data(), count, found->factor, found->divides,
                    result.codes.data() + static_cast<std::size_t>(first));
  }
  return result;
}

std::vector<std::byte> BlockRow::normalized(float r) {
  const DType activation = setup_.formula.formats.activation;
  const std::int64_t count = setup_.formula.hidden_size;
  std::vector<float> y(static_cast<std::size_t>(count));
  fast_.normalized(r, 0, count, true, y.data());
  std::vector<std::byte> packed(y.size() * size_of(activation));
  row_kernels().pack[static_cast<std::size_t>(activation)](y.data(), count, packed.data());
  return packed;
}

}  // namespace normproof::oracle
