// The kill matrix: mutants x checks. Cells run in parallel processes, results are kept from run to run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/shard.h"
#include "properties/matrix/cell.h"
#include "properties/matrix/checks.h"

namespace normproof::matrix {

// What the smallest case of a mutant shows when it is replayed alone.
struct Repro {
  // "case": the case itself. "call": the same of a judged operation. "second call": after the same case with
  // another epsilon and scale. "property": no case shows it, but the property does, with the same seed.
  // "none": nothing was found.
  std::string kind = "none";
  std::string property;            // of kind "property"
  std::vector<std::string> cases;  // as JSON, in the order in which they are to be run
  bool violates_on_mutant = false;
  bool conforms_on_production = false;
  bool confirmed() const { return violates_on_mutant && conforms_on_production; }
};

struct Row {
  // "host": the production kernels, which nothing may kill; "mutant:NAME"; or the path of a plug-in.
  std::string target;
  std::string name;
  std::string patch;                  // text, header included
  std::map<std::string, Cell> cells;  // by check
  std::optional<Repro> repro;         // of a mutant that `verify` killed

  bool is_production() const { return target == "host"; }
  bool is_mutant() const { return target.starts_with("mutant:"); }
  // Whether the bug is in the kernels of the norm family; in those that quantize block by block.
  bool is_of_family() const { return changes("family/"); }
  bool is_of_blocks() const { return changes("family/block_") || changes("family/e2m1"); }

 private:
  bool changes(std::string_view files) const {
    return is_mutant() && patch.find("\n+++ b/kernels/" + std::string(files)) != std::string::npos;
  }
};

// Whether the check calls the kernels that the bug is in: of the norm family's `verify` calls all, and the
// tolerance tests of blocks those.
inline bool asks(const MatrixCheck& check, const Row& row) {
  if (check.name == "verify" || !row.is_mutant()) return true;
  return check.of_blocks ? row.is_of_blocks() : !row.is_of_family();
}

struct Matrix {
  std::vector<MatrixCheck> checks;
  std::vector<Row> rows;     // "host" first, where it is not another shard's
  std::size_t all_rows = 0;  // those of other shards too
  double seconds = 0;        // of this run
};

struct MatrixSettings {
  CheckSettings checks;
  std::string patches;       // folder of *.patch
  std::string results;       // file that keeps the cells; read first, unless `fresh`
  std::string only_mutants;  // regular expression, for the whole name; empty: all
  // One more row: a plug-in, in which nobody has planted a bug. Then mutants are only those that
  // `only_mutants` names.
  std::string target;
  std::string only_checks;
  int jobs = 1;
  bool fresh = false;
  Shard shard;  // of the rows
  // Called after every cell.
  std::function<void(std::size_t done, std::size_t total, const std::string& what)> progress;
};

// Runs what the results file does not have yet. A kept cell counts as long as the mutant's library, the
// settings and the list of checks are the same, and for the production kernels the whole program; after a
// change of what a check does, ask for `fresh`. Throws TargetError where a mutant's library is missing,
// std::system_error, std::regex_error.
Matrix run_matrix(const MatrixSettings& settings);

// What the figures of a matrix say. Of checks of which no cell was run there is no figure.
struct Summary {
  std::int64_t mutants = 0;
  std::optional<std::int64_t> killed_by_verify, killed_by_corpus, killed_by_ours, killed_by_theirs;
  // Of a mutant that verify killed: processor time to the kill.
  std::optional<double> slowest_verify_seconds;
  std::optional<double> corpus_seconds;      // of all mutants together
  std::optional<std::int64_t> false_alarms;  // kills of the production kernels by checks other than "theirs"
  std::int64_t repros_confirmed = 0, repros_refuted = 0;
  std::int64_t not_run = 0;            // cells
  std::vector<std::string> survivors;  // of verify
  // Of the plug-in: the checks that fail, by whether they are ours.
  std::vector<std::string> failing_on_target, failing_of_theirs_on_target;
};
Summary summarize(const Matrix& matrix);

// A table for the terminal, `--json`, and one HTML page that needs nothing else.
std::string to_text(const Matrix& matrix);
std::string to_json_text(const Matrix& matrix);
// What to_json_text() wrote, its checks without the functions that run them. Throws
// nlohmann::json::exception, std::invalid_argument.
Matrix matrix_from_json(const nlohmann::ordered_json& document);
std::string to_html(const Matrix& matrix);
// The README's table: ours against theirs, in Markdown.
std::string to_markdown(const Matrix& matrix);

}  // namespace normproof::matrix
