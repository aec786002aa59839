#include "fuzz/campaign/campaign.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <list>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "fuzz/campaign/corpus_size.h"

namespace normproof::campaign {
namespace {

using std::chrono::duration;
using std::chrono::seconds;
using std::filesystem::path;
using Clock = std::chrono::steady_clock;

constexpr seconds kShortestRun{5};
constexpr seconds kLongestRun{60};
constexpr seconds kGrace{60};  // for a run to end by itself after its time
// A fuzzer whose runs end with nothing but known failures stops being run: it would find them for ever.
constexpr int kVainRuns = 3;
// libFuzzer says nothing when it cannot write what it found.
constexpr std::uintmax_t kLeastSpace = 1 << 20;

std::vector<path> files_in(const path& folder) {
  std::vector<path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

class Campaign {
 public:
  Campaign(const CampaignOptions& options, const ShowProgress& show) : options_(options), show_(show) {
    for (Fuzzer& fuzzer : find_fuzzers(options.fuzzers)) {
      const bool wanted = options.names.empty() || std::ranges::count(options.names, fuzzer.name) > 0;
      if (wanted) lanes_.push_back({std::move(fuzzer), {}, 0, 0});
    }
    if (lanes_.size() < std::max<std::size_t>(options.names.size(), 1)) {
      throw std::runtime_error(fmt::format("{}: not all of the fuzzers {} are there",
                                           options.fuzzers.string(), fmt::join(options.names, ", ")));
    }
  }

  CampaignResult run() {
    std::filesystem::create_directories(options_.folder);
    prepare();
    const auto deadline = Clock::now() + options_.time;
    while (Clock::now() < deadline || !running_.empty()) {
      start_runs(deadline);
      if (running_.empty()) break;  // every fuzzer rests
      end_runs();
      show_(tally(), duration<double>(Clock::now() - start_) / options_.time);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    for (Lane& lane : lanes_) minimize_corpus(lane);
    std::vector<path> corpora;
    for (const Lane& lane : lanes_) corpora.push_back(corpus_of(lane));
    bound_corpora(corpora, kLargestCorpora);
    for (Lane& lane : lanes_) measure_corpus(lane);
    return tally();
  }

 private:
  // A fuzzer, and where it stands.
  struct Lane {
    Fuzzer fuzzer;
    FuzzerTally tally;
    std::int64_t current_executions = 0;  // of the runs that are under way
    int vain_runs = 0;
  };
  struct Run {
    FuzzerProcess process;
    Lane* lane;
    std::string prefix;  // of the names of the inputs that it leaves in the lane's failures
    path log;
    seconds limit;
  };

  path folder_of(const Lane& lane) const { return options_.folder / lane.fuzzer.name; }
  path corpus_of(const Lane& lane) const { return folder_of(lane) / "corpus"; }
  path failures_of(const Lane& lane) const { return folder_of(lane) / "failures"; }
  path case_seeds() const { return options_.folder / "seeds"; }

  void note_problem(const std::string& problem) {
    if (std::ranges::count(result_.problems, problem) == 0) result_.problems.push_back(problem);
  }

  void prepare() {
    write_case_seeds();
    for (Lane& lane : lanes_) {
      lane.tally.name = lane.fuzzer.name;
      // A campaign that was killed while it exchanged a corpus left the old one beside it.
      const path corpus = corpus_of(lane), old = corpus.string() + ".old";
      if (std::filesystem::exists(old)) {
        if (std::filesystem::exists(corpus)) {
          std::filesystem::remove_all(old);
        } else {
          std::filesystem::rename(old, corpus);
        }
      }
      std::filesystem::remove_all(corpus.string() + ".minimized");
      std::filesystem::create_directories(corpus);
      std::filesystem::create_directories(failures_of(lane));
      record_failures(lane, "");  // that an earlier campaign had no time for
    }
  }

  // The case files in binary form; one that cannot be read is named and left out.
  void write_case_seeds() {
    std::filesystem::create_directories(case_seeds());
    for (const path& file : find_case_files(options_.corpus)) {
      try {
        const auto bytes = case_to_bytes(read_case(file));
        if (!bytes) continue;  // too large for the binary form
        std::ofstream stream(case_seeds() / file.stem(), std::ios::binary);
        stream.write(reinterpret_cast<const char*>(bytes->data()),
                     static_cast<std::streamsize>(bytes->size()));
        if (!stream.flush())
          throw std::runtime_error(fmt::format("cannot write {}", (case_seeds() / file.stem()).string()));
      } catch (const std::exception& error) {
        note_problem(fmt::format("left out: {}", error.what()));
      }
    }
  }

  void start_runs(Clock::time_point deadline) {
    while (static_cast<int>(running_.size()) < options_.jobs && Clock::now() < deadline) {
      // The one that has run least, then the one that runs least often now.
      Lane* next = nullptr;
      for (Lane& lane : lanes_) {
        if (lane.vain_runs >= kVainRuns) continue;
        const auto load = [&](const Lane& which) {
          return std::pair(which.tally.runs, std::ranges::count(running_, &which, &Run::lane));
        };
        if (next == nullptr || load(lane) < load(*next)) next = &lane;
      }
      if (next == nullptr) return;
      const auto share = options_.time * options_.jobs / static_cast<int>(lanes_.size());
      const auto left = std::chrono::duration_cast<seconds>(deadline - Clock::now()) + seconds(1);
      const seconds time = std::min(std::clamp<seconds>(share, kShortestRun, kLongestRun), left);
      try {
        start(*next, time);
      } catch (const std::exception& error) {
        note_problem(fmt::format("{}: {}", next->fuzzer.name, error.what()));
        next->vain_runs = kVainRuns;
      }
    }
  }

  void start(Lane& lane, seconds time) {
    const std::int64_t number = ++lane.tally.runs;
    const auto place =
        static_cast<std::uint64_t>(options_.shard.item(number - 1) + 1);  // among all shards' runs
    const path log = folder_of(lane) / fmt::format("log-{}.txt", number % (2 * options_.jobs));
    const std::string prefix = fmt::format("run-{}-", number);
    std::filesystem::remove(log);
    std::vector<std::string> arguments = {fmt::format("-max_total_time={}", time.count()),
                                          fmt::format("-seed={}", options_.seed + place),
                                          "-print_final_stats=1",
                                          "-timeout=30",
                                          "-rss_limit_mb=2048",
                                          "-reload=5",
                                          "-artifact_prefix=" + (failures_of(lane) / prefix).string(),
                                          corpus_of(lane).string()};
    if (lane.fuzzer.takes_cases) {
      arguments.push_back(case_seeds().string());
    } else if (std::filesystem::exists(lane.fuzzer.seeds)) {
      arguments.push_back(lane.fuzzer.seeds.string());
    }
    running_.push_back(
        {FuzzerProcess(
             lane.fuzzer, arguments,
             {{"NORMPROOF_TARGET", options_.target}, {"NORMPROOF_FINDINGS", folder_of(lane).string()}}, log),
         &lane, prefix, log, time + kGrace});
  }

  void watch_space() {
    std::error_code error;
    const auto space = std::filesystem::space(options_.folder, error);
    if (error || space.available >= kLeastSpace) return;
    note_problem(fmt::format("{}: less than {} bytes are free; what the fuzzers find may be lost",
                             options_.folder.string(), kLeastSpace));
  }

  void end_runs() {
    watch_space();
    for (Lane& lane : lanes_) lane.current_executions = 0;
    for (auto position = running_.begin(); position != running_.end();) {
      Run& run = *position;
      const FuzzerStatus status = read_status(run.log);
      run.lane->tally.coverage = std::max(run.lane->tally.coverage, status.coverage);
      const auto end = run.process.poll(run.limit);
      if (!end) {
        run.lane->current_executions += status.executions;
        ++position;
        continue;
      }
      Lane& lane = *run.lane;
      const path log = run.log;
      const std::string prefix = run.prefix;
      lane.tally.executions += status.executions;
      position = running_.erase(position);
      const Recorded recorded = record_failures(lane, prefix);
      if (recorded.fresh > 0) {
        lane.vain_runs = 0;
      } else if (end->killed || end->status != 0) {
        ++lane.vain_runs;
        if (recorded.inputs == 0 && lane.vain_runs == 1) {
          note_problem(fmt::format(
              "{}: a run {} and left no input; its log is {}", lane.fuzzer.name,
              end->killed ? "did not end" : fmt::format("ended with status {}", end->status), log.string()));
        }
      }
    }
  }

  struct Recorded {
    int inputs = 0, fresh = 0;
  };
  // Turns what lies in the lane's failures under names that start with `prefix` into findings.
  Recorded record_failures(Lane& lane, const std::string& prefix) {
    Recorded recorded;
    for (const path& input : files_in(failures_of(lane))) {
      const std::string name = input.filename().string();
      if (!name.starts_with(prefix)) continue;
      // libFuzzer also leaves inputs that were merely slow.
      if (name.find("slow-unit-") != std::string::npos) {
        std::filesystem::remove(input);
        continue;
      }
      ++recorded.inputs;
      try {
        const RecordedFinding finding =
            record_finding(lane.fuzzer, input,
                           {options_.target, options_.folder / "findings", options_.regressions,
                            options_.folder / "scratch", options_.program});
        ++lane.tally.failures;
        if (finding.is_new) ++recorded.fresh;
        const bool listed =
            std::ranges::count(result_.findings, finding.signature, &RecordedFinding::signature) > 0;
        if (!listed) result_.findings.push_back(finding);
        std::filesystem::remove(input);
      } catch (const std::exception& error) {
        // The input stays, for the next campaign.
        note_problem(fmt::format("{}: {}", input.string(), error.what()));
      }
    }
    return recorded;
  }

  // The fewest inputs that cover the edges which the corpus covers take its place; how often each is taken is
  // worth an input while fuzzing, but not for ever.
  void minimize_corpus(Lane& lane) {
    const path corpus = corpus_of(lane), fewer = corpus.string() + ".minimized",
               old = corpus.string() + ".old";
    if (lane.tally.runs > 0 && !files_in(corpus).empty()) {
      try {
        std::filesystem::create_directories(fewer);
        const path log = folder_of(lane) / "log-merge.txt";
        FuzzerProcess merge(
            lane.fuzzer,
            {"-set_cover_merge=1", "-use_counters=0", "-rss_limit_mb=2048", fewer.string(), corpus.string()},
            {{"NORMPROOF_TARGET", options_.target}, {"NORMPROOF_FINDINGS", folder_of(lane).string()}}, log);
        const auto end = merge.wait(kLongestRun + kGrace);
        if (end.status == 0 && !end.killed && !files_in(fewer).empty()) {
          std::filesystem::rename(corpus, old);
          std::filesystem::rename(fewer, corpus);
          std::filesystem::remove_all(old);
        } else {
          note_problem(fmt::format("{}: its corpus could not be minimized and stays as it is; the log is {}",
                                   lane.fuzzer.name, log.string()));
        }
      } catch (const std::exception& error) {
        note_problem(fmt::format("{}: {}", lane.fuzzer.name, error.what()));
      }
      std::error_code ignored;
      std::filesystem::remove_all(fewer, ignored);
    }
  }

  // What it costs to keep the corpus and to replay it.
  void measure_corpus(Lane& lane) {
    const std::vector<path> inputs = files_in(corpus_of(lane));
    lane.tally.inputs = static_cast<std::int64_t>(inputs.size());
    std::error_code ignored;
    for (const path& input : inputs)
      lane.tally.bytes += static_cast<std::int64_t>(std::filesystem::file_size(input, ignored));
    if (lane.tally.runs == 0 || inputs.empty()) return;
    try {
      const path log = folder_of(lane) / "log-replay.txt";
      FuzzerProcess replay(
          lane.fuzzer, {"-runs=0", "-rss_limit_mb=2048", corpus_of(lane).string()},
          {{"NORMPROOF_TARGET", options_.target}, {"NORMPROOF_FINDINGS", folder_of(lane).string()}}, log);
      const auto end = replay.wait(kLongestRun + kGrace);
      lane.tally.replay_seconds = end.processor_seconds;
      if (end.status != 0 || end.killed)
        note_problem(
            fmt::format("{}: its corpus cannot be replayed; the log is {}", lane.fuzzer.name, log.string()));
    } catch (const std::exception& error) {
      note_problem(fmt::format("{}: {}", lane.fuzzer.name, error.what()));
    }
  }

  const CampaignResult& tally() {
    result_.fuzzers.clear();
    for (const Lane& lane : lanes_) {
      result_.fuzzers.push_back(lane.tally);
      result_.fuzzers.back().executions += lane.current_executions;
    }
    result_.seconds = duration<double>(Clock::now() - start_).count();
    return result_;
  }

  const CampaignOptions& options_;
  const ShowProgress& show_;
  std::vector<Lane> lanes_;
  std::list<Run> running_;
  CampaignResult result_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

std::int64_t CampaignResult::executions() const {
  return std::accumulate(fuzzers.begin(), fuzzers.end(), std::int64_t{0},
                         [](std::int64_t sum, const FuzzerTally& tally) { return sum + tally.executions; });
}

CampaignResult run_campaign(const CampaignOptions& options, const ShowProgress& show) {
  return Campaign(options, show).run();
}

}  // namespace normproof::campaign
