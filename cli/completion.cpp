// `normproof completion bash|man`: completion for a shell, and the man page, from the same words as --help.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/help.h"
#include "cli/output_files.h"
#include "corpus/atomic_file.h"

namespace normproof {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

std::vector<const CLI::Option*> options_of(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

std::string long_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : options_of(command)) {
    // Their first names: the others are those of old command lines, or turn a flag off.
    for (const std::string& name : option->get_lnames())
      if (name == option->get_lnames().front() || name.starts_with("no-")) names.push_back("--" + name);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

std::string bash_completion(const CLI::App& app) {
  std::vector<std::string> names;
  std::string options, values;
  for (const CLI::App* command : commands_of(app)) {
    names.push_back(command->get_name());
    options += fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(), long_names(*command));
    for (const CLI::Option* option : options_of(*command)) {
      const auto choices = option_choices(*option);
      if (!choices.empty())
        values += fmt::format("    {}:--{}) words=\"{}\" ;;\n", command->get_name(),
                              option->get_lnames().front(), fmt::join(choices, " "));
    }
  }
  return fmt::format(
      R"(# Completion for bash: source this, or put it into share/bash-completion/completions/normproof.
_normproof() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command= words= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${{COMP_WORDS[i]}} == -* ]] || {{ command=${{COMP_WORDS[i]}}; break; }}
  done
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "{} help version --help --version" -- "$word"))
    return
  fi
  case $command:$previous in
    help:help) words="{}" ;;
{}  esac
  if [[ -z $words && $word == -* ]]; then
    case $command in
{}    esac
  fi
  if [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _normproof normproof ./normproof
)",
      fmt::join(names, " "), fmt::join(names, " "), values, options);
}

// Text of a man page: no line begins with a control character, and a hyphen is one to copy.
std::string roff(const std::string& text) {
  std::string result;
  for (const char character : text) {
    if (character == '\\' || character == '-') result += '\\';
    result += character == '\\' ? 'e' : character;
  }
  return result.starts_with('.') || result.starts_with('\'') ? "\\&" + result : result;
}

std::string man_page(const CLI::App& app) {
  std::string text = fmt::format(
      ".TH NORMPROOF 1 \"\" \"normproof {}\" \"User Commands\"\n.SH NAME\nnormproof \\- {}\n"
      ".SH SYNOPSIS\n\\fBnormproof\\fR COMMAND [OPTION...]\n.SH COMMANDS\n",
      NORMPROOF_VERSION, roff(app.get_description()));
  const auto entry = [&text](const std::string& name, const std::string& meaning) {
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(name), roff(meaning));
  };
  for (const CLI::App* command : commands_of(app)) entry(command->get_name(), command->get_description());
  for (const CLI::App* command : commands_of(app)) {
    text += fmt::format(".SH {}\n{}.\n", roff(command->get_name()), roff(command->get_description()));
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_positional())
        entry(option->get_name(true, false), option->get_description());
      else
        entry(option_names(*option), option_meaning(*option));
    }
    const CommandHelp* help = command_help(command->get_name());
    if (help == nullptr) continue;
    text += ".PP\nExamples:\n.nf\n";
    for (const std::string_view example : help->examples)
      text += fmt::format("    normproof {}\n", roff(std::string(example)));
    text += ".fi\n";
  }
  text += ".SH ENVIRONMENT\n";
  for (const EnvironmentHelp& variable : environment_help())
    entry(std::string(variable.name), std::string(variable.meaning));
  return text + fmt::format(".SH EXIT STATUS\n{}\n", roff(std::string(exit_codes_text())));
}

}  // namespace

Action add_completion(CLI::App& command) {
  const auto kind = std::make_shared<std::string>(), output = std::make_shared<std::string>();
  command.add_option("kind", *kind, "bash: a completion script; man: the man page")
      ->required()
      ->check(CLI::IsMember({"bash", "man"}));
  command.add_option("--output", *output, "Write it to this file instead of printing it");
  const CLI::App* app = command.get_parent();
  return [kind, output, app] {
    const std::string text = *kind == "bash" ? bash_completion(*app) : man_page(*app);
    if (output->empty()) fmt::print("{}", text);
    return exit_code_after_writing(kAllGood, {{*output, [&] { write_text_atomically(*output, text); }}});
  };
}

}  // namespace normproof
