// `normproof assess`: how good is the witness judge itself? Measures false rejections, agreement with brute
// force, which share of known faults it sees, and whether verify's sizes show the bugs of many rows.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
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
using Json = nlohmann::ordered_json;

struct AssessOptions {
  std::uint64_t seed = 1;
  int threads = 1;
  bool quick = false;
  bool plant_wrong_policy = false;
  std::string json;
};

// How much a run measures.
struct Extent {
  std::int64_t elements;
  std::int64_t pairs;
  double trials;  // share of the whole number
  std::size_t naming_shapes;
  std::int64_t seeds;
};
constexpr Extent kWhole = {200'000'000, 1'100'000, 1, assess::kNamingShapes, 5};
constexpr Extent kQuick = {2'000'000, 10'000, 0.02, 1, 1};

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

std::string_view mark(bool passed) { return passed ? "" : "  <- FAILED"; }

// 1234567 as "1,234,567".
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto position = static_cast<std::ptrdiff_t>(text.size()) - 3; position > 0; position -= 3)
    text.insert(static_cast<std::size_t>(position), ",");
  return text;
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

int run(const AssessOptions& options) {
  const Extent& extent = options.quick ? kQuick : kWhole;
  fmt::print("normproof assess: seed {}{}\n", options.seed, options.quick ? ", quick" : "");
  if (options.plant_wrong_policy)
    fmt::print("planted: the judge is given a policy that the rows do not follow\n");
  std::fflush(stdout);
  Progress progress;
  const auto study_options = [&](const char* stage) {
    assess::StudyOptions study;
    study.seed = options.seed;
    study.threads = options.threads;
    study.wrong_policy = options.plant_wrong_policy;
    study.progress = [&progress, stage](std::int64_t done, std::int64_t parts) {
      progress.show(stage, static_cast<double>(done) / static_cast<double>(parts));
      if (done == parts) progress.clear();
    };
    return study;
  };
  bool good = true;
  Json json = {{"normproof_assess", 1}, {"seed", options.seed}, {"quick", options.quick}};
  const auto start = std::chrono::steady_clock::now();
  const auto report = [&](const char* name, const auto& study) {
    try {
      const auto figures = study();
      print(figures);
      json[name] = json_of(figures);
      good = good && passed(figures);
    } catch (const std::logic_error& error) {  // the judge's own paths disagree
      progress.clear();
      fmt::print("{}: {}{}\n", name, error.what(), mark(false));
      json[name] = {{"passed", false}, {"error", error.what()}};
      good = false;
    }
    std::fflush(stdout);
  };
  report("false_rejections",
         [&] { return assess::study_false_rejections(extent.elements, study_options("false rejections")); });
  report("brute_force",
         [&] { return assess::study_brute_force(extent.pairs, study_options("brute force")); });
  report("detection", [&] { return assess::study_detection(extent.trials, study_options("detection")); });
  report("many_rows",
         [&] { return assess::study_many_rows(extent.seeds, options.quick, study_options("many rows")); });
  report("naming", [&] { return assess::study_naming(extent.naming_shapes, study_options("naming")); });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("{}, {:.0f} s\n", good ? "every figure is reached" : "a figure is not reached", seconds.count());
  json["passed"] = good;
  return exit_code_after_writing(
      good ? kAllGood : kViolationFound,
      {{options.json, [&] { write_text_atomically(options.json, json_text(json, 2) + "\n"); }}});
}

}  // namespace

Action add_assess(CLI::App& command) {
  const auto options = std::make_shared<AssessOptions>();
  options->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add_option("--seed", options->seed, "Seed of every random choice")->capture_default_str();
  command.add_flag("--quick", options->quick, "Run about 1 % of the trials (a few seconds)");
  command.add_option("--jobs,--threads", options->threads, "Threads; the figures do not depend on them")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--json", options->json, "Write the figures to this file");
  command.add_flag("--plant-wrong-policy", options->plant_wrong_policy,
                   "Self-test: judge by a wrong policy; every figure must fail");
  return [options] { return run(*options); };
}

}  // namespace normproof
