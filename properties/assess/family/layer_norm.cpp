// The study of LayerNorm's judge.
#include "properties/assess/family/layer_norm.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/family/family_study.h"

namespace normproof::assess::family {

using oracle::kSummationOrders;
using oracle::box_search::NormForm;
using oracle::box_search::RowVerdict;
using oracle::box_search::StoredStatistics;

std::vector<float> LayerNormSubject::plain(float mean, float root) const {
  std::vector<float> y;
  const float shift = -mean * root;
  for (const float value : x) {
    y.push_back(rule.form == NormForm::centred   ? (value - mean) * root
                : rule.form == NormForm::shifted ? value * root + shift
                                                 : std::fma(value, root, shift));
  }
  if (rule.rounds_normalized) round_to_format(y, rule.activation);
  for (std::size_t j = 0; j < x.size(); ++j) {
    const float w = rule.weight_plus_one ? 1 + weight[j] : weight[j];
    if (rule.rounds_product) {
      const float product = rounded_to(y[j] * w, rule.activation);
      y[j] = rule.bias ? product + bias[j] : product;
    } else if (!rule.bias) {
      y[j] = y[j] * w;
    } else {
      y[j] = rule.fused ? std::fma(y[j], w, bias[j]) : y[j] * w + bias[j];
    }
  }
  round_to_format(y, rule.activation);
  return y;
}

std::string LayerNormSubject::text() const {
  return fmt::format("{} H={} {} {} fused={} rounds={} plus_one={} eps={} weight={} bias={}",
                     name_of(rule.activation), count(), name_of(rule.statistics), name_of(rule.form),
                     rule.fused, rule.rounds_normalized, rule.weight_plus_one,
                     std::bit_cast<float>(rule.epsilon), rule.weight ? name_of(*rule.weight) : "none",
                     rule.bias ? name_of(*rule.bias) : "none");
}

LayerNormSubject random_layer_norm(Random& random, std::int64_t count, RowClass row_class) {
  LayerNormSubject subject;
  LayerNormRule& rule = subject.rule;
  rule.activation = random.pick(kActivationDTypes);
  const auto some = [&]() -> std::optional<DType> {
    const auto kind = random.below(3);
    if (kind == 0) return std::nullopt;
    return kind == 1 ? rule.activation : DType::fp32;
  };
  rule.weight = some();
  rule.bias = some();
  rule.statistics = static_cast<Statistics>(random.below(4));
  if (random.chance(1, 4)) rule.form = random.chance(1, 2) ? NormForm::shifted : NormForm::shifted_fma;
  rule.fused = random.chance(1, 2);
  rule.rounds_normalized = random.chance(1, 4);
  rule.weight_plus_one = random.chance(1, 8);
  rule.rounds_product = !rule.fused && random.chance(1, 4);
  if (random.chance(1, 8)) rule.operand = DType::fp32;
  rule.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 1e-12f, 0.0f}));
  subject.x = random_row(random, rule.operand.value_or(rule.activation), count, row_class);
  const auto n = static_cast<std::size_t>(count);
  subject.weight.assign(n, rule.weight_plus_one ? 0.0f : 1.0f);
  subject.bias.assign(n, 0.0f);
  if (rule.weight) subject.weight = random_weight(random, *rule.weight, count);
  if (rule.bias) subject.bias = random_weight(random, *rule.bias, count);
  return subject;
}

MeanAndRoot honest_statistics(const LayerNormSubject& subject, SummationOrder order, int off,
                              Random& random) {
  const MeanAndVariance honest = honest_statistics(subject.x, subject.rule.statistics, order, random);
  return {honest.mean, inverse_root_off_by(honest.variance, subject.rule.epsilon, off)};
}

namespace {

void judge_honest_row(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const std::int64_t count = random.log_between(1, random.chance(1, 20) ? 8192 : 512);
  const LayerNormSubject subject = random_layer_norm(random, count, any_class(random));
  const SummationOrder order = random.pick(kSummationOrders);
  const MeanAndRoot honest =
      honest_statistics(subject, order, static_cast<int>(random.between(-2, 2)), random);
  StoredStatistics stored;
  if (random.chance(1, 4)) stored.mean = honest.mean;
  if (random.chance(1, 4)) stored.inverse_root = honest.root;
  if (random.chance(1, 8)) {  // stored in T
    const DType dtype = subject.rule.activation;
    stored = {rounded_to(honest.mean, dtype), rounded_to(honest.root, dtype), dtype, dtype};
  }
  LayerNormJudge judge = subject.judge(options.wrong_policy);
  const RowVerdict verdict =
      judge.judge(subject.input(), subject.output(subject.plain(honest.mean, honest.root)), stored);
  figures.undecided += verdict.undecided ? 1 : 0;
  figures.add(count, verdict.conforms, verdict.boxes, [&] {
    return fmt::format("{} order {} mean {} root {}", subject.text(), name_of(order), honest.mean,
                       honest.root);
  });
  if (random.chance(1, 40)) judge.require_exact(verdict, stored);
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"one element one number up", 0.8, 0.8},
    {"half the row with the next r", 0, 0.5},
    {"half the row with the next m", 0, 0.5},
    {"the other contraction", 0, 0.5},
    {"the other rounding of n", 0.5},
    {"the other form of n", 0, 0.5},
});
constexpr std::size_t kMovedStatistics = kFaults.size();  // in the search alone

// What a wrong kernel may give: the formula changed, the statistics off, bits changed.
std::vector<float> faulty(const LayerNormSubject& subject, const MeanAndRoot& honest, std::size_t fault,
                          Random& random) {
  const auto [mean, root] = honest;
  LayerNormSubject other = subject;
  std::vector<float> y = subject.plain(mean, root);
  switch (fault) {
    case 0: {
      float& value = y[random.below(y.size())];
      value = one_number_up(value, subject.rule.activation);
      return y;
    }
    case 1:
      return with_second_half(y, subject.plain(mean, std::nextafter(root, INFINITY)));
    case 2:
      return with_second_half(y, subject.plain(std::nextafter(mean, INFINITY), root));
    case 3:
      other.rule.fused = !other.rule.fused;
      return other.plain(mean, root);
    case 4:
      other.rule.rounds_normalized = !other.rule.rounds_normalized;
      return other.plain(mean, root);
    case 5:
      other.rule.form = subject.rule.form == NormForm::centred ? NormForm::shifted : NormForm::centred;
      return other.plain(mean, root);
    default: {  // a few numbers away, beyond the window perhaps
      const float moved = near(mean, 40, random);
      return subject.plain(moved, near(root, 40, random));
    }
  }
}

void judge_faulty_row(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  const std::int64_t count = random.between(1, 16);
  LayerNormSubject subject = random_layer_norm(random, count, oracle::box_search::mostly_ordinary(random));
  if (random.chance(1, 2)) subject.rule.sum_depth = 4;
  subject.rule.inverse_root_ulp = static_cast<int>(random.below(3));
  const MeanAndRoot honest = honest_statistics(subject, random.pick(kSummationOrders), 0, random);
  const std::vector<float> y = faulty(subject, honest, random.below(kMovedStatistics + 1), random);
  LayerNormJudge judge = subject.judge(options.wrong_policy);
  const RowVerdict verdict = judge.judge(subject.input(), subject.output(y));
  if (points_of(verdict.window) > 4000) return figures.add_too_wide(verdict.boxes);
  const bool explained = any_point(
      verdict.window, [&](float mean, float root) { return same_numbers(subject.plain(mean, root), y); });
  figures.add(explained, certificate_of(verdict), verdict.boxes, [&] { return subject.text(); });
  if (random.chance(1, 20)) judge.require_exact(verdict);
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  const std::int64_t count = random.log_between(16, 1024);
  const RowClass row_class = ordinary_class(random);
  const DType dtype = figure.dtype;
  LayerNormSubject subject = random_layer_norm(random, count, row_class);
  subject.rule.activation = dtype;
  subject.rule.statistics = static_cast<Statistics>(random.below(2) * 3);
  subject.rule.weight = subject.rule.bias = dtype;
  subject.x = random_row(random, dtype, count, row_class);
  subject.weight = random_weight(random, dtype, count);
  subject.bias = random_weight(random, dtype, count);
  const MeanAndRoot honest = honest_statistics(subject, random.pick(kSummationOrders), 0, random);
  const auto right = subject.output(subject.plain(honest.mean, honest.root));
  const auto wrong = subject.output(faulty(subject, honest, fault, random));
  if (right == wrong) return;
  LayerNormJudge judge = subject.judge(options.wrong_policy);
  const auto refuses = [&](const std::vector<std::byte>& out) {
    return !judge.judge(subject.input(), out, {}, false).conforms;
  };
  figure.add(refuses(wrong), refuses(right));
}

}  // namespace

const FamilyStudy& layer_norm_study() {
  static constexpr auto kOperations = std::to_array<std::string_view>({"layer_norm", "fused_add_layer_norm"});
  static constexpr FamilyStudy kStudy = {"LayerNorm",
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
