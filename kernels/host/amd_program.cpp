#include "kernels/host/amd_program.h"

#include <cctype>
#include <cstdlib>
#include <stdexcept>

namespace normproof::host {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::string without_spaces_around(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

// Parts between separators that no bracket holds.
template <class Separates>
std::vector<std::string> split(std::string_view text, const Separates& separates) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (const char c : text) {
    depth += c == '[' || c == '(' ? 1 : c == ']' || c == ')' ? -1 : 0;
    if (depth == 0 && separates(c)) {
      parts.push_back(without_spaces_around(part));
      part.clear();
    } else {
      part += c;
    }
  }
  parts.push_back(without_spaces_around(part));
  std::erase(parts, "");
  return parts;
}

AmdArgument parse_argument(std::string text) {
  using Kind = AmdArgument::Kind;
  const auto inner = [&](std::size_t before, std::size_t after) {
    return parse_argument(without_spaces_around(text.substr(before, text.size() - before - after)));
  };
  if (text.empty()) throw std::runtime_error("an operand is empty");
  const bool digit_follows =
      text.size() > 1 && (std::isdigit(static_cast<unsigned char>(text[1])) != 0 || text[1] == '.');
  if (text[0] == '-' && !digit_follows) {
    AmdArgument argument = inner(1, 0);
    argument.negative = !argument.negative;
    return argument;
  }
  if ((text[0] == '|' && text.back() == '|' && text.size() > 2) ||
      (text.starts_with("abs(") && text.back() == ')')) {
    AmdArgument argument = inner(text[0] == '|' ? 1 : 4, 1);
    argument.magnitude = true;
    return argument;
  }
  if (text.starts_with("neg(") && text.back() == ')') {
    AmdArgument argument = inner(4, 1);
    argument.negative = true;
    return argument;
  }
  AmdArgument argument;
  argument.name = text;
  if (text.starts_with("%[")) {
    argument.kind = Kind::kNamed;
    argument.name = text.substr(2, text.find(']') - 2);
  } else if (text[0] == '%' && digit_follows) {
    argument.kind = Kind::kOperand;
    argument.index = static_cast<unsigned>(std::strtoul(text.c_str() + 1, nullptr, 10));
  } else if (std::isdigit(static_cast<unsigned char>(text[0])) != 0 || text[0] == '-') {
    char* end = nullptr;
    const bool decimal = text.find('.') != std::string::npos;
    argument.kind = decimal ? Kind::kFloat : Kind::kConstant;
    if (decimal) argument.number = std::strtod(text.c_str(), &end);
    if (!decimal) argument.bits = static_cast<std::uint64_t>(std::strtoll(text.c_str(), &end, 0));
    if (*end != '\0') throw std::runtime_error("no number: " + text);
  }
  return argument;
}

// name, name:number, name:[number,...].
void parse_modifier(AmdInstruction& instruction, const std::string& text) {
  const std::size_t colon = text.find(':');
  std::vector<int>& numbers = instruction.modifiers[text.substr(0, colon)];
  if (colon == std::string::npos) return;
  std::string rest = text.substr(colon + 1);
  if (rest.starts_with('%')) {
    instruction.given_modifiers[text.substr(0, colon)] = parse_argument(rest);
    return;
  }
  if (rest.starts_with('[')) rest = rest.substr(1, rest.size() - 2);
  for (const std::string& each : split(rest, [](char c) { return c == ','; })) {
    char* end = nullptr;
    numbers.push_back(static_cast<int>(std::strtol(each.c_str(), &end, 0)));
    if (*end != '\0') throw std::runtime_error("not known: " + instruction.text);
  }
}

std::string without_suffix(std::string name) {
  for (const std::string_view suffix : {"_dpp", "_e64", "_e32"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return name;
}

AmdInstruction amd_instruction_of(const std::string& text) {
  AmdInstruction instruction;
  instruction.text = text;
  std::size_t end = 0;
  while (end < text.size() && !is_space(text[end])) ++end;
  instruction.name = without_suffix(text.substr(0, end));
  // What a wait waits for is an expression of its own, and is not looked at.
  if (instruction.name.starts_with("s_wait")) return instruction;
  const std::vector<std::string> parts =
      split(std::string_view(text).substr(end), [](char c) { return c == ','; });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::vector<std::string> words = split(parts[i], is_space);
    // Modifiers follow the last operand; `off` and the like are operands.
    std::size_t word = 0;
    const bool operand = !words.empty() && words[0].find('[') <= words[0].find(':');  // s[0:1] is one
    if (operand) instruction.arguments.push_back(parse_argument(words[word++]));
    for (; word < words.size(); ++word) parse_modifier(instruction, words[word]);
  }
  return instruction;
}

}  // namespace

int AmdInstruction::modifier(const std::string& modifier_name, int otherwise, std::size_t index) const {
  const auto found = modifiers.find(modifier_name);
  return found == modifiers.end() || index >= found->second.size() ? otherwise : found->second[index];
}

std::vector<AmdInstruction> parse_amd(std::string_view text) {
  std::vector<AmdInstruction> program;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    // Behind a semicolon stands a comment.
    line = line.substr(0, std::min(line.find(';'), line.find("//")));
    if (const std::string one = without_spaces_around(line); !one.empty())
      program.push_back(amd_instruction_of(one));
  }
  return program;
}

}  // namespace normproof::host
