#include "fuzz/harness.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>

#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "corpus/hash.h"
#include "corpus/quoting.h"
#include "properties/run/evaluate.h"

namespace normproof::fuzz {
namespace {

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
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
  return limits;
}

std::uint64_t seed_of(std::span<const std::uint8_t> input) {
  return fnv1a({reinterpret_cast<const char*>(input.data()), input.size()});
}

Case case_of(std::span<const std::uint8_t> input) {
  Case test_case = case_from_bytes(input, case_limits());
  static const char* const file = std::getenv("NORMPROOF_CASE");
  if (file != nullptr) {
    try {
      write_case(file, test_case);
    } catch (const std::exception& error) {
      fmt::print(stderr, "NORMPROOF_CASE: {}\n", error.what());
      std::_Exit(3);
    }
  }
  return test_case;
}

void check_conformance(const Case& test_case) {
  const Evaluation evaluation = evaluate(test_case, target());
  if (evaluation.violates()) report_finding(test_case, describe(test_case, evaluation));
}

void report_finding(const Case& test_case, const std::string& message) {
  const std::string json = case_to_json(test_case);
  fmt::print(stderr, "VIOLATION on target {}\n{}\n{}\n", target().name(), message, json);
  const auto file =
      std::filesystem::path(environment("NORMPROOF_FINDINGS", ".")) /
      fmt::format("finding-{}-{:016x}.json", name_of(test_case.operation), std::hash<std::string>{}(json));
  try {
    write_case(file, test_case);
    fmt::print(stderr, "replay: normproof replay {} --target {}\n", shell_quoted_file(file.string()),
               shell_quoted(target().name()));
  } catch (const std::exception& error) {
    fmt::print(stderr, "the case could not be written: {}\n", error.what());
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace normproof::fuzz
