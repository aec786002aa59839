#include "fuzz/campaign/signature.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "corpus/generate.h"
#include "oracle/canonical_judge.h"
#include "oracle/policy.h"
#include "oracle/witness_judge.h"

namespace normproof::campaign {
namespace {

// The words up to the first punctuation.
std::string leading_words(const std::string& line) {
  constexpr std::size_t kLongest = 60;
  return file_name_of(line.substr(0, std::min(line.find_first_of(",:(\""), kLongest)));
}

std::string word_after(const std::string& line, const std::string& key) {
  const std::size_t start = line.find(key) + key.size();
  return line.substr(start, line.find_first_of(" \n", start) - start);
}

}  // namespace

std::string file_name_of(const std::string& text) {
  std::string name;
  for (const char character : text) {
    const bool allowed = std::isalnum(static_cast<unsigned char>(character)) != 0 ||
                         std::string_view("._+-").find(character) != std::string_view::npos;
    name += allowed ? character : '-';
  }
  while (name.ends_with('-')) name.pop_back();
  return name;
}

std::string failure_kind(const std::string& log) {
  std::istringstream lines(log);
  std::string own_words;  // the first line that is not libFuzzer's
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("VIOLATION on target")) {
      std::getline(lines, line);
      return leading_words(line);
    }
    if (const std::string race = "WARNING: ThreadSanitizer: "; line.starts_with(race))
      return "ThreadSanitizer-" + leading_words(line.substr(race.size()));
    for (const std::string sanitizer : {"AddressSanitizer", "ThreadSanitizer", "MemorySanitizer"}) {
      if (line.find("ERROR: " + sanitizer + ": ") == std::string::npos) continue;
      return file_name_of(sanitizer + "-" + word_after(line, sanitizer + ": "));
    }
    if (line.find("runtime error: ") != std::string::npos) return "undefined-behaviour";
    if (line.find("ERROR: libFuzzer: timeout") != std::string::npos) return "timeout";
    if (line.find("ERROR: libFuzzer: out-of-memory") != std::string::npos) return "out-of-memory";
    if (line.find("ERROR: libFuzzer: deadly signal") != std::string::npos) {
      return own_words.empty() ? "deadly-signal" : leading_words(own_words);
    }
    const bool from_engine = line.empty() || line.starts_with("INFO") || line.starts_with("Running") ||
                             line.starts_with('#') || line.find(": Running ") != std::string::npos ||
                             line.starts_with("==");
    if (own_words.empty() && !from_engine) own_words = line;
  }
  return {};
}

std::optional<std::string> explaining_policy(const Case& test_case, const Outputs& outputs, bool canonical) {
  const CaseTensors tensors = materialize(test_case);
  std::optional<std::string> best;
  for (const oracle::Policy& policy : oracle::all_policies(test_case)) {
    const bool explains = canonical ? oracle::judge_canonical(test_case, tensors, outputs, policy).conforms()
                                    : oracle::judge_witness(test_case, tensors, outputs, policy).conforms();
    if (!explains) continue;
    if (policy == oracle::native()) return std::nullopt;
    const std::string text = oracle::to_string(policy);
    const auto changes = [](const std::string& list) { return std::ranges::count(list, ','); };
    if (!best || changes(text) < changes(*best)) best = text;
  }
  return best;
}

}  // namespace normproof::campaign
