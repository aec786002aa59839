// Asking again whether an input or a case fails, and making a failing case small.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "fuzz/campaign/fuzzer_process.h"
#include "fuzz/known/known_bug.h"

namespace normproof::campaign {

// What the fuzzer says of one input.
struct Answer {
  bool failed = false;
  std::string kind;
  std::string log;
};

class Reproducer {
 public:
  // `scratch` is a folder for files in between; `environment` is what the fuzzer
  // needs besides the target's name.
  Reproducer(const Fuzzer& fuzzer, const std::string& target, const FuzzerProcess::Environment& environment,
             const std::filesystem::path& scratch)
      : fuzzer_(fuzzer), target_(target), environment_(environment), scratch_(scratch) {}

  // Throw std::runtime_error where the fuzzer cannot run at all, since it has no target for instance.
  Answer ask(const std::filesystem::path& input) const;
  Answer ask(const Case& test_case) const;
  // Where the fuzzer writes the case that its input stands for.
  std::filesystem::path case_file() const { return scratch_ / "case.json"; }

 private:
  const Fuzzer& fuzzer_;
  const std::string& target_;
  const FuzzerProcess::Environment& environment_;
  const std::filesystem::path& scratch_;
};

// Runs `work` in a child process, since the target may crash, hang or eat all memory in it; whether it
// returned in time.
bool in_child(unsigned seconds_at_most, const std::function<void()>& work);

// The smallest case found that fails in the same way: of the same kind, with the bits of `policy` where one
// is given, and no instance of a bug that is known.
Case minimized(const Case& failing, const std::string& kind, const std::optional<oracle::Policy>& policy,
               const std::vector<KnownBug>& known, const std::string& target,
               const std::filesystem::path& scratch, const Reproducer& reproducer);

}  // namespace normproof::campaign
