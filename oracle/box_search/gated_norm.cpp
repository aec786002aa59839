#include "oracle/box_search/gated_norm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "oracle/box_search/bound.h"
#include "oracle/box_search/canonical_gate.h"
#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/packed_row.h"

namespace normproof::oracle::box_search {
namespace {

float rounded_to(DType dtype, float value) {
  float copy = value;
  HardwareNumbers(dtype).round(value, copy);
  return value;
}

// In fp64; the limits where z is infinite.
double exact_gate(double z, bool sigmoid) {
  const double s = 1 / (1 + std::exp(-z));
  if (sigmoid) return s;
  return std::isinf(z) ? (z > 0 ? z : -0.0) : z * s;
}

constexpr double kMargin = 0x1p-47;

}  // namespace

float canonical_gate(float z, const GatedNormRule& rule) {
  const float gate = canonical_gate(z, rule.sigmoid);
  return rule.rounds_gate ? rounded_to(rule.activation, gate) : gate;
}

std::vector<float> gates_of(float z, const GatedNormRule& rule) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  if (std::isnan(z)) return {nan};
  const double exact = exact_gate(static_cast<double>(z), rule.sigmoid);
  std::vector<float> gates;
  if (std::isinf(z)) {
    gates = {static_cast<float>(exact)};
    if (!rule.sigmoid && z < 0) gates.push_back(nan);  // -inf * 0, or -inf / inf
    return gates;
  }
  const double reach = std::fabs(exact) * kMargin;
  const auto place = [&](double number, int steps) {
    const Position position = order_of(static_cast<float>(number));
    return std::clamp<Position>(position + steps, kMinusInfinity, kPlusInfinity);
  };
  const Position low = place(exact - reach, -rule.gate_ulp), high = place(exact + reach, rule.gate_ulp);
  for (Position position = low; position <= high; ++position) gates.push_back(number_at(position));
  // exp(-z) overflows in fp32, or nearly, or what is subnormal is flushed.
  if (z < -88 || std::fabs(exact) < 0x1p-126)
    gates.push_back(std::signbit(z) && !rule.sigmoid ? -0.0f : 0.0f);
  if (rule.rounds_gate)
    for (float& gate : gates) gate = rounded_to(rule.activation, gate);
  std::ranges::sort(gates, {}, order_of);
  const auto repeated = std::ranges::unique(gates, {}, order_of);
  gates.erase(repeated.begin(), repeated.end());
  return gates;
}

template <typename Ranges>
class GatedNormJudge::Problem {
 public:
  using Result = typename Ranges::Result;
  explicit Problem(const GatedNormJudge& judge) : judge_(judge), ranges_(judge.rule_.activation) {}

  Status status(std::int32_t element, const Box& box) const {
    Status best = Status::dead;
    for (const float gate : judge_.gates_[static_cast<std::size_t>(element)]) {
      const Status status = status_of(element, value(element, gate, box));
      if (status == Status::satisfied) return status;
      if (status == Status::active) best = status;
    }
    return best;
  }
  double spread(const Box&, bool) const { return 0; }

  Result value(std::int32_t element, float gate, const Box& box) const {
    const GatedNormRule& rule = judge_.rule_;
    const auto root = ranges_.range(box.first.low, box.first.high);
    const auto weight = ranges_.constant(judge_.weight_.data(), element);
    auto n = ranges_.multiply(root, ranges_.constant(judge_.operand(element, gate)));
    if (rule.rounds_normalized) n = ranges_.round(n);
    n = ranges_.multiply(n, weight);
    if (rule.gate_first) return ranges_.round(n);
    if (rule.rounds_between) n = ranges_.round(n);
    return ranges_.round(ranges_.multiply(n, ranges_.constant(gate)));
  }

 private:
  Status status_of(std::int32_t element, const Result& result) const {
    const Position got = position_of(judge_.got_[static_cast<std::size_t>(element)]);
    if (got == kNanPosition) {
      if (!result.nan) return Status::dead;
      return result.numbers ? Status::active : Status::satisfied;
    }
    if (!result.numbers) return Status::dead;
    const Position low = end_of(result.low), high = end_of(result.high);
    if (got < low || high < got) return Status::dead;
    return low == high && !result.nan ? Status::satisfied : Status::active;
  }

  const GatedNormJudge& judge_;
  Ranges ranges_;
};

GatedNormJudge::GatedNormJudge(const GatedNormRule& rule, std::int64_t hidden_size,
                               std::span<const std::byte> weight)
    : rule_(rule), count_(hidden_size) {
  if (hidden_size < 1)
    throw std::invalid_argument(fmt::format("hidden size {} is not positive", hidden_size));
  set_weight(weight);
}

void GatedNormJudge::set_weight(std::span<const std::byte> weight) {
  widen_weight(weight, rule_.weight, rule_.weight_plus_one, count_, weight_);
}

void GatedNormJudge::load(std::span<const std::byte> x, std::span<const std::byte> gate) {
  widen("input", x, rule_.activation, count_, x_);
  widen("gate", gate, rule_.activation, count_, gate_);
  gates_.resize(static_cast<std::size_t>(count_));
  for (std::size_t j = 0; j < gates_.size(); ++j) gates_[j] = gates_of(gate_[j], rule_);
}

// What is normalized.
float GatedNormJudge::operand(std::int64_t j, float gate) const {
  const float x = x_[static_cast<std::size_t>(j)];
  if (!rule_.gate_first) return x;
  const float v = x * gate;
  return rule_.rounds_between ? rounded_to(rule_.activation, v) : v;
}

// Each square lies between those of the element's operands; a square has one rounding, and passes through as
// many additions as there are: (1 -+ u)^(d + 1), and 2^-150 where it underflows.
template <typename Bound>
std::vector<Box> GatedNormJudge::window() const {
  const auto n = static_cast<double>(count_);
  const std::int64_t additions = rule_.sum_depth.value_or(count_ - 1);
  Bound squares(0);
  bool has_nan = false, is_nan_for_sure = false, has_infinity = false, is_infinite_for_sure = false;
  for (std::int64_t j = 0; j < count_; ++j) {
    std::optional<Bound> square;
    bool nan = false, infinite = false, number = false;
    for (const float gate : gates_[static_cast<std::size_t>(j)]) {
      const float v = operand(j, gate);
      if (std::isnan(v)) {
        nan = true;
      } else if (std::isinf(v)) {
        infinite = true;
      } else {
        number = true;
        const Bound exact(static_cast<double>(v));
        square = square ? square->joined(exact * exact) : exact * exact;
      }
    }
    has_nan = has_nan || nan;
    has_infinity = has_infinity || infinite;
    is_nan_for_sure = is_nan_for_sure || (nan && !infinite && !number);
    is_infinite_for_sure = is_infinite_for_sure || (infinite && !number);
    if (square) squares = squares + *square;
  }
  std::vector<Box> boxes;
  const auto add = [&](const Side& side) { boxes.push_back({side, {0, 0}}); };
  const float epsilon = std::bit_cast<float>(rule_.epsilon);
  if (has_nan || std::isnan(epsilon)) add(kNanSide);
  if (is_nan_for_sure || std::isnan(epsilon)) return boxes;
  const Bound computed =
      squares.divided_by(n) * product_of_roundings<Bound>(additions + 1) + Bound(0x1p-147).either_sign();
  const Bound quotient = computed.at_least_zero() * product_of_roundings<Bound>(1).joined(Bound(1));
  const Bound mean = quotient.joined(quotient.fl());
  const bool may_overflow = (squares * product_of_roundings<Bound>(additions + 1)).exceeds_fp32();
  if (has_infinity || may_overflow || std::isinf(epsilon)) {
    add(epsilon == -INFINITY ? kNanSide : Side{0, 0});  // 1 / sqrt(infinity)
  }
  if (is_infinite_for_sure || std::isinf(epsilon)) return boxes;
  const Bound m = (mean + Bound(static_cast<double>(epsilon))).fl();
  if (m.may_be_negative() || m.is_negative()) add(kNanSide);
  if (m.is_negative()) return boxes;
  Side side = m.at_least_zero().inverse_roots();
  const Position ulp = rule_.inverse_root_ulp;
  if (side.low != 0 && side.low != kPlusInfinity) side.low = std::max(side.low - ulp, 0);
  if (side.high != 0) side.high = std::min(side.high, kPlusInfinity - ulp) + ulp;
  add(side);
  return boxes;
}

RowVerdict GatedNormJudge::judge(std::span<const std::byte> x, std::span<const std::byte> gate,
                                 std::span<const std::byte> out, bool with_refutation) {
  widen("out", out, rule_.activation, count_, got_);
  load(x, gate);
  const Problem<HardwareRanges> problem(*this);
  RowVerdict verdict;
  verdict.window = window<HardwareBound>();
  const auto collect = [&](const Box& box, std::vector<std::int32_t>& elements) {
    elements.clear();
    for (std::int32_t j = 0; j < count_; ++j)
      if (problem.status(j, box) != Status::satisfied) elements.push_back(j);
  };
  search_window(problem, collect, with_refutation, verdict);
  return verdict;
}

void GatedNormJudge::require_exact(const RowVerdict& verdict) const {
  if (!covers(verdict.window, window<ExactBound>()))
    throw std::logic_error("oracle: exact arithmetic admits an inverse RMS beyond the window");
  require_refutation(Problem<ExactRanges>(*this), verdict);
}

std::optional<Point> GatedNormJudge::witness_in(const Box& box) const {
  constexpr std::int64_t kMostBoxes = 200;
  using Hardware = Problem<HardwareRanges>;
  const Hardware problem(*this);
  std::vector<std::int32_t> all;
  for (std::int32_t j = 0; j < count_; ++j) all.push_back(j);
  Search<Hardware> search(problem, kMostBoxes);
  return search.run({box}, all).witness;
}

std::int64_t GatedNormJudge::open_gates() const {
  return std::ranges::count_if(gates_, [](const auto& gates) { return gates.size() > 1; });
}

std::vector<std::byte> GatedNormJudge::outputs(std::span<const std::byte> x, std::span<const std::byte> gate,
                                               float root) {
  load(x, gate);
  const Problem<HardwareRanges> problem(*this);
  const Box box{{position_of(root), position_of(root)}, {0, 0}};
  std::vector<float> values;
  for (std::int32_t j = 0; j < count_; ++j) {
    const auto result = problem.value(j, canonical_gate(gate_[static_cast<std::size_t>(j)], rule_), box);
    values.push_back(result.numbers ? result.low : number_at(kNanPosition));
  }
  return pack(values, rule_.activation, count_);
}

float GatedNormJudge::canonical_root(std::span<const std::byte> x, std::span<const std::byte> gate) {
  load(x, gate);
  const float squares = canonical_sum<float>(
      count_, rule_.activation,
      [&](float total, std::int64_t j) {
        const float v = operand(j, canonical_gate(gate_[static_cast<std::size_t>(j)], rule_));
        return std::fma(v, v, total);
      },
      [](float a, float b) { return a + b; });
  const float m = squares / static_cast<float>(count_) + std::bit_cast<float>(rule_.epsilon);
  return static_cast<float>(1 / std::sqrt(static_cast<double>(m)));
}

}  // namespace normproof::oracle::box_search
