// `normproof check FILE...`: judge outputs that somebody else produced, without running a kernel.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <system_error>
#include <thread>

#include "cli/beside.h"
#include "cli/commands.h"
#include "cli/diagnosis.h"
#include "cli/each_file.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/given_outputs.h"
#include "cli/html_report.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/safetensors.h"
#include "oracle/canonical_judge.h"
#include "oracle/formats.h"
#include "properties/detective/identification_text.h"
#include "properties/detective/policy_power.h"
#include "properties/judging/difference_histogram.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"
#include "properties/report/html.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

struct CheckOptions {
  std::vector<std::string> files;
  JudgingOptions judging;
  std::optional<std::int64_t> rows;
  bool canonical = false, witness = false;  // neither: as the file says
  std::string beside, beside_policy;        // an unfused dump of the same input, and its policy
  std::string json, html, junit;
  bool quiet = false;
  int threads = 1;
};

// What the report says of one file.
struct FileReport {
  Json json;
  HtmlSection html;  // where a page is written
  bool violates = false;
  std::string hint;       // what to ask next; empty: which policy it is
  std::string doubt;      // a line: why "conforms" says little
  std::string diagnosis;  // what a violation is
};

Json json_of(const oracle::RootInterval& interval) {
  if (interval.empty()) return nullptr;
  return {oracle::hex_bits(DType::fp32, static_cast<std::uint32_t>(interval.low)),
          oracle::hex_bits(DType::fp32, static_cast<std::uint32_t>(interval.high))};
}

Json json_of(const oracle::Certificate& certificate, const Case& test_case) {
  Json elements = Json::array();
  for (const auto& element : certificate.elements) {
    Json entry = {{"tensor", name_of(element.tensor)},
                  {"column", element.column},
                  {"operand", oracle::hex_bits(DType::fp32, element.operand)}};
    if (test_case.weight_dtype) entry["weight"] = oracle::hex_bits(*test_case.weight_dtype, element.weight);
    entry["got"] = oracle::hex_bits(test_case.dtype_of(element.tensor), element.got);
    entry["needs"] = json_of(element.needs);
    if (!certificate.factors.empty()) entry["factor"] = oracle::hex_bits(DType::fp32, element.factor);
    elements.push_back(std::move(entry));
  }
  return {{"kind", name_of(certificate.kind)},
          {"row", certificate.row},
          {"elements", std::move(elements)},
          {"admissible", json_of(certificate.admissible.interval)},
          {"admissible_nan", certificate.admissible.nan},
          {"correctly_rounded_root", oracle::hex_bits(DType::fp32, certificate.correctly_rounded_root)}};
}

Json json_of(const oracle::Mismatch& mismatch) {
  Json entry = {{"tensor", name_of(mismatch.tensor)},
                {"row", mismatch.row},
                {"column", mismatch.column},
                {"got", oracle::hex_bits(mismatch.dtype, mismatch.got)},
                {"wanted", oracle::hex_bits(mismatch.dtype, mismatch.wanted)}};
  if (mismatch.ulp_distance != UINT64_MAX) entry["ulp_distance"] = mismatch.ulp_distance;
  return entry;
}

Json json_of(const DifferenceHistogram& histogram) {
  Json bins = Json::array();
  for (std::size_t bin = 0; bin < histogram.elements.size(); ++bin) {
    Json entry = {{"elements", histogram.elements[bin]}};
    if (bin + 1 < histogram.elements.size()) entry["up_to_ulp"] = DifferenceHistogram::kUpTo[bin];
    bins.push_back(std::move(entry));
  }
  return {{"bins", std::move(bins)}, {"nan_on_one_side", histogram.nan_mismatches}};
}

std::vector<std::int64_t> violating_rows(const oracle::WitnessVerdict& verdict) {
  std::vector<std::int64_t> rows;
  for (const auto& witness : verdict.row_witnesses) {
    if (witness.violation) rows.push_back(witness.row);
  }
  return rows;
}

// How the violating rows differ from the policy; nothing where there are none.
std::optional<DifferencePicture> picture_of(const GivenOutputs& given, const oracle::WitnessVerdict& verdict,
                                            const CheckOptions& options) {
  const std::vector<std::int64_t> rows = violating_rows(verdict);
  if (rows.empty()) return std::nullopt;
  const Case& test_case = given.test_case;
  DifferencePicture picture{
      {},
      DifferenceMap(test_case.rows(), test_case.hidden_size()),
      "Elements of the violating rows, compared with the policy at the r that fits best."};
  picture.histogram = difference_histogram(test_case, given.tensors, given.outputs, given.policy, rows,
                                           options.html.empty() ? nullptr : &picture.map, options.threads);
  return picture;
}

// The same in the canonical order, of all rows.
DifferencePicture canonical_picture_of(const GivenOutputs& given) {
  const Case& test_case = given.test_case;
  const Outputs wanted = oracle::expected_outputs(test_case, given.tensors, given.policy);
  DifferencePicture picture{{},
                            DifferenceMap(test_case.rows(), test_case.hidden_size()),
                            "Elements of out, compared with the policy in the canonical order."};
  picture.histogram = difference_histogram(given.outputs[Role::out], wanted[Role::out],
                                           test_case.output_dtype(), test_case.hidden_size(), &picture.map);
  return picture;
}

// How far off the elements of the violating rows are. Returns what to ask next; empty: which policy it is.
std::string print_differences(const DifferenceHistogram& histogram, const std::string& file,
                              const Case& test_case) {
  if (!histogram.few_differ() || histogram.first.empty()) {
    fmt::print("  the violating rows against the policy at the r that fits best: {}\n", to_text(histogram));
    return {};
  }
  fmt::print("  wrong: {} of {} elements, against the policy at the r that fits best\n",
             histogram.differing(), test_case.elements());
  for (const oracle::Mismatch& mismatch : histogram.first) fmt::print("    {}\n", mismatch_line(mismatch));
  // Another policy would show in many elements.
  const oracle::Mismatch& first = histogram.first.front();
  return fmt::format("what should it be, step by step? {} explain {} --row {} --column {}", program_name(),
                     shell_quoted(file), first.row, first.column);
}

// Which of what is demanded the file says.
std::string demand_text(const GivenOutputs& given, const CheckOptions& options) {
  const bool judge_of_file = given.canonical_of_file && !options.canonical && !options.witness;
  if (given.policy_of_file && judge_of_file) return ", both as the file demands";
  if (given.policy_of_file) return ", policy as the file demands";
  return judge_of_file ? ", order as the file demands" : "";
}

FileReport check_by_witness(const std::string& file, const GivenOutputs& given, const CheckOptions& options,
                            const JudgeRowsOptions& judge_options) {
  const Case& test_case = given.test_case;
  const auto verdict =
      judge_witness_rows(test_case, given.tensors, given.outputs, given.policy, judge_options);
  FileReport report;
  report.violates = !verdict.conforms();
  report.json = {{"judge", "witness"},
                 {"rows", verdict.rows},
                 {"elements", verdict.elements},
                 {"special_rows", verdict.special_rows},
                 {"conforming_rows", verdict.conforming_rows()},
                 {"rounding_violations", verdict.rounding_violations},
                 {"scale_violations", verdict.scale_violations},
                 {"residual_mismatches", verdict.residual_mismatches},
                 {"worst_ulp_distance_of_r", verdict.worst_ulp_distance},
                 {"certificates", Json::array()},
                 {"residual_out", Json::array()}};
  for (const auto& certificate : verdict.first_violations)
    report.json["certificates"].push_back(json_of(certificate, test_case));
  for (const auto& mismatch : verdict.first_residual_mismatches)
    report.json["residual_out"].push_back(json_of(mismatch));
  if (!report.violates && verdict.rows > 0) {
    const double accepted = wrong_outputs_accepted(given.policy, test_case, given.tensors, given.outputs);
    report.json["random_outputs_accepted"] = accepted;
    report.doubt = says_little_text(accepted);
  }
  const auto picture = picture_of(given, verdict, options);
  if (picture) {
    report.json["differences"] = json_of(picture->histogram);
    report.diagnosis = diagnosis_of(given, violating_rows(verdict), picture->histogram);
    report.json["diagnosis"] = report.diagnosis;
  }
  if (!options.html.empty())
    report.html = check_section(file, given, verdict, picture ? &*picture : nullptr,
                                picture ? report.diagnosis : report.doubt);
  if (options.quiet && !report.violates) return report;

  fmt::print("{}: {}\n", file, subject_of(test_case));
  fmt::print("  policy {}; {}{}\n", oracle::to_string(given.policy), model_text(given.policy.inverse_root),
             demand_text(given, options));
  fmt::print("  rows: {}, conforming {}, rounding violations {}, scale violations {}", verdict.rows,
             verdict.conforming_rows(), verdict.rounding_violations, verdict.scale_violations);
  if (verdict.conforming_rows() > 0) {
    fmt::print("; r at most {} ulp from the correctly rounded root", verdict.worst_ulp_distance);
  }
  fmt::print("\n");
  fmt::print("{}", indented(report.doubt, "  "));
  const oracle::Formula formula = oracle::formula_of(test_case, given.policy);
  for (const auto& certificate : verdict.first_violations) {
    fmt::print("{}", indented(oracle::to_text(certificate, formula), "  "));
  }
  const auto listed = static_cast<std::int64_t>(verdict.first_violations.size());
  const std::int64_t violations = verdict.rounding_violations + verdict.scale_violations;
  if (violations > listed) fmt::print("  more violating rows: {}\n", violations - listed);
  if (verdict.residual_mismatches > 0) {
    fmt::print("  elements of {} that differ: {}\n", name_of(normalized_tensor(test_case.operation)),
               verdict.residual_mismatches);
    for (const auto& mismatch : verdict.first_residual_mismatches)
      fmt::print("  {}\n", mismatch_line(mismatch));
  }
  if (picture) {
    report.hint = print_differences(picture->histogram, file, test_case);
    fmt::print("  diagnosis: {}\n", report.diagnosis);
  }
  return report;
}

FileReport check_canonically(const std::string& file, const GivenOutputs& given, const CheckOptions& options,
                             const JudgeRowsOptions& judge_options) {
  const auto verdict =
      judge_canonical_rows(given.test_case, given.tensors, given.outputs, given.policy, judge_options);
  FileReport report;
  report.violates = !verdict.conforms();
  report.json = {{"judge", "canonical"},
                 {"rows", verdict.rows},
                 {"elements", verdict.elements},
                 {"special_rows", verdict.special_rows},
                 {"mismatches", verdict.mismatches},
                 {"first_mismatches", Json::array()}};
  for (const auto& mismatch : verdict.first_mismatches)
    report.json["first_mismatches"].push_back(json_of(mismatch));
  if (!options.html.empty()) {
    const auto picture = report.violates ? std::optional(canonical_picture_of(given)) : std::nullopt;
    report.html = check_section(file, given, verdict, picture ? &*picture : nullptr);
  }
  if (options.quiet && !report.violates) return report;
  fmt::print("{}: {}\n  policy {}; canonical order{}\n", file, subject_of(given.test_case),
             oracle::to_string(given.policy), demand_text(given, options));
  fmt::print("  rows: {}, elements {}, differing {}\n", verdict.rows, verdict.elements, verdict.mismatches);
  for (const auto& mismatch : verdict.first_mismatches) fmt::print("  {}\n", mismatch_line(mismatch));
  const auto listed = static_cast<std::int64_t>(verdict.first_mismatches.size());
  if (verdict.mismatches > listed) fmt::print("  more differing elements: {}\n", verdict.mismatches - listed);
  return report;
}

GivenOutputs first_rows(GivenOutputs given, std::int64_t rows) {
  if (rows >= given.test_case.rows()) return given;
  RowSlice slice = slice_rows(given.test_case, given.tensors, given.outputs, 0, rows);
  given.test_case = std::move(slice.test_case);
  given.tensors = std::move(slice.tensors);
  given.outputs = std::move(slice.outputs);
  return given;
}

FileReport check_call(const std::string& file, oracle::judged::StoredCall stored,
                      const CheckOptions& options) {
  if (options.canonical)
    throw UsageError(fmt::format("--canonical: {} is judged in any order of summation alone", file));
  GivenCallReport given =
      check_given_call(file, std::move(stored), options.judging, options.rows, options.threads);
  if (!options.quiet || !given.good) fmt::print("{}", given.text);
  return {std::move(given.json), std::move(given.html), !given.good, {}, std::move(given.doubt), {}};
}

FileReport check_pair(const std::string& file, const CheckOptions& options) {
  BesideReport found = check_beside(
      file, {options.beside, options.beside_policy, options.judging, options.rows, options.threads});
  if (!options.quiet || !found.good) fmt::print("{}", found.text);
  FileReport report;
  report.json = std::move(found.json);
  report.html = text_section(file, found.good ? "legal" : found.diagnosis, found.good, found.text);
  report.violates = !found.good;
  report.diagnosis = std::move(found.diagnosis);
  return report;
}

FileReport check_file(const std::string& file, const CheckOptions& options) {
  if (!options.beside.empty()) return check_pair(file, options);
  if (auto stored = read_given_call(file, options.judging, true))
    return check_call(file, *std::move(stored), options);
  GivenOutputs given = read_given_outputs(file, options.judging);
  if (options.rows) given = first_rows(std::move(given), *options.rows);
  Progress progress;
  JudgeRowsOptions judge_options;
  judge_options.threads = options.threads;
  judge_options.progress = [&](std::int64_t rows) {
    progress.show("checking", 1, rows * given.test_case.hidden_size(),
                  static_cast<double>(rows) / static_cast<double>(given.test_case.rows()));
    if (rows == given.test_case.rows()) progress.clear();
  };
  // An order that is given is a demand, too.
  const bool as_file = given.canonical_of_file && !options.witness && options.judging.order.empty();
  const bool canonical = options.canonical || as_file;
  FileReport report = canonical ? check_canonically(file, given, options, judge_options)
                                : check_by_witness(file, given, options, judge_options);
  Json json = {{"file", file},
               {"operation", name_of(given.test_case.operation)},
               {"dtype", name_of(given.test_case.dtype)},
               {"hidden_size", given.test_case.hidden_size()},
               {"policy", oracle::to_string(given.policy)},
               {"policy_of_file", given.policy_of_file},
               {"conforms", !report.violates}};
  json.update(report.json);
  report.json = std::move(json);
  return report;
}

// A test case for each file: a violation is a failure, what could not be judged an error.
std::string junit_text(const Json& files, int violating, int not_judged) {
  std::string text = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
      "  <testsuite name=\"normproof check\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\">\n",
      files.size(), violating, not_judged);
  for (const Json& file : files) {
    text += fmt::format("    <testcase classname=\"check\" name=\"{}\"",
                        html::escaped(file.at("file").get<std::string>()));
    if (file.contains("error")) {
      text += fmt::format("><error message=\"{}\"/></testcase>\n",
                          html::escaped(file.at("error").get<std::string>()));
    } else if (!file.at("conforms").get<bool>()) {
      const std::string diagnosis = file.value("diagnosis", "violates the policy");
      text += fmt::format("><failure message=\"{}\">policy {}</failure></testcase>\n",
                          html::escaped(diagnosis), html::escaped(file.value("policy", "")));
    } else {
      text += "/>\n";
    }
  }
  return text + "  </testsuite>\n</testsuites>\n";
}

int check(const CheckOptions& options) {
  if (options.canonical && !options.judging.order.empty())
    throw UsageError("--order and --canonical: the canonical order is another one");
  if (!options.beside_policy.empty() && options.beside.empty())
    throw UsageError("--beside-policy: it is the policy of --beside FILE, which is missing");
  if (!options.beside.empty() && options.canonical)
    throw UsageError("--beside and --canonical: in one order of summation no code may differ");
  Json files = Json::array();
  HtmlReport page;
  int conforming = 0, doubtful = 0, violating = 0;
  const std::vector<std::string> calls = with_calls_of_models(options.files);
  if (!options.beside.empty() && calls.size() != 1)
    throw UsageError(fmt::format("--beside: belongs to one file, got {}", calls.size()));
  const auto take = [&](const std::string& file) {
    FileReport report = check_file(file, options);
    ++(report.violates ? violating : conforming);
    doubtful += !report.doubt.empty();
    if (report.violates && !options.quiet && options.beside.empty()) {
      fmt::print("  {}\n", report.hint.empty() ? fmt::format("which policy is it? {} identify {}",
                                                             program_name(), shell_quoted_file(file))
                                               : report.hint);
    }
    files.push_back(std::move(report.json));
    page.sections.push_back(std::move(report.html));
    if (page.diagnosis.empty() && !report.diagnosis.empty() && options.files.size() > 1)
      page.diagnosis = file + ": " + report.diagnosis;
  };
  const FilesLeftOut left_out = take_each_file(calls, files, page, take);
  const std::string doubt = doubtful > 0 ? fmt::format(" (which says little of {})", doubtful) : "";
  fmt::print("files: {}, conforming {}{}, violating {}", calls.size(), conforming, doubt, violating);
  if (left_out.count() > 0) fmt::print(", not judged {}", left_out.count());
  fmt::print("\n");
  page.title = "normproof check";
  page.summary_head = check_summary_head();
  page.good = violating + left_out.count() == 0;
  page.verdict = fmt::format("{} conforming{}, {} violating", conforming, doubt, violating);
  if (left_out.count() > 0) page.verdict += fmt::format(", {} not judged", left_out.count());
  const int exit_code = left_out.exit_code(violating);
  const std::string junit = junit_text(files, violating, left_out.count());
  const Json document = {{"normproof_check", 1}, {"files", std::move(files)}};
  return exit_code_after_writing(
      exit_code, {{options.json, [&] { write_text_atomically(options.json, json_text(document, 2) + "\n"); }},
                  {options.html, [&] { write_html(options.html, page); }},
                  {options.junit, [&] { write_text_atomically(options.junit, junit); }}});
}

}  // namespace

Action add_check(CLI::App& command) {
  const auto options = std::make_shared<CheckOptions>();
  options->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add_option("files", options->files, "Dumps (*.safetensors), or case files (*.json) with outputs")
      ->required();
  add_judging_options(command, options->judging, true);
  CLI::Option* canonical =
      command.add_flag("--canonical", options->canonical,
                       "Demand the canonical order of summation: every bit is then determined");
  command
      .add_flag(
          "--witness", options->witness,
          "Demand no order of summation, whatever the file says (default: what the file says, else none)")
      ->excludes(canonical);
  command.add_option("--beside", options->beside,
                     "A dump of the same input, of the unfused norm or of other codes: say which codes may "
                     "legally differ, and which do not");
  command.add_option("--beside-policy", options->beside_policy,
                     "The policy of --beside's file; default: what it says, else that of the other file");
  command.add_option("--rows", options->rows, "Judge only the first N rows")
      ->check(CLI::Range(std::int64_t{0}, INT64_MAX));
  command.add_option("--json", options->json, "Write the verdicts to this file");
  command.add_option("--junit", options->junit, "Write the verdicts to this file as JUnit XML");
  command.add_option("--html", options->html,
                     "Write a page with verdicts, certificates and plots to this file");
  command.add_option("--jobs,--threads", options->threads, "Threads that judge")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_flag("--quiet", options->quiet, "Print only violations and the summary");
  return [options] { return check(*options); };
}

}  // namespace normproof
