// The study of the judge of dx.
#include "properties/assess/family/norm_gradient.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/family/family_study.h"

namespace normproof::assess::family {

using oracle::kSummationOrders;
using oracle::box_search::RowVerdict;

float GradientSubject::difference(std::size_t j, float c1, float c2) const {
  const float n = rule.of_sums ? static_cast<float>(size()) : 1.0f;
  const float w = n * factor(j), xh = normalized(j);
  const bool correction = rule.contraction == GradientContraction::correction;
  const bool gradient = rule.contraction == GradientContraction::gradient;
  const float wdy = dy[j] * w;
  if (!rule.centred || rule.order == GradientOrder::correction_first) {
    const float first = correction ? std::fma(-xh, c1, wdy)
                        : gradient ? std::fma(dy[j], w, -(xh * c1))
                                   : wdy - xh * c1;
    return rule.centred ? first - c2 : first;
  }
  if (rule.order == GradientOrder::mean_first) {
    const float first = gradient ? std::fma(dy[j], w, -c2) : wdy - c2;
    return correction ? std::fma(-xh, c1, first) : first - xh * c1;
  }
  const float both = correction ? std::fma(xh, c1, c2) : xh * c1 + c2;
  return gradient ? std::fma(dy[j], w, -both) : wdy - both;
}

std::vector<float> GradientSubject::plain(float c1, float c2) const {
  std::vector<float> dx;
  for (std::size_t j = 0; j < size(); ++j) {
    const float scale = rule.of_sums ? 1.0f / static_cast<float>(size()) * root : root;
    float value = difference(j, c1, c2) * scale;
    if (rule.added == AddedGradient::before_rounding) value += added[j];
    dx.push_back(value);
  }
  round_to_format(dx, rule.activation);
  if (rule.added == AddedGradient::after_rounding) {
    for (std::size_t j = 0; j < size(); ++j) dx[j] += added[j];
    round_to_format(dx, rule.activation);
  }
  return dx;
}

std::pair<float, float> GradientSubject::honest(SummationOrder order, Random& random) const {
  std::vector<float> xh, wdy, terms, factors;
  const auto association = random.below(3);
  for (std::size_t j = 0; j < size(); ++j) {
    xh.push_back(normalized(j));
    factors.push_back(factor(j));
    wdy.push_back(dy[j] * factor(j));
    const float centred = rule.centred ? x[j] - mean : x[j];
    terms.push_back(association == 0 ? ((dy[j] * factor(j)) * centred) * root : (dy[j] * xh[j]) * factor(j));
  }
  const float s1 = association == 2 ? sum_of_products(xh, wdy, order, random) : sum_of(terms, order, random);
  const float s2 =
      random.chance(1, 2) ? sum_of(wdy, order, random) : sum_of_products(dy, factors, order, random);
  if (rule.of_sums) return {s1, rule.centred ? s2 : 0};
  const bool multiplies = random.chance(1, 2);
  return {mean_of_sum(s1, size(), multiplies), rule.centred ? mean_of_sum(s2, size(), multiplies) : 0};
}

std::string GradientSubject::text() const {
  return fmt::format("{} H={} centred={} contraction={} order={} of_sums={} added={} weight={}",
                     name_of(rule.activation), size(), rule.centred, name_of(rule.contraction),
                     name_of(rule.order), rule.of_sums, static_cast<int>(rule.added),
                     rule.weight ? name_of(*rule.weight) : "none");
}

GradientSubject random_gradient(Random& random, const StudyOptions& options, std::int64_t count,
                                RowClass row_class) {
  GradientSubject subject;
  NormGradientRule& rule = subject.rule;
  rule.activation = random.pick(kActivationDTypes);
  rule.centred =
      draws_first(random, options.asks_for("layer_norm_backward"), options.asks_for("rms_norm_backward"));
  rule.contraction = static_cast<GradientContraction>(random.below(3));
  rule.order = static_cast<GradientOrder>(random.below(3));
  rule.of_sums = random.chance(1, 3);
  rule.added = static_cast<AddedGradient>(random.below(3));
  rule.weight_plus_one = random.chance(1, 8);
  if (random.chance(3, 4)) rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  subject.x = random_row(random, rule.activation, count, row_class);
  subject.dy = random_row(random, rule.activation, count,
                          random.chance(1, 12) ? any_class(random) : RowClass::centred);
  subject.added = random_row(random, rule.activation, count, RowClass::centred);
  subject.weight.assign(static_cast<std::size_t>(count), rule.weight_plus_one ? 0.0f : 1.0f);
  if (rule.weight) subject.weight = random_weight(random, *rule.weight, count);
  const MeanAndVariance honest =
      honest_statistics(subject.x, Statistics::two_pass, random.pick(kSummationOrders), random);
  subject.mean = rule.centred ? honest.mean : 0.0f;
  const float square = rule.centred ? honest.variance : honest.variance + honest.mean * honest.mean;
  subject.root = inverse_root_off_by(square, std::bit_cast<std::uint32_t>(1e-5f), 0);
  return subject;
}

namespace {

void judge_honest_row(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const std::int64_t count = random.log_between(1, random.chance(1, 20) ? 8192 : 512);
  const GradientSubject subject = random_gradient(random, options, count, any_class(random));
  const SummationOrder order = random.pick(kSummationOrders);
  const auto honest = subject.honest(order, random);
  JudgedGradient judged(subject, options.wrong_policy);
  const std::vector<float> dx = subject.plain(honest.first, honest.second);
  const RowVerdict verdict = judged.judge.judge(judged.operands, subject.bytes(dx));
  figures.add(count, verdict.conforms, verdict.boxes, [&] {
    return fmt::format("{} order {} c1 {} c2 {}", subject.text(), name_of(order), honest.first,
                       honest.second);
  });
  if (random.chance(1, 40)) judged.judge.require_exact(verdict);
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"one element one number up", 0.8, 0.8},
    {"half the row with the next c1", 0, 0.5},
    {"c1 dropped", 0.8, 0.8},
    {"another contraction", 0, 0.5},
    {"dy off by 2^-9", 0.8, 0.8},  // wdy off by its rounding to bf16, about
    {"added before for after rounding", 0.5},
});
constexpr std::size_t kMovedSums = kFaults.size();  // in the search alone

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
      return with_second_half(dx, subject.plain(std::nextafter(c1, INFINITY), c2));
    case 2:
      return subject.plain(0, c2);
    case 3:
      other.rule.contraction = static_cast<GradientContraction>(
          (static_cast<int>(subject.rule.contraction) + 1 + static_cast<int>(random.below(2))) % 3);
      return other.plain(c1, c2);
    case 4:
      for (float& value : other.dy) value *= 1 + 0x1p-9f;
      return other.plain(c1, c2);
    case 5:
      if (other.rule.added == AddedGradient::none) return dx;
      other.rule.added = other.rule.added == AddedGradient::before_rounding ? AddedGradient::after_rounding
                                                                            : AddedGradient::before_rounding;
      return other.plain(c1, c2);
    default: {
      const float moved = near(c1, 40, random);
      return subject.plain(moved, subject.rule.centred ? near(c2, 40, random) : c2);
    }
  }
}

void judge_faulty_row(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  const std::int64_t count = random.between(1, 16);
  GradientSubject subject =
      random_gradient(random, options, count, oracle::box_search::mostly_ordinary(random));
  if (random.chance(1, 2)) subject.rule.sum_depth = 4;
  const auto [c1, c2] = subject.honest(random.pick(kSummationOrders), random);
  const std::vector<float> dx = faulty(subject, c1, c2, random.below(kMovedSums + 1), random);
  JudgedGradient judged(subject, options.wrong_policy);
  const RowVerdict verdict = judged.judge.judge(judged.operands, subject.bytes(dx));
  if (points_of(verdict.window) > 4000) return figures.add_too_wide(verdict.boxes);
  const bool explained =
      any_point(verdict.window, [&](float p, float q) { return same_numbers(subject.plain(p, q), dx); });
  figures.add(explained, certificate_of(verdict), verdict.boxes, [&] { return subject.text(); });
  if (random.chance(1, 20)) judged.judge.require_exact(verdict);
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  const std::int64_t count = random.log_between(16, 1024);
  const RowClass row_class = ordinary_class(random);
  GradientSubject subject;
  do {
    subject = random_gradient(random, options, count, row_class);
  } while (subject.rule.activation != figure.dtype);
  const auto [c1, c2] = subject.honest(random.pick(kSummationOrders), random);
  const auto right = subject.bytes(subject.plain(c1, c2));
  const auto wrong = subject.bytes(faulty(subject, c1, c2, fault, random));
  if (right == wrong) return;
  JudgedGradient judged(subject, options.wrong_policy);
  const auto refuses = [&](const std::vector<std::byte>& dx) {
    return !judged.judge.judge(judged.operands, dx, false).conforms;
  };
  figure.add(refuses(wrong), refuses(right));
}

}  // namespace

const FamilyStudy& norm_gradient_study() {
  static constexpr auto kOperations =
      std::to_array<std::string_view>({"rms_norm_backward", "layer_norm_backward"});
  static constexpr FamilyStudy kStudy = {"dx",
                                         "rows",
                                         kOperations,
                                         {100'000, 40'000, 500},
                                         judge_honest_row,
                                         judge_faulty_row,
                                         kFaults,
                                         kActivationDTypes,
                                         detect};
  return kStudy;
}

}  // namespace normproof::assess::family
