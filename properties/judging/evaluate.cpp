#include "properties/judging/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "corpus/generate.h"
#include "oracle/canonical_judge.h"
#include "oracle/formats.h"
#include "oracle/witness_judge.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"
#include "properties/targets/guarded_tensor.h"

namespace normproof {
namespace {

// As many violating rows as are listed.
constexpr std::int64_t kFirstViolations = oracle::kMaximumListed;

// Judges the outputs of a completed run; the witness judge stops after so many
// violating rows, if there is a limit.
void judge(const Case& test_case, const CaseTensors& tensors, const Judging& judging, std::int64_t stop_after,
           Evaluation& evaluation) {
  evaluation.policy = judging.policy_of(test_case);
  const bool by_order = evaluation.policy.inverse_root.order != nullptr;
  if (judging.canonical && !by_order) {
    evaluation.verdict = oracle::judge_canonical(test_case, tensors, evaluation.run.outputs, judging.policy);
    return;
  }
  oracle::WitnessOptions options;
  options.stop_after = stop_after;
  oracle::WitnessVerdict verdict =
      oracle::judge_witness(test_case, tensors, evaluation.run.outputs, evaluation.policy, options);
  evaluation.verdict.rows = verdict.rows;
  evaluation.verdict.elements = verdict.elements;
  evaluation.verdict.special_rows = verdict.special_rows;
  evaluation.verdict.mismatches =
      verdict.rounding_violations + verdict.scale_violations + verdict.residual_mismatches;
  evaluation.verdict.first_mismatches = std::move(verdict.first_residual_mismatches);
  evaluation.certificates = std::move(verdict.first_violations);
}

// How far the r that give the element's bits are from the correctly rounded one.
std::int64_t distance_from_root(const oracle::CertificateElement& element, std::int64_t root) {
  const oracle::RootInterval& needs = element.needs;
  if (needs.empty()) return INT64_MAX;
  return std::max<std::int64_t>({needs.low - root, root - needs.high, 0});
}

}  // namespace

std::optional<std::pair<std::int64_t, std::int64_t>> Evaluation::first_wrong_element() const {
  if (!verdict.first_mismatches.empty())
    return std::pair(verdict.first_mismatches.front().row, verdict.first_mismatches.front().column);
  if (certificates.empty()) return std::nullopt;
  // Of two elements that no r explains together, the honest r explains one as a rule: the other is wrong.
  const oracle::Certificate& certificate = certificates.front();
  const auto root = static_cast<std::int64_t>(certificate.correctly_rounded_root);
  const auto wrong = std::ranges::max_element(
      certificate.elements, {},
      [root](const oracle::CertificateElement& element) { return distance_from_root(element, root); });
  return std::pair(certificate.row, wrong->column);
}

std::string_view name_of(Evaluation::Outcome outcome) {
  switch (outcome) {
    case Evaluation::Outcome::conforms:
      return "conforms";
    case Evaluation::Outcome::refused_as_demanded:
      return "refused as demanded";
    case Evaluation::Outcome::wrong_bits:
      return "wrong bits";
    case Evaluation::Outcome::memory:
      return "memory violation";
    case Evaluation::Outcome::refused_valid:
      return "refused a valid call";
    case Evaluation::Outcome::accepted_invalid:
      return "carried out an invalid call";
    case Evaluation::Outcome::failed:
      return "the target failed";
    case Evaluation::Outcome::disagrees:
      return "two targets disagree";
    case Evaluation::Outcome::not_taken:
      return "not taken";
  }
  return "?";
}

bool must_be_refused(const Case& test_case) {
  return test_case.launch.path == KernelPath::vectorized && !vectorizable(test_case);
}

namespace {

// What is to be said of the result of a run.
Evaluation evaluated(const Case& test_case, const CaseTensors& tensors, const Target& target,
                     RunResult result, std::int64_t stop_after = -1) {
  using Outcome = Evaluation::Outcome;
  Evaluation evaluation;
  evaluation.run = std::move(result);
  const bool must_refuse = !target.is_foreign() && must_be_refused(test_case);
  switch (evaluation.run.status) {
    case RunResult::Status::completed:
      judge(test_case, tensors, target.judging(), stop_after, evaluation);
      evaluation.outcome = must_refuse                     ? Outcome::accepted_invalid
                           : evaluation.verdict.conforms() ? Outcome::conforms
                                                           : Outcome::wrong_bits;
      break;
    case RunResult::Status::refused:
      evaluation.outcome = must_refuse ? Outcome::refused_as_demanded : Outcome::refused_valid;
      break;
    case RunResult::Status::failed:
      evaluation.outcome = Outcome::failed;
      break;
    case RunResult::Status::not_taken:
      evaluation.outcome = Outcome::not_taken;
      break;
  }
  if (!evaluation.violates() && !evaluation.run.memory_violations.empty())
    evaluation.outcome = Outcome::memory;
  if (!evaluation.violates() && !evaluation.run.disagreement.empty()) evaluation.outcome = Outcome::disagrees;
  return evaluation;
}

// Of what no target has outputs are judged as they were given.
RunResult run_on(Target& target, const Case& test_case, const CaseTensors& tensors) {
  if (const std::string what = test_case.what_no_target_has(); !what.empty())
    throw TargetError(
        fmt::format("the case has {}, which no target has: `normproof check` judges its outputs", what));
  return target.run(test_case, tensors);
}

}  // namespace

Evaluation evaluate(const Case& test_case, Target& target) {
  return evaluate(test_case, materialize(test_case), target);
}

Evaluation evaluate(const Case& test_case, const CaseTensors& tensors, Target& target) {
  return evaluated(test_case, tensors, target, run_on(target, test_case, tensors));
}

Evaluation evaluate_until_violation(const Case& test_case, Target& target) {
  const CaseTensors tensors = materialize(test_case);
  return evaluated(test_case, tensors, target, run_on(target, test_case, tensors), kFirstViolations);
}

Evaluation judge_run(const Case& test_case, const Target& target, RunResult result) {
  return evaluated(test_case, materialize(test_case), target, std::move(result));
}

std::vector<Evaluation> evaluate_all(std::span<const RunRequest> requests, Target& target) {
  std::vector<RunResult> results = target.run_all(requests);
  std::vector<Evaluation> evaluations;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto& [test_case, tensors] = requests[i];
    Evaluation evaluation = evaluated(*test_case, *tensors, target, std::move(results[i]));
    // What a target did not survive it has tried alone already.
    const bool did_harm = evaluation.violates() && evaluation.outcome != Evaluation::Outcome::failed;
    if (did_harm && requests.size() > 1) {
      Evaluation alone = evaluate(*test_case, *tensors, target);
      if (alone.violates()) {
        evaluation = std::move(alone);
      } else {
        if (!evaluation.run.message.empty()) evaluation.run.message += "; ";
        evaluation.run.message +=
            "alone the case passes: another one that ran beside it may have done the damage";
      }
    }
    evaluations.push_back(std::move(evaluation));
  }
  return evaluations;
}

namespace {

// Bits of an element that holds what a target's outputs are filled with before a call.
std::uint32_t unwritten_bits(DType dtype) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < size_of(dtype); ++i) bits = bits << 8 | static_cast<std::uint32_t>(kCanary);
  return bits;
}

// Where one of the elements that are listed holds that, how many do: a line for each output. Of one byte
// every 256th number is the same, so nothing is said of codes; an output in place holds its input.
std::string unwritten_text(const Case& test_case, const Evaluation& evaluation) {
  std::string text;
  for (const Role role : kRoles) {
    const DType dtype = test_case.dtype_of(role);
    if (!test_case.has_output(role) || size_of(dtype) < 2 || test_case.memory_of(role) != role) continue;
    const std::uint32_t unwritten = unwritten_bits(dtype);
    const auto is_listed = [&](const auto& element) {
      return element.tensor == role && element.got == unwritten;
    };
    const bool is_any_listed =
        std::ranges::any_of(evaluation.verdict.first_mismatches, is_listed) ||
        std::ranges::any_of(evaluation.certificates, [&](const oracle::Certificate& certificate) {
          return std::ranges::any_of(certificate.elements, is_listed);
        });
    if (!is_any_listed) continue;
    const std::vector<std::byte>& bytes = evaluation.run.outputs[role];
    const auto elements = static_cast<std::int64_t>(bytes.size() / size_of(dtype));
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < elements; ++i) count += load_bits(bytes, dtype, i) == unwritten;
    text += fmt::format("  {}: {} of {} elements not written: {} is what it is filled with before a call\n",
                        name_of(role), count, elements, oracle::hex_bits(dtype, unwritten));
  }
  return text;
}

}  // namespace

std::string describe(const Case& test_case, const Evaluation& evaluation, std::string_view authority) {
  std::string text = fmt::format("{}, {} {}x{}", name_of(evaluation.outcome), name_of(test_case.operation),
                                 test_case.rows(), test_case.hidden_size());
  text += fmt::format(" {}, weight {}", name_of(test_case.dtype),
                      test_case.weight_dtype ? name_of(*test_case.weight_dtype) : "none");
  if (test_case.has_codes()) text += fmt::format(", out {}", name_of(test_case.output_dtype()));
  text += upper_bound_text(test_case);
  if (evaluation.run.path != KernelPath::automatic) {
    text += evaluation.run.path == KernelPath::vectorized ? ", vectorized path" : ", scalar path";
  }
  text += '\n';
  if (!evaluation.run.message.empty()) text += fmt::format("  the target says: {}\n", evaluation.run.message);
  if (!evaluation.run.disagreement.empty()) text += fmt::format("  {}\n", evaluation.run.disagreement);
  for (const auto& violation : evaluation.run.memory_violations) text += fmt::format("  {}\n", violation);
  if (!evaluation.certificates.empty()) {
    const oracle::Formula formula = oracle::formula_of(test_case, evaluation.policy);
    for (const auto& certificate : evaluation.certificates)
      text += indented(to_text(certificate, formula), "  ");
  }
  for (const auto& mismatch : evaluation.verdict.first_mismatches)
    text += fmt::format("  {}\n", mismatch_line(mismatch, authority));
  text += unwritten_text(test_case, evaluation);
  const auto listed =
      static_cast<std::int64_t>(evaluation.verdict.first_mismatches.size() + evaluation.certificates.size());
  if (evaluation.verdict.mismatches > listed) {
    const std::int64_t more = evaluation.verdict.mismatches - listed;
    text += evaluation.certificates.empty()
                ? fmt::format("  and {} more of {} elements\n", more, evaluation.verdict.elements)
                : fmt::format("  and {} more of {} rows and of the elements of {}\n", more,
                              evaluation.verdict.rows, name_of(normalized_tensor(test_case.operation)));
  }
  return text;
}

}  // namespace normproof
