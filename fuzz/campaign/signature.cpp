#include "fuzz/campaign/signature.h"

#include <sstream>
#include <string_view>

#include "fuzz/known/known_bug.h"

namespace normproof::campaign {
namespace {

std::string word_after(const std::string& line, const std::string& key) {
  const std::size_t start = line.find(key) + key.size();
  return line.substr(start, line.find_first_of(" \n", start) - start);
}

}  // namespace

std::string failure_kind(const std::string& log) {
  std::istringstream lines(log);
  std::string own_words;  // the first line that is not libFuzzer's
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("VIOLATION on target")) {
      std::getline(lines, line);
      const std::string words = kind_of(line);
      // The fuzzer's own word for it is the last of its message.
      const std::size_t said = log.rfind("\nkind: ");
      if (said == std::string::npos) return words;
      return file_name_of(word_after(log.substr(said), "kind: "));
    }
    if (const std::string race = "WARNING: ThreadSanitizer: "; line.starts_with(race))
      return "ThreadSanitizer-" + kind_of(line.substr(race.size()));
    for (const std::string sanitizer : {"AddressSanitizer", "ThreadSanitizer", "MemorySanitizer"}) {
      if (line.find("ERROR: " + sanitizer + ": ") == std::string::npos) continue;
      return file_name_of(sanitizer + "-" + word_after(line, sanitizer + ": "));
    }
    if (line.find("runtime error: ") != std::string::npos) return "undefined-behaviour";
    if (line.find("ERROR: libFuzzer: timeout") != std::string::npos) return "timeout";
    if (line.find("ERROR: libFuzzer: out-of-memory") != std::string::npos) return "out-of-memory";
    if (line.find("ERROR: libFuzzer: deadly signal") != std::string::npos) {
      return own_words.empty() ? "deadly-signal" : kind_of(own_words);
    }
    const bool from_engine = line.empty() || line.starts_with("INFO") || line.starts_with("Running") ||
                             line.starts_with('#') || line.find(": Running ") != std::string::npos ||
                             line.starts_with("==");
    if (own_words.empty() && !from_engine) own_words = line;
  }
  return {};
}

}  // namespace normproof::campaign
