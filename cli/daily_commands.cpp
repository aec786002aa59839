// The commands that the program of every day has only the names of. What they do takes as long to compile as
// all the rest; the whole program has it.
#include <cstdio>

#include "cli/commands.h"
#include "cli/exit_codes.h"

namespace normproof {
namespace {

Action only_in_the_whole_program() {
  return [] {
    std::fputs(
        "normproof: this program has the commands of every day; target `normproof` builds the one with all "
        "of them\n",
        stderr);
    return static_cast<int>(kCouldNotRun);
  };
}

}  // namespace

Action add_assess(CLI::App&) { return only_in_the_whole_program(); }
Action add_bench(CLI::App&) { return only_in_the_whole_program(); }
Action add_bound(CLI::App&) { return only_in_the_whole_program(); }
Action add_certify(CLI::App&) { return only_in_the_whole_program(); }
Action add_compare(CLI::App&) { return only_in_the_whole_program(); }
Action add_drift(CLI::App&) { return only_in_the_whole_program(); }
Action add_fuzz(CLI::App&) { return only_in_the_whole_program(); }
Action add_merge(CLI::App&) { return only_in_the_whole_program(); }
Action add_minimize(CLI::App&) { return only_in_the_whole_program(); }
Action add_mutants(CLI::App&) { return only_in_the_whole_program(); }
Action add_new_target(CLI::App&) { return only_in_the_whole_program(); }
Action add_order(CLI::App&) { return only_in_the_whole_program(); }
Action add_prove(CLI::App&) { return only_in_the_whole_program(); }

}  // namespace normproof
