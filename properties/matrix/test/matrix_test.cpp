// Cells survive JSON, processes survive what a mutant does, and the summary counts what it says.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "properties/matrix/matrix.h"
#include "properties/matrix/process.h"
#include "properties/targets/run_program.h"

namespace normproof::matrix {
namespace {

Cell cell(Cell::Outcome outcome, double seconds = 0.5) { return {outcome, 7, seconds, "message", ""}; }

TEST(Cells, SurviveJson) {
  Cell written = cell(Cell::Outcome::crashed, 1.25);
  written.repro = "a.json";
  const Cell read = cell_from_json(to_json(written));
  EXPECT_EQ(read.outcome, written.outcome);
  EXPECT_EQ(read.executions, 7);
  EXPECT_EQ(read.seconds, 1.25);
  EXPECT_EQ(read.message, "message");
  EXPECT_EQ(read.repro, "a.json");
  EXPECT_THROW(cell_from_json({{"outcome", "dead"}}), std::invalid_argument);
}

TEST(Processes, HandOverTheCell) {
  CellProcess process([] { return cell(Cell::Outcome::killed); }, 10);
  const Cell received = process.wait();
  EXPECT_EQ(received.outcome, Cell::Outcome::killed);
  EXPECT_EQ(received.executions, 7);
}

TEST(Processes, CanBePolled) {
  CellProcess process([] { return cell(Cell::Outcome::survived); }, 10);
  std::optional<Cell> received;
  for (int tries = 0; tries < 5000 && !received; ++tries) {
    received = process.poll();
    usleep(1000);
  }
  ASSERT_TRUE(received);
  EXPECT_EQ(received->outcome, Cell::Outcome::survived);
}

TEST(Processes, SurviveACrash) {
  CellProcess process(
      []() -> Cell {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        return {};
      },
      10);
  const Cell received = process.wait();
  EXPECT_EQ(received.outcome, Cell::Outcome::crashed);
  EXPECT_NE(received.message.find("signal 11"), std::string::npos) << received.message;
}

TEST(Processes, EndWhatHangs) {
  CellProcess process(
      []() -> Cell {
        for (volatile bool on = true; on;) {
        }
        return {};
      },
      0);
  EXPECT_EQ(process.wait().outcome, Cell::Outcome::hung);
}

TEST(Processes, ReportAnException) {
  CellProcess process([]() -> Cell { throw std::runtime_error("no such target"); }, 10);
  const Cell received = process.wait();
  EXPECT_EQ(received.outcome, Cell::Outcome::not_run);
  EXPECT_EQ(received.message, "no such target");
}

TEST(Processes, AnExitWithoutACellIsNoKill) {
  CellProcess process([]() -> Cell { _exit(0); }, 10);
  EXPECT_EQ(process.wait().outcome, Cell::Outcome::not_run);
}

TEST(Programs, GiveOutputAndExitCode) {
  const ProgramResult result =
      run_program({"/bin/sh", "-c", "echo $WORD; echo error >&2; exit 5"}, {"WORD=hello"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.output, "hello\nerror\n");
  EXPECT_EQ(run_program({"/bin/sh", "-c", "kill -9 $$"}, {}).exit_code, -9);
}

Matrix example() {
  Matrix matrix;
  matrix.checks = {
      {"verify", "verify", "", {}}, {"corpus", "ours", "", {}}, {"loose", "theirs", "a loose test", {}}};
  using enum Cell::Outcome;
  matrix.rows.push_back({"host",
                         "production kernels",
                         "",
                         {{"verify", cell(survived)}, {"corpus", cell(survived)}, {"loose", cell(survived)}},
                         {}});
  matrix.rows.push_back(
      {"mutant:B1-a",
       "B1-a",
       "Bug:      a\nPath:     p\n\n--- a/x\n</script>",
       {{"verify", cell(killed, 0.25)}, {"corpus", cell(crashed)}, {"loose", cell(survived)}},
       {}});
  matrix.rows.push_back(
      {"mutant:B2-b",
       "B2-b",
       "",
       {{"verify", cell(killed, 0.75)}, {"corpus", cell(survived)}, {"loose", cell(killed)}},
       {}});
  matrix.rows.back().repro = Repro{"case", "", {"{}"}, true, false};
  matrix.rows.push_back(
      {"mutant:B3-c",
       "B3-c",
       "",
       {{"verify", cell(survived, 45)}, {"corpus", cell(not_run)}, {"loose", cell(survived)}},
       {}});
  return matrix;
}

TEST(Summaries, CountWhatTheySay) {
  const Summary summary = summarize(example());
  EXPECT_EQ(summary.mutants, 3);
  EXPECT_EQ(summary.killed_by_verify, 2);
  EXPECT_EQ(summary.killed_by_corpus, 1);
  EXPECT_EQ(summary.killed_by_ours, 2);
  EXPECT_EQ(summary.killed_by_theirs, 1);
  EXPECT_EQ(summary.slowest_verify_seconds, 0.75);
  EXPECT_EQ(summary.false_alarms, 0);
  EXPECT_EQ(summary.repros_confirmed, 0);
  EXPECT_EQ(summary.repros_refuted, 1);
  EXPECT_EQ(summary.not_run, 1);
  EXPECT_EQ(summary.survivors, std::vector<std::string>{"B3-c"});
}

TEST(Summaries, WhatACheckDoesNotCallCountsInNoShare) {
  Matrix matrix = example();
  Row& row = matrix.rows.back();
  EXPECT_FALSE(row.is_of_family());
  row.patch = "Bug:      a\n\n--- a/kernels/family/x.cuh\n+++ b/kernels/family/x.cuh\n";
  EXPECT_TRUE(row.is_of_family());
  EXPECT_NE(to_markdown(matrix).find("| a loose test | 1 | 33 % |"), std::string::npos);
  EXPECT_NE(to_markdown(matrix).find("together | 1 | 50 % |"), std::string::npos) << to_markdown(matrix);
  row.cells["loose"].outcome = Cell::Outcome::not_taken;
  EXPECT_NE(to_markdown(matrix).find("| a loose test | 1 | 50 % |"), std::string::npos)
      << to_markdown(matrix);
}

TEST(Summaries, AKillOfTheProductionKernelsIsAFalseAlarmUnlessATolerancesTestDoesIt) {
  Matrix matrix = example();
  matrix.rows.front().cells["loose"].outcome = Cell::Outcome::killed;
  EXPECT_EQ(summarize(matrix).false_alarms, 0);
  matrix.rows.front().cells["corpus"].outcome = Cell::Outcome::hung;
  EXPECT_EQ(summarize(matrix).false_alarms, 1);
}

TEST(Reports, ShowSurvivorsAndUnconfirmedRepros) {
  const std::string text = to_text(example());
  EXPECT_NE(text.find("SURVIVES verify: B3-c"), std::string::npos) << text;
  EXPECT_NE(text.find("REPRO NOT CONFIRMED"), std::string::npos) << text;
  EXPECT_NE(text.find("#!."), std::string::npos) << text;
}

TEST(Reports, JsonHoldsCellsAndHeaders) {
  const auto document = nlohmann::json::parse(to_json_text(example()));
  EXPECT_EQ(document.at("rows").at(1).at("bug"), "a");
  EXPECT_EQ(document.at("rows").at(1).at("cells").at("corpus").at("outcome"), "crashed");
  EXPECT_EQ(document.at("checks").at(2).at("killed"), 1);
}

TEST(Reports, ThePageIsWholeAndLoadsNothing) {
  const std::string page = to_html(example());
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_NE(page.find("<\\/script>"), std::string::npos);  // the patch's own
  std::size_t ends = 0;
  for (std::size_t at = 0; (at = page.find("</script>", at)) != std::string::npos; ++at) ++ends;
  EXPECT_EQ(ends, 2u);
}

}  // namespace
}  // namespace normproof::matrix
