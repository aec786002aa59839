// `normproof identify FILE...` or `--target NAME`: which arithmetic produced these outputs?
#include "properties/run/identify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <system_error>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/given_outputs.h"
#include "cli/html_report.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/case_json.h"
#include "corpus/safetensors.h"
#include "properties/run/discriminate.h"
#include "properties/run/judge_rows.h"
#include "properties/run/report_text.h"
#include "properties/run/target.h"
#include "properties/run/traits.h"

namespace normproof {
namespace {

struct IdentifyOptions {
  std::vector<std::string> files;
  JudgingOptions judging;
  std::string target, html;
  std::string dtype, weight, quantized = "fp8_e4m3fn";
  std::int64_t rows = 256;
  std::int64_t hidden_size = 512;
  std::uint64_t seed = 1;
};

int identify_files(const IdentifyOptions& options) {
  int unexplained = 0, unreadable = 0, not_run = 0;
  HtmlReport page;
  const auto could_not_read = [&](const std::string& file, const std::exception& error, int& count) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    page.sections.push_back(error_section(file, error.what()));
    ++count;
  };
  for (const std::string& file : options.files) {
    try {
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
          identify(sample.test_case, sample.tensors, sample.outputs, given.policy.inverse_root);
      fmt::print("{}", to_text(found, sample.test_case));
      if (!options.html.empty()) {
        page.sections.push_back(
            identify_section(file,
                             fmt::format("{}; from {} of {} rows", subject_of(given.test_case),
                                         sample.test_case.rows(), given.test_case.rows()),
                             found, sample.test_case));
      }
      unexplained += !found.identified();
    } catch (const CaseError& error) {
      could_not_read(file, error, unreadable);
    } catch (const SafetensorsError& error) {
      could_not_read(file, error, unreadable);
    } catch (const std::system_error& error) {
      could_not_read(file, error, not_run);
    }
  }
  page.title = "normproof identify";
  page.good = unexplained + unreadable + not_run == 0;
  page.verdict =
      page.good ? "identified" : fmt::format("{} not identified", unexplained + unreadable + not_run);
  const int exit_code = unexplained > 0  ? kViolationFound
                        : unreadable > 0 ? kUsageError
                        : not_run > 0    ? kCouldNotRun
                                         : kAllGood;
  return exit_code_after_writing(exit_code, {{options.html, [&] { write_html(options.html, page); }}});
}

// The shapes that a target is asked about: aligned rows, and rows that no 16-byte access fits.
struct Question {
  std::string name;
  DiscriminatingShape shape;
  std::int64_t offset = 0;
};

std::vector<Question> questions(const IdentifyOptions& options) {
  std::vector<Question> result;
  for (const Operation operation : kOperations) {
    if (!options.judging.operation.empty() && options.judging.operation != name_of(operation)) continue;
    for (const DType dtype : kActivationDTypes) {
      if (!options.dtype.empty() && options.dtype != name_of(dtype)) continue;
      std::vector<std::optional<DType>> weights = {dtype};
      if (dtype != DType::fp32) weights.push_back(DType::fp32);
      weights.push_back(std::nullopt);
      for (const auto& weight : weights) {
        const std::string_view weight_name = weight ? name_of(*weight) : "none";
        if (!options.weight.empty() && options.weight != weight_name) continue;
        DiscriminatingShape shape{
            operation,          dtype, weight, std::nullopt, std::min<std::int64_t>(options.rows, 32),
            options.hidden_size};
        if (quantizes(operation)) shape.quantized_dtype = dtype_from_name(options.quantized);
        const std::string name =
            fmt::format("{} {}, weight {}", name_of(operation), name_of(dtype), weight_name);
        result.push_back({name, shape, 0});
        shape.hidden_size = options.hidden_size - 1;
        result.push_back({name, shape, 1});
      }
    }
  }
  return result;
}

Case case_of(const Question& question, std::uint64_t seed) {
  Case test_case = discriminating_case(question.shape, seed);
  test_case.input_layout.offset = question.offset;
  if (test_case.operation != Operation::fused_add_rms_norm) test_case.output_layout.offset = question.offset;
  return test_case;
}

int identify_target(const IdentifyOptions& options) {
  const auto target = make_target(options.target);
  oracle::InverseRootModel inverse_root;
  if (options.judging.inverse_root_ulp) inverse_root.ulp_bound = *options.judging.inverse_root_ulp;
  inverse_root.sum_depth = options.judging.sum_depth;
  inverse_root.flush_to_zero = options.judging.flush_to_zero;
  int unexplained = 0, failed = 0, damaging = 0, not_taken = 0;
  std::optional<Question> answered;
  std::vector<IdentifiedCall> calls;
  std::vector<Trait> traits;
  Progress progress;
  const auto asked = questions(options);
  fmt::print("target {}, H {} aligned and H {} shifted by one element\n", target->name(), options.hidden_size,
             options.hidden_size - 1);
  for (std::size_t index = 0; index < asked.size(); ++index) {
    const Question& question = asked[index];
    const Case test_case = case_of(question, options.seed);
    const CaseTensors tensors = materialize(test_case);
    const RunResult run = target->run(test_case, tensors);
    progress.show("identifying", static_cast<std::int64_t>(index), 0,
                  static_cast<double>(index) / static_cast<double>(asked.size()));
    if (run.status == RunResult::Status::not_taken) {
      ++not_taken;
      continue;
    }
    const std::string where =
        fmt::format("{:<60} {:<8}", question.name, question.offset == 0 ? "aligned" : "shifted");
    if (run.status != RunResult::Status::completed) {
      progress.clear();
      fmt::print("  {} {}: {}\n", where, run.status == RunResult::Status::refused ? "refused" : "failed",
                 run.message);
      calls.push_back({where, run.message, false, {}});
      ++failed;
      continue;
    }
    const Identification found = identify(test_case, tensors, run.outputs, inverse_root);
    progress.clear();
    if (!run.memory_violations.empty()) {
      fmt::print("  {} {}\n", where, run.memory_violations.front());
      calls.push_back({where, run.memory_violations.front(), false, {}});
      ++damaging;
    }
    if (!answered) answered = question;
    if (found.identified()) {
      std::vector<std::string> others;
      for (const oracle::Policy& survivor : found.survivors) {
        if (survivor == found.best || found.unique()) continue;
        others.push_back(axes_text(survivor));
      }
      const std::string policy =
          axes_text(found.best) + (others.empty() ? "" : fmt::format(" (or {})", fmt::join(others, " or ")));
      fmt::print("  {} {}\n", where, policy);
      calls.push_back({where, policy, true, {}});
    } else {
      const std::string details = to_text(found, test_case);
      fmt::print("  {} none of the {} known policies\n{}", where, found.policies, details);
      calls.push_back({where, "none of the known policies", false, details});
      ++unexplained;
    }
    std::fflush(stdout);
  }
  if (answered) {
    fmt::print("traits, {}\n", answered->name);
    traits = observe_traits(*target, answered->shape);
    for (const Trait& trait : traits) {
      fmt::print("  {:<44} {}\n", trait.question, trait.answer);
    }
  }
  if (not_taken > 0) fmt::print("{} of {} questions not taken by the target\n", not_taken, asked.size());
  if (failed > 0) fmt::print("{} of {} questions not answered by the target\n", failed, asked.size());
  if (damaging > 0)
    fmt::print("{} of {} answers changed memory that is not the output's\n", damaging, asked.size());
  HtmlReport page;
  page.title = fmt::format("normproof identify: target {}", target->name());
  page.good = unexplained + failed + damaging == 0;
  page.verdict = page.good
                     ? "identified"
                     : fmt::format("{} not identified, {} with stray writes", unexplained + failed, damaging);
  page.sections.push_back(identify_target_section(target->name(), options.seed, calls, traits));
  // A kernel that does not survive a question, or refuses a well-formed one, violates the contract.
  const bool nothing_answered = failed + not_taken == static_cast<int>(asked.size());
  const int exit_code = nothing_answered ? kCouldNotRun : page.good ? kAllGood : kViolationFound;
  if (nothing_answered) {
    fmt::print(stderr, "normproof: target {} answered none of {} questions: nothing was identified\n",
               target->name(), asked.size());
  }
  return exit_code_after_writing(exit_code, {{options.html, [&] { write_html(options.html, page); }}});
}

int identify_command(const IdentifyOptions& options) {
  if (options.files.empty() == options.target.empty()) {
    throw UsageError("identify takes files, or --target NAME");
  }
  return options.target.empty() ? identify_files(options) : identify_target(options);
}

}  // namespace

Action add_identify(CLI::App& command) {
  const auto options = std::make_shared<IdentifyOptions>();
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
      .add_option("--quantized", options->quantized, "With --target: the output dtype of the fp8 operations")
      ->check(CLI::IsMember({"fp8_e4m3fn", "fp8_e5m2", "fp8_e4m3fnuz", "fp8_e5m2fnuz"}))
      ->capture_default_str();
  command.add_option("--rows", options->rows, "Rows to look at; with --target at most 32")
      ->check(CLI::Range(std::int64_t{8}, INT64_MAX))
      ->capture_default_str();
  command.add_option("--hidden-size", options->hidden_size, "With --target: the hidden size")
      ->check(CLI::Range(std::int64_t{64}, std::int64_t{65536}))
      ->capture_default_str();
  command.add_option("--html", options->html, "Write a page with the findings to this file");
  command.add_option("--seed", options->seed, "With --target: the seed of the inputs")->capture_default_str();
  return [options] { return identify_command(*options); };
}

}  // namespace normproof
