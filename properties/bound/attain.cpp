// The search for inputs that attain a bound. A row with one big element and many units, whose squares are
// just below half an ulp of the big one's, gives serial and reverse order sums that are far apart; epsilon
// then slides the two roots across the rounding interval that the table of spread.cpp names, and so does the
// size of the one element that is looked at.
#include "properties/bound/attain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "corpus/random.h"
#include "oracle/known_sum.h"
#include "oracle/witness_judge.h"
#include "properties/order/families.h"

namespace normproof::bound {

double floor_to(DType dtype, double value) {
  return to_double(round_to(dtype, oracle::from_double(value), oracle::Rounding::toward_zero));
}

namespace {

using oracle::bits_of;
using oracle::Formula;
using oracle::SumTree;
using oracle::Value;

constexpr double kBig = 4096;          // its square's ulp is 2
constexpr double kUnit = 255.0 / 256;  // its square is 0.992
constexpr std::int64_t kColumn = 0;    // of the element that is looked at

struct NamedTree {
  std::string name;
  std::shared_ptr<const SumTree> tree;
};

NamedTree named(std::string name, SumTree tree) {
  return {std::move(name), std::make_shared<const SumTree>(std::move(tree))};
}

// The leaves in the opposite order.
SumTree mirrored(const SumTree& tree) {
  std::vector<SumTree::Node> nodes = tree.nodes;
  for (SumTree::Node& node : nodes)
    for (std::int32_t* child : {&node.first, &node.second})
      if (tree.is_leaf(*child)) *child = tree.leaves - 1 - *child;
  return oracle::make_tree(tree.leaves, std::move(nodes));
}

// Orders that the policy admits, some of which sum such rows far apart.
std::vector<NamedTree> orders_for(const oracle::Policy& policy, std::int64_t hidden) {
  const oracle::InverseRootModel& model = policy.inverse_root;
  if (model.order != nullptr) return {{"the given", model.order}};
  std::vector<NamedTree> all;
  const auto leaves = static_cast<std::int32_t>(hidden);
  if (hidden <= oracle::kMaximumTreeLeaves) {
    all.push_back(named("serial", order::serial(leaves)));
    all.push_back(named("reverse serial", order::reverse(leaves)));
    for (std::int32_t lanes = 2; lanes < leaves && model.sum_depth; lanes *= 2) {
      const SumTree tree = order::lanes_then_halves(leaves, lanes, 1);
      if (tree.depth() > *model.sum_depth) continue;
      all.push_back(named(fmt::format("{} lanes", lanes), tree));
      all.push_back(named(fmt::format("mirrored {} lanes", lanes), mirrored(tree)));
      break;  // the fewest lanes lose most
    }
    const bool in_activation = row_of(policy.variance).in_activation_dtype();
    if (in_activation) all.push_back(named("pairwise", order::pairwise(leaves)));
    std::erase_if(all, [&](const NamedTree& one) {
      return (!in_activation && !objection_to_order(*one.tree, policy).empty()) ||
             (model.sum_depth && one.tree->depth() > *model.sum_depth);
    });
  }
  if (all.empty()) all.push_back({"canonical", nullptr});
  return all;
}

class Search {
 public:
  Search(const Question& question, const PairBound& bound)
      : question_(question),
        bound_(bound),
        orders_{orders_for(policy(true), question.hidden_size),
                orders_for(policy(false), question.hidden_size)},
        test_case_(case_of(question)) {
    if (!question.epsilon_bits) test_case_.bits_of(Parameter::epsilon) = 0;
  }

  Attainment run() {
    if (quantizes_by_row(question_.operation)) return try_rows();
    if (sums_in_activation()) try_equal_elements();
    try_places(bound_.places);
    // The rows reach less than any order could. Where is it worst for what they reach?
    if (!is_done() && question_.dtype != DType::fp32) {
      const Spread reached = exact_spread(formula_of(question_, policy(true)),
                                          formula_of(question_, policy(false)), Factor{1, reached_ratio_});
      try_places(reached.places);
    }
    if (!is_done() && question_.dtype != DType::fp32) try_places(random_places());
    for (auto* example : {&found_.by_apart, &found_.by_rtol})
      if (*example) require_honest(**example);
    return std::move(found_);
  }

 private:
  const oracle::Policy& policy(bool first) const {
    return question_.policies[first ? bound_.first : bound_.second];
  }
  bool is_done() const {
    return found_.by_apart && found_.by_apart->apart >= bound_.apart && found_.by_rtol &&
           found_.by_rtol->ratio - 1 >= bound_.rtol * (1 - 0x1p-40);
  }
  bool sums_in_activation() const {
    return row_of(policy(true).variance).in_activation_dtype() ||
           row_of(policy(false).variance).in_activation_dtype();
  }

  // Of equal elements one order in T stalls where another does not.
  void try_equal_elements() {
    fill_row();
    for (const bool low_first : {true, false}) {
      const Place place{1, 1, low_first};
      set_element(kUnit, 1);
      store_bits(tensors_[Role::input], question_.dtype, question_.hidden_size > 1 ? 1 : 0,
                 bits_of(question_.dtype, kUnit));
      test_case_.bits_of(Parameter::epsilon) = question_.epsilon_bits.value_or(0);
      try_call(place, side(low_first, true), side(!low_first, false));
    }
  }

  // Where rows have scales of their own both outputs are made in full, of random rows on which orders differ.
  Attainment try_rows() {
    constexpr int kRows = 200;
    const DType dtype = question_.dtype;
    Random random(1);
    for (int i = 0; i < kRows && !is_done(); ++i) {
      fill_row();
      for (std::int64_t j = 2; j < std::min<std::int64_t>(question_.hidden_size, 66); ++j) {
        const double share = static_cast<double>(random.below(1u << 16)) * 0x1p-16;
        store_bits(tensors_[Role::input], dtype, j, bits_of(dtype, kBig * std::exp2(-8 * share)));
        if (question_.weight_dtype)
          store_bits(
              tensors_[Role::weight], *question_.weight_dtype, j,
              bits_of(*question_.weight_dtype, 1 + static_cast<double>(random.below(1u << 16)) * 0x1p-16));
      }
      const double epsilon = static_cast<double>(random.below(1u << 16)) * kBig / 0x1p16;
      test_case_.bits_of(Parameter::epsilon) = question_.epsilon_bits.value_or(bits_of(DType::fp32, epsilon));
      const bool low_first = i % 2 == 0;
      compare_rows(side(low_first, true).kernel, side(!low_first, false).kernel, low_first);
    }
    for (auto* example : {&found_.by_apart, &found_.by_rtol})
      if (*example) require_honest(**example);
    return std::move(found_);
  }

  void compare_rows(const HonestKernel& low, const HonestKernel& high, bool low_first) {
    const HonestKernel &first = low_first ? low : high, &second = low_first ? high : low;
    const Outputs a = outputs_of(first, test_case_, tensors_), b = outputs_of(second, test_case_, tensors_);
    const DType dtype = test_case_.output_dtype();
    for (std::int64_t j = 0; j < question_.hidden_size; ++j) {
      if (load_bits(a[Role::out], dtype, j) == load_bits(b[Role::out], dtype, j)) continue;
      const Example example = example_of(test_case_, tensors_, first, second, j);
      if (!std::isfinite(example.ratio)) continue;
      if (!found_.by_apart || example.apart > found_.by_apart->apart) found_.by_apart = example;
      if (!found_.by_rtol || example.ratio > found_.by_rtol->ratio) found_.by_rtol = example;
      if (is_done()) return;
    }
  }

  // Whether the policies take different sums of x and residual.
  bool sums_differ() const { return question_.has(Role::residual) && policy(true).sum != policy(false).sum; }

  std::vector<Place> random_places() const {
    constexpr int kCount = 192;
    const double first = std::ldexp(1.0, oracle::format_of(question_.dtype).precision - 1);
    const auto significands = static_cast<std::uint64_t>(first);
    std::vector<Place> places;
    Random random(1);
    for (int i = 0; i < kCount; ++i) {
      Place place;
      place.t = first + static_cast<double>(random.below(significands)) + 0.5;
      place.weight = 1 + static_cast<double>(random.below(significands)) / first;
      place.low_first = i % 2 == 0;
      places.push_back(place);
    }
    return places;
  }

  void try_places(const std::vector<Place>& places) {
    for (const Place& place : places) {
      if (is_done()) return;
      try_place(place);
    }
  }

  // Everything but the element that is looked at. Where the sums differ
  // `doubled` elements are twice as large.
  void fill_row(std::int64_t doubled = 0) {
    const DType dtype = question_.dtype;
    const std::int64_t hidden = question_.hidden_size;
    const auto bytes = static_cast<std::size_t>(hidden) * size_of(dtype);
    tensors_ = {};
    for (const Role role : question_.inputs_with_rows()) tensors_[role].resize(bytes);
    if (question_.weight_dtype)
      tensors_[Role::weight].resize(static_cast<std::size_t>(hidden) * size_of(*question_.weight_dtype));
    const int p = oracle::format_of(dtype).precision;
    for (std::int64_t j = 0; j < hidden; ++j) {
      // In T each sum of x and residual is rounded up by almost half an ulp of a power of two.
      const double x = sums_differ() ? (j <= doubled ? 2 : 1) : j == 1 ? kBig : kUnit;
      store_bits(tensors_[Role::input], dtype, j, bits_of(dtype, x));
      if (sums_differ())
        store_bits(tensors_[Role::residual], dtype, j,
                   bits_of(dtype, std::ldexp(x, -p) * (1 + std::ldexp(1.0, 1 - p))));
      if (question_.weight_dtype)
        store_bits(tensors_[Role::weight], *question_.weight_dtype, j, bits_of(*question_.weight_dtype, 1));
    }
  }

  void set_element(double x, double weight) {
    const DType dtype = question_.dtype;
    store_bits(tensors_[Role::input], dtype, kColumn, bits_of(dtype, x));
    if (sums_differ()) {
      // Rounded down by almost half an ulp.
      const int p = oracle::format_of(dtype).precision;
      store_bits(tensors_[Role::residual], dtype, kColumn,
                 bits_of(dtype, std::ldexp(x, -p) * (1 - std::ldexp(1.0, -p))));
    }
    if (question_.weight_dtype)
      store_bits(tensors_[Role::weight], *question_.weight_dtype, kColumn,
                 bits_of(*question_.weight_dtype, weight));
  }

  // The order and root of the kernel that gives the lower r, or the higher one.
  struct Side {
    HonestKernel kernel;
    Formula formula;
    Value sum;
  };
  Side side(bool first, bool lower) const {
    const oracle::Policy& own = policy(first);
    Side result;
    result.formula = oracle::formula_of(test_case_, own);
    bool any = false;
    for (const NamedTree& named_tree : orders_[first ? 0 : 1]) {
      HonestKernel kernel{own, named_tree.name, named_tree.tree, 0};
      const Value sum = sum_of(kernel, result.formula, tensors_);
      // The larger sum gives the lower r.
      if (any && !(lower ? sum > result.sum : sum < result.sum)) continue;
      any = true;
      result.kernel = std::move(kernel);
      result.sum = sum;
    }
    const int off = own.inverse_root.ulp_bound;
    result.kernel.root_off = lower == row_of(own.root).divides ? off : -off;
    return result;
  }

  void try_place(const Place& place) {
    fill_row();
    test_case_.bits_of(Parameter::epsilon) = question_.epsilon_bits.value_or(0);
    if (question_.epsilon_bits || question_.dtype == DType::fp32) {
      try_elements(place);
    } else if (sums_differ()) {
      try_sums(place);
    } else {
      try_epsilons(place);
    }
  }

  double weight_of(const Place& place) const { return question_.weight_dtype ? place.weight : 1; }

  // Epsilon puts the roots where they are wanted, and the size of the element
  // is such that it need not be large.
  void try_epsilons(const Place& place) {
    // In long rows such that outputs are well above 1, where a tolerance is mostly relative.
    const double root_of_size = std::sqrt(static_cast<double>(question_.hidden_size));
    const double start = floor_to(question_.dtype, kBig / root_of_size * std::min(8.0, root_of_size / 8));
    set_element(start, weight_of(place));
    Side low = side(place.low_first, true), high = side(!place.low_first, false);
    reached_ratio_ = std::max(reached_ratio_, root_of(high) / root_of(low));
    // x * r must reach the end of an interval with epsilon >= 0: r is at most 1 / sqrt(mean).
    const double highest_r = 1 / std::sqrt(mean_of(low));
    const double end = place.t * std::exp2(std::floor(std::log2(highest_r * start / place.t)));
    double x = floor_to(question_.dtype, end / highest_r);
    while (end / x > highest_r * (1 - 0x1p-10)) x = next(x);
    set_element(x, weight_of(place));
    low = side(place.low_first, true);
    high = side(!place.low_first, false);
    slide_epsilon(place, low, high, (x / end) * (x / end));
  }

  // All elements are powers of two, for which a rounded sum is farthest off; how many of them are twice as
  // large brings the root near where it is wanted.
  void try_sums(const Place& place) {
    const double end = place.t * std::exp2(-1 - std::floor(std::log2(place.t)));
    const double mean = 0.99 / (end * end);
    const auto hidden = static_cast<double>(question_.hidden_size);
    fill_row(static_cast<std::int64_t>(std::clamp((mean - 1) / 3, 0.0, 1.0) * hidden));
    set_element(1, weight_of(place));
    const Side low = side(place.low_first, true), high = side(!place.low_first, false);
    reached_ratio_ = std::max(reached_ratio_, root_of(high) / root_of(low));
    slide_epsilon(place, low, high, 1 / (end * end));
  }

  double mean_of(const Side& one) const {
    return to_double(one.sum) / static_cast<double>(question_.hidden_size);
  }

  double next(double x) const {
    const oracle::Format& format = oracle::format_of(question_.dtype);
    return to_double(oracle::decode(format, next_up(format, bits_of(question_.dtype, x))));
  }

  // Such an m brings one of the kernels to the end of the interval; in between it lies between the two.
  void slide_epsilon(const Place& place, const Side& low, const Side& high, double m) {
    const double low_mean = mean_of(low), high_mean = mean_of(high);
    const auto try_epsilon = [&](double epsilon) {
      if (epsilon < 0 || is_done()) return;
      test_case_.bits_of(Parameter::epsilon) = bits_of(DType::fp32, epsilon);
      try_call(place, low, high);
    };
    constexpr int kSteps = 24;
    const double ulp = m * 0x1p-24;
    for (int step = -kSteps; step <= kSteps; ++step) {
      try_epsilon(m + step * ulp - low_mean);
      try_epsilon(m + step * ulp - high_mean);
    }
    for (int part = 1; part < kSteps; ++part)
      try_epsilon(m - low_mean + (low_mean - high_mean) * part / kSteps);
  }

  // Epsilon stays: the element and its weight take many values. In fp32 those that put the larger output just
  // below a power of two, where ulps are smallest beside the number.
  void try_elements(const Place& place) {
    const bool is_fp32 = question_.dtype == DType::fp32;
    double x = is_fp32 ? 0x1p-20 : 1;
    set_element(x, weight_of(place));
    if (is_fp32) {
      const double r = root_of(side(!place.low_first, false));
      x *= 2 * std::exp2(std::floor(std::log2(r))) / r;
    }
    const int count = is_fp32 ? 64 : 1 << (oracle::format_of(question_.dtype).precision - 1);
    for (int k = 0; k < count && !is_done(); ++k) {
      set_element(x, weight_of(place));
      try_call(place, side(place.low_first, true), side(!place.low_first, false));
      x = is_fp32 ? static_cast<double>(std::nextafter(static_cast<float>(x), 0.0f)) : next(x);
    }
  }

  double root_of(const Side& one) const {
    const double unknown =
        to_double(oracle::decode(DType::fp32, unknown_of(one.kernel, current(one.formula), one.sum)));
    return row_of(one.kernel.policy.root).divides ? 1 / unknown : unknown;
  }

  Formula current(Formula formula) const {
    formula.parameter_bits = test_case_.parameter_bits;
    return formula;
  }

  // The bits of the element that is looked at.
  std::uint64_t output(const Side& one) const {
    const Formula formula = current(one.formula);
    oracle::Arithmetic arithmetic;
    const auto element = [&](Role role) {
      return oracle::decode(question_.dtype, load_bits(tensors_[role], question_.dtype, kColumn));
    };
    const Value residual = formula.has(NormStep::add_residual) ? element(Role::residual) : Value();
    const Value s = exact_sum(arithmetic, formula, element(Role::input), residual).output_operand;
    const Value unknown = oracle::decode(DType::fp32, unknown_of(one.kernel, formula, one.sum));
    return exact_output(arithmetic, formula, {s, decode_weight(formula, tensors_, kColumn)}, unknown);
  }

  // Scale puts the two outputs on both sides of a tie of fp8.
  void choose_scale(const Side& low, const Side& high) {
    const auto unquantized = [&](Side one) {
      one.formula = one.formula.without_codes();
      return std::abs(to_double(oracle::decode(question_.dtype, output(one))));
    };
    const double a = unquantized(low), b = unquantized(high);
    const double tie = 1 + std::ldexp(1.0, -oracle::format_of(question_.output_dtype()).precision);
    if (a > 0) test_case_.bits_of(Parameter::scale) = bits_of(DType::fp32, (a + b) / 2 / tie);
  }

  void try_call(const Place& place, const Side& low, const Side& high) {
    if (question_.has_codes()) choose_scale(low, high);
    const DType dtype = test_case_.output_dtype();
    const std::uint64_t a = output(low), b = output(high);
    if (a == b) return;
    const auto apart = static_cast<std::int64_t>(oracle::ulp_distance(dtype, a, b));
    const double one = std::abs(to_double(oracle::decode(dtype, a))),
                 other = std::abs(to_double(oracle::decode(dtype, b)));
    const double ratio = std::max(one, other) / std::min(one, other);
    const bool farther = !found_.by_apart || apart > found_.by_apart->apart;
    const bool steeper = !found_.by_rtol || ratio > found_.by_rtol->ratio;
    if (!farther && !steeper) return;
    const HonestKernel& first = place.low_first ? low.kernel : high.kernel;
    const HonestKernel& second = place.low_first ? high.kernel : low.kernel;
    const Example example = example_of(test_case_, tensors_, first, second, kColumn);
    if (farther) found_.by_apart = example;
    if (steeper) found_.by_rtol = example;
  }

  static void require_honest(const Example& example) {
    CaseTensors tensors = materialize(example.test_case);
    for (const bool is_first : {true, false}) {
      const auto verdict = oracle::judge_witness(example.test_case, tensors,
                                                 is_first ? example.first_outputs : example.second_outputs,
                                                 (is_first ? example.first : example.second).policy);
      if (!verdict.conforms())
        throw std::logic_error(
            fmt::format("the witness judge refuses {}", to_text(is_first ? example.first : example.second)));
    }
  }

  const Question& question_;
  const PairBound& bound_;
  const std::array<std::vector<NamedTree>, 2> orders_;  // of the first policy and of the second
  Case test_case_;
  CaseTensors tensors_;
  Attainment found_;
  double reached_ratio_ = 1;  // of the two r, with epsilon 0
};

}  // namespace

Attainment attain(const Question& question, const PairBound& bound) { return Search(question, bound).run(); }

}  // namespace normproof::bound
