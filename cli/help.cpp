#include "cli/help.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "cli/option_values.h"

namespace normproof {
namespace {

constexpr int kMostColumns = 100;
constexpr int kFewestColumns = 40;
constexpr std::size_t kIndent = 2;
constexpr std::string_view kOtherOptions = "Other options";
constexpr std::string_view kOtherCommands = "Other commands";
constexpr std::string_view kExitCodes =
    "Exit codes: 0 all good, 1 a violation was found, 2 usage or input error, 3 could not run.";
constexpr std::string_view kViolation = "a violation was found";
// Names that old command lines have; the first name of the option is the one to use.
constexpr std::string_view kOldNames[] = {"threads", "hidden-size", "certificate", "findings",
                                          "folder",  "examples",    "fuzzers"};

std::size_t columns() {
  return static_cast<std::size_t>(std::clamp(columns_of(STDOUT_FILENO), kFewestColumns, kMostColumns));
}

// The words of `text` in lines from column `begin` on, of which the first goes on where `at` is.
std::string wrapped(std::string_view text, std::size_t begin, std::size_t at) {
  std::string result(begin > at ? begin - at : 0, ' ');
  std::size_t column = std::max(begin, at);
  const std::size_t limit = columns();
  bool first = true;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (!first && column + 1 + word.size() > limit) {
      result += '\n' + std::string(begin, ' ');
      column = begin;
      first = true;
    }
    if (!first) result += ' ';
    result += word;
    column += word.size() + (first ? 0 : 1);
    first = false;
  }
  return result + '\n';
}

// A name in the left column, what it means in the right one; below it where the name is long.
std::string entry(const std::string& name, const std::string& meaning, std::size_t column) {
  std::string line = std::string(kIndent, ' ') + name;
  if (line.size() + kIndent > column) return line + '\n' + wrapped(meaning, column, 0);
  return line + wrapped(meaning, column, line.size());
}

const OptionHelp* help_of(const CLI::Option& option) {
  for (const OptionHelp& help : option_help())
    if (option.check_name(std::string(help.name))) return &help;
  return nullptr;
}

// "{bf16,fp16}" in the type's name: what the option takes.
std::string choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t begin = type.find('{'), end = type.find('}', std::min(begin, type.size()));
  return end == std::string::npos ? "" : type.substr(begin + 1, end - begin - 1);
}

std::string value_of(const CLI::Option& option) {
  const OptionHelp* help = help_of(option);
  if (help != nullptr && !help->value.empty()) return std::string(help->value);
  std::string choices = choices_of(option);
  std::ranges::replace(choices, ',', '|');
  if (!choices.empty()) return choices;
  const std::string type = option.get_type_name();
  if (type.find("FILE") != std::string::npos) return "FILE";
  if (type.starts_with("INT") || type.starts_with("UINT")) return "N";
  if (type.starts_with("FLOAT")) return "NUMBER";
  return type.starts_with("TEXT") ? "VALUE" : type;
}

}  // namespace

std::string option_names(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += '-' + name + ", ";
  for (const std::string& name : option.get_lnames())
    if (name == option.get_lnames().front() || !std::ranges::count(kOldNames, name))
      names += "--" + name + ", ";
  names.resize(names.size() - 2);
  if (option.get_items_expected_max() == 0) return names;
  const bool several =
      option.get_items_expected_max() > 1 && value_of(option).find("...") == std::string::npos;
  return names + ' ' + value_of(option) + (several ? " ..." : "");
}

std::string option_meaning(const CLI::Option& option) {
  std::string meaning = option.get_description();
  const OptionHelp* help = help_of(option);
  // Choices that do not stand beside the name.
  std::string choices = help != nullptr && !help->value.empty() ? choices_of(option) : "";
  if (!choices.empty() && meaning.find(choices.substr(0, choices.find(','))) == std::string::npos) {
    for (std::size_t at = choices.find(','); at != std::string::npos; at = choices.find(',', at + 2))
      choices.insert(at + 1, 1, ' ');
    meaning += ": " + choices;
  }
  for (const CLI::Option* other : option.get_excludes())
    meaning += fmt::format("; not with {}", other->get_name());
  std::string value = option.get_default_str();
  if (value.starts_with('[') && value.ends_with(']')) value = value.substr(1, value.size() - 2);
  // A path of this machine tells nothing.
  if (option.get_items_expected_max() > 0 && !value.empty() && !value.starts_with('/'))
    meaning += fmt::format(" (default: {})", value);
  return meaning;
}

std::vector<std::string> option_choices(const CLI::Option& option) {
  std::vector<std::string> result;
  std::string choices = choices_of(option);
  while (!choices.empty()) {
    const std::size_t comma = std::min(choices.find(','), choices.size());
    result.push_back(choices.substr(0, comma));
    choices.erase(0, comma + 1);
  }
  return result;
}

namespace {

class HelpFormat : public CLI::Formatter {
 public:
  std::string make_description(const CLI::App* app) const override {
    return wrapped(app->get_description() + '.', 0, 0) + '\n';
  }

  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return make_description(app) + make_usage(app, std::move(name)) + arguments(app) + option_groups(app) +
           make_subcommands(app, mode) + '\n' + make_footer(app);
  }

  std::string arguments(const CLI::App* app) const {
    std::string text;
    for (const CLI::Option* option :
         app->get_options([](const CLI::Option* o) { return o->get_positional(); }))
      text += entry(option->get_name(true, false), option->get_description(), kColumn);
    return text.empty() ? text : "\nArguments:\n" + text;
  }

  // The groups in the order of the table of options.
  std::string option_groups(const CLI::App* app) const {
    std::vector<std::string> groups;
    const auto add = [&](std::string_view group) {
      if (!std::ranges::count(groups, group)) groups.emplace_back(group);
    };
    for (const OptionHelp& help : option_help()) add(help.group);
    add(kOtherOptions);
    for (const std::string& group : app->get_groups()) add(group);
    std::string text;
    for (const std::string& group : groups) {
      std::string options;
      for (const CLI::Option* option : app->get_options(
               [&](const CLI::Option* o) { return o->nonpositional() && o->get_group() == group; }))
        options += entry(option_names(*option), option_meaning(*option), kColumn);
      if (!options.empty()) text += '\n' + group + ":\n" + options;
    }
    return text;
  }

  std::string make_subcommands(const CLI::App* app, CLI::AppFormatMode) const override {
    std::string text;
    for (const std::string& heading : command_groups(*app)) {
      text += '\n' + heading + ":\n";
      for (const CLI::App* command : app->get_subcommands({}))
        if (command->get_group() == heading)
          text += entry(command->get_name(), command->get_description(), 14);
    }
    return text;
  }

  std::string make_footer(const CLI::App* app) const override {
    std::string text;
    if (const CommandHelp* help = command_help(app->get_name())) {
      text += "Examples:\n";
      for (const std::string_view example : help->examples) text += fmt::format("  normproof {}\n", example);
      std::string variables;
      for (const EnvironmentHelp& variable : environment_help())
        if (std::ranges::count(help->environment, variable.name))
          variables += entry(std::string(variable.name), std::string(variable.meaning), kColumn);
      text += variables.empty() ? "\n" : "\nEnvironment variables:\n" + variables + '\n';
    }
    if (!app->get_footer().empty()) text += wrapped(app->get_footer(), 0, 0);
    std::string codes(kExitCodes);
    if (const CommandHelp* help = command_help(app->get_name()); help != nullptr && !help->one.empty())
      codes.replace(codes.find(kViolation), kViolation.size(), help->one);
    return text + wrapped(codes, 0, 0);
  }

 private:
  static constexpr std::size_t kColumn = 28;

  // In the order of the table of commands; those that are not in it last.
  static std::vector<std::string> command_groups(const CLI::App& app) {
    std::vector<std::string> groups, others;
    for (const CLI::App* command : app.get_subcommands({})) {
      auto& known = command->get_group() == kOtherCommands ? others : groups;
      if (!std::ranges::count(known, command->get_group())) known.push_back(command->get_group());
    }
    groups.insert(groups.end(), others.begin(), others.end());
    return groups;
  }
};

}  // namespace

std::string_view exit_codes_text() { return kExitCodes; }

void use_help_format(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormat>());
  app.get_formatter()->label("OPTIONS", "OPTION...");
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
}

void group_help(CLI::App& command) {
  const CommandHelp* help = command_help(command.get_name());
  command.group(std::string(help != nullptr ? help->group : kOtherCommands));
  for (CLI::Option* option : command.get_options()) {
    if (option == command.get_help_ptr()) {
      option->group(std::string(kOtherOptions));
      option->description("Print this help");
      continue;
    }
    const OptionHelp* known = help_of(*option);
    option->group(std::string(known != nullptr ? known->group : kOtherOptions));
  }
}

int columns_of(int descriptor) {
  winsize size{};
  if (isatty(descriptor) == 1 && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const auto number = columns != nullptr ? whole_number(columns) : std::nullopt;
  return number && *number > 0 && *number <= 10000 ? static_cast<int>(*number) : 80;
}

}  // namespace normproof
