// normproof: which arithmetic does a norm kernel really compute? Parses the
// command line and runs one subcommand.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <sstream>
#include <vector>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/exit_codes.h"
#include "cli/help.h"
#include "cli/html_report.h"
#include "cli/judged_calls.h"
#include "cli/option_values.h"
#include "cli/output_files.h"
#include "cli/output_options.h"
#include "cli/resources.h"
#include "cli/stop_signals.h"
#include "cli/suggestion.h"
#include "cli/version.h"
#include "corpus/case_json.h"
#include "corpus/message_text.h"
#include "corpus/safetensors.h"
#include "oracle/known_sum.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

struct Subcommand {
  const char* name;
  const char* description;
  Action (*add)(CLI::App&);
};

constexpr Subcommand kSubcommands[] = {
    {"verify", "Replay the corpus, check the properties, then judge random cases until the time is up",
     add_verify},
    {"replay", "Run cases from JSON files on a target and judge them", add_replay},
    {"check", "Judge outputs of any kernel, from dumps or case files, without running one", add_check},
    {"compare",
     "Tell what differs between two kernels, or which norm of a model computes otherwise in one dump than in "
     "another, and why",
     add_compare},
    {"identify", "Tell which rounding policy outputs, or a target, follow", add_identify},
    {"order", "Tell in which order a target adds the squares of a row, with a certificate", add_order},
    {"bound", "Tell the largest difference of two conforming kernels: the tolerance of a test", add_bound},
    {"certify", "Write down which arithmetic a target computes, or compare two such certificates",
     add_certify},
    {"minimize", "Write the smallest case that still violates", add_minimize},
    {"explain", "Print every rounding step behind one output element of a case", add_explain},
    {"assess", "Measure how reliable check is: false rejections, agreement with brute force, detection",
     add_assess},
    {"drift",
     "Show how a one-ulp difference grows through a stack of layers: native policy against another norm",
     add_drift},
    {"fuzz", "Run the fuzzers for some minutes; what they find becomes bug reports", add_fuzz},
    {"mutants", "Measure the suite itself: which check detects which planted bug", add_mutants},
    {"merge", "Merge the results of all shards of a run of verify, mutants or fuzz", add_merge},
    {"new-target", "Write a folder with an example of a plug-in, to put your kernel into", add_new_target},
    {"prove", "Compare every input of the elementary operations with integer arithmetic", add_prove},
    {"bench", "Measure the speed of the kernels on a GPU, or of a plug-in, beside a copy and other kernels",
     add_bench},
    {"completion", "Print a completion script for bash, or the man page", add_completion},
    {"list", "Print the operations, dtypes, policies, properties, data classes and targets", add_list},
};

std::string all_arguments;

// Of commands that have a list or a script to print, and find nothing.
bool finds_nothing(std::string_view command) {
  constexpr std::array<std::string_view, 3> kCommands = {"completion", "list", "new-target"};
  return std::ranges::count(kCommands, command) > 0;
}

// What a page says of a command that has none of its own: what it printed.
void write_printed_page(const std::string& file, const std::string& command, int exit_code) {
  constexpr std::array<const char*, 4> kVerdicts = {"all good", "violation found", "usage error",
                                                    "could not run"};
  HtmlReport report;
  report.title = "normproof " + command;
  report.good = exit_code == kAllGood;
  report.verdict =
      exit_code >= 0 && exit_code < 4 ? kVerdicts[static_cast<std::size_t>(exit_code)] : "stopped";
  report.sections = {text_section("What it printed", "", report.good, kept_output())};
  write_html(file, report);
}

// Options that every command has which finds something.
struct SharedOptions {
  bool quiet = false;
  std::string html;
};
void add_shared_options(CLI::App& command, SharedOptions& options) {
  if (finds_nothing(command.get_name())) return;
  if (command.get_option_no_throw("--quiet") == nullptr)
    command.add_flag("--quiet", options.quiet, "Print nothing where all is good");
  if (command.get_option_no_throw("--html") == nullptr)
    command.add_option("--html", options.html, "Write a page with what is printed to this file");
}
int run_with(const SharedOptions& options, const std::string& command, const Action& action) {
  if (options.quiet) hold_output();
  if (options.html.empty()) return action();
  keep_output();
  const int exit_code = action();
  return exit_code_after_writing(
      exit_code, {{options.html, [&] { write_printed_page(options.html, command, exit_code); }}});
}

// `help`, `help COMMAND` and `version` as the options that they stand for.
std::vector<std::string> with_words_as_options(std::vector<std::string> arguments) {
  if (arguments.empty()) return arguments;
  if (arguments.front() == "version") arguments.front() = "--version";
  if (arguments.front() != "help") return arguments;
  arguments.erase(arguments.begin());
  arguments.resize(std::min<std::size_t>(arguments.size(), 1));
  arguments.emplace_back("--help");
  return arguments;
}

// Throws UsageError where the command line begins with the name of no command.
void require_known_command(const std::vector<std::string>& arguments) {
  if (arguments.front().starts_with('-')) return;
  std::vector<std::string> names;
  for (const Subcommand& subcommand : kSubcommands) names.emplace_back(subcommand.name);
  if (std::ranges::count(names, arguments.front())) return;
  throw UsageError(fmt::format("there is no command {}{} ({} --help lists them)",
                               in_quotes(arguments.front()), suggestion(arguments.front(), names),
                               program_name()));
}

// What to say of options that the command does not have; empty where what is too much is no option.
std::string unknown_option(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* command = app.get_subcommands().empty() ? &app : app.get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  for (const std::string& argument : arguments) {
    const std::string name = argument.substr(0, argument.find('='));
    if (!name.starts_with("--") || name == "--" || std::ranges::count(names, name)) continue;
    return fmt::format("{} has no option {}{}", command->get_name(), in_quotes(name),
                       suggestion(name, names));
  }
  return {};
}

int run(int argument_count, char** given) {
  const std::vector<std::string> words(given + 1, given + argument_count);
  for (const std::string& word : words) all_arguments += " " + shell_quoted(word);
  CLI::App app{
      "Tells whether an RMSNorm kernel rounds the way it should, bit for bit, and which rounding it uses if "
      "not",
      "normproof"};
  use_help_format(app);
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text);
  int exit_code = kAllGood;
  for (const Subcommand& subcommand : kSubcommands) {
    CLI::App* command = app.add_subcommand(subcommand.name, subcommand.description);
    const Action action = subcommand.add(*command);
    const auto shared = std::make_shared<SharedOptions>();
    add_shared_options(*command, *shared);
    read_values_strictly(*command);
    try_outputs_first(*command);
    group_help(*command);
    command->callback([=, &exit_code] { exit_code = run_with(*shared, subcommand.name, action); });
  }
  app.footer(fmt::format(
      "`{0} COMMAND --help` lists the options of a command. From a clone, the script ./normproof "
      "adds `test`, which builds and runs "
      "all tests, and `coverage`, which measures line coverage. The pages of the repository, README.md "
      "and docs/, say more.",
      program_name()));
  group_help(app);
  if (words.empty()) {
    fmt::print("{}", app.help());
    return kUsageError;
  }
  std::vector<std::string> arguments = with_words_as_options(words);
  require_known_command(arguments);
  std::ranges::reverse(arguments);  // as the library wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ExtrasError& error) {
    const std::string unknown = unknown_option(app, words);
    throw UsageError(unknown.empty() ? error.what() : unknown);
  } catch (const CLI::ParseError& error) {
    std::ostringstream help, complaint;
    const int status = app.exit(error, help, complaint);
    fmt::print("{}", help.str());
    fmt::print(stderr, "{}", complaint.str());
    return status == 0 ? kAllGood : kUsageError;
  }
  return exit_code;
}

}  // namespace

std::string default_corpus_folder() {
  const char* folder = std::getenv("NORMPROOF_CORPUS");
  return folder != nullptr ? folder : resource("corpus").string();
}

std::string program_name() {
  // The root script sets it to the way it was called itself.
  const char* name = std::getenv("NORMPROOF_PROGRAM");
  return name != nullptr ? shell_quoted(name) : "normproof";
}

std::string command_line() { return program_name() + all_arguments; }

void add_target_option(CLI::App& command, std::string& target) {
  command
      .add_option("--target", target,
                  "Kernel under test: host, cuda, mutant:NAME, or the path of a plug-in, ./libmine.so; "
                  "`normproof list` names them")
      ->capture_default_str();
  // Read after --target: a target of two, whose bits are compared.
  command.add_option_function<std::string>(
      "--also", [&target](const std::string& other) { target += "+" + other; },
      "Also run every case on this target and require identical bits, for instance --target cuda --also "
      "host");
}

void add_judge_options(CLI::App& command, JudgeOptions& options) {
  command
      .add_option(
          "--judge", options.judge,
          "canonical: every bit is determined; witness: any order of summation; auto: witness for a plug-in, "
          "canonical for our kernels")
      ->check(CLI::IsMember({"auto", "canonical", "witness"}))
      ->capture_default_str();
  command.add_option("--policy", options.policy,
                     "Rounding policy to judge by, for instance weight=fp32; `normproof list` names them; "
                     "for a plug-in with "
                     "several kinds of operations also OPERATION:POLICY, ';' between them; default: native");
}

void add_order_option(CLI::App& command, std::string& order) {
  command
      .add_option("--order", order,
                  "Judge by the orders of summation in this file, which `normproof order --json` writes: the "
                  "sum is then "
                  "one number; cases that it has no order for are judged as without it")
      ->check(CLI::ExistingFile);
}

std::shared_ptr<const oracle::Orders> orders_for(const std::string& file, const oracle::Policy& policy) {
  auto orders = std::make_shared<const oracle::Orders>(oracle::read_orders(file));
  if (orders->all().empty())
    throw UsageError(fmt::format("--order {}: holds no order that is certified", file));
  for (const oracle::GivenOrder& order : orders->all()) {
    const std::string objection = oracle::objection_to_order(*order.tree, policy);
    if (!objection.empty()) throw UsageError(fmt::format("--order {}: {}", file, objection));
  }
  return orders;
}

std::unique_ptr<Target> judged(std::unique_ptr<Target> target, const JudgeOptions& options) {
  Judging judging = target->judging();
  if (options.judge != "auto") judging.canonical = options.judge == "canonical";
  // What is about judged operations alone is read where they are judged.
  if (const std::string policy = policies_from(options.policy, *target).of_cases; !policy.empty()) {
    try {
      judging.policy = oracle::parse_policy(policy);
    } catch (const std::invalid_argument& error) {
      throw UsageError(fmt::format("--policy: {}", error.what()));
    }
  }
  if (!options.order.empty()) {
    if (options.judge == "canonical")
      throw UsageError("--order and --judge canonical: the canonical judge has an order of its own");
    judging.orders = orders_for(options.order, judging.policy);
    judging.match = options.match;
    judging.canonical = false;
  }
  target->judge_by(judging);
  return target;
}

std::string target_arguments(const std::string& target, bool is_foreign, const Judging& judging) {
  std::string text = fmt::format(" --target {}", shell_quoted(target));
  if (judging.canonical == is_foreign && !judging.orders)
    text += fmt::format(" --judge {}", judging.canonical ? "canonical" : "witness");
  if (judging.policy != oracle::native())
    text += fmt::format(" --policy {}", shell_quoted(oracle::to_string(judging.policy)));
  if (judging.orders) text += fmt::format(" --order {}", shell_quoted_file(judging.orders->name()));
  return text;
}

std::string target_arguments(const Target& target) {
  return target_arguments(target.name(), target.is_foreign(), target.judging());
}

// run(), and what it throws as message and exit code.
int run_safely(int argument_count, char** arguments) {
  try {
    return run(argument_count, arguments);
  } catch (const CaseError& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    return kUsageError;
  } catch (const SafetensorsError& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    return kUsageError;
  } catch (const UsageError& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    return kUsageError;
  } catch (const TargetError& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    return kCouldNotRun;
  } catch (const std::exception& error) {
    fmt::print(stderr, "normproof: could not run: {}\n", error.what());
    return kCouldNotRun;
  }
}

}  // namespace normproof

int main(int argument_count, char** arguments) {
  normproof::handle_signals();
  normproof::guard_console();
  return normproof::exit_code_after_printing(normproof::run_safely(argument_count, arguments));
}
