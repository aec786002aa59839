#include "fuzz/harness.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>

#include "corpus/case_json.h"

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

const CaseLimits& fuzz_limits() {
  static const CaseLimits limits = [] {
    CaseLimits small;
    small.max_rows = 3;
    small.max_hidden = 64;
    small.max_elements = small.max_rows * small.max_hidden;
    small.max_threads_per_block = 64;
    small.max_padding = 64;
    small.allow_refused = true;
    return small;
  }();
  return limits;
}

void report_finding(const Case& test_case, const std::string& message) {
  const std::string json = case_to_json(test_case);
  fmt::print(stderr, "VIOLATION on target {}\n{}\n{}\n", target().name(), message, json);
  const auto file =
      std::filesystem::path(environment("NORMPROOF_FINDINGS", ".")) /
      fmt::format("finding-{}-{:016x}.json", name_of(test_case.operation), std::hash<std::string>{}(json));
  try {
    write_case(file, test_case);
    fmt::print(stderr, "replay: normproof replay {} --target {}\n", file.string(), target().name());
  } catch (const std::exception& error) {
    fmt::print(stderr, "the case could not be written: {}\n", error.what());
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace normproof::fuzz
