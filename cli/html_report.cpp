#include "cli/html_report.h"

#include <fmt/format.h>

#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <thread>
#include <utility>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/finding_groups.h"
#include "cli/version.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "oracle/canonical.h"
#include "oracle/canonical_judge.h"
#include "oracle/certificate.h"
#include "oracle/explain.h"
#include "oracle/formats.h"
#include "properties/detective/identification_text.h"
#include "properties/judging/report_text.h"
#include "properties/report/html.h"
#include "properties/targets/plugin_target.h"

namespace normproof {
namespace {

using html::escaped;
using Rows = std::vector<std::vector<std::string>>;

// The axes that matter for the case, and which value was judged by.
std::string policy_table(const oracle::Policy& policy, const Case& test_case) {
  Rows rows = {{"axis", "value", "formula", "as in"}};
  for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis) {
    if (!oracle::axis_applies(axis, test_case)) continue;
    const oracle::PolicyAxis& table = oracle::policy_axes()[axis];
    for (std::size_t value = 0; value < table.values.size(); ++value) {
      const bool chosen = oracle::axis_value(policy, axis) == value;
      const std::string name = escaped(table.values[value].name);
      rows.push_back({value == 0 ? escaped(table.name) : "",
                      chosen ? fmt::format("<b>{}</b> {}", name, html::badge("judged by", true)) : name,
                      code_html(table.values[value].formula), escaped(table.values[value].source)});
    }
  }
  return html::table(rows);
}

std::string heading(std::size_t number, const HtmlSection& section) {
  if (section.title.empty()) return {};
  return fmt::format("<h2 id=\"s{}\">{}{}</h2>\n", number, escaped(section.title),
                     section.verdict.empty() ? "" : " " + html::badge(section.verdict, section.good));
}

// What the page holds, where that is more than two things; with a summary, of each.
std::string contents(const HtmlReport& report) {
  std::string list;
  Rows rows = {report.summary_head};
  for (std::size_t i = 0; i < report.sections.size(); ++i) {
    const HtmlSection& section = report.sections[i];
    if (section.title.empty()) continue;
    const std::string link = fmt::format("<a href=\"#s{}\">{}</a>", i, escaped(section.title));
    const std::string verdict = section.verdict.empty() ? "" : html::badge(section.verdict, section.good);
    list += fmt::format("<li>{} {}</li>\n", link, verdict);
    std::vector<std::string> cells = {link, verdict};
    cells.insert(cells.end(), section.summary.begin(), section.summary.end());
    cells.resize(report.summary_head.size());
    rows.push_back(std::move(cells));
  }
  const auto titled = std::ranges::count_if(
      report.sections, [](const HtmlSection& section) { return !section.title.empty(); });
  if (!report.summary_head.empty() && titled > 1)
    return "<nav aria-label=\"Summary\">\n" + html::table(rows) + "</nav>\n";
  if (titled <= 2) return {};
  return fmt::format("<nav aria-label=\"Contents\"><ul>\n{}</ul></nav>\n", list);
}

// "Linux 6.1.0 x86_64, AMD EPYC 9B14, 2 cores".
std::string machine() {
  utsname system{};
  uname(&system);
  std::string processor;
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; processor.empty() && std::getline(lines, line);)
    if (line.starts_with("model name")) processor = ", " + line.substr(line.find(": ") + 2);
  return fmt::format("{} {} {}{}, {} cores", system.sysname, system.release, system.machine, processor,
                     std::thread::hardware_concurrency());
}

// Where and by what the page was made.
std::string provenance() {
  const std::string date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
  return "<h2>How this was made</h2>\n" + html::table(Rows{{"what", "which"},
                                                           {"command", html::command(command_line())},
                                                           {"date", escaped(date)},
                                                           {"machine", escaped(machine())},
                                                           {"program", escaped(version_text())}});
}

std::string commands_html(const std::vector<std::pair<std::string, std::string>>& commands) {
  Rows rows = {{"to", "command"}};
  for (const auto& [purpose, command] : commands) rows.push_back({escaped(purpose), html::command(command)});
  return "<h3>Commands</h3>\n" + html::table(rows);
}

std::string check_commands(const std::string& file) {
  return commands_html(
      {{"find out which policy it is", program_name() + " identify " + shell_quoted_file(file)},
       {"get the smallest repro", program_name() + " minimize " + shell_quoted_file(file)}});
}

std::string percent(std::int64_t part, std::int64_t whole) {
  return share_text(part, std::max<std::int64_t>(whole, 1));
}

}  // namespace

void write_html(const std::string& file, const HtmlReport& report) {
  std::string body =
      fmt::format("<h1>{} {}</h1>\n", escaped(report.title), html::badge(report.verdict, report.good));
  if (!report.diagnosis.empty())
    body += fmt::format("<p class=\"diagnosis\">{}</p>\n", escaped(report.diagnosis));
  body += contents(report);
  for (std::size_t i = 0; i < report.sections.size(); ++i)
    body += heading(i, report.sections[i]) + report.sections[i].html;
  write_text_atomically(file, html::page(report.title, "", body + provenance()));
}

std::vector<std::string> check_summary_head() {
  return {"file", "verdict", "rows", "rows that violate", "elements that differ", "what it is"};
}

HtmlSection check_section(const std::string& file, const GivenOutputs& given,
                          const oracle::WitnessVerdict& verdict, const DifferencePicture* picture,
                          const std::string& remark) {
  const bool good = verdict.conforms();
  HtmlSection section{file, good ? "conforms" : "violates", good};
  std::string& text = section.html;
  if (!remark.empty())
    text += fmt::format("<p class=\"{}\">{}</p>\n", good ? "doubt" : "diagnosis", escaped(remark));
  text +=
      fmt::format("<p class=\"lead\">{}. Policy {}; {}.</p>\n", escaped(subject_of(given.test_case)),
                  code_html(oracle::to_string(given.policy)), escaped(model_text(given.policy.inverse_root)));
  const std::int64_t violating = verdict.rounding_violations + verdict.scale_violations;
  section.summary = {
      std::to_string(verdict.rows), std::to_string(violating),
      std::to_string((picture != nullptr ? picture->histogram.differing() : 0) + verdict.residual_mismatches),
      escaped(remark)};
  text += html::figures(std::vector<html::Figure>{
      {std::to_string(verdict.rows), "rows"},
      {std::to_string(verdict.elements), "elements"},
      {std::to_string(verdict.special_rows), "rows with special values"},
      {std::to_string(verdict.conforming_rows()), "conforming rows"},
      {std::to_string(verdict.rounding_violations), "rounding violations", verdict.rounding_violations > 0},
      {std::to_string(verdict.scale_violations), "scale violations", verdict.scale_violations > 0},
      {std::to_string(verdict.residual_mismatches), "residuals that differ", verdict.residual_mismatches > 0},
      {verdict.conforming_rows() > 0 ? fmt::format("{} ulp", verdict.worst_ulp_distance) : "-",
       "r of conforming rows, at most"}});
  const oracle::Formula formula = oracle::formula_of(given.test_case, given.policy);
  if (!verdict.first_violations.empty()) {
    text += fmt::format(
        "<h3>Certificates</h3>\n<p>Showing {} of {} violating rows. No inverse RMS reproduces all bits of "
        "the "
        "elements listed.</p>\n",
        verdict.first_violations.size(), violating);
    for (const oracle::Certificate& certificate : verdict.first_violations)
      text += certificate_html(certificate, formula);
  }
  if (!verdict.first_residual_mismatches.empty())
    text += "<h3>Residuals</h3>\n" + mismatches_html(verdict.first_residual_mismatches);
  if (picture != nullptr) text += picture_html(*picture, given.test_case.output_dtype());
  text += "<h3>Policy</h3>\n" + policy_table(given.policy, given.test_case);
  if (!good) text += check_commands(file);
  return section;
}

HtmlSection check_section(const std::string& file, const GivenOutputs& given, const oracle::Verdict& verdict,
                          const DifferencePicture* picture) {
  const bool good = verdict.conforms();
  HtmlSection section{file, good ? "conforms" : "violates", good};
  section.summary = {std::to_string(verdict.rows), "-", std::to_string(verdict.mismatches), ""};
  std::string& text = section.html;
  text += fmt::format("<p class=\"lead\">{}. Policy {}; canonical order.</p>\n",
                      escaped(subject_of(given.test_case)), code_html(oracle::to_string(given.policy)));
  text += html::figures(std::vector<html::Figure>{
      {std::to_string(verdict.rows), "rows"},
      {std::to_string(verdict.elements), "elements"},
      {std::to_string(verdict.special_rows), "rows with special values"},
      {fmt::format("{} ({})", verdict.mismatches, percent(verdict.mismatches, verdict.elements)),
       "elements that differ", !good}});
  if (!good) text += "<h3>The first elements that differ</h3>\n" + mismatches_html(verdict.first_mismatches);
  if (picture != nullptr) text += picture_html(*picture, given.test_case.output_dtype());
  text += "<h3>Policy</h3>\n" + policy_table(given.policy, given.test_case);
  if (!good) text += check_commands(file);
  return section;
}

HtmlSection text_section(const std::string& file, const std::string& verdict, bool good,
                         const std::string& text) {
  return {file, verdict, good, html::preformatted(text)};
}
HtmlSection error_section(const std::string& file, const std::string& error) {
  return text_section(file, "not judged", false, error);
}

HtmlSection identify_section(const std::string& file, const std::string& subject, const Identification& found,
                             const Case& test_case) {
  const std::string policy = axes_text(found.best);
  HtmlSection section{file, found.identified() ? policy : "no known policy", found.identified()};
  std::string& text = section.html;
  text += fmt::format("<p class=\"lead\">{}</p>\n", escaped(subject));
  if (!found.identified()) {
    text += html::preformatted(to_text(found, test_case));
    return section;
  }
  Rows names = {{"policy", "explains every row"}};
  for (const oracle::Policy& survivor : found.survivors)
    names.push_back(
        {code_html(axes_text(survivor)), survivor == found.best ? "yes; the one identified" : "also yes"});
  text += html::table(names);
  for (const std::string& name : known_as(found.best, test_case))
    text += fmt::format("<p>Named: {}</p>\n", escaped(name));
  Rows rows = {{"axis", "value", "explains every row", "why"}};
  for (const AxisFinding& axis : found.axes) {
    for (const AxisValueFinding& value : axis.values) {
      const bool identified = value.reason.empty();
      std::string why = identified ? code_html(formula_text(axis.name, value.name))
                        : value.survives || value.reason.find('\n') + 1 == value.reason.size()
                            ? escaped(value.reason)
                            : html::details("certificate", html::preformatted(value.reason));
      rows.push_back({&value == &axis.values.front() ? escaped(axis.name) : "",
                      identified ? fmt::format("<b>{}</b>", escaped(value.name)) : escaped(value.name),
                      html::badge(value.survives ? "yes" : "no", value.survives), std::move(why)});
    }
  }
  text += "<h3>Policy table</h3>\n" + html::table(rows);
  return section;
}

HtmlSection identify_target_section(const std::string& target, std::uint64_t seed,
                                    const std::vector<IdentifiedCall>& calls,
                                    const std::vector<Trait>& traits) {
  std::string text = fmt::format("<p class=\"lead\">Seed of the inputs: {}</p>\n", seed);
  Rows rows = {{"call", "policy"}};
  for (const IdentifiedCall& call : calls)
    rows.push_back(
        {escaped(call.call), call.identified ? code_html(call.policy) : html::badge(call.policy, false)});
  text += html::table(rows);
  for (const IdentifiedCall& call : calls) {
    if (!call.details.empty())
      text += fmt::format("<h3>{}</h3>\n{}", escaped(call.call), html::preformatted(call.details));
  }
  Rows observed = {{"trait", "answer"}};
  for (const Trait& trait : traits) observed.push_back({escaped(trait.question), escaped(trait.answer)});
  return {"Target " + target, "", true, text + "<h3>Traits</h3>\n" + html::table(observed)};
}

namespace {

std::string title_of(const Finding& finding) {
  return finding.file.empty() ? finding.found_by : finding.file.string();
}

std::string finding_html(const std::string& target, const Judging& judging, const Finding& finding) {
  const Case& test_case = finding.test_case;
  std::string text;
  const std::string more = finding.also_found_by.empty()
                               ? ""
                               : fmt::format(" and {} more of the same cause", finding.also_found_by.size());
  text += fmt::format("<p class=\"lead\">Found by {}{}. {}</p>\n", escaped(finding.found_by), more,
                      escaped(subject_of(test_case)));
  std::string others;
  for (const std::string& found_by : finding.also_found_by) others += found_by + "\n";
  if (!others.empty()) text += html::details("what else found it", html::preformatted(others));
  text += html::preformatted(finding.message);
  // Without the canonical order no single bit is the right one; the message has the certificates.
  if (finding.outputs && test_case.elements() > 0 && judging.canonical) {
    const CaseTensors tensors = materialize(test_case);
    const Outputs wanted = oracle::expected_outputs(test_case, tensors, judging.policy);
    const oracle::Verdict verdict =
        oracle::judge_canonical(test_case, tensors, *finding.outputs, judging.policy);
    text += mismatches_html(verdict.first_mismatches);
    DifferencePicture picture{{},
                              DifferenceMap(test_case.rows(), test_case.hidden_size()),
                              "Elements of out, compared with the contract."};
    picture.histogram = difference_histogram((*finding.outputs)[Role::out], wanted[Role::out],
                                             test_case.output_dtype(), test_case.hidden_size(), &picture.map);
    text += picture_html(picture, test_case.output_dtype());
    if (!verdict.first_mismatches.empty()) {
      const oracle::Mismatch& first = verdict.first_mismatches.front();
      text += html::details("every rounding step behind the first element that differs",
                            html::preformatted(oracle::to_text(oracle::explain(
                                test_case, tensors, finding.outputs, first.row, first.column))));
    }
  }
  text += html::details("the contract, axis by axis", policy_table(judging.policy, test_case));
  if (test_case.elements() <= 4096)
    text += html::details("the case, as JSON", html::preformatted(case_to_json(test_case)));
  if (finding.file.empty()) return text;
  const std::string arguments =
      shell_quoted_file(finding.file.string()) + target_arguments(target, names_a_plugin(target), judging);
  return text + commands_html({{"replay", fmt::format("{} replay {}", program_name(), arguments)},
                               {"explain", fmt::format("{} explain {}", program_name(), arguments)},
                               {"shrink further", fmt::format("{} minimize {}", program_name(), arguments)}});
}

// Findings of one cause: the first one open, since it mostly says all.
HtmlSection group_section(const VerifyOptions& options, const Judging& judging, const FindingGroup& group) {
  HtmlSection section{group.headline, fmt::format("{} violation{}", group.count, group.count == 1 ? "" : "s"),
                      false};
  std::string& text = section.html;
  if (!group.subjects.empty())
    text += fmt::format("<p class=\"lead\">{}; {} finding{}</p>\n",
                        escaped(fmt::format("{}", fmt::join(group.subjects, ", "))), group.findings.size(),
                        group.findings.size() == 1 ? "" : "s");
  for (const Finding* finding : group.findings) {
    const std::string html = finding_html(options.target, judging, *finding);
    text +=
        finding == group.findings.front()
            ? fmt::format("<h3>{}</h3>\n", escaped(title_of(*finding))) + html
            : html::details(fmt::format("{} ({})", title_of(*finding), subject_of(finding->test_case)), html);
  }
  return section;
}

// What the baseline knows, and what became of it.
HtmlSection known_section(const VerifyResult& result) {
  Rows rows = {{"known violation", "this time", "found by"}};
  for (const BaselineEntry& entry : result.baseline->entries) {
    const auto found = std::ranges::find_if(result.findings, [&](const Finding& finding) {
      return finding.known && finding.message.starts_with(entry.says + "\n");
    });
    rows.push_back({escaped(entry.says), escaped(name_of(entry.state)),
                    found == result.findings.end() ? "" : escaped(found->found_by)});
  }
  return {"Known violations", fmt::format("{} in {}", result.known_violations, result.baseline->file), true,
          html::table(rows)};
}

HtmlSection coverage_section(const VerifyResult& result) {
  Rows rows = {{"operation", "dtype", "cases", "rows", "elements", "special rows", "mismatches"}};
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      const Counts counts = result.tally.of(operation, dtype);
      if (counts.cases == 0) continue;
      rows.push_back({code_html(name_of(operation)), code_html(name_of(dtype)), std::to_string(counts.cases),
                      std::to_string(counts.rows), std::to_string(counts.elements),
                      std::to_string(counts.special_rows), std::to_string(counts.mismatches)});
    }
  }
  std::string text = html::table(rows);
  Rows combinations = {{"combination", "cases", "elements", "mismatches"}};
  for (const Combination& combination : result.combinations) {
    const Counts counts = result.tally.of(combination);
    combinations.push_back({escaped(to_string(combination)), std::to_string(counts.cases),
                            std::to_string(counts.elements), std::to_string(counts.mismatches)});
  }
  text += html::details("every combination of operation, dtype, weight and path", html::table(combinations));
  return {"What was compared", "", true, text};
}

HtmlSection checks_section(const VerifyResult& result) {
  std::string text;
  const auto table_of = [&](const std::string& group) {
    Rows rows = {{"result", "name", "cases", "seconds", "message"}};
    for (const Check& check : result.checks) {
      if (check.group != group) continue;
      rows.push_back({html::badge(check.known             ? "known"
                                  : !check.passed         ? "failed"
                                  : check.skipped.empty() ? "passed"
                                                          : "skipped",
                                  check.passed || check.known),
                      escaped(check.name), std::to_string(check.cases), fmt::format("{:.3f}", check.seconds),
                      !check.message.empty()   ? html::details("message", html::preformatted(check.message))
                      : !check.skipped.empty() ? html::details("why", html::preformatted(check.skipped))
                                               : ""});
    }
    return rows;
  };
  for (const char* group : {"property", "promise", "order", "sizes", "random", "corpus"}) {
    const Rows rows = table_of(group);
    if (rows.size() == 1) continue;
    const auto failed = std::count_if(
        result.checks.begin(), result.checks.end(),
        [group](const Check& check) { return check.group == group && !check.passed && !check.known; });
    text +=
        html::details(fmt::format("{}: {}, {} failed", group, rows.size() - 1, failed), html::table(rows));
  }
  return {"Checks", "", true, text};
}

// What the run comes to.
std::string verify_diagnosis(const VerifyResult& result, const std::vector<FindingGroup>& groups) {
  if (!found_new(result)) {
    if (exit_code_of(result) != kAllGood)
      return "No violation was found, but not everything could be looked at.";
    return result.known_violations > 0 ? "Only known violations were found."
                                       : "Everything that was looked at conforms.";
  }
  const std::int64_t violations = result.violations - result.known_violations;
  const std::string count = fmt::format("{} violation{}", violations, violations == 1 ? "" : "s");
  if (groups.empty()) return count + ".";
  if (groups.size() == 1)
    return fmt::format("{}: {}, {}.", count, groups.front().headline,
                       fmt::join(groups.front().subjects, ", "));
  return fmt::format("{} of {} causes; the most frequent: {}, {}.", count, groups.size(),
                     groups.front().headline, fmt::join(groups.front().subjects, ", "));
}

}  // namespace

HtmlSection finding_section(const std::string& target, const Judging& judging, const Finding& finding) {
  return {title_of(finding), "violates", false, finding_html(target, judging, finding)};
}

HtmlReport verify_report(const VerifyOptions& options, const VerifyResult& result) {
  HtmlReport report;
  report.title = fmt::format("normproof verify: target {}", options.target);
  report.good = exit_code_of(result) == kAllGood;
  report.verdict = report.good ? "conforms" : found_new(result) ? "violates" : "something was not checked";
  const std::vector<FindingGroup> groups = groups_of(result.findings);
  Counts total = result.tally.total();
  total += result.judged.total();
  const auto& wanted = result.combinations;
  const auto& judged = result.judged.combinations;
  const auto judged_reached = static_cast<std::size_t>(
      std::ranges::count_if(judged, [](const JudgedCombination& each) { return each.counts.cases > 0; }));
  report.diagnosis = verify_diagnosis(result, groups);
  report.sections.push_back(
      {.html = html::figures(std::vector<html::Figure>{
           {std::to_string(result.violations - result.known_violations),
            result.baseline ? "new violations" : "violations", found_new(result)},
           {std::to_string(options.seed), "seed"},
           {std::to_string(total.cases), "cases"},
           {std::to_string(total.elements), "elements compared"},
           {percent(total.special_rows, result.tally.total().rows), "of the rows with special values"},
           {std::to_string(total.mismatches), "mismatches", total.mismatches > 0},
           {fmt::format("{} of {}", wanted.size() - result.tally.uncovered(wanted).size() + judged_reached,
                        wanted.size() + judged.size()),
            "combinations reached", !result.uncovered.empty() || judged_reached < judged.size()},
           {fmt::format("{:.1f} s", result.seconds), "time"}})});
  if (result.merged_from == 0) {
    std::string command = command_line();
    if (command.find(" --seed") == std::string::npos) command += fmt::format(" --seed {}", options.seed);
    report.sections.push_back({.html = fmt::format("<p>Repeat this run: {}</p>\n", html::command(command))});
  }
  if (const std::string words = judged_text(result.judged) + result.closing_words; !words.empty())
    report.sections.push_back({.html = html::preformatted(words)});
  for (const FindingGroup& group : groups)
    report.sections.push_back(group_section(options, result.judging, group));
  if (result.baseline) report.sections.push_back(known_section(result));
  if (!result.unchecked.empty()) {
    std::string reasons;
    for (const std::string& reason : result.unchecked) reasons += reason + "\n";
    report.sections.push_back({"Not checked", "", false, html::preformatted(reasons)});
  }
  report.sections.push_back(coverage_section(result));
  report.sections.push_back(checks_section(result));
  return report;
}

}  // namespace normproof
