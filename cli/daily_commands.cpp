// The commands that the program of every day has only the names of. What they do takes as long to compile as
// all the rest; the whole program has it.
#include <CLI/CLI.hpp>

#include <stdexcept>

#include "cli/commands.h"

namespace normproof {
namespace {

// Whatever its options are: they are not known here.
Action only_in_the_whole_program(CLI::App& command) {
  command.allow_extras();
  return []() -> int {
    throw std::runtime_error(
        "this program has the commands of every day; target `normproof` builds the one with all of them");
  };
}

}  // namespace

Action add_assess(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_bench(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_bound(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_certify(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_compare(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_drift(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_fuzz(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_merge(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_minimize(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_mutants(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_new_target(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_order(CLI::App& command) { return only_in_the_whole_program(command); }
Action add_prove(CLI::App& command) { return only_in_the_whole_program(command); }

}  // namespace normproof
