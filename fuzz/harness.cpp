#include "fuzz/harness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>

#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/hash.h"
#include "corpus/quoting.h"
#include "fuzz/known/known_bug.h"

namespace normproof::fuzz {
namespace {

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

const std::vector<KnownBug>& known_bugs() {
  static const std::vector<KnownBug> bugs = [] {
    const std::string file = environment("NORMPROOF_KNOWN", "");
    try {
      return file.empty() ? std::vector<KnownBug>() : read_known_bugs(file);
    } catch (const std::exception& error) {
      fmt::print(stderr, "NORMPROOF_KNOWN: {}: {}\n", file, error.what());
      std::_Exit(3);
    }
  }();
  return bugs;
}

[[noreturn]] void report_case(const Case& test_case, const std::string& kind, const std::string& message) {
  report({kind, message, std::string(name_of(test_case.operation)), case_to_json(test_case)});
}

}  // namespace

Target& target() {
  static const std::unique_ptr<Target> instance = [] {
    try {
      return make_target(environment("NORMPROOF_TARGET", "host"));
    } catch (const TargetError& error) {
      fmt::print(stderr, "NORMPROOF_TARGET: {}\n", error.what());
      std::_Exit(3);
    }
  }();
  return *instance;
}

CaseLimits small_cases() {
  CaseLimits limits;
  limits.max_rows = 3;
  limits.max_hidden = 64;
  limits.max_elements = limits.max_rows * limits.max_hidden;
  limits.max_threads_per_block = 64;
  limits.max_padding = 64;
  limits.allow_refused = true;
  limits.int8 = limits.scale_ub = true;
  return limits;
}

CaseLimits small_valid_cases() {
  CaseLimits limits = small_cases();
  limits.allow_refused = false;
  return limits;
}

CaseLimits wide_cases() {
  CaseLimits limits;
  limits.max_rows = 70;
  limits.max_hidden = 20'000;
  limits.max_elements = 40'000;
  limits.giant_strides = true;
  limits.allow_refused = true;
  limits.int8 = limits.scale_ub = true;
  return limits;
}

std::uint64_t seed_of(std::span<const std::uint8_t> input) {
  return fnv1a({reinterpret_cast<const char*>(input.data()), input.size()});
}

void note_input(const std::function<std::string()>& json) {
  static const char* const file = std::getenv("NORMPROOF_CASE");
  if (file == nullptr) return;
  try {
    write_text_atomically(file, json());
  } catch (const std::exception& error) {
    fmt::print(stderr, "NORMPROOF_CASE: {}\n", error.what());
    std::_Exit(3);
  }
}

void report(const Report& finding) {
  fmt::print(stderr, "VIOLATION on target {}\n{}{}kind: {}\n{}\n", target().name(), finding.message,
             finding.message.ends_with('\n') ? "" : "\n", finding.kind, finding.json);
  const auto file =
      std::filesystem::path(environment("NORMPROOF_FINDINGS", ".")) /
      fmt::format("finding-{}-{:016x}.json", finding.operation, std::hash<std::string>{}(finding.json));
  try {
    write_text_atomically(file, finding.json);
    fmt::print(stderr, "replay: normproof replay {} --target {}\n", shell_quoted_file(file.string()),
               shell_quoted(target().name()));
  } catch (const std::exception& error) {
    fmt::print(stderr, "the case could not be written: {}\n", error.what());
  }
  std::fflush(stderr);
  std::abort();
}

void pass_if_known(const std::string& kind) {
  for (const KnownBug& bug : known_bugs())
    if (!bug.operation && bug.kind == kind) throw KnownViolation();
}

void check_conformance(const Case& test_case) {
  const Evaluation evaluation = evaluate(test_case, target());
  if (evaluation.violates()) report_violation(test_case, evaluation);
}

void report_violation(const Case& test_case, const Evaluation& evaluation) {
  for (const KnownBug& bug : known_bugs()) {
    if (is_instance(bug, test_case, evaluation, target())) throw KnownViolation();
  }
  report_case(test_case, kind_of(evaluation), describe(test_case, evaluation));
}

void report_finding(const Case& test_case, const std::string& message) {
  const std::string kind = kind_of(message);
  for (const KnownBug& bug : known_bugs()) {
    if (bug.kind == kind && bug.operation == test_case.operation) throw KnownViolation();
  }
  report_case(test_case, kind, message);
}

void report_trap(const Case& test_case, const std::string& message) {
  report_case(test_case, kind_of(message), message);
}

bool is_left_out(const Case& test_case) {
  return std::ranges::any_of(known_bugs(), [&](const KnownBug& bug) { return bug.region.holds(test_case); });
}

void KnownTally::add_violation(double seconds) {
  ++violations_;
  seconds_ += seconds;
  write();
}

void KnownTally::add_left_out() {
  ++left_out_;
  write();
}

void KnownTally::write() {
  static const int file = [] {
    const std::string name = environment("NORMPROOF_KNOWN_TALLY", "");
    return name.empty() ? -1 : open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  }();
  if (file < 0) return;
  // Of one length, in one call: a reader finds a whole line, and a killed fuzzer has lost nothing.
  const std::string line = fmt::format("{:>15} {:>15} {:>15.6f}\n", violations_, left_out_, seconds_);
  (void)!pwrite(file, line.data(), line.size(), 0);
}

}  // namespace normproof::fuzz
