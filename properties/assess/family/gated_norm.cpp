// The study of the judge of gated norms.
#include "oracle/box_search/gated_norm.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/family/family_study.h"
#include "properties/assess/family/honest_sums.h"
#include "properties/assess/family/rows.h"

namespace normproof::assess::family {
namespace {

using oracle::box_search::GatedNormJudge;
using oracle::box_search::GatedNormRule;
using oracle::box_search::RowVerdict;

// A row with everything that a kernel is given. The formulas are written here once more, plainly.
struct Subject {
  GatedNormRule rule;
  std::vector<float> x, z, weight;

  std::int64_t count() const { return static_cast<std::int64_t>(x.size()); }
  float to_t(float value) const { return rounded_to(value, rule.activation); }
  float operand(std::size_t j, float g) const {
    if (!rule.gate_first) return x[j];
    return rule.rounds_between ? to_t(x[j] * g) : x[j] * g;
  }
  float output(std::size_t j, float g, float root) const {
    float n = operand(j, g) * root;
    if (rule.rounds_normalized) n = to_t(n);
    n = n * (rule.weight_plus_one ? 1 + weight[j] : weight[j]);
    if (rule.gate_first) return to_t(n);
    return to_t((rule.rounds_between ? to_t(n) : n) * g);
  }
  RowVerdict judged(const std::vector<float>& out, GatedNormJudge& judge) const {
    return judge.judge(packed(x, rule.activation), packed(z, rule.activation), packed(out, rule.activation),
                       true);
  }
  GatedNormJudge judge(bool wrong_weight) const {
    GatedNormRule judged = rule;
    judged.weight_plus_one = rule.weight_plus_one != wrong_weight;
    return {judged, count(), packed_if(weight, rule.weight)};
  }
  std::string text() const {
    return fmt::format("{} H={} sigmoid={} gate_first={} rounds gate={} between={} normalized={} weight={}",
                       name_of(rule.activation), count(), rule.sigmoid, rule.gate_first, rule.rounds_gate,
                       rule.rounds_between, rule.rounds_normalized,
                       rule.weight ? name_of(*rule.weight) : "none");
  }
};

// As kernels compute it.
float plain_gate(float z, bool sigmoid) {
  const float below = 1 + std::exp(-z);
  return sigmoid ? 1 / below : z / below;
}

Subject random_subject(Random& random, std::int64_t count, RowClass row_class) {
  Subject subject;
  GatedNormRule& rule = subject.rule;
  rule.activation = random.pick(kActivationDTypes);
  rule.sigmoid = random.chance(1, 2);
  rule.gate_first = random.chance(1, 2);
  rule.rounds_gate = random.chance(1, 3);
  rule.rounds_between = random.chance(1, 3);
  rule.rounds_normalized = random.chance(1, 4);
  rule.weight_plus_one = random.chance(1, 8);
  rule.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 0.0f}));
  if (random.chance(1, 2)) rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  subject.x = random_row(random, rule.activation, count, row_class);
  subject.z = random_row(random, rule.activation, count, any_class(random));
  subject.weight.assign(static_cast<std::size_t>(count), rule.weight_plus_one ? 0.0f : 1.0f);
  if (rule.weight) subject.weight = random_weight(random, *rule.weight, count);
  return subject;
}

struct Honest {
  std::vector<float> gates;
  float root;
};
Honest honest_of(const Subject& subject, Random& random, int off) {
  Honest honest;
  std::vector<float> operands;
  for (std::size_t j = 0; j < subject.x.size(); ++j) {
    const float gate = plain_gate(subject.z[j], subject.rule.sigmoid);
    honest.gates.push_back(subject.rule.rounds_gate ? subject.to_t(gate) : gate);
    operands.push_back(subject.operand(j, honest.gates.back()));
  }
  const float sum = sum_of_products(operands, operands, random.pick(oracle::kSummationOrders), random);
  const float mean = mean_of_sum(sum, operands.size(), random.chance(1, 2));
  honest.root = inverse_root_off_by(mean, subject.rule.epsilon, off);
  return honest;
}
std::vector<float> outputs_of(const Subject& subject, const Honest& honest) {
  std::vector<float> out;
  for (std::size_t j = 0; j < subject.x.size(); ++j)
    out.push_back(subject.output(j, honest.gates[j], honest.root));
  return out;
}

void judge_honest_row(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const std::int64_t count = random.log_between(1, 256);
  const Subject subject = random_subject(random, count, any_class(random));
  const Honest honest = honest_of(subject, random, static_cast<int>(random.between(-2, 2)));
  GatedNormJudge judge = subject.judge(options.wrong_policy);
  const RowVerdict verdict = subject.judged(outputs_of(subject, honest), judge);
  figures.add(count, verdict.conforms, verdict.boxes, [&] {
    static constexpr std::array<std::string_view, 1> kNames = {"r"};
    return fmt::format("{} r {}: {}", subject.text(), honest.root, to_text(verdict, kNames));
  });
}

// Some r of the window, and for each element some gate: with the gates that the contract admits.
bool explained(const Subject& subject, const std::vector<Box>& window, const std::vector<float>& got) {
  std::vector<std::vector<float>> gates;
  for (const float z : subject.z) gates.push_back(gates_of(z, subject.rule));
  return any_point(window, [&](float root, float) {
    for (std::size_t j = 0; j < got.size(); ++j) {
      const bool some = std::ranges::any_of(gates[j], [&](float gate) {
        return position_of(subject.output(j, gate, root)) == position_of(got[j]);
      });
      if (!some) return false;
    }
    return true;
  });
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"one element 1 % larger", 0.5, 0.8},
    {"one gate off by 9 numbers", 0, 0.5},
    {"one element with r 0.05 % larger", 0, 0.5},
});

std::vector<float> faulty(const Subject& subject, const Honest& honest, std::size_t fault, Random& random) {
  std::vector<float> out = outputs_of(subject, honest);
  const auto at = static_cast<std::size_t>(random.below(out.size()));
  switch (fault) {
    case 0:
      out[at] = subject.to_t(out[at] * 1.01f);
      break;
    case 1:
      out[at] = subject.output(at, number_at(position_of(honest.gates[at]) + 9), honest.root);
      break;
    case 2:
      out[at] = subject.output(at, honest.gates[at], honest.root * 1.0005f);
      break;
    default:
      break;
  }
  return out;
}

void judge_faulty_row(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  const std::int64_t count = random.between(1, 12);
  const Subject subject = random_subject(random, count, oracle::box_search::mostly_ordinary(random));
  const Honest honest = honest_of(subject, random, static_cast<int>(random.between(-3, 3)));
  const std::vector<float> out = faulty(subject, honest, random.below(kFaults.size() + 1), random);
  GatedNormJudge judge = subject.judge(options.wrong_policy);
  const RowVerdict verdict = subject.judged(out, judge);
  if (points_of(verdict.window) > 2000) return figures.add_too_wide(verdict.boxes);
  figures.add(explained(subject, verdict.window, out), certificate_of(verdict), verdict.boxes,
              [&] { return subject.text(); });
  if (!verdict.conforms && random.chance(1, 4)) judge.require_exact(verdict);
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  Subject subject;
  do {
    const std::int64_t count = random.log_between(16, 512);
    subject = random_subject(random, count, ordinary_class(random));
  } while (subject.rule.activation != figure.dtype);
  const Honest honest = honest_of(subject, random, 0);
  const std::vector<float> right = outputs_of(subject, honest);
  const std::vector<float> wrong = faulty(subject, honest, fault, random);
  if (same_numbers(right, wrong)) return;
  GatedNormJudge judge = subject.judge(options.wrong_policy);
  const bool sees = !subject.judged(wrong, judge).conforms;
  figure.add(sees, !subject.judged(right, judge).conforms);
}

}  // namespace

const FamilyStudy& gated_norm_study() {
  static constexpr auto kOperations = std::to_array<std::string_view>({"gated_rms_norm"});
  static constexpr FamilyStudy kStudy = {"gated norm",
                                         "rows",
                                         kOperations,
                                         {60'000, 30'000, 250},
                                         judge_honest_row,
                                         judge_faulty_row,
                                         kFaults,
                                         kActivationDTypes,
                                         detect};
  return kStudy;
}

}  // namespace normproof::assess::family
