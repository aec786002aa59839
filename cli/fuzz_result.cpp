#include "cli/fuzz_result.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/exit_codes.h"
#include "cli/stop_signals.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

// What the open bugs cost: executions that say nothing new, and cases that were not run.
std::string known_text(const campaign::CampaignResult& result) {
  std::string text;
  campaign::FuzzerTally all;
  for (const auto& fuzzer : result.fuzzers) {
    all.run_seconds += fuzzer.run_seconds;
    all.known_violations += fuzzer.known_violations;
    all.known_seconds += fuzzer.known_seconds;
    all.left_out += fuzzer.left_out;
  }
  if (all.known_violations > 0) {
    text += fmt::format(
        "{} executions met bugs that were known by then, and went on: {:.1f} of {:.1f} s, {:.0f} %\n",
        all.known_violations, all.known_seconds, all.run_seconds,
        100 * all.known_seconds / std::max(all.run_seconds, 1e-3));
  }
  if (all.left_out > 0) {
    text += fmt::format(
        "{} executions, {:.0f} %, were of cases that are left out since a known bug ends the process:\n",
        all.left_out,
        100 * static_cast<double>(all.left_out) /
            static_cast<double>(std::max<std::int64_t>(result.executions(), 1)));
  }
  for (const std::string& what : result.not_looked_at) text += fmt::format("NOT LOOKED AT: {}\n", what);
  return text;
}

}  // namespace

int exit_code_of(const campaign::CampaignResult& result) {
  if (!result.findings.empty()) return kViolationFound;
  if (stop_is_requested()) return exit_code_of_stop(stop_signal);
  return result.problems.empty() && result.executions() > 0 ? kAllGood : kCouldNotRun;
}

std::string to_text(const campaign::CampaignResult& result) {
  std::string text = fmt::format("{:<12} {:>6} {:>12} {:>8} {:>8} {:>9} {:>8} {:>9}\n", "fuzzer", "runs",
                                 "executions", "edges", "inputs", "bytes", "replay", "failures");
  campaign::FuzzerTally corpora;
  for (const auto& fuzzer : result.fuzzers) {
    text += fmt::format("{:<12} {:>6} {:>12} {:>8} {:>8} {:>9} {:>6.2f} s {:>9}\n", fuzzer.name, fuzzer.runs,
                        fuzzer.executions, fuzzer.coverage, fuzzer.inputs, fuzzer.bytes,
                        fuzzer.replay_seconds, fuzzer.failures);
    corpora.inputs += fuzzer.inputs;
    corpora.bytes += fuzzer.bytes;
    corpora.replay_seconds += fuzzer.replay_seconds;
  }
  text += fmt::format("{} executions in {:.0f} s\n", result.executions(), result.seconds);
  text += fmt::format("the corpora: {} inputs, {} bytes, replayed in {:.1f} s of processor time\n",
                      corpora.inputs, corpora.bytes, corpora.replay_seconds);
  text += known_text(result);
  for (const auto& finding : result.findings) {
    text += fmt::format("FINDING {}{}: {}\n", finding.signature, finding.is_new ? "" : " (known)",
                        (finding.folder / "report.md").string());
  }
  text += fmt::format("{} findings, {} problems\n", result.findings.size(), result.problems.size());
  return text;
}

nlohmann::ordered_json to_json(const campaign::CampaignResult& result) {
  nlohmann::ordered_json document = {
      {"normproof_fuzz", 1}, {"seconds", result.seconds}, {"exit_code", exit_code_of(result)}};
  document["fuzzers"] = nlohmann::ordered_json::array();
  for (const auto& fuzzer : result.fuzzers) {
    document["fuzzers"].push_back({{"name", fuzzer.name},
                                   {"runs", fuzzer.runs},
                                   {"executions", fuzzer.executions},
                                   {"edges", fuzzer.coverage},
                                   {"inputs", fuzzer.inputs},
                                   {"bytes", fuzzer.bytes},
                                   {"replay_seconds", fuzzer.replay_seconds},
                                   {"failures", fuzzer.failures},
                                   {"run_seconds", fuzzer.run_seconds},
                                   {"known_violations", fuzzer.known_violations},
                                   {"known_seconds", fuzzer.known_seconds},
                                   {"left_out", fuzzer.left_out}});
  }
  document["findings"] = nlohmann::ordered_json::array();
  for (const auto& finding : result.findings) {
    document["findings"].push_back(
        {{"signature", finding.signature}, {"is_new", finding.is_new}, {"folder", finding.folder.string()}});
  }
  document["not_looked_at"] = result.not_looked_at;
  document["problems"] = result.problems;
  return document;
}

}  // namespace normproof
