#include "cli/reproduction.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <string_view>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "corpus/sequence.h"
#include "properties/targets/run_program.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

constexpr int kRepetitions = 64;
constexpr double kMostSeconds = 30;  // of the repetitions, by what the first call took
constexpr int kMostReductions = 12;

class FreshProcess {
 public:
  FreshProcess(fs::path sequence_file, const Target& target)
      : file_(std::move(sequence_file)), arguments_(target_arguments(target)) {}

  bool violates(const fs::path& file) {
    const std::string program = fs::read_symlink("/proc/self/exe").string();
    const ProgramResult result =
        run_program({"/bin/sh", "-c",
                     fmt::format("exec {} replay --quiet {}{}", shell_quoted(program),
                                 shell_quoted_file(file.string()), arguments_)},
                    {});
    output_ = result.output;
    return result.exit_code == kViolationFound;
  }
  // Leaves the sequence in the file where it violates.
  bool violates(const Sequence& sequence) {
    write_sequence(file_, sequence);
    return violates(file_);
  }
  // The number of the call that violated, or 0.
  int violating_call() const {
    constexpr std::string_view kBefore = ": call ";
    const std::size_t at = output_.find(kBefore);
    int number = 0;
    if (at != std::string::npos) {
      const char* digits = output_.data() + at + kBefore.size();
      std::from_chars(digits, output_.data() + output_.size(), number);
    }
    return number;
  }

 private:
  fs::path file_;
  std::string arguments_;
  std::string output_;
};

// Up to the call that violated, with fewer of the calls before it as long as that shows it too. `process` has
// just shown it.
Sequence reduced(Sequence sequence, FreshProcess& process) {
  const auto up_to_the_violation = [&] {
    const auto calls = static_cast<std::size_t>(std::max(process.violating_call(), 1));
    sequence.calls.resize(std::min(sequence.calls.size(), calls));
  };
  up_to_the_violation();
  int tries = 0;
  for (std::size_t step = sequence.calls.size() / 2; step > 0 && tries < kMostReductions;) {
    Sequence shorter = sequence;
    if (step >= shorter.calls.size()) break;
    shorter.calls.erase(shorter.calls.begin(), shorter.calls.begin() + static_cast<std::ptrdiff_t>(step));
    ++tries;
    if (process.violates(shorter)) {
      sequence = std::move(shorter);
      up_to_the_violation();
      step = std::min(step, sequence.calls.size() / 2);
    } else {
      step /= 2;
    }
  }
  return sequence;
}

}  // namespace

void reproduce(Finding& finding, const std::vector<Case>& before, const Target& target) {
  fs::path file = finding.file;
  file.replace_extension(".sequence");
  FreshProcess process(file, target);
  const auto began = std::chrono::steady_clock::now();
  if (process.violates(finding.file)) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const int repetitions = std::clamp(static_cast<int>(kMostSeconds / seconds), 2, kRepetitions);
  if (stop_is_requested()) {
    finding.message += "  not repeated in a fresh process: the run was stopped\n";
    return;
  }
  Case call = finding.test_case;
  call.outputs.reset();
  Sequence sequence{{call}, repetitions, false};
  if (process.violates(sequence)) {
    const int number = process.violating_call();
    Sequence fewer = sequence;
    fewer.repeat = std::clamp(number, 1, repetitions);
    if (!process.violates(fewer)) write_sequence(file, sequence);  // it depends on chance
    finding.sequence = file;
    finding.message += fmt::format(
        "  not reproduced in a fresh process by this call alone; made again and again there, it violates: "
        "seen in call {}\n",
        number);
    return;
  }
  sequence = {before, 1, false};
  sequence.calls.push_back(call);
  if (!before.empty() && process.violates(sequence)) {
    sequence = reduced(std::move(sequence), process);
    write_sequence(file, sequence);
    finding.sequence = file;
    finding.message += fmt::format(
        "  not reproduced in a fresh process by this call alone; after the calls that led there it is: {} of "
        "them are stored\n",
        sequence.calls.size() - 1);
    return;
  }
  fs::remove(file);
  finding.found_by += ", not reproduced in a fresh process";
  finding.message += fmt::format(
      "  not reproduced in a fresh process: not by this call alone, not by {} of them, not after the {} "
      "calls "
      "before it\n",
      repetitions, before.size());
}

}  // namespace normproof
