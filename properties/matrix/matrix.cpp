#include "properties/matrix/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <sstream>
#include <thread>

#include "corpus/atomic_file.h"
#include "corpus/folder_lock.h"
#include "corpus/hash.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "properties/matrix/process.h"
#include "properties/matrix/repro.h"
#include "properties/targets/target.h"

namespace normproof::matrix {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr double kProcessorLimit = 120;  // of one cell
constexpr std::chrono::seconds kSaveEvery{5};
constexpr std::chrono::milliseconds kPollEvery{3};

std::string read_text(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

bool selected(const std::string& pattern, const std::string& name) {
  return pattern.empty() || std::regex_search(name, std::regex(pattern));
}

std::vector<Row> make_rows(const MatrixSettings& settings) {
  std::vector<Row> rows = {{"host", "production kernels", "", {}, {}}};
  if (!settings.target.empty()) {
    rows.push_back({settings.target, settings.target, "", {}, {}});
    if (settings.only_mutants.empty()) return rows;
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(settings.patches))
    if (entry.path().extension() == ".patch") files.push_back(entry.path());
  // B2 before B10.
  const auto key = [](const fs::path& file) {
    const std::string name = file.stem().string();
    return std::pair(name.size() > 1 ? std::atoi(name.c_str() + 1) : 0, name);
  };
  std::ranges::sort(files, {}, key);
  for (const fs::path& file : files) {
    const std::string name = file.stem().string();
    if (selected(settings.only_mutants, name))
      rows.push_back({"mutant:" + name, name, read_text(file), {}, {}});
  }
  return rows;
}

std::vector<Row> rows_of_shard(std::vector<Row> rows, const Shard& shard) {
  std::vector<Row> taken;
  for (std::size_t index = 0; index < rows.size(); ++index)
    if (shard.takes(static_cast<std::int64_t>(index))) taken.push_back(std::move(rows[index]));
  return taken;
}

// What all cells depend on, the target apart.
std::uint64_t common_identity(const CheckSettings& settings, const std::vector<MatrixCheck>& checks) {
  std::string text = fmt::format("{} {} {} {} {}", settings.seed, settings.property_cases,
                                 settings.random_cases, settings.witness_cases, settings.fuzzer_runs);
  for (const MatrixCheck& check : checks) text += "\n" + check.name;
  return fnv1a(text);
}

// What a row's cells depend on. The production kernels are part of the program.
std::uint64_t identity_of(const Row& row, const MatrixSettings& settings, std::uint64_t common) {
  if (row.is_production()) return fnv1a(read_text("/proc/self/exe"), common);
  // The user's library, judged by this program.
  if (!row.is_mutant()) return fnv1a(read_text(row.target), fnv1a(read_text("/proc/self/exe"), common));
  const fs::path library = fs::path(settings.checks.program).parent_path().parent_path() / "mutants" /
                           ("libmutant_" + row.name + ".so");
  if (!fs::exists(library))
    throw TargetError(fmt::format("{} is not built: {} is missing", row.target, library.string()));
  return fnv1a(read_text(library), common);
}

// The kept cells, and repros under "repro", by the identity of a row.
class Results {
 public:
  Results(std::string file, bool fresh) : file_(std::move(file)) {
    if (!fresh) document_ = kept_in(file_);
  }
  std::optional<Cell> cell(const std::string& row, const std::string& check) const {
    if (!document_.contains(row) || !document_.at(row).contains(check)) return std::nullopt;
    Cell cell = cell_from_json(document_.at(row).at(check));
    if (cell.outcome == Cell::Outcome::not_run) return std::nullopt;
    if (!cell.repro.empty() && !fs::exists(cell.repro)) return std::nullopt;
    return cell;
  }
  void keep(const std::string& row, const std::string& check, const Cell& cell) {
    ours_[row][check] = to_json(cell);
    if (Clock::now() - saved_ > kSaveEvery) save();
  }
  // Beside what other runs have kept there since.
  void save() {
    const FolderLock lock(fs::absolute(file_).parent_path());
    Json all = kept_in(file_);
    for (const auto& row : ours_.items()) all[row.key()].update(row.value());
    write_text_atomically(file_, json_text(all, 1));
    saved_ = Clock::now();
  }

 private:
  static Json kept_in(const std::string& file) {
    if (!fs::exists(file)) return Json::object();
    const Json document = Json::parse(read_text(file), nullptr, false);
    return document.is_object() ? document : Json::object();  // else of another version, or not ours
  }

  std::string file_;
  Json document_ = Json::object();  // as this run found it
  Json ours_ = Json::object();      // what this run added
  Clock::time_point saved_ = Clock::now();
};

struct Task {
  Row* row;
  const MatrixCheck* check;
  std::string key;  // of the row in the results
};

}  // namespace

Matrix run_matrix(const MatrixSettings& settings) {
  const auto begin = Clock::now();
  Matrix matrix;
  std::vector<Row> all_rows = make_rows(settings);
  matrix.all_rows = all_rows.size();
  matrix.rows = rows_of_shard(std::move(all_rows), settings.shard);
  std::vector<MatrixCheck> checks = matrix_checks(settings.checks);
  const std::uint64_t common = common_identity(settings.checks, checks);
  Results results(settings.results, settings.fresh);
  for (MatrixCheck& check : checks)
    if (selected(settings.only_checks, check.name)) matrix.checks.push_back(std::move(check));

  // The production kernels stand first: verify takes its whole time on them.
  std::vector<Task> tasks;
  std::map<const Row*, std::string> keys;
  for (Row& row : matrix.rows) {
    keys[&row] = fmt::format("{} {:016x}", row.target, identity_of(row, settings, common));
    for (const MatrixCheck& check : matrix.checks) {
      if (!asks(check, row)) {
        row.cells[check.name] = {
            Cell::Outcome::not_taken, 0, 0, "it does not call the kernels of this bug", {}};
        continue;
      }
      if (const auto kept = results.cell(keys[&row], check.name)) {
        row.cells[check.name] = *kept;
      } else {
        tasks.push_back({&row, &check, keys[&row]});
      }
    }
  }
  struct Running {
    const Task* task;
    std::unique_ptr<CellProcess> process;
  };
  std::vector<Running> running;
  std::size_t next = 0, done = 0;
  while (done < tasks.size()) {
    while (next < tasks.size() && running.size() < static_cast<std::size_t>(std::max(1, settings.jobs))) {
      const Task& task = tasks[next++];
      const auto work = [&task] { return task.check->run(task.row->target); };
      running.push_back({&task, std::make_unique<CellProcess>(work, kProcessorLimit)});
    }
    bool finished = false;
    for (auto process = running.begin(); process != running.end();) {
      const std::optional<Cell> cell = process->process->poll();
      if (!cell) {
        ++process;
        continue;
      }
      const Task& task = *process->task;
      task.row->cells[task.check->name] = *cell;
      results.keep(task.key, task.check->name, *cell);
      process = running.erase(process);
      ++done;
      finished = true;
      if (settings.progress) settings.progress(done, tasks.size(), task.row->name + ": " + task.check->name);
    }
    if (!finished) std::this_thread::sleep_for(kPollEvery);
  }
  results.save();
  for (Row& row : matrix.rows) {
    const auto verify = row.cells.find("verify");
    if (!row.is_mutant() || verify == row.cells.end() || !verify->second.kills()) continue;
    row.repro = check_repro(row.target, verify->second, settings.checks.seed);
  }
  matrix.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return matrix;
}

}  // namespace normproof::matrix
