#include "cli/verify_demands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/sequence.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

using State = Observation::State;

// Shares of the run's time.
constexpr double kShare = 0.05;
constexpr double kDemandedShare = 0.25;
// What depends on chance may need several tries to show again.
constexpr int kReplays = 16;

bool demanded(const VerifyOptions& options, Promise promise) {
  return std::ranges::count(options.demands, promise) > 0;
}

const Observation& of(const Observations& promises, Promise promise) {
  return promises[static_cast<std::size_t>(promise)];
}

std::string counted(const Observation& observation) {
  return fmt::format("in {} pair{} of calls", observation.comparisons,
                     observation.comparisons == 1 ? "" : "s");
}

// Why a promise that was not broken, or need not be kept, is no check that passed; empty where it is one.
std::string why_skipped(const VerifyOptions& options, Promise promise, const Observation& observation) {
  if (observation.state == State::not_compared) return fmt::format("not compared: {}", observation.message);
  if (observation.state == State::seen && !demanded(options, promise))
    return fmt::format("{}: seen; it is not demanded", breach_of(promise));
  return {};
}

}  // namespace

PromiseRun run_promises(const VerifyOptions& options, Target& target,
                        const std::vector<Combination>& combinations, Tally& tally) {
  // By that judge a row has the same bits in every call that conforms.
  if (options.demands.empty() && target.judging().canonical) return {};
  const auto start = std::chrono::steady_clock::now();
  const double seconds = options.seconds * (options.demands.empty() ? kShare : kDemandedShare);
  PromiseContext context{target, tally, combinations, options.seed};
  context.out_of_time = [&] {
    return stop_is_requested() ||
           std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() >= seconds;
  };
  return compare_calls(context);
}

std::vector<Finding> broken_demands(const VerifyOptions& options, const Observations& promises,
                                    const Target& target) {
  std::vector<Finding> findings;
  for (const Promise promise : kPromises) {
    const Observation& observation = of(promises, promise);
    if (observation.state != State::seen || !demanded(options, promise)) continue;
    Finding finding;
    finding.found_by =
        fmt::format("--demand {}: {}, seed {}", name_of(promise), breach_of(promise), options.seed);
    finding.message = observation.message;
    finding.test_case = observation.calls.front();
    finding.test_case.name = name_of(promise);
    finding.test_case.description =
        fmt::format("On target {} {}: this call and the next.", target.name(), breach_of(promise));
    try {
      std::filesystem::create_directories(options.findings);
      finding.sequence = std::filesystem::path(options.findings) /
                         fmt::format("{}-{}-{}.sequence", name_of(promise),
                                     name_of(finding.test_case.operation), name_of(finding.test_case.dtype));
      Sequence sequence{observation.calls, kReplays, true};
      sequence.calls.front() = finding.test_case;
      write_sequence(finding.sequence, sequence);
    } catch (const std::exception& error) {
      finding.sequence.clear();
      finding.message += fmt::format("  the pair of calls could not be written: {}\n", error.what());
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

void conclude_promises(const VerifyOptions& options, VerifyResult& result) {
  for (const Promise promise : kPromises) {
    Observation& observation = result.promises[static_cast<std::size_t>(promise)];
    const bool by_one_call = options.demands.empty() && result.judging.canonical;
    const bool by_judging = by_one_call && promise != Promise::graph_replay && result.violations == 0 &&
                            result.tally.total().rows > 0;
    if (by_judging) {
      observation.state = State::not_seen;
      observation.message = "by the canonical judge each call has the bits of the contract";
    } else if (observation.state == State::not_compared && observation.message.empty()) {
      observation.message = result.violations > 0       ? "a violation was found"
                            : !options.shard.is_whole() ? "it is the part of another shard"
                            : by_one_call ? fmt::format("--demand {} asks for it", name_of(promise))
                                          : "no call was compared";
    }
    const bool broken = observation.state == State::seen && demanded(options, promise);
    Check check{"promise", std::string(name_of(promise)), !broken, observation.comparisons, 0, {}};
    if (broken) check.message = observation.message;
    check.known =
        broken && std::ranges::any_of(result.findings, [&](const Finding& finding) {
          return finding.known && finding.found_by.starts_with(fmt::format("--demand {}:", name_of(promise)));
        });
    check.skipped = why_skipped(options, promise, observation);
    result.checks.push_back(std::move(check));
    const bool mine = options.shard.takes(0) || promise == Promise::graph_replay;
    if (!demanded(options, promise) || observation.state != State::not_compared || !mine) continue;
    const std::string reason =
        fmt::format("--demand {}: not compared: {}", name_of(promise), observation.message);
    if (std::ranges::count(result.unchecked, reason) == 0) result.unchecked.push_back(reason);
  }
}

std::string promises_text(const Observations& promises) {
  std::string text;
  for (const Promise promise : kPromises) {
    const Observation& observation = of(promises, promise);
    // Of a difference the first line that says it; the whole is in the finding, and in --json.
    const std::string remark = observation.state == State::not_compared ? observation.message
                               : observation.state == State::not_seen && !observation.message.empty()
                                   ? observation.message
                                   : counted(observation);
    text += fmt::format("{}: {} ({})\n", breach_of(promise), name_of(observation.state), remark);
    if (observation.state != State::seen) continue;
    text +=
        fmt::format("  {} and {} rows of {} elements, {} {}\n", observation.calls.front().rows(),
                    observation.calls.back().rows(), observation.calls.front().hidden_size(),
                    name_of(observation.calls.front().operation), name_of(observation.calls.front().dtype));
  }
  return text;
}

nlohmann::ordered_json promises_json(const Observations& promises) {
  auto rows = nlohmann::ordered_json::array();
  for (const Promise promise : kPromises) {
    const Observation& observation = of(promises, promise);
    rows.push_back({{"name", name_of(promise)},
                    {"bits_differ", name_of(observation.state)},
                    {"comparisons", observation.comparisons},
                    {"message", observation.message}});
    for (const Case& call : observation.calls)
      rows.back()["calls"].push_back(nlohmann::ordered_json::parse(case_to_json(call)));
  }
  return rows;
}

}  // namespace normproof
