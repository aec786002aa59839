#include "fuzz/campaign/campaign.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <list>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "fuzz/campaign/corpus_size.h"
#include "properties/targets/stop_request.h"

namespace normproof::campaign {
namespace {

using std::chrono::duration;
using std::chrono::seconds;
using std::filesystem::path;
using Clock = std::chrono::steady_clock;

constexpr seconds kShortestRun{5};  // but the first, which every fuzzer is to have
constexpr seconds kLongestRun{60};
// After its time a run that reads its seeds still is asked to end, and some time later it is killed.
constexpr seconds kPatience{3}, kGrace{60};
// A fuzzer whose runs end with nothing but failures past which it cannot go stops being run: it would find
// them for ever.
constexpr int kVainRuns = 3;
// A fuzzer that dies so often has had its turn; and what is so near a turn is one.
constexpr int kDeathsInATurn = 4;
constexpr double kNearlyATurn = 0.9;
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
    fuzzers_ = find_fuzzers(options.fuzzers);
    for (const Fuzzer& fuzzer : fuzzers_) {
      const bool wanted = options.names.empty() || std::ranges::count(options.names, fuzzer.name) > 0;
      if (wanted) lanes_.push_back({.fuzzer = fuzzer, .tally = {}});
    }
    // What looks at the target comes first, should the time not suffice for all.
    std::ranges::sort(lanes_, {}, [](const Lane& lane) {
      const bool of_targets = std::ranges::count(kFuzzersOfTargets, lane.fuzzer.name) > 0;
      return std::pair(of_targets ? 0 : lane.fuzzer.runs_target() ? 1 : 2, lane.fuzzer.name);
    });
    if (lanes_.size() < std::max<std::size_t>(options.names.size(), 1)) {
      throw std::runtime_error(fmt::format("{}: not all of the fuzzers {} are there",
                                           options.fuzzers.string(), fmt::join(options.names, ", ")));
    }
  }

  CampaignResult run() {
    std::filesystem::create_directories(options_.folder);
    const auto deadline = start_ + options_.time;
    prepare();
    while ((Clock::now() < deadline || !running_.empty()) && !stop_is_requested()) {
      start_runs(deadline);
      if (running_.empty()) break;  // every fuzzer rests
      end_runs();
      show_(tally(), duration<double>(Clock::now() - start_) / options_.time);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    name_idle_fuzzers();
    if (stop_is_requested()) return stopped();
    for (Lane& lane : lanes_) minimize_corpus(lane);
    std::vector<path> corpora;
    for (const Lane& lane : lanes_) corpora.push_back(corpus_of(lane));
    bound_corpora(corpora, kLargestCorpora);
    for (Lane& lane : lanes_) measure_corpus(lane);
    return tally();
  }

 private:
  // What there is when somebody asks to stop. The fuzzers have stored what they found; inputs that are no
  // findings yet become some in the next campaign.
  CampaignResult stopped() {
    tally();
    running_.clear();
    return result_;
  }

  // A fuzzer, and where it stands.
  struct Lane {
    Fuzzer fuzzer;
    FuzzerTally tally;
    std::int64_t current_executions = 0;  // of the runs that are under way
    int vain_runs = 0;
    std::int64_t turns = 0;   // that it has had
    int deaths = 0;           // in the turn that it has now
    double turn_seconds = 0;  // so long that turn has lasted
  };
  struct Run {
    FuzzerProcess process;
    Lane* lane;
    std::string prefix;  // of the names of the inputs that it leaves in the lane's failures
    path log, known_tally;
    seconds time;
    std::size_t known;  // how many of the known bugs it was told of
  };

  path folder_of(const Lane& lane) const { return options_.folder / lane.fuzzer.name; }
  path corpus_of(const Lane& lane) const { return folder_of(lane) / "corpus"; }
  path failures_of(const Lane& lane) const { return folder_of(lane) / "failures"; }
  path case_seeds() const { return options_.folder / "seeds"; }
  path known_file() const { return options_.folder / "known.json"; }

  FindingContext context() const {
    return {options_.target,  options_.folder / "findings", options_.regressions, options_.folder / "scratch",
            options_.program, options_.environment};
  }

  // What every process of the lane's fuzzer is told.
  FuzzerProcess::Environment environment_of(const Lane& lane) const {
    FuzzerProcess::Environment environment = options_.environment;
    environment.insert(environment.end(), {{"NORMPROOF_TARGET", options_.target},
                                           {"NORMPROOF_FINDINGS", folder_of(lane).string()},
                                           {"NORMPROOF_KNOWN", known_file().string()}});
    return environment;
  }

  void note_problem(const std::string& problem) {
    if (std::ranges::count(result_.problems, problem) == 0) result_.problems.push_back(problem);
  }

  void prepare() {
    write_case_seeds();
    for (RecordedFinding& finding : open_findings(context(), fuzzers_, result_.problems)) {
      known_.push_back(*finding.bug);
      result_.findings.push_back(std::move(finding));
    }
    write_known_bugs(known_file(), known_);
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
      record_failures(lane, "", 0);  // that an earlier campaign had no time for
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
      // The one that had the fewest turns, then the one that runs least often now, then the first.
      Lane* next = nullptr;
      for (Lane& lane : lanes_) {
        if (lane.vain_runs >= kVainRuns) continue;
        const auto load = [&](const Lane& which) {
          const auto running = std::ranges::count(running_, &which, &Run::lane);
          return std::pair(which.turns + running, running);
        };
        if (next == nullptr || load(lane) < load(*next)) next = &lane;
      }
      if (next == nullptr) return;
      const seconds time = time_for(*next, deadline);
      try {
        start(*next, time);
      } catch (const std::exception& error) {
        note_problem(fmt::format("{}: {}", next->fuzzer.name, error.what()));
        next->vain_runs = kVainRuns;
      }
    }
  }

  // Who dies of a bug before its turn is over goes on at once, past that bug: else the fuzzers that look at a
  // wrong target most would run least. But no turn lasts for ever.
  void count_turn(Lane& lane, bool died, double run_seconds) {
    lane.turn_seconds += run_seconds;
    const double turn = std::min<double>(even_share(), static_cast<double>(kLongestRun.count()));
    if (died && ++lane.deaths < kDeathsInATurn && lane.turn_seconds < kNearlyATurn * turn) return;
    ++lane.turns;
    lane.deaths = 0;
    lane.turn_seconds = 0;
  }

  // Of all the time, in seconds.
  double even_share() const {
    return duration<double>(options_.time).count() * options_.jobs / static_cast<double>(lanes_.size());
  }

  // Every fuzzer has its part of the time that is left, whatever those before it took to start and to end: as
  // long as some have not run yet, these share it.
  seconds time_for(const Lane& lane, Clock::time_point deadline) const {
    const bool first = lane.turns == 0;
    const auto sharing = std::ranges::count_if(
        lanes_, [&](const Lane& each) { return first ? each.turns == 0 : each.vain_runs < kVainRuns; });
    const duration<double> left = deadline - Clock::now();
    const duration<double> share =
        left * options_.jobs / static_cast<double>(std::max<std::int64_t>(sharing, 1));
    // What a fuzzer that died early did not use is there for its next run.
    const double least = static_cast<double>((first ? seconds(1) : kShortestRun).count());
    const double time = std::clamp(first ? std::min(share.count(), even_share()) : share.count(), least,
                                   static_cast<double>(kLongestRun.count()));
    return seconds(std::max<std::int64_t>(1, std::llround(std::min(time, left.count()))));
  }

  void start(Lane& lane, seconds time) {
    const std::int64_t number = ++lane.tally.runs;
    const auto place =
        static_cast<std::uint64_t>(options_.shard.item(number - 1) + 1);  // among all shards' runs
    const path log = folder_of(lane) / fmt::format("log-{}.txt", number % (2 * options_.jobs));
    const path known_tally = folder_of(lane) / fmt::format("known-{}.txt", number % (2 * options_.jobs));
    const std::string prefix = fmt::format("run-{}-", number);
    std::filesystem::remove(log);
    std::filesystem::remove(known_tally);
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
    FuzzerProcess::Environment environment = environment_of(lane);
    environment.emplace_back("NORMPROOF_KNOWN_TALLY", known_tally.string());
    running_.push_back({FuzzerProcess(lane.fuzzer, arguments, environment, log), &lane, prefix, log,
                        known_tally, time, known_.size()});
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
      if (run.process.running_for() > run.time + kPatience) run.process.interrupt();
      const auto end = run.process.poll(run.time + kPatience + kGrace);
      if (!end) {
        run.lane->current_executions += status.executions;
        ++position;
        continue;
      }
      Lane& lane = *run.lane;
      lane.tally.executions += read_status(run.log).executions;  // its last words
      const double run_seconds = run.process.running_for().count();
      lane.tally.run_seconds += run_seconds;
      const KnownTally known = read_known_tally(run.known_tally);
      lane.tally.known_violations += known.violations;
      lane.tally.known_seconds += known.seconds;
      lane.tally.left_out += known.left_out;
      const path log = run.log;
      const Recorded recorded = record_failures(lane, run.prefix, run.known);
      position = running_.erase(position);
      const bool failed = end->killed || (end->status != 0 && !end->interrupted);
      count_turn(lane, failed, run_seconds);
      if (recorded.progress > 0) {
        lane.vain_runs = 0;
      } else if (failed || recorded.inputs > 0) {
        ++lane.vain_runs;
        note_vain_run(lane, *end, recorded.inputs, log);
      }
    }
  }

  // Why a fuzzer makes no way.
  void note_vain_run(const Lane& lane, const FuzzerProcess::End& end, int inputs, const path& log) {
    if (inputs == 0 && lane.vain_runs == 1) {
      note_problem(fmt::format("{}: a run {} and left no input; its log is {}", lane.fuzzer.name,
                               end.killed ? "did not end" : fmt::format("ended with status {}", end.status),
                               log.string()));
    }
  }

  // The time did not suffice for them: what they look at has not been looked at.
  void name_idle_fuzzers() {
    for (const Lane& lane : lanes_) {
      const bool said = std::ranges::any_of(result_.problems, [&](const std::string& problem) {
        return problem.starts_with(lane.fuzzer.name + ": ");
      });
      if (lane.tally.executions > 0 || said) continue;
      note_problem(fmt::format("{}: no execution; {} s are too few for {} fuzzers, {} at a time",
                               lane.fuzzer.name, options_.time.count(), lanes_.size(), options_.jobs));
    }
  }

  struct Recorded {
    int inputs = 0, progress = 0;
  };
  // Turns what lies in the lane's failures under names that start with `prefix` into findings. The run that
  // left them was told of the first `told` known bugs.
  Recorded record_failures(Lane& lane, const std::string& prefix, std::size_t told) {
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
        const RecordedFinding finding = record_finding(lane.fuzzer, input, known_, context());
        ++lane.tally.failures;
        if (remember(finding, told)) ++recorded.progress;
        std::filesystem::remove(input);
      } catch (const std::exception& error) {
        // The input stays, for the next campaign.
        note_problem(fmt::format("{}: {}", input.string(), error.what()));
      }
    }
    return recorded;
  }

  // Has the next runs go past the finding. Whether that is more than the run before could.
  bool remember(const RecordedFinding& finding, std::size_t told) {
    if (std::ranges::count(result_.findings, finding.signature, &RecordedFinding::signature) == 0)
      result_.findings.push_back(finding);
    if (!finding.bug) return finding.is_new;
    const auto bug = std::ranges::find(known_, finding.signature, &KnownBug::name);
    const bool was_told = bug - known_.begin() < static_cast<std::ptrdiff_t>(told);
    if (bug == known_.end()) {
      known_.push_back(*finding.bug);
    } else if (was_told) {
      // The run knew the bug and ended all the same: the process dies of it. So a line is drawn around it.
      if (!finding.found || bug->region.holds(*finding.found)) return false;
      bug->region.add(*finding.found);
    }
    write_known_bugs(known_file(), known_);
    return true;
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
            environment_of(lane), log);
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
      FuzzerProcess replay(lane.fuzzer, {"-runs=0", "-rss_limit_mb=2048", corpus_of(lane).string()},
                           environment_of(lane), log);
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
    result_.not_looked_at.clear();
    for (const KnownBug& bug : known_) {
      if (bug.region.empty()) continue;
      result_.not_looked_at.push_back(fmt::format("cases around {}, which ends the fuzzer's process: {}",
                                                  bug.name, bug.region.to_text()));
    }
    for (const Lane& lane : lanes_) {
      if (lane.vain_runs < kVainRuns) continue;
      result_.not_looked_at.push_back(
          fmt::format("what {} would find: it was not run any more, since its runs end with nothing new",
                      lane.fuzzer.name));
    }
    return result_;
  }

  const CampaignOptions& options_;
  const ShowProgress& show_;
  std::vector<Fuzzer> fuzzers_;  // all that are there
  std::vector<Lane> lanes_;
  std::vector<KnownBug> known_;  // open bugs of the target
  std::list<Run> running_;
  CampaignResult result_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

CampaignResult run_campaign(const CampaignOptions& options, const ShowProgress& show) {
  return Campaign(options, show).run();
}

}  // namespace normproof::campaign
