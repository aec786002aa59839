// The study of the judge of dx whose kernel was not given the statistics of the forward pass.
#include <fmt/format.h>

#include <array>

#include "oracle/box_search/recomputed_gradient.h"
#include "properties/assess/family/family_study.h"
#include "properties/assess/family/norm_gradient.h"

namespace normproof::assess::family {

using oracle::kSummationOrders;
using oracle::box_search::GradientBox;
using oracle::box_search::LayerNormRule;
using oracle::box_search::RecomputedGradientJudge;
using oracle::box_search::RecomputedVerdict;
using oracle::box_search::Side;
using oracle::box_search::StoredStatistics;

namespace {

constexpr std::uint32_t kEpsilon = 0x3727c5ac;  // 1e-5

// A row whose statistics are those that a kernel arrives at, and what the judge is told of them.
struct RecomputedSubject {
  GradientSubject gradient;
  LayerNormRule statistics;
  StoredStatistics stored;
};

RecomputedSubject random_subject(Random& random, const StudyOptions& options, std::int64_t count,
                                 RowClass row_class) {
  RecomputedSubject result{random_gradient(random, options, count, row_class), {}, {}};
  GradientSubject& subject = result.gradient;
  LayerNormRule& statistics = result.statistics;
  statistics.activation = subject.rule.activation;
  statistics.epsilon = kEpsilon;
  const SummationOrder order = random.pick(kSummationOrders);
  const int steps = static_cast<int>(random.between(-2, 2));
  if (subject.rule.centred) {
    statistics.statistics = static_cast<Statistics>(random.below(4));
    const MeanAndVariance honest = honest_statistics(subject.x, statistics.statistics, order, random);
    subject.mean = honest.mean;
    subject.root = inverse_root_off_by(honest.variance, kEpsilon, steps);
    const auto given = random.below(8);
    if (given == 0) result.stored.mean = subject.mean;
    if (given == 1) result.stored.inverse_root = subject.root;
  } else {
    const float squares = mean_of_sum(sum_of_products(subject.x, subject.x, order, random), subject.size(),
                                      random.chance(1, 2));
    subject.root = inverse_root_off_by(squares, kEpsilon, steps);
  }
  return result;
}

// The packed operands of a subject, and the judge that reads them.
struct Judged {
  explicit Judged(const RecomputedSubject& subject, bool wrong_weight = false)
      : packed(subject.gradient, wrong_weight),
        rule(packed.judge.row().rule),
        stored(subject.stored),
        judge(rule, subject.statistics, static_cast<std::int64_t>(subject.gradient.size()),
              packed_if(subject.gradient.weight, rule.weight)) {}
  RecomputedVerdict verdict(const std::vector<std::byte>& dx, bool with_refutation) {
    return judge.judge(packed.operands, stored, dx, with_refutation);
  }

  JudgedGradient packed;
  NormGradientRule rule;
  StoredStatistics stored;
  RecomputedGradientJudge judge;
};

std::string text_of(const RecomputedSubject& subject) {
  return fmt::format("{} {} mean {} root {}", subject.gradient.text(), name_of(subject.statistics.statistics),
                     subject.gradient.mean, subject.gradient.root);
}

void judge_honest_row(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const std::int64_t count = random.log_between(1, random.chance(1, 20) ? 4096 : 128);
  const RecomputedSubject subject = random_subject(random, options, count, any_class(random));
  const auto [c1, c2] = subject.gradient.honest(random.pick(kSummationOrders), random);
  Judged judged(subject, options.wrong_policy);
  const auto dx = subject.gradient.bytes(subject.gradient.plain(c1, c2));
  const RecomputedVerdict verdict = judged.verdict(dx, true);
  figures.undecided += verdict.undecided ? 1 : 0;
  figures.add(count, verdict.conforms, verdict.boxes,
              [&] { return fmt::format("{} c1 {} c2 {}", text_of(subject), c1, c2); });
  if (random.chance(1, 40)) judged.judge.require_exact(verdict);
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"one element one number up", 0.6, 0.6},
    {"c1 dropped", 0.6, 0.6},
    {"root off by 2^-9", 0, 0.6},
    {"dy off by 2^-9", 0.6, 0.6},
});
constexpr std::size_t kMovedUnknowns = kFaults.size();  // in the search alone

std::vector<float> faulty(const GradientSubject& subject, float c1, float c2, std::size_t fault,
                          Random& random) {
  GradientSubject other = subject;
  std::vector<float> dx = subject.plain(c1, c2);
  switch (fault) {
    case 0: {
      float& value = dx[random.below(dx.size())];
      value = one_number_up(value, subject.rule.activation);
      return dx;
    }
    case 1:
      return subject.plain(0, c2);
    case 2:
      other.root *= 1 + 0x1p-9f;
      return other.plain(c1, c2);
    case 3:
      for (std::size_t j = 0; j < other.size(); j += 2) other.dy[j] *= 1 + 0x1p-9f;
      return other.plain(c1, c2);
    default:
      other.root = near(subject.root, 3, random);
      return other.plain(near(c1, 3, random), subject.rule.centred ? near(c2, 3, random) : c2);
  }
}

double points_of(const std::vector<GradientBox>& window) {
  double points = 0;
  for (const GradientBox& box : window) {
    double of_box = 1;
    for (const auto side : GradientBox::sides())
      of_box *= static_cast<double>((box.*side).high) - (box.*side).low + 1;
    points += of_box;
  }
  return points;
}

// Whether some statistics and sums of the window give these outputs.
bool is_explained(const RecomputedSubject& subject, const std::vector<GradientBox>& window,
                  const std::vector<float>& dx) {
  GradientSubject tried = subject.gradient;
  for (const GradientBox& box : window) {
    for (Position mean = box.mean.low; mean <= box.mean.high; ++mean) {
      for (Position root = box.root.low; root <= box.root.high; ++root) {
        tried.mean = number_at(mean);
        tried.root = number_at(root);
        if (any_point({{box.first, box.second}},
                      [&](float p, float q) { return same_numbers(tried.plain(p, q), dx); }))
          return true;
      }
    }
  }
  return false;
}

void judge_faulty_row(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  // Of four unknowns few can be tried, so rows are short, and windows narrow.
  RecomputedSubject subject =
      random_subject(random, options, random.between(1, 6), oracle::box_search::mostly_ordinary(random));
  subject.gradient.rule.sum_depth = subject.statistics.sum_depth = static_cast<std::int64_t>(random.below(4));
  subject.statistics.inverse_root_ulp = static_cast<int>(random.below(3));
  if (subject.gradient.rule.centred && random.chance(1, 2)) subject.stored.mean = subject.gradient.mean;
  const auto [c1, c2] = subject.gradient.honest(random.pick(kSummationOrders), random);
  const std::vector<float> dx = faulty(subject.gradient, c1, c2, random.below(kMovedUnknowns + 3), random);
  Judged judged(subject, options.wrong_policy);
  const RecomputedVerdict verdict = judged.verdict(subject.gradient.bytes(dx), true);
  if (points_of(verdict.window) > 4000) return figures.add_too_wide(verdict.boxes);
  const bool explained = is_explained(subject, verdict.window, dx);
  // What is left undecided is nothing that the search claims.
  const bool conforms = verdict.undecided ? explained : verdict.conforms;
  figures.add(explained, conforms ? std::nullopt : std::optional(verdict.refutation.size()), verdict.boxes,
              [&] { return text_of(subject); });
  if (random.chance(1, 20)) judged.judge.require_exact(verdict);
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  const std::int64_t count = random.log_between(16, 1024);
  const RowClass row_class = ordinary_class(random);
  RecomputedSubject subject;
  do {
    subject = random_subject(random, options, count, row_class);
  } while (subject.gradient.rule.activation != figure.dtype);
  const auto [c1, c2] = subject.gradient.honest(random.pick(kSummationOrders), random);
  const auto right = subject.gradient.bytes(subject.gradient.plain(c1, c2));
  const auto wrong = subject.gradient.bytes(faulty(subject.gradient, c1, c2, fault, random));
  if (right == wrong) return;
  Judged judged(subject, options.wrong_policy);
  figure.add(!judged.verdict(wrong, false).conforms, !judged.verdict(right, false).conforms);
}

}  // namespace

const FamilyStudy& recomputed_gradient_study() {
  static constexpr auto kOperations =
      std::to_array<std::string_view>({"rms_norm_backward", "layer_norm_backward"});
  static constexpr FamilyStudy kStudy = {"dx without statistics",
                                         "rows",
                                         kOperations,
                                         {20'000, 8'000, 100},
                                         judge_honest_row,
                                         judge_faulty_row,
                                         kFaults,
                                         kActivationDTypes,
                                         detect};
  return kStudy;
}

}  // namespace normproof::assess::family
