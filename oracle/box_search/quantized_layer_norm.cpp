#include "oracle/box_search/quantized_layer_norm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/packed_row.h"
#include "oracle/box_search/shifted_layer_norm.h"

namespace normproof::oracle::box_search {
namespace {

// Codes in the order of their numbers. -0 lies below +0.
int order_of_code(DType dtype, std::uint32_t code) {
  if (dtype == DType::int8) return static_cast<std::int8_t>(code);
  const int magnitude = static_cast<int>(code & 0x7f);
  return (code & 0x80) != 0 ? -1 - magnitude : magnitude;
}
bool is_nan_code(DType dtype, std::uint32_t code) { return dtype != DType::int8 && is_nan(dtype, code); }

float magnitude_of(float number) { return std::fabs(number); }
Value magnitude_of(const Value& number) { return number.negative() ? -number : number; }
bool less_or_equal(float a, float b) { return a <= b; }
bool less_or_equal(const Value& a, const Value& b) { return !(b < a); }
float number_of_bits(std::uint32_t bits, float) { return std::bit_cast<float>(bits); }
Value number_of_bits(std::uint32_t bits, const Value&) { return decode(DType::fp32, bits); }
bool is_below_zero(float a) { return a < 0; }
bool is_below_zero(const Value& a) { return a.negative() && !a.is_zero(); }
bool is_zero(float a) { return a == 0; }
bool is_zero(const Value& a) { return a.is_zero(); }
bool is_infinite(float a) { return std::isinf(a); }
bool is_infinite(const Value& a) { return a.is_infinite(); }

// What a box lets come out: codes from `low` to `high` in their order, and a NaN's code.
struct CodeRange {
  std::uint32_t low = 0, high = 0;
  bool numbers = false;
  bool nan = false;
};

}  // namespace

template <typename Ranges>
class QuantizedLayerNormJudge::Problem {
 public:
  using Number = typename Ranges::Number;
  using Result = typename Ranges::Result;

  explicit Problem(const QuantizedLayerNormJudge& judge)
      : judge_(judge),
        output_(judge.norm_.row_with(judge.rule_.rounds_output)),
        of_maximum_(judge.norm_.row_with(judge.rule_.rounds_output != judge.rule_.maximum_of_other)),
        ranges_(judge.norm_.row().output()) {}

  Status status(std::int32_t element, const Box& box) const {
    if (element == judge_.scale_element()) return status_of_more(box);
    return status_of_codes(element, codes_of(value(output_, element, box)));
  }

  // As RowOutputs, beside which there is the scale.
  const LayerNormRow& row() const { return output_; }
  Status status_of_output(std::int32_t element, const Result& n) const {
    return status_of_codes(element, codes_of(output_.affine(ranges_, element, n)));
  }
  std::int64_t beyond(std::int32_t element, const Result& n) const {
    const DType dtype = *judge_.rule_.quantized;
    if (is_nan_code(dtype, got(element))) return -1;
    return order_of_code(dtype, codes_of(output_.affine(ranges_, element, n)).low) -
           order_of_code(dtype, got(element));
  }
  bool is_ordered(std::int32_t element) const {
    const float factor = judge_.factor_.factor;
    return std::isfinite(output_.factor(element)) && std::isfinite(output_.bias(element)) &&
           std::isfinite(factor) && factor > 0;
  }
  std::int64_t looks_at_more() const { return static_cast<std::int64_t>(judge_.candidates_.size()); }
  Status status_of_more(const Box& box) const { return status_of_scale(box); }

  double spread(const Box& box, bool second) const { return judge_.norm_.row().spread(box, second); }

  Result value(const LayerNormRow& row, std::int32_t element, const Box& box) const {
    return row.evaluate(ranges_, element, ranges_.range(box.first.low, box.first.high),
                        ranges_.range(box.second.low, box.second.high));
  }
  const LayerNormRow& output() const { return output_; }
  const LayerNormRow& of_maximum() const { return of_maximum_; }

 private:
  std::uint32_t got(std::int32_t element) const {
    return std::to_integer<std::uint32_t>(judge_.got_[static_cast<std::size_t>(element)]);
  }
  Status status_of_codes(std::int32_t element, const CodeRange& codes) const {
    const std::uint32_t got = this->got(element);
    const DType dtype = *judge_.rule_.quantized;
    const bool got_nan = is_nan_code(dtype, got);
    const int place = got_nan ? 0 : order_of_code(dtype, got);
    const std::uint32_t of_nan = code(Number(number_of_bits(0x7fc00000u, Number())));
    const bool in_numbers = codes.numbers && !got_nan && order_of_code(dtype, codes.low) <= place &&
                            place <= order_of_code(dtype, codes.high);
    const bool nan_is_got = is_nan_code(dtype, of_nan) ? got_nan : of_nan == got;
    if (!in_numbers && !(codes.nan && nan_is_got)) return Status::dead;
    const bool all_numbers = !codes.numbers || (codes.low == got && codes.high == got);
    return all_numbers && (!codes.nan || nan_is_got) ? Status::satisfied : Status::active;
  }

  std::uint32_t code(float y) const {
    std::uint8_t result = 0;
    judge_.codes_.quantize(&y, 1, judge_.factor_.factor, judge_.factor_.divides, &result);
    return result;
  }
  std::uint32_t code(const Value& y) const {
    return judge_.codes_.exact(y, decode(DType::fp32, std::bit_cast<std::uint32_t>(judge_.factor_.factor)),
                               judge_.factor_.divides);
  }

  CodeRange codes_of(const Result& y) const {
    CodeRange codes;
    codes.nan = y.nan;
    if (!y.numbers) return codes;
    const float factor = judge_.factor_.factor;
    if (std::isnan(factor)) return {0, 0, false, true};
    const bool divides = judge_.factor_.divides;
    const bool shrinks = divides ? std::isinf(factor) : factor == 0;  // to 0, and infinity to NaN
    const bool grows = divides ? factor == 0 : std::isinf(factor);    // to infinity, and 0 to NaN
    Number low = y.low, high = y.high;
    if (shrinks) {
      const Number largest = number_of_bits(0x7f7fffffu, Number());
      codes.nan = codes.nan || is_infinite(low) || is_infinite(high);
      if (is_infinite(low) && is_infinite(high) && is_below_zero(low) == is_below_zero(high)) return codes;
      if (is_infinite(low)) low = negative(largest);
      if (is_infinite(high)) high = largest;
    } else if (grows) {
      const Number least = number_of_bits(1, Number());
      const bool has_below = is_below_zero(low), has_above = !is_below_zero(high) && !is_zero(high);
      codes.nan = codes.nan || is_zero(low) || is_zero(high) || (has_below && has_above);
      if (!has_below && !has_above) return codes;
      if (!has_below && is_zero(low)) low = least;
      if (!has_above && is_zero(high)) high = negative(least);
    }
    codes.numbers = true;
    codes.low = code(low);
    codes.high = code(high);
    return codes;
  }
  static float negative(float a) { return -a; }
  static Value negative(const Value& a) { return -a; }

  // a over the box lies between two numbers; it is NaN, too, or alone, where a NaN counts.
  Status status_of_scale(const Box& box) const {
    Number least = number_of_bits(0, Number()), most = least;
    bool may_be_nan = false, is_nan_for_sure = false;
    const auto look_at = [&](std::int32_t element) {
      const Result y = value(of_maximum_, element, box);
      may_be_nan = may_be_nan || y.nan;
      is_nan_for_sure = is_nan_for_sure || !y.numbers;
      if (!y.numbers) return;
      const Number low = magnitude_of(y.low), high = magnitude_of(y.high);
      const Number greatest = less_or_equal(low, high) ? high : low;
      if (!less_or_equal(greatest, most)) most = greatest;
      const bool crosses = is_below_zero(y.low) && !is_below_zero(y.high);
      if (crosses || y.nan) return;
      const Number smallest = less_or_equal(low, high) ? low : high;
      if (!less_or_equal(smallest, least)) least = smallest;
    };
    if constexpr (std::is_same_v<Number, float>) {
      for (const std::int32_t element : judge_.candidates_) look_at(element);
    } else {
      for_each_element(of_maximum_, look_at);
    }
    const bool drops = judge_.rule_.drops_nan;
    return among_maxima(least, most, !drops && may_be_nan, drops || !is_nan_for_sure);
  }

  Status among_maxima(const Number& least, const Number& most, bool nan, bool numbers) const {
    bool possible = false, certain_nan = !nan, certain_numbers = !numbers;
    for (const BlockFactor& factor : judge_.factors_) {
      if (nan && factor.with_nan) possible = certain_nan = true;
      for (const MaximumInterval& maxima : factor.maxima) {
        const Number low = number_of_bits(maxima.low, Number()), high = number_of_bits(maxima.high, Number());
        if (!numbers || !less_or_equal(low, most) || !less_or_equal(least, high)) continue;
        possible = true;
        if (less_or_equal(low, least) && less_or_equal(most, high)) certain_numbers = true;
      }
    }
    if (!possible) return Status::dead;
    return certain_nan && certain_numbers ? Status::satisfied : Status::active;
  }

  const QuantizedLayerNormJudge& judge_;
  LayerNormRow output_, of_maximum_;
  Ranges ranges_;
};

QuantizedLayerNormJudge::QuantizedLayerNormJudge(const QuantizedLayerNormRule& rule, std::int64_t hidden_size,
                                                 std::span<const std::byte> weight,
                                                 std::span<const std::byte> bias)
    : rule_(rule),
      count_(hidden_size),
      norm_(rule.norm, hidden_size, weight, bias),
      codes_(rule.quantized, rule.codes) {
  if (rule.given) {
    factor_ = *rule.given;
  } else {
    scale_.emplace(rule.scale);
  }
}

// The factor of a stored scale follows from it alone: scaling=inverse and divide.
void QuantizedLayerNormJudge::aim_at(std::uint32_t scale) {
  got_scale_ = scale;
  if (rule_.given) return;
  factors_ = scale_->factors(scale);
  if (factors_.size() > 1) throw std::logic_error("oracle: a stored scale leaves the factor of codes open");
  if (!factors_.empty()) factor_ = {factors_.front().factor, factors_.front().divides};
}

template <typename Collected>
void QuantizedLayerNormJudge::collect(const Collected& problem, const Box& box,
                                      std::vector<std::int32_t>& elements) const {
  elements.clear();
  const bool is_regular = std::isfinite(factor_.factor) && factor_.factor != 0;
  if (box.first.low == kNanPosition || box.second.low == kNanPosition || !is_regular) {
    for_each_element(problem.output(), [&](std::int32_t element) { elements.push_back(element); });
  } else {
    const LaneArithmetic lanes(problem.output().output());
    const LaneRange first = lanes.range(box.first.low, box.first.high);
    const LaneRange second = lanes.range(box.second.low, box.second.high);
    const int mark = lanes.mark();
    std::array<std::uint8_t, kBlock> low{}, high{};
    for (std::int64_t begin = 0; begin < count_; begin += kBlock) {
      lanes.rewind(mark);
      const LaneRange y = problem.output().evaluate(lanes, begin, first, second);
      codes_.quantize(y.low, kBlock, factor_.factor, factor_.divides, low.data());
      codes_.quantize(y.high, kBlock, factor_.factor, factor_.divides, high.data());
      const std::int64_t left = std::min<std::int64_t>(kBlock, count_ - begin);
      for (std::int64_t i = 0; i < left; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const auto got = std::to_integer<std::uint8_t>(got_[static_cast<std::size_t>(begin + i)]);
        if (low[at] != got || high[at] != got || !std::isfinite(y.low[i]) || !std::isfinite(y.high[i]))
          elements.push_back(static_cast<std::int32_t>(begin + i));
      }
    }
  }
  if (!rule_.given) elements.push_back(scale_element());
}

// Elements that are the largest somewhere in the window: those that reach what
// some other exceeds everywhere are.
void QuantizedLayerNormJudge::note_candidates(const std::vector<Box>& window) {
  candidates_.clear();
  if (rule_.given) return;
  const Problem<HardwareRanges> problem(*this);
  std::vector<bool> is_candidate(static_cast<std::size_t>(count_), false);
  for (const Box& box : window) {
    std::vector<float> most(static_cast<std::size_t>(count_), std::numeric_limits<float>::infinity());
    float least = 0;
    for (std::int32_t element = 0; element < count_; ++element) {
      const auto y = problem.value(problem.of_maximum(), element, box);
      if (!y.numbers || y.nan) continue;
      most[static_cast<std::size_t>(element)] = std::max(std::fabs(y.low), std::fabs(y.high));
      const bool crosses = y.low < 0 && y.high >= 0;
      if (!crosses) least = std::max(least, std::min(std::fabs(y.low), std::fabs(y.high)));
    }
    for (std::size_t element = 0; element < most.size(); ++element)
      if (most[element] >= least) is_candidate[element] = true;
  }
  for (std::int32_t element = 0; element < count_; ++element)
    if (is_candidate[static_cast<std::size_t>(element)]) candidates_.push_back(element);
}

RowVerdict QuantizedLayerNormJudge::judge(std::span<const std::byte> x, std::span<const std::byte> codes,
                                          std::uint32_t scale, const StoredStatistics& stored,
                                          bool with_refutation) {
  require_size("out", codes, *rule_.quantized, count_);
  got_ = codes;
  norm_.look_at(x);
  aim_at(scale);
  const LayerNormWindow window = layer_norm_window(rule_.norm, operands());
  RowVerdict verdict;
  verdict.window = restricted(window.boxes, stored);
  note_candidates(verdict.window);
  const Problem<HardwareRanges> problem(*this);
  const auto collected = [&](const Box& box, std::vector<std::int32_t>& elements) {
    collect(problem, box, elements);
  };
  if (problem.row().is_shifted()) {
    ShiftedProblem<HardwareRanges, Problem<HardwareRanges>> shifted(problem);
    search_window_by_few(shifted, collected, with_refutation, verdict);
  } else {
    search_window(problem, collected, with_refutation, verdict);
  }
  return verdict;
}

void QuantizedLayerNormJudge::require_exact(const RowVerdict& verdict, const StoredStatistics& stored) const {
  if (!covers(verdict.window, restricted(exact_layer_norm_window(rule_.norm, operands()), stored)))
    throw std::logic_error("oracle: exact arithmetic admits statistics beyond the window");
  if (!rule_.given) scale_->require_exact(got_scale_, factors_);
  const Problem<ExactRanges> problem(*this);
  if (problem.row().is_shifted())
    require_shifted_refutation(ShiftedProblem<ExactRanges, Problem<ExactRanges>>(problem), verdict);
  else
    require_refutation(problem, verdict);
}

std::optional<Point> QuantizedLayerNormJudge::witness_in(const Box& box) const {
  constexpr std::int64_t kMostBoxes = 200;
  using Hardware = Problem<HardwareRanges>;
  QuantizedLayerNormJudge wider = *this;
  wider.note_candidates({box});
  const Hardware problem(wider);
  Search<Hardware> search(problem, kMostBoxes);
  return search
      .run({box}, [&](const Box& part,
                      std::vector<std::int32_t>& elements) { wider.collect(problem, part, elements); })
      .witness;
}

QuantizedLayerNormJudge::Outputs QuantizedLayerNormJudge::outputs(std::span<const std::byte> x, float mean,
                                                                  float inverse_root) {
  norm_.look_at(x);
  const Box point{{position_of(mean), position_of(mean)},
                  {position_of(inverse_root), position_of(inverse_root)}};
  const Problem<HardwareRanges> problem(*this);
  const auto number = [&](const LayerNormRow& row, std::int32_t element) {
    const auto y = problem.value(row, element, point);
    return y.numbers ? y.low : number_at(kNanPosition);
  };
  Outputs result;
  std::vector<float> y;
  float maximum = 0;
  bool has_nan = false;
  for (std::int32_t element = 0; element < count_; ++element) {
    y.push_back(number(problem.output(), element));
    const float of_maximum = std::fabs(number(problem.of_maximum(), element));
    has_nan = has_nan || std::isnan(of_maximum);
    if (of_maximum > maximum) maximum = of_maximum;
  }
  CodeScale factor = factor_;
  if (!rule_.given) {
    result.scale = scale_->of(has_nan && !rule_.drops_nan ? number_at(kNanPosition) : maximum);
    const std::vector<BlockFactor> factors = scale_->factors(result.scale);
    if (factors.empty()) throw std::logic_error("oracle: the scale of a maximum has no factor");
    factor = {factors.front().factor, factors.front().divides};
  }
  result.codes.resize(y.size());
  codes_.quantize(y.data(), count_, factor.factor, factor.divides,
                  reinterpret_cast<std::uint8_t*>(result.codes.data()));
  return result;
}

}  // namespace normproof::oracle::box_search
