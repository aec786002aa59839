// The study of the judge of q/k norm with rotary embedding.
#include "properties/assess/family/qk_norm_rope.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/family/family_study.h"

namespace normproof::assess::family {

using oracle::kSummationOrders;
using oracle::SummationOrder;
using oracle::box_search::RowVerdict;

std::vector<float> HeadSubject::normalized(float root) const {
  std::vector<float> n;
  for (std::size_t j = 0; j < size(); ++j) {
    const float w = rule.weight_plus_one ? 1 + weight[j] : weight[j];
    switch (rule.order) {
      case NormOrder::normalized_first:
        n.push_back((x[j] * root) * w);
        break;
      case NormOrder::product_first:
        n.push_back((x[j] * w) * root);
        break;
      case NormOrder::factor_first:
        n.push_back(x[j] * (root * w));
        break;
      case NormOrder::rounded_first:
        n.push_back(rounded_to(x[j] * root, rule.activation) * w);
        break;
    }
  }
  if (rule.rounds_norm) round_to_format(n, rule.activation);
  return n;
}

std::vector<float> HeadSubject::plain(float root) const {
  const auto to_t = [&](float value) { return rounded_to(value, rule.activation); };
  std::vector<float> y = normalized(root);
  for (std::size_t i = 0; i < pairs(); ++i) {
    const std::size_t p = rule.interleaved ? 2 * i : i;
    const std::size_t q = rule.interleaved ? 2 * i + 1 : i + pairs();
    const float a = y[p], b = y[q], c = cosine[i], s = sine[i];
    if (rule.rounds_steps) {
      y[p] = to_t(a * c) - to_t(b * s);
      y[q] = to_t(b * c) + to_t(a * s);
      continue;
    }
    y[p] = rule.first == RopeContraction::cosine ? std::fma(a, c, -(b * s))
           : rule.first == RopeContraction::sine ? std::fma(-b, s, a * c)
                                                 : a * c - b * s;
    y[q] = rule.second == RopeContraction::cosine ? std::fma(b, c, a * s)
           : rule.second == RopeContraction::sine ? std::fma(a, s, b * c)
                                                  : b * c + a * s;
  }
  round_to_format(y, rule.activation);
  return y;
}

QkNormRopeJudge HeadSubject::judge(bool wrong_weight) const {
  QkNormRopeRule judged = rule;
  judged.weight_plus_one = rule.weight_plus_one != wrong_weight;
  QkNormRopeJudge result(judged, static_cast<std::int64_t>(size()), static_cast<std::int64_t>(2 * pairs()),
                         packed_if(weight, rule.weight));
  result.set_rotation(packed(cosine, rule.rotation), packed(sine, rule.rotation));
  return result;
}

std::string HeadSubject::text() const {
  return fmt::format("{} D={} pairs={} {} rounds_norm={} rounds_steps={} first={} second={} interleaved={}",
                     name_of(rule.activation), size(), pairs(), name_of(rule.order), rule.rounds_norm,
                     rule.rounds_steps, name_of(rule.first), name_of(rule.second), rule.interleaved);
}

HeadSubject random_head(Random& random, std::int64_t count, RowClass row_class) {
  HeadSubject subject;
  QkNormRopeRule& rule = subject.rule;
  rule.activation = random.pick(kActivationDTypes);
  rule.rotation = random.chance(1, 2) ? rule.activation : DType::fp32;
  rule.order = static_cast<NormOrder>(random.below(4));
  rule.rounds_norm = random.chance(1, 3);
  rule.rounds_steps = random.chance(1, 4);
  if (!rule.rounds_steps) {
    rule.first = static_cast<RopeContraction>(random.below(3));
    rule.second = static_cast<RopeContraction>(random.below(3));
  }
  rule.interleaved = random.chance(1, 2);
  rule.weight_plus_one = random.chance(1, 8);
  rule.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 0.0f}));
  if (random.chance(3, 4)) rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  subject.x = random_row(random, rule.activation, count, row_class);
  subject.weight.assign(static_cast<std::size_t>(count), rule.weight_plus_one ? 0.0f : 1.0f);
  if (rule.weight) subject.weight = random_weight(random, *rule.weight, count);
  const std::int64_t pairs = random.chance(1, 3) ? random.between(0, count / 2) : count / 2;
  for (std::int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(random.below(1 << 20)) * 0x1p-16;
    subject.cosine.push_back(static_cast<float>(std::cos(angle)));
    subject.sine.push_back(static_cast<float>(std::sin(angle)));
  }
  round_to_format(subject.cosine, rule.rotation);
  round_to_format(subject.sine, rule.rotation);
  return subject;
}

namespace {

void judge_honest_head(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const std::int64_t count = random.log_between(1, 576);
  const HeadSubject subject = random_head(random, count, any_class(random));
  const SummationOrder order = random.pick(kSummationOrders);
  const float root = subject.honest_root(order, static_cast<int>(random.between(-2, 2)), random);
  QkNormRopeJudge judge = subject.judge(options.wrong_policy);
  const RowVerdict verdict = judge.judge(subject.bytes(subject.x), subject.bytes(subject.plain(root)));
  figures.add(count, verdict.conforms, verdict.boxes,
              [&] { return fmt::format("{} order {} root {}", subject.text(), name_of(order), root); });
  if (random.chance(1, 40)) judge.require_exact(verdict);
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"one element one number up", 0.8, 0.8},
    {"half the head with the next r", 0, 0.5},
    {"the other rounding of the norm", 0.8},
    {"another contraction", 0, 0.5},  // none where both products are rounded to T
    {"another order of the products", 0, 0.5},
    {"rotated backwards", 0.8, 0.8},
    {"neox for interleaved", 0.8, 0.8},
    {"the other rounding of the rotation", 0.8, 0.5},
});
constexpr std::size_t kMovedRoot = kFaults.size();  // in the search alone

std::vector<float> faulty(const HeadSubject& subject, float root, std::size_t fault, Random& random) {
  HeadSubject other = subject;
  std::vector<float> y = subject.plain(root);
  switch (fault) {
    case 0: {
      float& value = y[random.below(y.size())];
      value = one_number_up(value, subject.rule.activation);
      return y;
    }
    case 1:
      return with_second_half(y, subject.plain(std::nextafter(root, INFINITY)));
    case 2:
      other.rule.rounds_norm = !other.rule.rounds_norm;
      return other.plain(root);
    case 3:
      other.rule.first = static_cast<RopeContraction>((static_cast<int>(other.rule.first) + 1) % 3);
      return other.plain(root);
    case 4:
      other.rule.order = static_cast<NormOrder>((static_cast<int>(other.rule.order) + 1) % 4);
      return other.plain(root);
    case 5:
      for (float& value : other.sine) value = -value;
      return other.plain(root);
    case 6:
      other.rule.interleaved = !other.rule.interleaved;
      return other.plain(root);
    case 7:
      other.rule.rounds_steps = !other.rule.rounds_steps;
      return other.plain(root);
    default:
      return subject.plain(near(root, 300, random));
  }
}

void judge_faulty_head(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  const std::int64_t count = random.log_between(1, 128);
  const HeadSubject subject = random_head(random, count, oracle::box_search::mostly_ordinary(random));
  const float root = subject.honest_root(random.pick(kSummationOrders), 0, random);
  const std::vector<float> y = faulty(subject, root, random.below(kMovedRoot + 1), random);
  QkNormRopeJudge judge = subject.judge(options.wrong_policy);
  const RowVerdict verdict = judge.judge(subject.bytes(subject.x), subject.bytes(y));
  if (points_of(verdict.window) > 2000) return figures.add_too_wide(verdict.boxes);
  const bool explained =
      any_point(verdict.window, [&](float r, float) { return same_numbers(subject.plain(r), y); });
  figures.add(explained, certificate_of(verdict), verdict.boxes, [&] { return subject.text(); });
  if (random.chance(1, 20)) judge.require_exact(verdict);
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  const std::int64_t count = std::int64_t{64} << random.below(3);
  const RowClass row_class = ordinary_class(random);
  HeadSubject subject;
  do {
    subject = random_head(random, count, row_class);
  } while (subject.rule.activation != figure.dtype);
  const float root = subject.honest_root(random.pick(kSummationOrders), 0, random);
  const auto wrong = subject.bytes(faulty(subject, root, fault, random));
  const auto right = subject.bytes(subject.plain(root));
  if (wrong == right) return;
  QkNormRopeJudge judge = subject.judge(options.wrong_policy);
  const auto refuses = [&](const std::vector<std::byte>& out) {
    return !judge.judge(subject.bytes(subject.x), out, false).conforms;
  };
  figure.add(refuses(wrong), refuses(right));
}

}  // namespace

const FamilyStudy& qk_norm_rope_study() {
  static constexpr auto kOperations = std::to_array<std::string_view>({"qk_norm_rope"});
  static constexpr FamilyStudy kStudy = {"q/k norm + rope",
                                         "heads",
                                         kOperations,
                                         {100'000, 40'000, 500},
                                         judge_honest_head,
                                         judge_faulty_head,
                                         kFaults,
                                         kActivationDTypes,
                                         detect};
  return kStudy;
}

}  // namespace normproof::assess::family
