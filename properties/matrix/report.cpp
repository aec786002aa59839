// What a matrix says: its figures, as text for the terminal, as JSON, and as the table of the README.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "corpus/json.h"
#include "corpus/json_text.h"
#include "properties/matrix/matrix.h"

namespace normproof::matrix {
namespace {

using Json = nlohmann::ordered_json;

char mark_of(const Row& row, const MatrixCheck& check) {
  const auto found = row.cells.find(check.name);
  if (found == row.cells.end()) return '?';
  switch (found->second.outcome) {
    case Cell::Outcome::survived:
      return '.';
    case Cell::Outcome::killed:
      return '#';
    case Cell::Outcome::crashed:
      return '!';
    case Cell::Outcome::hung:
      return '~';
    case Cell::Outcome::not_run:
      return '?';
    case Cell::Outcome::not_taken:
      return '-';
  }
  return '?';
}

struct ColumnFigures {
  std::int64_t killed = 0, run = 0, not_run = 0;  // mutants
  // On the production kernels, which may be another shard's.
  const char* on_production = "not in this shard";
  bool alarm = false;
};

ColumnFigures figures_of(const Matrix& matrix, const MatrixCheck& check) {
  ColumnFigures figures;
  for (const Row& row : matrix.rows) {
    const auto found = row.cells.find(check.name);
    const bool run = found != row.cells.end() && found->second.outcome != Cell::Outcome::not_run;
    const bool kills = run && found->second.kills();
    if (row.is_production()) {
      figures.alarm = kills;
      figures.on_production = !run ? "not run" : kills ? "FALSE ALARM" : "silent";
    } else if (row.is_mutant()) {
      // What a check does not call counts in no share.
      if (run && found->second.outcome == Cell::Outcome::not_taken) continue;
      figures.killed += kills ? 1 : 0;
      ++(run ? figures.run : figures.not_run);
    }
  }
  return figures;
}

constexpr const char* kNotRun = "not run";

// A figure, or that nothing was run for it.
template <class Number>
std::string figure_text(const std::optional<Number>& figure, const char* format = "{}") {
  return figure ? fmt::format(fmt::runtime(format), *figure) : kNotRun;
}
template <class Number>
Json figure_json(const std::optional<Number>& figure) {
  return figure ? Json(*figure) : Json(nullptr);
}

double percent(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

// The value of a line "Name:   value" above a patch.
std::string header_field(const std::string& patch, const std::string& name) {
  const std::size_t line = patch.find(name + ":");
  if (line == std::string::npos || (line != 0 && patch[line - 1] != '\n')) return {};
  const std::size_t begin = patch.find_first_not_of(' ', line + name.size() + 1);
  return patch.substr(begin, patch.find('\n', begin) - begin);
}

Json to_json(const Repro& repro) {
  return {{"kind", repro.kind},
          {"property", repro.property},
          {"cases", repro.cases},
          {"violates_on_mutant", repro.violates_on_mutant},
          {"conforms_on_production", repro.conforms_on_production}};
}

std::string markdown_row(const std::string& name, const std::optional<std::int64_t>& killed,
                         std::int64_t mutants) {
  if (!killed) return fmt::format("| {} | {} | |\n", name, kNotRun);
  return fmt::format("| {} | {} | {:.0f} % |\n", name, *killed, percent(*killed, mutants));
}

// What the checks say of the plug-in; empty where there is none.
std::string about_target(const Matrix& matrix, const Summary& summary) {
  const auto row = std::ranges::find_if(
      matrix.rows, [](const Row& each) { return !each.is_production() && !each.is_mutant(); });
  if (row == matrix.rows.end()) return {};
  const auto sentence = [&](bool theirs, const char* what, const std::vector<std::string>& failing) {
    std::size_t asked = 0, not_taken = 0;
    for (const MatrixCheck& check : matrix.checks) {
      if ((check.group == "theirs") != theirs) continue;
      const auto cell = row->cells.find(check.name);
      const bool is_taken = cell == row->cells.end() || cell->second.outcome != Cell::Outcome::not_taken;
      ++(is_taken ? asked : not_taken);
    }
    return fmt::format("{} of {} {} fail{}{}{}\n", failing.size(), asked, what, failing.empty() ? "" : ": ",
                       fmt::join(failing, ", "),
                       not_taken == 0
                           ? ""
                           : fmt::format("{} {} {} not about what it takes", failing.empty() ? "," : ";",
                                         not_taken, not_taken == 1 ? "is" : "are"));
  };
  return fmt::format("target {}: ", row->name) + sentence(false, "checks", summary.failing_on_target) +
         sentence(true, "tolerance tests", summary.failing_of_theirs_on_target);
}

// Counts in a figure that is there once something was run.
void count(std::optional<std::int64_t>& figure, bool counts) {
  figure = figure.value_or(0) + (counts ? 1 : 0);
}

}  // namespace

Summary summarize(const Matrix& matrix) {
  Summary summary;
  for (const Row& row : matrix.rows) {
    std::optional<bool> ours, theirs;  // whether any of them kills it
    for (const MatrixCheck& check : matrix.checks) {
      const auto found = row.cells.find(check.name);
      if (found == row.cells.end() || found->second.outcome == Cell::Outcome::not_run) {
        ++summary.not_run;
        continue;
      }
      const Cell& cell = found->second;
      if (row.is_production()) {
        if (check.group != "theirs") count(summary.false_alarms, cell.kills());
        continue;
      }
      if (!row.is_mutant()) {
        if (cell.kills())
          (check.group == "theirs" ? summary.failing_of_theirs_on_target : summary.failing_on_target)
              .push_back(check.name);
        continue;
      }
      if (cell.outcome == Cell::Outcome::not_taken) continue;
      if (check.name == "corpus") {
        summary.corpus_seconds = summary.corpus_seconds.value_or(0) + cell.seconds;
        count(summary.killed_by_corpus, cell.kills());
      }
      if (check.name == "verify") {
        count(summary.killed_by_verify, cell.kills());
        if (cell.kills())
          summary.slowest_verify_seconds = std::max(summary.slowest_verify_seconds.value_or(0), cell.seconds);
        if (!cell.kills()) summary.survivors.push_back(row.name);
      }
      std::optional<bool>& any = check.group == "theirs" ? theirs : ours;
      any = any.value_or(false) || cell.kills();
    }
    if (!row.is_mutant()) continue;
    ++summary.mutants;
    if (ours) count(summary.killed_by_ours, *ours);
    if (theirs) count(summary.killed_by_theirs, *theirs);
    if (row.repro) ++(row.repro->confirmed() ? summary.repros_confirmed : summary.repros_refuted);
  }
  return summary;
}

std::string to_text(const Matrix& matrix) {
  std::string text;
  for (std::size_t column = 0; column < matrix.checks.size(); ++column) {
    const MatrixCheck& check = matrix.checks[column];
    text += fmt::format("{:>2}  {:<26} {}\n", column + 1, check.name, check.sentence);
  }
  text += fmt::format("\n{:<64}", "");
  for (std::size_t column = 0; column < matrix.checks.size(); ++column)
    text += (column + 1) % 10 == 0 ? fmt::format("{}", (column + 1) / 10) : " ";
  text += fmt::format("\n{:<64}", "# killed  ! crashed  ~ hung  . survived  - not taken  ? not run");
  for (std::size_t column = 0; column < matrix.checks.size(); ++column)
    text += fmt::format("{}", (column + 1) % 10);
  text += '\n';
  for (const Row& row : matrix.rows) {
    text += fmt::format("{:<64}", row.name);
    for (const MatrixCheck& check : matrix.checks) text += mark_of(row, check);
    if (row.repro && !row.repro->confirmed()) text += "  REPRO NOT CONFIRMED";
    text += '\n';
  }
  const Summary summary = summarize(matrix);
  if (summary.mutants > 0) {
    text += fmt::format("\n{:<28} {:>6} {:>8}  {}\n", "check", "killed", "", "on the production kernels");
    for (const MatrixCheck& check : matrix.checks) {
      const ColumnFigures figures = figures_of(matrix, check);
      text += fmt::format(
          "{:<28} {:>15}  {}{}\n", check.name,
          figures.run == 0
              ? kNotRun
              : fmt::format("{:>6} {:>6.1f} %", figures.killed, percent(figures.killed, figures.run)),
          figures.on_production, figures.not_run > 0 ? fmt::format(", {} not run", figures.not_run) : "");
    }
    text += fmt::format(
        "\n{} mutants; killed by verify: {}, the slowest after: {}; by the corpus alone: {}, in: {};\n",
        summary.mutants, figure_text(summary.killed_by_verify),
        figure_text(summary.slowest_verify_seconds, "{:.2f} s of processor time"),
        figure_text(summary.killed_by_corpus), figure_text(summary.corpus_seconds, "{:.2f} s together"));
    text += fmt::format(
        "by all tolerance tests together: {}; {} repros confirmed, {} not; false alarms: {}; {:.0f} s\n",
        figure_text(summary.killed_by_theirs), summary.repros_confirmed, summary.repros_refuted,
        figure_text(summary.false_alarms), matrix.seconds);
  } else {
    text += '\n';
    for (const MatrixCheck& check : matrix.checks)
      if (figures_of(matrix, check).alarm)
        text += fmt::format("{}: FALSE ALARM on the production kernels\n", check.name);
  }
  text += about_target(matrix, summary);
  for (const std::string& name : summary.survivors) text += fmt::format("SURVIVES verify: {}\n", name);
  return text;
}

std::string to_json_text(const Matrix& matrix) {
  const Summary summary = summarize(matrix);
  Json document;
  document["normproof_mutants"] = 1;
  document["seconds"] = matrix.seconds;
  document["summary"] = {{"mutants", summary.mutants},
                         {"killed_by_verify", figure_json(summary.killed_by_verify)},
                         {"killed_by_corpus", figure_json(summary.killed_by_corpus)},
                         {"killed_by_all_of_ours", figure_json(summary.killed_by_ours)},
                         {"killed_by_all_tolerance_tests", figure_json(summary.killed_by_theirs)},
                         {"slowest_verify_seconds", figure_json(summary.slowest_verify_seconds)},
                         {"corpus_seconds", figure_json(summary.corpus_seconds)},
                         {"false_alarms", figure_json(summary.false_alarms)},
                         {"repros_confirmed", summary.repros_confirmed},
                         {"repros_refuted", summary.repros_refuted},
                         {"not_run", summary.not_run},
                         {"survivors", summary.survivors},
                         {"failing_on_target", summary.failing_on_target},
                         {"failing_of_theirs_on_target", summary.failing_of_theirs_on_target}};
  document["checks"] = Json::array();
  for (const MatrixCheck& check : matrix.checks) {
    const ColumnFigures figures = figures_of(matrix, check);
    document["checks"].push_back({{"name", check.name},
                                  {"group", check.group},
                                  {"sentence", check.sentence},
                                  {"killed", figures.run == 0 ? Json(nullptr) : Json(figures.killed)},
                                  {"false_alarm", figures.alarm}});
  }
  document["rows"] = Json::array();
  for (const Row& row : matrix.rows) {
    Json line = {{"target", row.target},
                 {"name", row.name},
                 {"bug", header_field(row.patch, "Bug")},
                 {"report", header_field(row.patch, "Report")},
                 {"path", header_field(row.patch, "Path")},
                 {"smallest", header_field(row.patch, "Smallest")}};
    for (const MatrixCheck& check : matrix.checks) {
      const auto found = row.cells.find(check.name);
      if (found != row.cells.end()) line["cells"][check.name] = matrix::to_json(found->second);
    }
    if (row.repro) line["repro"] = to_json(*row.repro);
    line["patch"] = row.patch;
    document["rows"].push_back(std::move(line));
  }
  return json_text(document, 1) + "\n";
}

Matrix matrix_from_json(const Json& document) {
  Matrix matrix;
  matrix.seconds = document.at("seconds").get<double>();
  for (const Json& check : document.at("checks")) {
    matrix.checks.push_back({check.at("name").get<std::string>(),
                             check.at("group").get<std::string>(),
                             check.at("sentence").get<std::string>(),
                             {}});
  }
  for (const Json& line : document.at("rows")) {
    Row row{line.at("target").get<std::string>(),
            line.at("name").get<std::string>(),
            line.at("patch").get<std::string>(),
            {},
            {}};
    if (line.contains("cells"))
      for (const auto& [check, cell] : line.at("cells").items()) row.cells[check] = cell_from_json(cell);
    if (line.contains("repro")) {
      const Json& repro = line.at("repro");
      row.repro =
          Repro{repro.at("kind").get<std::string>(), repro.at("property").get<std::string>(),
                repro.at("cases").get<std::vector<std::string>>(), repro.at("violates_on_mutant").get<bool>(),
                repro.at("conforms_on_production").get<bool>()};
    }
    matrix.rows.push_back(std::move(row));
  }
  matrix.all_rows = matrix.rows.size();
  return matrix;
}

std::string to_markdown(const Matrix& matrix) {
  const Summary summary = summarize(matrix);
  std::string text = fmt::format("| check | of {} mutants it sees | |\n|---|---|---|\n", summary.mutants);
  for (const MatrixCheck& check : matrix.checks) {
    const ColumnFigures figures = figures_of(matrix, check);
    text += markdown_row(check.group == "theirs" ? check.sentence : check.name,
                         figures.run == 0 ? std::nullopt : std::optional(figures.killed), figures.run);
  }
  const auto asked = std::ranges::count_if(matrix.rows, [&](const Row& row) {
    return row.is_mutant() && std::ranges::any_of(matrix.checks, [&](const MatrixCheck& check) {
             return check.group == "theirs" && asks(check, row);
           });
  });
  text += markdown_row("all these tolerance tests together", summary.killed_by_theirs, asked);
  return text;
}

}  // namespace normproof::matrix
