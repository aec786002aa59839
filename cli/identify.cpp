// `normproof identify FILE...` or `--target NAME`: which arithmetic produced these outputs?
#include "properties/detective/identify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <system_error>
#include <thread>

#include "cli/commands.h"
#include "cli/each_file.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/given_outputs.h"
#include "cli/html_report.h"
#include "cli/identify_judged.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "cli/result_json.h"
#include "corpus/case_json.h"
#include "corpus/safetensors.h"
#include "properties/detective/discriminate.h"
#include "properties/detective/identification_text.h"
#include "properties/detective/traits.h"
#include "properties/detective/try_policies.h"
#include "properties/judging/in_parallel.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

struct IdentifyOptions {
  std::vector<std::string> files;
  JudgingOptions judging;
  std::string target, html, json, demand;
  std::string dtype, weight, quantized = "fp8_e4m3fn";
  std::int64_t rows = 256;
  std::int64_t hidden_size = 512;
  std::uint64_t seed = 1;
  int threads = 1;
};

int identify_files(const IdentifyOptions& options) {
  int unexplained = 0;
  HtmlReport page;
  ResultJson result = result_document("identify");
  ResultJson list = ResultJson::array();
  const auto take = [&](const std::string& file) {
    if (const auto stored = read_given_call(file, options.judging, true)) {
      GivenCallReport report =
          identify_given_call(file, *stored, options.judging, options.rows, options.threads);
      fmt::print("{}", report.text);
      page.sections.push_back(std::move(report.html));
      list.push_back(std::move(report.json));
      unexplained += !report.good;
      return;
    }
    const GivenOutputs given = read_given_outputs(file, options.judging);
    const RowSlice sample = slice_rows(given.test_case, given.tensors, given.outputs, 0,
                                       std::min(options.rows, given.test_case.rows()));
    if (sample.test_case.rows() == 0) {
      throw UsageError(fmt::format("{}: there are no rows to tell a policy from", file));
    }
    fmt::print("{}: {}\n", file, subject_of(given.test_case));
    if (sample.test_case.rows() < given.test_case.rows()) {
      fmt::print("  from the first {} rows (--rows takes more)\n", sample.test_case.rows());
    }
    const Identification found =
        identify(sample.test_case, sample.tensors, sample.outputs, given.policy.inverse_root,
                 /*sample_rows=*/256, /*seed=*/1, options.threads);
    fmt::print("{}", to_text(found, sample.test_case));
    if (!options.html.empty()) {
      page.sections.push_back(
          identify_section(file,
                           fmt::format("{}; from {} of {} rows", subject_of(given.test_case),
                                       sample.test_case.rows(), given.test_case.rows()),
                           found, sample.test_case));
    }
    ResultJson entry = {{"file", file}, {"subject", subject_of(given.test_case)}};
    entry.update(to_json(found, sample.test_case));
    list.push_back(std::move(entry));
    unexplained += !found.identified();
  };
  const FilesLeftOut left_out = take_each_file(with_calls_of_models(options.files), list, page, take);
  result["files"] = std::move(list);
  page.title = "normproof identify";
  page.good = unexplained + left_out.count() == 0;
  page.verdict = page.good ? "identified" : fmt::format("{} not identified", unexplained + left_out.count());
  const int exit_code = left_out.exit_code(unexplained);
  result["exit_code"] = exit_code;
  return exit_code_after_writing(exit_code, {{options.html, [&] { write_html(options.html, page); }},
                                             {options.json, [&] { write_result(options.json, result); }}});
}

// The shapes that a target is asked about: aligned rows, and rows that no 16-byte access fits.
struct Question {
  std::string name;
  DiscriminatingShape shape;
  std::int64_t offset = 0;
};

std::vector<Question> questions(const IdentifyOptions& options, const Target& target) {
  std::vector<Question> result;
  for (const Operation operation : all_operations()) {
    if (!options.judging.operation.empty() && options.judging.operation != name_of(operation)) continue;
    for (const DType dtype : kActivationDTypes) {
      if (!options.dtype.empty() && options.dtype != name_of(dtype)) continue;
      const DType codes = *dtype_from_name(options.quantized);
      if (quantizes(operation) && !may_quantize_to(operation, codes)) continue;
      for (const CallKind& kind : call_kinds(operation, dtype, codes)) {
        const std::string_view weight_name = kind.weight_dtype ? name_of(*kind.weight_dtype) : "none";
        if (!options.weight.empty() && options.weight != weight_name) continue;
        DiscriminatingShape shape{kind, std::min<std::int64_t>(options.rows, 32), options.hidden_size};
        fit_to(target.limits_of(operation), shape);
        std::string name = fmt::format("{} {}, weight {}", name_of(operation), name_of(dtype), weight_name);
        if (shape.hidden_size != options.hidden_size) name += fmt::format(", H {}", shape.hidden_size);
        result.push_back({name, shape, 0});
        shape.hidden_size = std::max<std::int64_t>(shape.hidden_size - 1, 1);
        result.push_back({name, shape, 1});
      }
    }
  }
  return result;
}

// Cases of the corpus; a file that is no case there is passed over, as `verify` reports it.
std::vector<Case> corpus_cases() {
  std::vector<Case> cases;
  for (const auto& file : find_case_files(default_corpus_folder())) {
    try {
      cases.push_back(read_case(file.string()));
    } catch (const CaseError&) {
      continue;
    }
  }
  return cases;
}

// What the target gave to one question and, where it completed the call, what its outputs say.
struct Answer {
  Question question;
  Case test_case;
  RunResult::Status status = RunResult::Status::not_taken;
  std::string message;          // where it did not complete it: why
  std::string stray_write;      // the first; empty: none
  bool by_given_order = false;  // of --order
  Identification found;
  std::vector<std::string> refuted;  // survivors that other cases refute, with the case
  bool completed() const { return status == RunResult::Status::completed; }
  bool identified() const { return completed() && found.identified(); }
};

// Asks a target its questions and collects what it answers.
class Interrogation {
 public:
  explicit Interrogation(const IdentifyOptions& options)
      : options_(options), target_(make_target(options.target)), corpus_(corpus_cases()) {
    if (options.judging.inverse_root_ulp) inverse_root_.ulp_bound = *options.judging.inverse_root_ulp;
    inverse_root_.sum_depth = options.judging.sum_depth;
    if (!options.judging.order.empty()) orders_ = orders_for(options.judging.order, {});
    inverse_root_.flush_to_zero = options.judging.flush_to_zero;
  }

  int run() {
    const std::vector<Question> asked = questions(options_, *target_);
    fmt::print("target {}{}\n", target_->name(),
               asked.empty() ? ""
                             : fmt::format(", H {} aligned and H {} shifted by one element",
                                           options_.hidden_size, options_.hidden_size - 1));
    // Two questions each, of the same operation and dtypes: aligned and shifted.
    std::vector<Answer> answers(asked.size());
    const auto ask_pair = [&](std::int64_t pair) {
      Answer &aligned = answers[at(2 * pair)], &shifted = answers[at(2 * pair + 1)];
      aligned = ask(asked[at(2 * pair)]);
      shifted = ask(asked[at(2 * pair + 1)]);
      try_on_more(aligned, shifted);
    };
    const auto report_pair = [&](std::int64_t pair) {
      Answer &aligned = answers[at(2 * pair)], &shifted = answers[at(2 * pair + 1)];
      progress_.clear();
      note(aligned);
      note(shifted);
      report(aligned);
      report(shifted);
      compare_paths(aligned, shifted);
      std::fflush(stdout);
      progress_.show("identifying", 2 * pair + 2, 0,
                     static_cast<double>(2 * pair + 2) / static_cast<double>(asked.size()));
    };
    in_parallel_in_order(static_cast<std::int64_t>(asked.size() / 2), options_.threads, ask_pair,
                         report_pair);
    progress_.clear();
    compare_operations();
    ask_of_judged();
    observe();
    return conclude(static_cast<int>(asked.size()) + judged_.asked);
  }

 private:
  static std::string where_of(const Question& question) {
    return fmt::format("{:<60} {:<8}", question.name, question.offset == 0 ? "aligned" : "shifted");
  }

  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

  // On any thread.
  Answer ask(const Question& question) const {
    Answer answer;
    answer.question = question;
    answer.test_case = discriminating_case(question.shape, question.offset,
                                           target_->limits_of(question.shape.operation), options_.seed);
    const CaseTensors tensors = materialize(answer.test_case);
    const RunResult run = target_->run(answer.test_case, tensors);
    answer.status = run.status;
    answer.message = run.message;
    if (!answer.completed()) return answer;
    if (!run.memory_violations.empty()) answer.stray_write = run.memory_violations.front();
    const oracle::GivenOrder* order = orders_ ? orders_->find(answer.test_case) : nullptr;
    answer.by_given_order = order != nullptr;
    answer.found =
        identify(answer.test_case, tensors, run.outputs, model_with(order), options_.rows, options_.seed);
    return answer;
  }

  // Counts and prints what is no finding of a policy.
  void note(const Answer& answer) {
    const std::string where = where_of(answer.question);
    by_order_ += answer.by_given_order;
    not_taken_ += answer.status == RunResult::Status::not_taken;
    if (answer.completed()) {
      if (!shape_) shape_ = answer.question;
      if (answer.stray_write.empty()) return;
      fmt::print("  {} {}\n", where, answer.stray_write);
      calls_.push_back({where, answer.stray_write, false, {}});
      ++damaging_;
    } else if (answer.status != RunResult::Status::not_taken) {
      fmt::print("  {} {}: {}\n", where, answer.status == RunResult::Status::refused ? "refused" : "failed",
                 answer.message);
      calls_.push_back({where, answer.message, false, {}});
      ++failed_;
    }
  }

  // With the order of --order, where it has one for the case.
  oracle::InverseRootModel model_with(const oracle::GivenOrder* order) const {
    if (order == nullptr) return inverse_root_;
    oracle::Policy policy;
    policy.inverse_root = inverse_root_;
    const bool asked = options_.judging.inverse_root_ulp.has_value();
    oracle::InverseRootModel model = oracle::with_order(policy, *order).inverse_root;
    if (asked) model.ulp_bound = inverse_root_.ulp_bound;
    return model;
  }

  // Takes away the survivors that other cases refute. Where the two paths differ, a case may follow either.
  void try_on_more(Answer& aligned, Answer& shifted) const {
    const auto of_aligned = aligned.found.survivors, of_shifted = shifted.found.survivors;
    const auto try_one = [&](Answer& answer, const std::vector<oracle::Policy>& others) {
      if (!answer.identified()) return;
      std::vector<oracle::Policy> excused;
      for (const oracle::Policy& policy : others) {
        if (std::ranges::find(answer.found.survivors, policy) == answer.found.survivors.end())
          excused.push_back(policy);
      }
      std::vector<Case> cases = trial_cases(answer.test_case, options_.seed);
      for (const Case& test_case : corpus_) {
        if (is_like(test_case, answer.test_case) && test_case.rows() > 0) cases.push_back(test_case);
      }
      const auto refuted = refutations(*target_, answer.found.survivors, excused, cases);
      std::vector<oracle::Policy> left;
      for (std::size_t i = 0; i < refuted.size(); ++i) {
        const oracle::Policy& policy = answer.found.survivors[i];
        if (!refuted[i]) left.push_back(policy);
        if (refuted[i])
          answer.refuted.push_back(fmt::format("{} is refuted by {}", axes_text(policy), *refuted[i]));
      }
      answer.found.survivors = std::move(left);
      if (answer.found.identified()) answer.found.best = answer.found.survivors.front();
    };
    try_one(aligned, of_shifted);
    try_one(shifted, of_aligned);
  }

  void report(const Answer& answer) {
    if (!answer.completed()) return;
    const std::string where = where_of(answer.question);
    const Identification& found = answer.found;
    if (found.identified()) {
      std::vector<std::string> others;
      for (const oracle::Policy& rival : found.rivals()) others.push_back(axes_text(rival));
      const std::string policy =
          axes_text(found.best) + (others.empty() ? "" : fmt::format(" (or {})", fmt::join(others, " or ")));
      fmt::print("  {} {}\n", where, policy);
      calls_.push_back({where, policy, true, {}});
      identified_.push_back(answer);
      return;
    }
    std::string details;
    for (const std::string& refuted : answer.refuted)
      details += indented("explains these rows, but " + refuted, "  ");
    if (answer.refuted.empty()) details = to_text(found, answer.test_case);
    fmt::print("  {} none of the {} known policies\n{}", where, found.policies, details);
    calls_.push_back({where, "none of the known policies", false, details});
    ++unexplained_;
  }

  void compare_paths(const Answer& aligned, const Answer& shifted) {
    if (!aligned.identified() || !shifted.identified()) return;
    const bool common = std::ranges::any_of(aligned.found.survivors, [&](const oracle::Policy& policy) {
      return std::ranges::find(shifted.found.survivors, policy) != shifted.found.survivors.end();
    });
    if (common) return;
    ++two_paths_;
    const std::string text = fmt::format("aligned and shifted rows are rounded differently: {} and {}",
                                         axes_text(aligned.found.best), axes_text(shifted.found.best));
    fmt::print("  {}: {}\n", aligned.question.name, text);
    calls_.push_back({aligned.question.name, text, false, {}});
  }

  // Axis by axis: a value that survives in every call whose case has the axis.
  void compare_operations() {
    for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis) {
      const oracle::PolicyAxis& table = oracle::policy_axes()[axis];
      std::vector<bool> common(table.values.size(), true);
      std::vector<std::string> lines;
      for (const Answer& answer : identified_) {
        for (const AxisFinding& finding : answer.found.axes) {
          if (finding.name != table.name) continue;
          for (std::size_t value = 0; value < common.size(); ++value)
            common[value] = common[value] && finding.values[value].survives;
          const auto value = oracle::axis_value(answer.found.best, axis);
          lines.push_back(fmt::format("    {} {}", where_of(answer.question), table.values[value].name));
        }
      }
      if (lines.empty() || std::ranges::find(common, true) != common.end()) continue;
      inconsistent_ = true;
      fmt::print("no one policy: axis {} has no value that fits every call{}\n", table.name,
                 options_.demand.empty() ? " (--demand one-policy makes this a violation)" : "");
      for (const std::string& line : lines) fmt::print("{}\n", line);
    }
  }

  // Judged operations of the target.
  void ask_of_judged() {
    JudgedTarget* judged = target_->judged_target();
    if (judged == nullptr || operation_from_name(options_.judging.operation)) return;
    judged_ = identify_judged(
        *judged,
        {options_.judging.operation, options_.dtype, options_.weight, options_.judging.inverse_root_ulp,
         options_.judging.sum_depth, options_.seed, dtype_from_name(options_.quantized), options_.threads},
        progress_);
    unexplained_ += judged_.unexplained;
    failed_ += judged_.failed;
    damaging_ += judged_.damaging;
    not_taken_ += judged_.not_taken;
    inconsistent_ = inconsistent_ || !judged_.one_policy;
    calls_.insert(calls_.end(), judged_.calls.begin(), judged_.calls.end());
  }

  void observe() {
    if (!shape_) return;
    fmt::print("traits, {}\n", shape_->name);
    traits_ = observe_traits(*target_, shape_->shape);
    for (const Trait& trait : traits_) fmt::print("  {:<44} {}\n", trait.question, trait.answer);
  }

  int conclude(int asked) const {
    if (orders_)
      fmt::print("{} of {} questions were judged by an order in {}, the others by any order of summation\n",
                 by_order_, asked, options_.judging.order);
    if (not_taken_ > 0) fmt::print("{} of {} calls not supported by the target\n", not_taken_, asked);
    if (failed_ > 0) fmt::print("{} of {} questions not answered by the target\n", failed_, asked);
    if (damaging_ > 0)
      fmt::print("{} of {} answers changed memory that is not the output's\n", damaging_, asked);
    if (two_paths_ > 0) fmt::print("{} calls are rounded otherwise where they are aligned\n", two_paths_);
    const bool broken = options_.demand == "one-policy" && inconsistent_;
    HtmlReport page;
    page.title = fmt::format("normproof identify: target {}", target_->name());
    page.good = unexplained_ + failed_ + damaging_ + two_paths_ == 0 && !broken;
    page.verdict = page.good
                       ? "identified"
                       : fmt::format(
                             "{} not identified, {} with stray writes, {} rounded otherwise where "
                             "they are aligned{}",
                             unexplained_ + failed_, damaging_, two_paths_, broken ? ", no one policy" : "");
    page.sections.push_back(identify_target_section(target_->name(), options_.seed, calls_, traits_));
    // A kernel that does not survive a question, or refuses a well-formed one, violates the contract.
    const bool nothing_answered = failed_ + not_taken_ == asked;
    if (nothing_answered) {
      fmt::print(stderr, "normproof: target {} answered none of {} questions: nothing was identified\n",
                 target_->name(), asked);
    }
    const int exit_code = nothing_answered ? kCouldNotRun : page.good ? kAllGood : kViolationFound;
    return exit_code_after_writing(
        exit_code, {{options_.html, [&] { write_html(options_.html, page); }},
                    {options_.json, [&] { write_result(options_.json, result(asked, exit_code)); }}});
  }

  ResultJson result(int asked, int exit_code) const {
    ResultJson document = result_document("identify");
    document.update({{"target", target_->name()},
                     {"seed", options_.seed},
                     {"questions", asked},
                     {"not_taken", not_taken_},
                     {"not_answered", failed_},
                     {"one_policy", !inconsistent_},
                     {"calls", ResultJson::array()},
                     {"traits", ResultJson::array()}});
    const std::size_t of_cases = calls_.size() - judged_.calls.size();
    for (const IdentifiedCall& call : std::span(calls_).first(of_cases))
      document["calls"].push_back(
          {{"call", call.call}, {"answer", call.policy}, {"identified", call.identified}});
    for (const ResultJson& call : judged_.json) document["calls"].push_back(call);
    for (const Trait& trait : traits_)
      document["traits"].push_back({{"question", trait.question}, {"answer", trait.answer}});
    document["exit_code"] = exit_code;
    return document;
  }

  const IdentifyOptions& options_;
  std::unique_ptr<Target> target_;
  std::vector<Case> corpus_;
  oracle::InverseRootModel inverse_root_;
  std::shared_ptr<const oracle::Orders> orders_;
  int by_order_ = 0;
  Progress progress_;
  std::optional<Question> shape_;  // of the first answer, for the traits
  std::vector<Answer> identified_;
  std::vector<IdentifiedCall> calls_;
  std::vector<Trait> traits_;
  JudgedAnswers judged_;
  int unexplained_ = 0, failed_ = 0, damaging_ = 0, not_taken_ = 0, two_paths_ = 0;
  bool inconsistent_ = false;
};

int identify_command(const IdentifyOptions& options) {
  if (options.files.empty() == options.target.empty()) {
    throw UsageError("identify takes files, or --target NAME");
  }
  return options.target.empty() ? identify_files(options) : Interrogation(options).run();
}

}  // namespace

Action add_identify(CLI::App& command) {
  const auto options = std::make_shared<IdentifyOptions>();
  options->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add_option("files", options->files, "Dumps (*.safetensors), or case files (*.json) with outputs");
  add_judging_options(command, options->judging, false);
  command.add_option(
      "--target", options->target,
      "Run this target on inputs made to tell policies apart; `normproof list` names the targets");
  command.add_option("--dtype", options->dtype, "With --target: only this activation dtype")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}));
  command.add_option("--weight", options->weight, "With --target: only weights of this dtype, or none")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32", "none"}));
  command
      .add_option("--quantized", options->quantized,
                  "With --target: the output dtype of what quantizes; int8 where each row gets a scale")
      ->check(names_codes())
      ->capture_default_str();
  command.add_option("--rows", options->rows, "Rows to look at; with --target at most 32")
      ->check(CLI::Range(std::int64_t{8}, INT64_MAX))
      ->capture_default_str();
  command.add_option("--hidden,--hidden-size", options->hidden_size, "With --target: the hidden size")
      ->check(CLI::Range(std::int64_t{64}, std::int64_t{65536}))
      ->capture_default_str();
  command
      .add_option("--demand", options->demand,
                  "With --target: one-policy, a violation where the operations and dtypes do not share one")
      ->check(CLI::IsMember({"one-policy"}));
  command.add_option("--json", options->json, "Write the findings to this file");
  command.add_option("--html", options->html, "Write a page with the findings to this file");
  command.add_option("--seed", options->seed, "With --target: the seed of the inputs")->capture_default_str();
  command.add_option("--jobs,--threads", options->threads, "Threads; what is found does not depend on them")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  return [options] { return identify_command(*options); };
}

}  // namespace normproof
