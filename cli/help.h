// --help: options in groups, values named, lines that fit the terminal, examples, exit codes, environment
// variables. Commands say what an option does where they declare it; what is the same in all of them stands
// in the tables of help_tables.cpp.
#pragma once

#include <CLI/CLI.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace normproof {

// The same option means the same in every command.
struct OptionHelp {
  std::string_view name;   // "--json"
  std::string_view group;  // its heading
  std::string_view
      value;  // what follows it: "FILE"; empty for flags and where the choices are short enough to be shown
};
std::span<const OptionHelp> option_help();

struct CommandHelp {
  std::string_view name, group;
  std::vector<std::string_view> examples;
  std::vector<std::string_view> environment;  // names of variables, explained by environment_help()
  std::string_view one = {};                  // what exit code 1 says, where that is no violation
};
// Null for a command that is not in the table.
const CommandHelp* command_help(std::string_view command);

// "NORMPROOF_CORPUS" and what it means.
struct EnvironmentHelp {
  std::string_view name, meaning;
};
std::span<const EnvironmentHelp> environment_help();

// Has `app` and the commands that are added to it from now on print help in this form.
void use_help_format(CLI::App& app);
// Puts the command and its options into their groups.
void group_help(CLI::App& command);

// "--op OPERATION", what it means, and what it takes where that is one of a few.
std::string option_names(const CLI::Option& option);
std::string option_meaning(const CLI::Option& option);
std::vector<std::string> option_choices(const CLI::Option& option);

// "Exit codes: 0 all good, ...".
std::string_view exit_codes_text();

// Columns of the terminal of `descriptor`; where it is none, those that COLUMNS says, else 80.
int columns_of(int descriptor);

}  // namespace normproof
