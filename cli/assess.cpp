// `normproof assess`: how good are the judges themselves? Measures false rejections, agreement with brute
// force, which share of known faults they see, and whether verify's sizes show the bugs of many rows.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

#include "cli/assess_family.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "oracle/judged/operation.h"
#include "properties/assess/brute_force.h"
#include "properties/assess/detection.h"
#include "properties/assess/false_rejections.h"
#include "properties/assess/many_rows.h"
#include "properties/assess/naming.h"

namespace normproof {
namespace {

using assess::BruteForceAgreement;
using assess::DetectionFigure;
using assess::FalseRejections;
using assess::ManyRowsFigure;
using assess::NamingFigures;
using assess::family::FamilyFigures;
using assess::family::FamilyStudy;
using normproof::json_of;  // of a study of the norm family
using normproof::print;
using Json = nlohmann::ordered_json;

struct AssessOptions {
  std::uint64_t seed = 1;
  int threads = 1;
  bool quick = false;
  bool plant_wrong_policy = false;
  std::vector<std::string> operations;
  std::int64_t rows = 0;  // of honest kernels in each study; 0: as usual
  std::string json;
};

// How much a run measures.
struct Extent {
  std::int64_t elements;
  std::int64_t pairs;
  double trials;  // share of the whole number
  std::size_t naming_shapes;
  std::int64_t seeds;
  std::int64_t family;  // a study of the norm family has its own number of rows divided by this
};
constexpr Extent kWhole = {200'000'000, 1'100'000, 1, assess::kNamingShapes, 5, 1};
constexpr Extent kQuick = {2'000'000, 10'000, 0.02, 1, 1, 50};

bool passed(const FalseRejections& figures) { return figures.total().rejected == 0; }
bool passed(const BruteForceAgreement& figures) { return figures.disagreements == 0; }
bool passed(const std::vector<DetectionFigure>& figures) {
  return std::ranges::all_of(figures, &DetectionFigure::reached);
}

bool passed(const NamingFigures& figures) {
  return figures.as_target == 0 && figures.rightly_named == figures.described_runs;
}

bool passed(const std::vector<ManyRowsFigure>& figures) {
  return std::ranges::all_of(figures, &ManyRowsFigure::reached);
}

void print(const FalseRejections& figures) {
  fmt::print(
      "false rejections: rows of honest kernels, each order of summation with r as computed and within 2 "
      "ulp\n");
  fmt::print("  {:<14}", "order");
  for (const DType dtype : kActivationDTypes)
    fmt::print("{:>12}{:>14}", fmt::format("{} rows", name_of(dtype)), "elements");
  fmt::print("{:>10}\n", "rejected");
  for (const oracle::SummationOrder order : oracle::kSummationOrders) {
    FalseRejections::Count all;
    fmt::print("  {:<14}", name_of(order));
    for (const FalseRejections::Count& count : figures.counts[static_cast<std::size_t>(order)]) {
      fmt::print("{:>12}{:>14}", grouped(count.rows), grouped(count.elements));
      all += count;
    }
    fmt::print("{:>10}\n", all.rejected);
  }
  const FalseRejections::Count total = figures.total();
  fmt::print(
      "  all: {} rows, {} elements, {} of the rows special, {} by another policy than native; rejected "
      "{}{}\n",
      grouped(total.rows), grouped(total.elements), grouped(figures.special_rows), grouped(figures.policies),
      total.rejected, mark(passed(figures)));
  if (!figures.first_rejection.empty()) fmt::print("  the first: {}", figures.first_rejection);
}

void print(const BruteForceAgreement& figures) {
  fmt::print("brute force: the judge against a search of every admissible r, rows of 1 to 8\n");
  std::int64_t fewest = figures.pairs;
  for (const auto& [policy, pairs] : figures.pairs_of_policy) fewest = std::min(fewest, pairs);
  fmt::print("  pairs of row and policy: {}, {} of them altered; {} policies, each at least {} times\n",
             grouped(figures.pairs), grouped(figures.altered), figures.pairs_of_policy.size(),
             grouped(fewest));
  fmt::print("  not searched, because too many r are admissible: {} more\n", grouped(figures.too_wide));
  fmt::print("  conforming {}, violating {}; r tried {}, certificates checked {}; disagreements {}{}\n",
             grouped(figures.conforming), grouped(figures.pairs - figures.conforming),
             grouped(figures.tried_roots), grouped(figures.certificates), figures.disagreements,
             mark(passed(figures)));
  if (!figures.first_disagreement.empty()) fmt::print("  the first: {}", figures.first_disagreement);
}

std::string percent(double share, const std::optional<double>& floor) {
  std::string text = fmt::format("{:.3f} %", 100 * share);
  if (floor) text += fmt::format(" (>= {:g} %)", 100 * *floor);
  return text;
}

void print(const std::vector<DetectionFigure>& figures) {
  fmt::print("detection: rows that a faulty kernel gave, judged as native\n");
  fmt::print("  {:<43}{:<6}{:>7}{:>9}{:>23}{:>23}{:>16}\n", "fault", "dtype", "H", "trials",
             "seen in one row", fmt::format("in {} rows", assess::kRowsOfTrial), "without fault");
  for (const DetectionFigure& figure : figures) {
    fmt::print("  {:<43}{:<6}{:>7}{:>9}{:>23}{:>23}{:>16}{}\n", figure.fault, name_of(figure.dtype),
               figure.hidden_size, grouped(figure.trials), percent(figure.row_share(), figure.row_floor),
               percent(figure.trial_share(), figure.trial_floor),
               fmt::format("{} rejected", figure.rejected_right), mark(figure.reached()));
  }
}

void print(const NamingFigures& figures) {
  fmt::print("naming: kinds of wrong kernels that `identify` gives a policy's name\n");
  fmt::print(
      "  described by no policy: kinds {}, runs {}; named from one dump {}, after further cases {}{}\n",
      figures.kernels, figures.runs, figures.from_dump, figures.as_target, mark(figures.as_target == 0));
  fmt::print("  described by a policy: kinds {}, runs {}; named by it {}{}\n", figures.described,
             figures.described_runs, figures.rightly_named,
             mark(figures.rightly_named == figures.described_runs));
  for (const std::string& missed : figures.missed) fmt::print("  not by its own: {}\n", missed);
  for (const std::string& named : figures.named) fmt::print("  {}\n", named);
}

Json json_of(const NamingFigures& figures) {
  return {{"passed", passed(figures)},
          {"kernels", figures.kernels},
          {"runs", figures.runs},
          {"named_from_dump", figures.from_dump},
          {"named_as_target", figures.as_target},
          {"described", figures.described},
          {"described_runs", figures.described_runs},
          {"rightly_named", figures.rightly_named},
          {"missed", figures.missed},
          {"named", figures.named}};
}

void print(const std::vector<ManyRowsFigure>& figures) {
  fmt::print("many rows: bugs that show at some sizes only, and verify's cases of all sizes\n");
  fmt::print("  {:<20}{:>8}{:>8}{:>22}{:>10}{:>16}\n", "bug", "seeds", "found", "by the fewest rows",
             "in cases", "without bug");
  for (const ManyRowsFigure& figure : figures)
    fmt::print("  {:<20}{:>8}{:>8}{:>22}{:>10}{:>16}{}\n", figure.bug, figure.seeds, figure.found,
               figure.fewest_rows, figure.cases, fmt::format("{} rejected", figure.rejected_right),
               mark(figure.reached()));
}

Json json_of(const FalseRejections& figures) {
  Json counts = Json::array();
  for (const oracle::SummationOrder order : oracle::kSummationOrders) {
    for (std::size_t dtype = 0; dtype < kActivationDTypes.size(); ++dtype) {
      const FalseRejections::Count& count = figures.counts[static_cast<std::size_t>(order)][dtype];
      counts.push_back({{"order", name_of(order)},
                        {"dtype", name_of(kActivationDTypes[dtype])},
                        {"rows", count.rows},
                        {"elements", count.elements},
                        {"rejected", count.rejected}});
    }
  }
  const FalseRejections::Count total = figures.total();
  return {{"passed", passed(figures)},
          {"rows", total.rows},
          {"elements", total.elements},
          {"rejected", total.rejected},
          {"special_rows", figures.special_rows},
          {"other_policy_rows", figures.policies},
          {"counts", std::move(counts)}};
}

Json json_of(const BruteForceAgreement& figures) {
  return {{"passed", passed(figures)},
          {"pairs", figures.pairs},
          {"altered", figures.altered},
          {"conforming", figures.conforming},
          {"tried_roots", figures.tried_roots},
          {"certificates", figures.certificates},
          {"too_wide", figures.too_wide},
          {"disagreements", figures.disagreements},
          {"pairs_of_policy", figures.pairs_of_policy}};
}

Json json_of(const std::vector<DetectionFigure>& figures) {
  Json rows = Json::array();
  for (const DetectionFigure& figure : figures) {
    Json row = {{"fault", figure.fault},
                {"dtype", name_of(figure.dtype)},
                {"hidden_size", figure.hidden_size},
                {"trials", figure.trials},
                {"seen_trials", figure.seen_trials},
                {"rows", figure.rows},
                {"seen_rows", figure.seen_rows},
                {"rejected_without_fault", figure.rejected_right},
                {"reached", figure.reached()}};
    if (figure.row_floor) row["row_floor"] = *figure.row_floor;
    if (figure.trial_floor) row["trial_floor"] = *figure.trial_floor;
    rows.push_back(std::move(row));
  }
  return {{"passed", passed(figures)}, {"figures", std::move(rows)}};
}

Json json_of(const std::vector<ManyRowsFigure>& figures) {
  Json rows = Json::array();
  for (const ManyRowsFigure& figure : figures) {
    rows.push_back({{"bug", figure.bug},
                    {"seeds", figure.seeds},
                    {"found", figure.found},
                    {"by_fewest_rows", figure.fewest_rows},
                    {"cases", figure.cases},
                    {"rejected_without_bug", figure.rejected_right},
                    {"reached", figure.reached()}});
  }
  return {{"passed", passed(figures)}, {"figures", std::move(rows)}};
}

class Assessment {
 public:
  explicit Assessment(const AssessOptions& options)
      : options_(options), extent_(options.quick ? kQuick : kWhole) {}

  int run() {
    fmt::print("normproof assess: seed {}{}\n", options_.seed, options_.quick ? ", quick" : "");
    if (options_.plant_wrong_policy)
      fmt::print("planted: the judge is given a policy that the rows do not follow\n");
    std::fflush(stdout);
    json_ = {{"normproof_assess", 1}, {"seed", options_.seed}, {"quick", options_.quick}};
    if (!options_.operations.empty()) json_["operations"] = options_.operations;
    const auto start = std::chrono::steady_clock::now();
    if (!operations_asked_for(study_options("")).empty()) study_witness_judge();
    study_family();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    fmt::print("{}, {:.0f} s\n", good_ ? "every figure is reached" : "a figure is not reached",
               seconds.count());
    json_["passed"] = good_;
    return exit_code_after_writing(
        good_ ? kAllGood : kViolationFound,
        {{options_.json, [&] { write_text_atomically(options_.json, json_text(json_, 2) + "\n"); }}});
  }

 private:
  assess::StudyOptions study_options(std::string stage) {
    assess::StudyOptions study;
    study.seed = options_.seed;
    study.threads = options_.threads;
    study.wrong_policy = options_.plant_wrong_policy;
    study.operations = options_.operations;
    study.progress = [this, stage = std::move(stage)](std::int64_t done, std::int64_t parts) {
      progress_.show(stage, static_cast<double>(done) / static_cast<double>(parts));
      if (done == parts) progress_.clear();
    };
    return study;
  }

  // Prints the figures and returns them as JSON.
  Json report(std::string_view name, const auto& study) {
    Json json;
    try {
      const auto figures = study();
      print(figures);
      json = json_of(figures);
    } catch (const std::logic_error& error) {  // the judge's own paths disagree
      progress_.clear();
      fmt::print("{}: {}{}\n", name, error.what(), mark(false));
      json = {{"passed", false}, {"error", error.what()}};
    }
    good_ = good_ && json["passed"] == true;
    std::fflush(stdout);
    return json;
  }

  // The operations that the program runs by themselves.
  void study_witness_judge() {
    const assess::HonestAmount honest = options_.rows > 0 ? assess::HonestAmount{0, options_.rows}
                                                          : assess::HonestAmount{extent_.elements, 0};
    const auto add = [&](const char* name, const auto& study) { json_[name] = report(name, study); };
    add("false_rejections",
        [&] { return assess::study_false_rejections(honest, study_options("false rejections")); });
    add("brute_force",
        [&] { return assess::study_brute_force(extent_.pairs, study_options("brute force")); });
    add("detection", [&] { return assess::study_detection(extent_.trials, study_options("detection")); });
    add("many_rows",
        [&] { return assess::study_many_rows(extent_.seeds, options_.quick, study_options("many rows")); });
    add("naming", [&] { return assess::study_naming(extent_.naming_shapes, study_options("naming")); });
  }

  void study_family() {
    Json studies = Json::array();
    for (const FamilyStudy& study : assess::family::family_studies()) {
      const assess::StudyOptions of_study = study_options(std::string(study.name));
      if (!asks_for(of_study, study)) continue;
      if (studies.empty()) print_family_head();
      const std::int64_t rows = options_.rows > 0 ? options_.rows : study.extent.honest / extent_.family;
      studies.push_back(
          report(study.name, [&] { return run_study(study, study.extent.with_honest(rows), of_study); }));
    }
    if (!studies.empty()) json_["family"] = std::move(studies);
  }

  const AssessOptions& options_;
  Extent extent_;
  Progress progress_;
  Json json_;
  bool good_ = true;
};

std::vector<std::string> names_of_operations() {
  std::vector<std::string> names;
  for (const Operation operation : all_operations()) names.emplace_back(name_of(operation));
  for (const auto* operation : oracle::judged::judged_operations()) names.emplace_back(operation->name);
  return names;
}

}  // namespace

Action add_assess(CLI::App& command) {
  const auto options = std::make_shared<AssessOptions>();
  options->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add_option("--seed", options->seed, "Seed of every random choice")->capture_default_str();
  command.add_flag("--quick", options->quick, "Run about 1 % of the trials (a few seconds)");
  command
      .add_option("--op,--operation", options->operations,
                  "Only the studies of these operations; those of RMSNorm that are no gradients and not by "
                  "blocks are studied together")
      ->delimiter(',')
      ->check(CLI::IsMember(names_of_operations()));
  command
      .add_option(
          "--rows", options->rows,
          "Rows of honest kernels in each study; rows of faulty ones of the norm family in proportion")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command.add_option("--jobs,--threads", options->threads, "Threads; the figures do not depend on them")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--json", options->json, "Write the figures to this file");
  command.add_flag("--plant-wrong-policy", options->plant_wrong_policy,
                   "Self-test: judge by a wrong policy; every figure must fail");
  return [options] { return Assessment(*options).run(); };
}

}  // namespace normproof
