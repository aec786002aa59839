// The judge of dx whose statistics were computed once more: its window, its problem, its search.
#include "oracle/box_search/recomputed_gradient.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <type_traits>

#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/packed_row.h"

namespace normproof::oracle::box_search {
namespace {

// Looks at an element that LayerNorm's search may take, and for each element of the row; RMSNorm's has no
// limit.
constexpr std::int64_t kMostLooks = 2'000'000;
constexpr std::int64_t kMostLooksPerElement = 2000;

QkNormRopeRule root_rule(const LayerNormRule& statistics) {
  QkNormRopeRule rule;
  rule.activation = statistics.activation;
  rule.epsilon = statistics.epsilon;
  rule.inverse_root_ulp = statistics.inverse_root_ulp;
  rule.sum_depth = statistics.sum_depth;
  return rule;
}

double width_of(const Side& side) {
  return static_cast<double>(number_at(side.high)) - static_cast<double>(number_at(side.low));
}

}  // namespace

// The row that the NormGradientJudge has loaded, of any statistics.
template <typename Ranges>
class RecomputedGradientJudge::Problem {
 public:
  using SearchBox = GradientBox;

  explicit Problem(const RecomputedGradientJudge& judge)
      : row_(judge.gradient_.row()), x_(judge.gradient_.statistics().x), ranges_(row_.output()) {
    double weighted = 0;
    for (std::size_t j = 0; j < static_cast<std::size_t>(row_.elements); ++j)
      weighted += std::fabs(static_cast<double>(row_.weighted[j]));
    weighted_ = weighted / static_cast<double>(row_.elements);
  }

  Status status(std::int32_t element, const GradientBox& box) const {
    ++looks_;
    const Ranges& a = ranges_;
    const auto range = [&](const Side& side) { return a.range(side.low, side.high); };
    const auto root = range(box.root);
    const auto x = a.range(a.constant(x_, element));
    const auto xh = a.multiply(row_.rule.centred ? a.subtract(x, range(box.mean)) : x, root);
    const auto factor =
        row_.rule.of_sums ? a.multiply(root, a.constant(1 / static_cast<float>(row_.elements))) : root;
    return status_of(
        row_.evaluate_normalized(a, element, xh, a.negate(xh), factor, range(box.first), range(box.second)),
        row_.got()[element]);
  }

  // Exact arithmetic repeats a refutation to the end.
  bool is_spent() const {
    return !std::is_same_v<Ranges, ExactRanges> && row_.rule.centred &&
           looks_ > kMostLooks + kMostLooksPerElement * row_.elements;
  }
  void begin_again() { looks_ = 0; }

  // dx is about (wdy - (x - m) r c1 - c2) r, with |x - m| r about 1.
  double spread(const GradientBox& box, std::size_t side) const {
    const auto root = static_cast<double>(number_at(box.root.high));
    const double first = std::fabs(static_cast<double>(number_at(box.first.high)));
    switch (side) {
      case 0:
        return width_of(box.mean) * root * root * first;
      case 1:
        return width_of(box.root) * (weighted_ + 2 * first);
      case 2:
        return width_of(box.first) * root;
      default:
        return width_of(box.second) * root;
    }
  }

  // Those first that say most of r, whatever c1 is.
  void collect(const GradientBox& box, std::vector<std::int32_t>& elements) const {
    std::vector<std::pair<float, std::int32_t>> open;
    for (std::int32_t j = 0; j < row_.elements; ++j) {
      if (status(j, box) == Status::satisfied) continue;
      const auto at = static_cast<std::size_t>(j);
      const float share = std::fabs(row_.normalized[at]) / std::fabs(row_.weighted[at]);
      open.emplace_back(share >= 0 ? share : INFINITY, j);
    }
    std::ranges::sort(open);
    elements.clear();
    for (const auto& [share, element] : open) elements.push_back(element);
  }

 private:
  const NormGradientRow& row_;
  const float* x_;
  Ranges ranges_;
  double weighted_;
  mutable std::int64_t looks_ = 0;
};

RecomputedGradientJudge::RecomputedGradientJudge(const NormGradientRule& rule,
                                                 const LayerNormRule& statistics, std::int64_t hidden_size,
                                                 std::span<const std::byte> weight)
    : rule_(rule),
      statistics_(statistics),
      count_(hidden_size),
      gradient_(rule, hidden_size, weight),
      layer_(statistics, hidden_size, {}, {}),
      root_(root_rule(statistics), hidden_size, 0, {}) {}

// In whole numbers or infinite: a range that ends in infinity is two.
std::vector<Box> RecomputedGradientJudge::statistics_window(bool exactly) const {
  std::vector<Box> boxes;
  const auto add = [&](const Side& mean, Side root) {
    if (root.high == kPlusInfinity && root.low < kPlusInfinity) {
      boxes.push_back({mean, {kPlusInfinity, kPlusInfinity}});
      --root.high;
    }
    boxes.push_back({mean, root});
  };
  if (rule_.centred) {
    for (const Box& box : restricted(exactly ? exact_layer_norm_window(statistics_, layer_.operands())
                                             : layer_norm_window(statistics_, layer_.operands()).boxes,
                                     stored_))
      add(box.first, box.second);
    return boxes;
  }
  for (const Box& box : root_.window(exactly)) add({kPlusZero, kPlusZero}, box.first);
  return boxes;
}

std::vector<GradientBox> RecomputedGradientJudge::window(bool exactly) const {
  std::vector<GradientBox> boxes;
  for (const Box& of : statistics_window(exactly))
    for (const Box& sums : norm_gradient_window_of(gradient_.row(), gradient_.statistics(), of, exactly))
      boxes.push_back({of.first, of.second, sums.first, sums.second});
  return boxes;
}

void RecomputedGradientJudge::load(const GradientOperands& operands, const StoredStatistics& stored) {
  stored_ = stored;
  layer_.look_at(operands.x);
  root_.look_at(operands.x);
  GradientOperands centre = operands;
  const Canonical usual = canonical_statistics(stored);
  centre.mean = std::isfinite(usual.mean) ? usual.mean : 0;  // the window is bounded from there
  centre.inverse_root = usual.root;
  gradient_.look_at(centre);
}

RecomputedVerdict RecomputedGradientJudge::judge(const GradientOperands& operands,
                                                 const StoredStatistics& stored,
                                                 std::span<const std::byte> dx, bool with_refutation) {
  load(operands, stored);
  gradient_.look_for(dx);
  Problem<HardwareRanges> problem(*this);
  Search<Problem<HardwareRanges>> search(problem);
  RecomputedVerdict verdict;
  verdict.window = window(false);
  const auto result = search.run(
      verdict.window, [&](const GradientBox& box, auto& elements) { problem.collect(box, elements); });
  verdict.boxes = result.boxes;
  verdict.undecided = result.gave_up;
  verdict.conforms = result.gave_up || result.witness.has_value();
  if (result.witness) verdict.witness = *result.witness;
  problem.begin_again();
  if (!verdict.conforms && with_refutation)
    verdict.refutation = irreducible(problem, verdict.window, result.used);
  return verdict;
}

void RecomputedGradientJudge::require_exact(const RecomputedVerdict& verdict) const {
  const auto holds = [](const GradientBox& outer, const GradientBox& inner) {
    return std::ranges::all_of(GradientBox::sides(), [&](const auto side) {
      return (outer.*side).contains((inner.*side).low) && (outer.*side).contains((inner.*side).high);
    });
  };
  for (const GradientBox& box : window(true))
    if (std::ranges::none_of(verdict.window, [&](const GradientBox& each) { return holds(each, box); }))
      throw std::logic_error("oracle: exact arithmetic admits statistics or sums beyond the window");
  gradient_.require_exact_operands();
  const Problem<ExactRanges> problem(*this);
  if (!verdict.conforms) {
    if (Search<Problem<ExactRanges>>(problem).run(verdict.window, verdict.refutation).witness)
      throw std::logic_error("oracle: exact arithmetic does not confirm the certificate");
    return;
  }
  if (verdict.undecided) return;
  const auto& [mean, root, first, second] = verdict.witness;
  const GradientBox point{{mean, mean}, {root, root}, {first, first}, {second, second}};
  for (std::int32_t j = 0; j < count_; ++j)
    if (problem.status(j, point) != Status::satisfied)
      throw std::logic_error("oracle: exact arithmetic does not confirm the witness");
}

// What was stored counts.
RecomputedGradientJudge::Canonical RecomputedGradientJudge::canonical_statistics(
    const StoredStatistics& stored) {
  Canonical result;
  if (rule_.centred) {
    const auto usual = layer_.canonical_statistics();
    result.mean = stored.mean.value_or(usual.mean);
    result.root = stored.inverse_root.value_or(usual.inverse_root);
  } else {
    result.root = root_.canonical_root();
  }
  return result;
}

RecomputedGradientJudge::Canonical RecomputedGradientJudge::canonical_unknowns(
    const GradientOperands& operands, const StoredStatistics& stored) {
  load(operands, stored);
  Canonical result = canonical_statistics(stored);
  GradientOperands given = operands;
  given.mean = result.mean;
  given.inverse_root = result.root;
  result.sums = gradient_.canonical_unknowns(given);
  return result;
}

std::vector<std::byte> RecomputedGradientJudge::outputs(const GradientOperands& operands,
                                                        const Canonical& unknowns) {
  GradientOperands given = operands;
  given.mean = unknowns.mean;
  given.inverse_root = unknowns.root;
  return gradient_.outputs(given, unknowns.sums.c1, unknowns.sums.c2);
}

}  // namespace normproof::oracle::box_search
