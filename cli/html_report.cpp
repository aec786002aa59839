#include "cli/html_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "oracle/canonical.h"
#include "oracle/canonical_judge.h"
#include "oracle/certificate.h"
#include "oracle/explain.h"
#include "oracle/formats.h"
#include "properties/report/html.h"
#include "properties/report/svg.h"
#include "properties/run/plugin_target.h"
#include "properties/run/report_text.h"

namespace normproof {
namespace {

using html::escaped;
using Rows = std::vector<std::vector<std::string>>;

std::string code(std::string_view text) { return fmt::format("<code>{}</code>", escaped(text)); }

// "1.0078125 0x3f81".
std::string number(DType dtype, std::uint32_t bits) {
  return fmt::format("{} {}", escaped(oracle::value_text(dtype, bits)), code(oracle::hex_bits(dtype, bits)));
}

std::string roots(const oracle::RootInterval& interval) {
  if (interval.empty()) return "none";
  const auto end = [](std::int64_t bits) {
    return bits < 0 || bits > UINT32_MAX ? std::string("-")
                                         : number(DType::fp32, static_cast<std::uint32_t>(bits));
  };
  return fmt::format("{} to {}", end(interval.low), end(interval.high));
}

std::string certificate_html(const oracle::Certificate& certificate, const oracle::Formula& formula) {
  Rows rows = {
      {"tensor", "column", "x, or its sum with the residual", "weight", "got", "inverse RMS that gives it"}};
  for (const oracle::CertificateElement& element : certificate.elements) {
    const DType dtype = element.tensor == Role::scales ? DType::fp32 : formula.output_dtype();
    rows.push_back({std::string(name_of(element.tensor)), std::to_string(element.column),
                    number(DType::fp32, element.operand),
                    formula.formats.weight ? number(*formula.formats.weight, element.weight) : "-",
                    number(dtype, element.got), roots(element.needs)});
  }
  std::string text = fmt::format("<h3>Row {}: {}</h3>\n", certificate.row, name_of(certificate.kind));
  text += html::table(rows);
  text += fmt::format(
      "<p>An honest evaluation arrives at {}; the correctly rounded inverse RMS is {}.</p>\n",
      certificate.admissible.interval.empty() ? "NaN alone" : roots(certificate.admissible.interval),
      number(DType::fp32, certificate.correctly_rounded_root));
  return text + html::details("as text", html::preformatted(oracle::to_text(certificate, formula)));
}

std::string mismatches_html(const std::vector<oracle::Mismatch>& mismatches) {
  if (mismatches.empty()) return {};
  Rows rows = {{"tensor", "row", "column", "got", "wanted", "ulp apart"}};
  for (const oracle::Mismatch& mismatch : mismatches) {
    rows.push_back({std::string(name_of(mismatch.tensor)), std::to_string(mismatch.row),
                    std::to_string(mismatch.column), number(mismatch.dtype, mismatch.got),
                    number(mismatch.dtype, mismatch.wanted),
                    mismatch.ulp_distance == UINT64_MAX ? "-" : std::to_string(mismatch.ulp_distance)});
  }
  return html::table(rows);
}

std::string histogram_html(const DifferenceHistogram& histogram) {
  const double total = static_cast<double>(std::max<std::int64_t>(histogram.total(), 1));
  std::vector<svg::Bar> bars;
  const auto add = [&](const std::string& label, std::int64_t count) {
    const double share = static_cast<double>(count) / total;
    bars.push_back(
        {label, share,
         fmt::format("{} ({})", count, share_text(count, std::max<std::int64_t>(histogram.total(), 1)))});
  };
  for (std::size_t bin = 0; bin < histogram.elements.size(); ++bin)
    add(DifferenceHistogram::label(bin), histogram.elements[bin]);
  add("NaN on one side", histogram.nan_mismatches);
  return svg::bars(bars);
}

std::string map_html(const DifferenceMap& map) {
  svg::Grid grid;
  grid.rows = map.cell_rows();
  grid.columns = map.cell_columns();
  if (grid.rows == 0 || grid.columns == 0) return {};
  const auto range = [](std::int64_t first, std::int64_t last) {
    return first == last ? std::to_string(first) : fmt::format("{} to {}", first, last);
  };
  for (std::int64_t row = 0; row < grid.rows; ++row) {
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      const DifferenceMap::Cell cell = map.cell(row, column);
      grid.shares.push_back(static_cast<double>(cell.differing) / static_cast<double>(cell.elements()));
      grid.tooltips.push_back(
          fmt::format("rows {}, columns {}: {} of {} elements differ", range(cell.first_row, cell.last_row),
                      range(cell.first_column, cell.last_column), cell.differing, cell.elements()));
    }
  }
  const DifferenceMap::Cell first = map.cell(0, 0), last = map.cell(grid.rows - 1, grid.columns - 1);
  grid.first_row = std::to_string(first.first_row);
  grid.last_row = std::to_string(last.last_row);
  grid.first_column = std::to_string(first.first_column);
  grid.last_column = std::to_string(last.last_column);
  grid.row_title = "rows";
  grid.column_title = "columns";
  return svg::heat_map(grid);
}

std::string picture_html(const DifferencePicture& picture) {
  return fmt::format("<h3>How far elements are off</h3>\n<p>{}</p>\n{}{}<h3>Where elements differ</h3>\n{}",
                     escaped(picture.subject), histogram_html(picture.histogram),
                     picture.histogram.few_differ() ? mismatches_html(picture.histogram.first) : "",
                     map_html(picture.map));
}

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
                      code(table.values[value].formula), escaped(table.values[value].source)});
    }
  }
  return html::table(rows);
}

std::string file_heading(const std::string& file, const std::string& verdict, bool good) {
  return fmt::format("<h2>{} {}</h2>\n", escaped(file), html::badge(verdict, good));
}

std::string commands_html(const std::vector<std::pair<std::string, std::string>>& commands) {
  Rows rows = {{"to", "command"}};
  for (const auto& [purpose, command] : commands) rows.push_back({escaped(purpose), code(command)});
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
  std::string body = fmt::format("<h1>{} {}</h1>\n<p class=\"lead\">{} {}</p>\n", escaped(report.title),
                                 html::badge(report.verdict, report.good), code(command_line()),
                                 escaped("with normproof " NORMPROOF_VERSION));
  for (const std::string& section : report.sections) body += section;
  write_text_atomically(file, html::page(report.title, "", body));
}

std::string check_section(const std::string& file, const GivenOutputs& given,
                          const oracle::WitnessVerdict& verdict, const DifferencePicture* picture,
                          const std::string& doubt) {
  const bool good = verdict.conforms();
  std::string text = file_heading(file, good ? "conforms" : "violates", good);
  text += fmt::format("<p class=\"lead\">{}. Policy {}; {}.</p>\n", escaped(subject_of(given.test_case)),
                      code(oracle::to_string(given.policy)), escaped(model_text(given.policy.inverse_root)));
  if (!doubt.empty()) text += fmt::format("<p>{}</p>\n", escaped(doubt));
  const std::int64_t violating = verdict.rounding_violations + verdict.scale_violations;
  text += html::figures(std::vector<html::Figure>{
      {std::to_string(verdict.rows), "rows"},
      {std::to_string(verdict.elements), "elements"},
      {std::to_string(verdict.special_rows), "rows with special values"},
      {std::to_string(verdict.conforming_rows()), "conforming rows"},
      {std::to_string(verdict.rounding_violations), "rounding violations", verdict.rounding_violations > 0},
      {std::to_string(verdict.scale_violations), "scale violations", verdict.scale_violations > 0},
      {std::to_string(verdict.residual_mismatches), "residuals that differ", verdict.residual_mismatches > 0},
      {fmt::format("{} ulp", verdict.worst_ulp_distance), "r of conforming rows, at most"}});
  const oracle::Formula formula = oracle::formula_of(given.test_case, given.policy);
  if (!verdict.first_violations.empty()) {
    text += fmt::format(
        "<h3>Certificates</h3>\n<p>Of the first {} of {} violating rows. No single inverse RMS explains what "
        "stands in a certificate.</p>\n",
        verdict.first_violations.size(), violating);
    for (const oracle::Certificate& certificate : verdict.first_violations)
      text += certificate_html(certificate, formula);
  }
  if (!verdict.first_residual_mismatches.empty())
    text += "<h3>Residuals</h3>\n" + mismatches_html(verdict.first_residual_mismatches);
  if (picture != nullptr) text += picture_html(*picture);
  text += "<h3>Policy</h3>\n" + policy_table(given.policy, given.test_case);
  return text + (good ? "" : check_commands(file));
}

std::string check_section(const std::string& file, const GivenOutputs& given, const oracle::Verdict& verdict,
                          const DifferencePicture* picture) {
  const bool good = verdict.conforms();
  std::string text = file_heading(file, good ? "conforms" : "violates", good);
  text += fmt::format("<p class=\"lead\">{}. Policy {}; canonical order.</p>\n",
                      escaped(subject_of(given.test_case)), code(oracle::to_string(given.policy)));
  text += html::figures(std::vector<html::Figure>{
      {std::to_string(verdict.rows), "rows"},
      {std::to_string(verdict.elements), "elements"},
      {std::to_string(verdict.special_rows), "rows with special values"},
      {fmt::format("{} ({})", verdict.mismatches, percent(verdict.mismatches, verdict.elements)),
       "elements that differ", !good}});
  if (!good) text += "<h3>The first elements that differ</h3>\n" + mismatches_html(verdict.first_mismatches);
  if (picture != nullptr) text += picture_html(*picture);
  text += "<h3>Policy</h3>\n" + policy_table(given.policy, given.test_case);
  return text + (good ? "" : check_commands(file));
}

std::string text_section(const std::string& file, const std::string& verdict, bool good,
                         const std::string& text) {
  return file_heading(file, verdict, good) + html::preformatted(text);
}

std::string error_section(const std::string& file, const std::string& error) {
  return text_section(file, "not judged", false, error);
}

std::string identify_section(const std::string& file, const std::string& subject, const Identification& found,
                             const Case& test_case) {
  const std::string policy = axes_text(found.best);
  std::string text = file_heading(file, found.identified() ? policy : "no known policy", found.identified());
  text += fmt::format("<p class=\"lead\">{}</p>\n", escaped(subject));
  if (!found.identified()) return text + html::preformatted(to_text(found, test_case));
  Rows names = {{"policy", "explains every row"}};
  for (const oracle::Policy& survivor : found.survivors)
    names.push_back(
        {code(axes_text(survivor)), survivor == found.best ? "yes; the one identified" : "yes, too"});
  text += html::table(names);
  for (const std::string& name : known_as(found.best, test_case))
    text += fmt::format("<p>Named: {}</p>\n", escaped(name));
  Rows rows = {{"axis", "value", "explains every row", "why"}};
  for (const AxisFinding& axis : found.axes) {
    for (const AxisValueFinding& value : axis.values) {
      const bool identified = value.reason.empty();
      std::string why = identified ? code(formula_text(axis.name, value.name))
                        : value.survives || value.reason.find('\n') + 1 == value.reason.size()
                            ? escaped(value.reason)
                            : html::details("certificate", html::preformatted(value.reason));
      rows.push_back({&value == &axis.values.front() ? escaped(axis.name) : "",
                      identified ? fmt::format("<b>{}</b>", escaped(value.name)) : escaped(value.name),
                      html::badge(value.survives ? "yes" : "no", value.survives), std::move(why)});
    }
  }
  return text + "<h3>Policy table</h3>\n" + html::table(rows);
}

std::string identify_target_section(const std::string& target, std::uint64_t seed,
                                    const std::vector<IdentifiedCall>& calls,
                                    const std::vector<Trait>& traits) {
  std::string text = fmt::format("<h2>Target {}</h2>\n<p class=\"lead\">Seed of the inputs: {}</p>\n",
                                 escaped(target), seed);
  Rows rows = {{"call", "policy"}};
  for (const IdentifiedCall& call : calls)
    rows.push_back(
        {escaped(call.call), call.identified ? code(call.policy) : html::badge(call.policy, false)});
  text += html::table(rows);
  for (const IdentifiedCall& call : calls) {
    if (!call.details.empty())
      text += fmt::format("<h3>{}</h3>\n{}", escaped(call.call), html::preformatted(call.details));
  }
  Rows observed = {{"trait", "answer"}};
  for (const Trait& trait : traits) observed.push_back({escaped(trait.question), escaped(trait.answer)});
  return text + "<h3>Traits</h3>\n" + html::table(observed);
}

namespace {

std::string finding_section(const VerifyOptions& options, const Judging& judging, const Finding& finding) {
  const Case& test_case = finding.test_case;
  std::string text =
      file_heading(finding.file.empty() ? test_case.name : finding.file.string(), "violation", false);
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
    text += picture_html(picture);
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
  const std::string arguments = shell_quoted_file(finding.file.string()) +
                                target_arguments(options.target, names_a_plugin(options.target), judging);
  return text + commands_html({{"replay", fmt::format("{} replay {}", program_name(), arguments)},
                               {"explain", fmt::format("{} explain {}", program_name(), arguments)},
                               {"shrink further", fmt::format("{} minimize {}", program_name(), arguments)}});
}

std::string coverage_section(const VerifyResult& result) {
  Rows rows = {{"operation", "dtype", "cases", "rows", "elements", "special rows", "mismatches"}};
  for (const Operation operation : kOperations) {
    for (const DType dtype : kActivationDTypes) {
      const Counts counts = result.tally.of(operation, dtype);
      if (counts.cases == 0) continue;
      rows.push_back({code(name_of(operation)), code(name_of(dtype)), std::to_string(counts.cases),
                      std::to_string(counts.rows), std::to_string(counts.elements),
                      std::to_string(counts.special_rows), std::to_string(counts.mismatches)});
    }
  }
  std::string text = "<h2>What was compared</h2>\n" + html::table(rows);
  Rows combinations = {{"combination", "cases", "elements", "mismatches"}};
  for (const Combination& combination : result.combinations) {
    const Counts counts = result.tally.of(combination);
    combinations.push_back({escaped(to_string(combination)), std::to_string(counts.cases),
                            std::to_string(counts.elements), std::to_string(counts.mismatches)});
  }
  return text +
         html::details("every combination of operation, dtype, weight and path", html::table(combinations));
}

std::string checks_section(const VerifyResult& result) {
  std::string text = "<h2>Checks</h2>\n";
  const auto table_of = [&](const std::string& group) {
    Rows rows = {{"", "name", "cases", "seconds", ""}};
    for (const Check& check : result.checks) {
      if (check.group != group) continue;
      rows.push_back({html::badge(!check.passed           ? "failed"
                                  : check.skipped.empty() ? "passed"
                                                          : "skipped",
                                  check.passed),
                      escaped(check.name), std::to_string(check.cases), fmt::format("{:.3f}", check.seconds),
                      !check.message.empty()   ? html::details("message", html::preformatted(check.message))
                      : !check.skipped.empty() ? html::details("why", html::preformatted(check.skipped))
                                               : ""});
    }
    return rows;
  };
  for (const char* group : {"property", "promise", "random", "corpus"}) {
    const Rows rows = table_of(group);
    const auto failed =
        std::count_if(result.checks.begin(), result.checks.end(),
                      [group](const Check& check) { return check.group == group && !check.passed; });
    text +=
        html::details(fmt::format("{}: {}, {} failed", group, rows.size() - 1, failed), html::table(rows));
  }
  return text;
}

}  // namespace

HtmlReport verify_report(const VerifyOptions& options, const VerifyResult& result) {
  HtmlReport report;
  report.title = fmt::format("normproof verify: target {}", options.target);
  report.good = exit_code_of(result) == kAllGood;
  report.verdict = report.good               ? "conforms"
                   : result.findings.empty() ? "something was not checked"
                                             : "violates";
  const Counts total = result.tally.total();
  const auto& wanted = result.combinations;
  report.sections.push_back(html::figures(std::vector<html::Figure>{
      {std::to_string(result.violations), "violations", !result.findings.empty()},
      {std::to_string(options.seed), "seed"},
      {std::to_string(total.cases), "cases"},
      {std::to_string(total.elements), "elements compared"},
      {percent(total.special_rows, total.rows), "of the rows with special values"},
      {std::to_string(total.mismatches), "mismatches", total.mismatches > 0},
      {fmt::format("{} of {}", wanted.size() - result.tally.uncovered(wanted).size(), wanted.size()),
       "combinations reached", !result.uncovered.empty()},
      {fmt::format("{:.1f} s", result.seconds), "time"}}));
  if (result.merged_from == 0) {
    std::string command = command_line();
    if (command.find(" --seed") == std::string::npos) command += fmt::format(" --seed {}", options.seed);
    report.sections.push_back(commands_html({{"repeat this run", command}}));
  }
  if (!result.closing_words.empty()) report.sections.push_back(html::preformatted(result.closing_words));
  for (const Finding& finding : result.findings)
    report.sections.push_back(finding_section(options, result.judging, finding));
  if (!result.unchecked.empty()) {
    std::string reasons;
    for (const std::string& reason : result.unchecked) reasons += reason + "\n";
    report.sections.push_back("<h2>Not checked</h2>\n" + html::preformatted(reasons));
  }
  report.sections.push_back(coverage_section(result));
  report.sections.push_back(checks_section(result));
  return report;
}

}  // namespace normproof
