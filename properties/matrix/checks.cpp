#include "properties/matrix/checks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <regex>

#include "corpus/case_json.h"
#include "oracle/witness_judge.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/verification_case.h"
#include "properties/matrix/block_tolerance.h"
#include "properties/matrix/process.h"
#include "properties/matrix/tolerance.h"
#include "properties/property.h"
#include "properties/targets/plugin_target.h"
#include "properties/targets/run_program.h"

namespace normproof::matrix {
namespace {

namespace fs = std::filesystem;

// A cell under way: counts and measures.
class Progress {
 public:
  Cell killed(std::string message) const { return cell(Cell::Outcome::killed, std::move(message)); }
  // Of a check that saw nothing, or was about nothing that the target is made for.
  Cell survived() const { return executions > 0 ? cell(Cell::Outcome::survived, {}) : not_taken(); }
  Cell not_taken() const { return cell(Cell::Outcome::not_taken, "not about what the target takes"); }
  std::int64_t executions = 0;

 private:
  Cell cell(Cell::Outcome outcome, std::string message) const {
    return {outcome, executions, processor_seconds() - begin_, std::move(message), {}};
  }
  double begin_ = processor_seconds();
};

struct NamedCase {
  std::string name;
  Case test_case;
};

// The seeds of real bugs first, as `verify` does.
std::vector<NamedCase> read_corpus(const std::string& folder) {
  auto files = find_case_files(folder);
  std::ranges::sort(files, {}, [](const fs::path& file) {
    return std::pair(file.parent_path().filename() != "seeds", file);
  });
  std::vector<NamedCase> cases;
  for (const fs::path& file : files) cases.push_back({fs::relative(file, folder).string(), read_case(file)});
  return cases;
}

Cell replay_corpus(const std::vector<NamedCase>& cases, const std::string& target_name) {
  const auto target = make_target(target_name);
  Progress progress;
  for (const auto& [name, test_case] : cases) {
    if (!target->takes(test_case)) continue;
    ++progress.executions;
    const Evaluation evaluation = evaluate(test_case, *target);
    if (evaluation.violates()) return progress.killed(name + ": " + describe(test_case, evaluation));
  }
  return progress.survived();
}

Cell check_property_on(const Property& property, const CheckSettings& settings,
                       const std::string& target_name) {
  const auto target = make_target(target_name);
  Tally tally;
  PropertyContext context{*target, tally, settings.seed,       settings.property_cases,
                          {},      {},    [] { return false; }};
  context.shrink = false;
  Progress progress;
  if (property.own_interface && target->is_foreign()) return progress.not_taken();
  const PropertyResult result = property.check(context);
  if (result.cases == 0 && result.not_taken > 0) return progress.not_taken();
  progress.executions = std::max<std::int64_t>(tally.total().cases, result.cases);
  if (result.holds) return progress.survived();
  progress.executions += progress.executions == 0 ? 1 : 0;
  return progress.killed(result.message);
}

Cell judge_random_cases(const CheckSettings& settings, const std::string& target_name) {
  const auto target = make_target(target_name);
  const auto combinations = all_combinations();
  Progress progress;
  for (std::int64_t index = 0; index < settings.random_cases; ++index) {
    const Case test_case = verification_case(settings.seed, index, combinations);
    if (!target->takes(test_case)) continue;
    ++progress.executions;
    const Evaluation evaluation = evaluate(test_case, *target);
    if (evaluation.violates()) return progress.killed(describe(test_case, evaluation));
  }
  return progress.survived();
}

// What `check` says of the outputs, as if they came in a dump: no guard zones, no canonical order.
std::optional<std::string> witness_violation(const Case& test_case, Target& target) {
  const CaseTensors tensors = materialize(test_case);
  const RunResult result = target.run(test_case, tensors);
  if (result.status != RunResult::Status::completed) return std::nullopt;  // there is nothing to judge
  const oracle::WitnessVerdict verdict = oracle::judge_witness(test_case, tensors, result.outputs);
  if (verdict.conforms()) return std::nullopt;
  return fmt::format("{} rounding violations, {} scale violations, {} residual elements in {} rows",
                     verdict.rounding_violations, verdict.scale_violations, verdict.residual_mismatches,
                     verdict.rows);
}

Cell judge_by_witness(const std::vector<NamedCase>& cases, const CheckSettings& settings,
                      const std::string& target_name) {
  const auto target = make_target(target_name);
  const auto combinations = all_combinations();
  Progress progress;
  for (const auto& [name, test_case] : cases) {
    if (!target->takes(test_case)) continue;
    ++progress.executions;
    if (const auto violation = witness_violation(test_case, *target))
      return progress.killed(name + ": " + *violation);
  }
  for (std::int64_t index = 0; index < settings.witness_cases; ++index) {
    const Case test_case = verification_case(settings.seed, index, combinations);
    if (!target->takes(test_case)) continue;
    ++progress.executions;
    if (const auto violation = witness_violation(test_case, *target))
      return progress.killed(fmt::format("random case {}: {}", index, *violation));
  }
  return progress.survived();
}

// The program itself, as a user calls it; it also shrinks and writes the repro.
Cell run_verify(const CheckSettings& settings, const std::string& target_name) {
  std::string folder = target_name;  // which may be a path
  std::ranges::replace_if(folder, [](unsigned char c) { return std::isalnum(c) == 0 && c != '_'; }, '-');
  const fs::path findings = fs::path(settings.findings) / folder;
  fs::remove_all(findings);
  fs::create_directories(findings);
  const fs::path report = findings / "verify.report";
  const Progress progress;
  const ProgramResult result =
      run_program({settings.program, "verify", "--target", target_name, "--seed",
                   std::to_string(settings.seed), "--findings", findings.string(), "--corpus",
                   settings.corpus, "--jobs", "1", "--json", report.string()},
                  {});
  Cell cell;
  if (result.exit_code == 0 || result.exit_code == 1) {
    cell.outcome = result.exit_code == 0 ? Cell::Outcome::survived : Cell::Outcome::killed;
    const std::size_t begin = result.output.find("VIOLATION");
    if (begin != std::string::npos) cell.message = result.output.substr(begin);
  } else {
    cell.message = fmt::format("verify ended with {}: {}", result.exit_code, result.output);
  }
  for (const auto& entry : fs::directory_iterator(findings))
    if (entry.path().extension() == ".json") cell.repro = entry.path().string();
  cell.executions = 1;
  if (std::ifstream stream(report); stream) {
    const auto document = nlohmann::json::parse(stream);
    cell.executions = document.at("total").at("cases").get<std::int64_t>();
    cell.seconds = document.at("seconds").get<double>();
    if (document.contains("first_violation")) {
      cell.executions = document.at("first_violation").at("cases").get<std::int64_t>();
      cell.seconds = document.at("first_violation").at("processor_seconds").get<double>();
    }
  } else if (cell.outcome == Cell::Outcome::killed) {
    cell.outcome = Cell::Outcome::crashed;  // and could not report; the message says so
  }
  return cell;
}

// The fuzzers that run a target.
struct FuzzerColumn {
  const char* name;
  const char* sentence;
  std::int64_t divisor;  // of CheckSettings::fuzzer_runs
  bool own_interface;    // asks for what other people's kernels do not promise
};
constexpr FuzzerColumn kFuzzers[] = {
    {"conformance", "small cases, judged by the contract", 1, false},
    {"wide", "long rows, many rows, large blocks, giant strides, judged by the contract", 10, false},
    {"arguments", "invalid calls, which must be refused", 1, true},
};

Cell run_fuzzer(const FuzzerColumn& fuzzer, const CheckSettings& settings, const std::string& target_name) {
  const Progress progress;
  std::vector<std::string> environment = {"NORMPROOF_TARGET=" + target_name};
  if (names_a_plugin(target_name)) {
    if (fuzzer.own_interface) return progress.not_taken();
    // There is no worker beside the fuzzers.
    environment.push_back("NORMPROOF_WORKER=" + plugin_worker_settings(target_name).program.string());
  }
  const fs::path work = fs::temp_directory_path() / fmt::format("normproof-fuzzer-{}", getpid());
  fs::create_directories(work / "new");
  // A kernel library beside the program, and not beside the fuzzer, whose build has mutants of its own.
  const fs::path mutants = fs::path(settings.program).parent_path().parent_path() / "mutants";
  environment.push_back("NORMPROOF_MUTANTS=" + mutants.string());
  environment.push_back("NORMPROOF_FINDINGS=" + work.string());
  const ProgramResult result = run_program(
      {(fs::path(settings.fuzzers) / fmt::format("{}_fuzzer", fuzzer.name)).string(),
       fmt::format("-runs={}", settings.fuzzer_runs / fuzzer.divisor), fmt::format("-seed={}", settings.seed),
       "-rss_limit_mb=4096", fmt::format("-artifact_prefix={}/", work.string()), (work / "new").string(),
       settings.fuzzer_seeds},
      environment);
  fs::remove_all(work);
  Cell cell;
  const bool found = result.output.find("VIOLATION on target") != std::string::npos ||
                     result.output.find("deadly signal") != std::string::npos ||
                     result.output.find("AddressSanitizer") != std::string::npos;
  cell.outcome = found                   ? Cell::Outcome::killed
                 : result.exit_code == 0 ? Cell::Outcome::survived
                                         : Cell::Outcome::not_run;
  const std::size_t begin = result.output.find("VIOLATION");
  cell.message = begin == std::string::npos ? (cell.outcome == Cell::Outcome::survived ? "" : result.output)
                                            : result.output.substr(begin);
  // libFuzzer's progress lines begin with #N.
  static const std::regex line("(?:^|\\n)#([0-9]+)");
  cell.executions = 1;
  for (auto match = std::sregex_iterator(result.output.begin(), result.output.end(), line);
       match != std::sregex_iterator(); ++match)
    cell.executions = std::stoll((*match)[1]);
  return cell;
}

Cell run_tolerance_test(const ToleranceTest& test, const std::vector<ToleranceCall>& calls,
                        const std::string& target_name) {
  const auto target = make_target(target_name);
  Progress progress;
  for (const ToleranceCall& call : calls) {
    if (!target->takes(call.test_case)) continue;
    ++progress.executions;
    if (const auto what = failure(test, call, *target))
      return progress.killed(fmt::format("{} {}x{} {}: {}", name_of(call.test_case.operation),
                                         call.test_case.rows(), call.test_case.hidden_size(),
                                         name_of(call.test_case.dtype), *what));
  }
  return progress.survived();
}

Cell run_tolerance_test(const BlockToleranceTest& test, const std::vector<BlockToleranceCall>& calls,
                        const std::string& target_name) {
  const auto target = make_target(target_name);
  JudgedTarget* judged = target->judged_target();
  Progress progress;
  for (const BlockToleranceCall& call : calls) {
    if (judged == nullptr || !takes(*judged, call)) continue;
    ++progress.executions;
    if (const auto what = failure(test, call, *judged))
      return progress.killed(fmt::format("{}: {}", subject_of(call.call), *what));
  }
  return progress.survived();
}

// The calls of a tolerance test, made when they are first asked for: those of all tests take seconds.
template <class Test>
class LateCalls {
 public:
  explicit LateCalls(const Test& test) : test_(test) {}
  const auto& get() {
    std::call_once(made_, [this] { calls_ = calls_of(test_); });
    return calls_;
  }

 private:
  const Test& test_;
  std::once_flag made_;
  decltype(calls_of(std::declval<const Test&>())) calls_;
};

// A column for each.
template <class Test>
void add_tolerance_tests(std::span<const Test> tests, std::vector<MatrixCheck>& checks) {
  for (const Test& test : tests) {
    const auto calls = std::make_shared<LateCalls<Test>>(test);
    checks.push_back(
        {std::string(test.name), "theirs", fmt::format("{} ({})", test.source, test.reduction),
         [=, &test](const std::string& target) { return run_tolerance_test(test, calls->get(), target); },
         std::is_same_v<Test, BlockToleranceTest>});
  }
}

}  // namespace

std::vector<MatrixCheck> matrix_checks(const CheckSettings& settings) {
  const auto corpus = std::make_shared<const std::vector<NamedCase>>(read_corpus(settings.corpus));
  std::vector<MatrixCheck> checks;
  checks.push_back({"verify", "verify", "`normproof verify` as it is called by default",
                    [=](const std::string& target) { return run_verify(settings, target); }});
  checks.push_back({"corpus", "ours", fmt::format("replay of the {} cases in corpus/", corpus->size()),
                    [=](const std::string& target) { return replay_corpus(*corpus, target); }});
  for (const Property& property : all_properties()) {
    checks.push_back({std::string(property.name), "ours",
                      fmt::format("property, {} cases: {}", settings.property_cases, property.sentence),
                      [=, &property](const std::string& target) {
                        return check_property_on(property, settings, target);
                      }});
  }
  checks.push_back({"random", "ours", fmt::format("{} random cases of verify", settings.random_cases),
                    [=](const std::string& target) { return judge_random_cases(settings, target); }});
  checks.push_back(
      {"witness", "witness",
       fmt::format("the witness judge on the outputs of the corpus and {} random cases, as `check` "
                   "does with dumps",
                   settings.witness_cases),
       [=](const std::string& target) { return judge_by_witness(*corpus, settings, target); }});
  if (!settings.fuzzers.empty()) {
    for (const FuzzerColumn& fuzzer : kFuzzers) {
      checks.push_back(
          {fmt::format("{} fuzzer", fuzzer.name), "fuzzer",
           fmt::format(
               "{} executions from the seed corpus, of which a kill by a seed counts as one call; the "
               "mutant without instrumentation: {}",
               settings.fuzzer_runs / fuzzer.divisor, fuzzer.sentence),
           [=, &fuzzer](const std::string& target) { return run_fuzzer(fuzzer, settings, target); }});
    }
  }
  add_tolerance_tests(tolerance_tests(), checks);
  add_tolerance_tests(block_tolerance_tests(), checks);
  return checks;
}

}  // namespace normproof::matrix
