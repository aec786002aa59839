// The table of subcommands. Adding one is a file with its add_ function, a row in main.cpp, and a line in
// daily_commands.cpp where it is not one of every day.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "corpus/quoting.h"
#include "oracle/order_file.h"
#include "properties/targets/target.h"

namespace CLI {
class App;
}

namespace normproof {

// What a subcommand does once the command line is parsed; returns an exit code of exit_codes.h.
using Action = std::function<int()>;

// Each declares its options on `command` and returns its action.
Action add_verify(CLI::App& command);
Action add_replay(CLI::App& command);
Action add_explain(CLI::App& command);
Action add_list(CLI::App& command);
Action add_check(CLI::App& command);
Action add_compare(CLI::App& command);
Action add_identify(CLI::App& command);
Action add_minimize(CLI::App& command);
Action add_order(CLI::App& command);
Action add_bound(CLI::App& command);
Action add_certify(CLI::App& command);
Action add_mutants(CLI::App& command);
Action add_bench(CLI::App& command);
Action add_prove(CLI::App& command);
Action add_assess(CLI::App& command);
Action add_drift(CLI::App& command);
Action add_fuzz(CLI::App& command);
Action add_merge(CLI::App& command);
Action add_new_target(CLI::App& command);
Action add_completion(CLI::App& command);

// An option that makes no sense; what() names it and its value. The program ends with kUsageError.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The folder that holds seeds/, models/ and regressions/: NORMPROOF_CORPUS, or where the program was
// installed or built.
std::string default_corpus_folder();

// How this program was called, quoted for a shell: for commands that people copy.
std::string program_name();

// The whole command line, for reports.
std::string command_line();

// Options that several commands share.
void add_target_option(CLI::App& command, std::string& target);

// How the outputs of a target are judged, as the command line says it.
struct JudgeOptions {
  std::string judge = "auto";  // "canonical", "witness"; auto: as the target's Judging says by itself
  std::string policy;          // empty: native
  std::string order;           // a file of orders of summation; empty: none
  oracle::Orders::Match match = oracle::Orders::Match::same_length;
};
void add_judge_options(CLI::App& command, JudgeOptions& options);
// --order; for commands that say by what they judged.
void add_order_option(CLI::App& command, std::string& order);
// Reads the file. Throws UsageError where the policy sums otherwise than all of its orders.
std::shared_ptr<const oracle::Orders> orders_for(const std::string& file, const oracle::Policy& policy);
// Has the target judged as the options say. Throws UsageError where the policy makes no sense.
std::unique_ptr<Target> judged(std::unique_ptr<Target> target, const JudgeOptions& options);
// " --target NAME", and " --judge" and " --policy" where they are not the target's own: for commands that
// people copy.
std::string target_arguments(const Target& target);
std::string target_arguments(const std::string& target, bool is_foreign, const Judging& judging);

}  // namespace normproof
