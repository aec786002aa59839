#include "kernels/host/ptx_program.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdlib>
#include <stdexcept>

namespace normproof::host {
namespace {

std::string trimmed(std::string_view text) {
  const auto space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

std::string without_comments(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "//") {
      while (i < text.size() && text[i] != '\n') ++i;
      result += '\n';
    } else if (text.substr(i, 2) == "/*") {
      const std::size_t end = text.find("*/", i + 2);
      i = end == std::string_view::npos ? text.size() : end + 1;
    } else {
      result += text[i];
    }
  }
  return result;
}

// Parts between commas that no bracket holds.
std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      const std::string part = trimmed(text.substr(begin, i - begin));
      if (!part.empty()) parts.push_back(part);
      begin = i + 1;
    } else if (text[i] == '{' || text[i] == '[' || text[i] == '(') {
      ++depth;
    } else if (text[i] == '}' || text[i] == ']' || text[i] == ')') {
      --depth;
    }
  }
  return parts;
}

PtxOperand immediate(const std::string& text) {
  PtxOperand operand;
  operand.kind = PtxOperand::Kind::kImmediate;
  if (text.starts_with("0f") || text.starts_with("0F") || text.starts_with("0d") || text.starts_with("0D")) {
    operand.bits = std::strtoull(text.c_str() + 2, nullptr, 16);
    return operand;
  }
  if (text.find('.') != std::string::npos) {
    operand.bits = std::bit_cast<std::uint64_t>(std::strtod(text.c_str(), nullptr));
    operand.floating = true;
    return operand;
  }
  const bool negative = text[0] == '-';
  const std::string digits = negative ? text.substr(1) : text;
  const bool binary = digits.starts_with("0b");
  operand.bits = std::strtoull(digits.c_str() + (binary ? 2 : 0), nullptr, binary ? 2 : 0);
  if (negative) operand.bits = -operand.bits;
  return operand;
}

PtxOperand parse_operand(std::string text) {
  using Kind = PtxOperand::Kind;
  PtxOperand operand;
  if (text.empty()) throw std::runtime_error("an operand is empty");
  if (const std::size_t bar = text.find('|'); bar != std::string::npos && text[0] != '{') {
    operand = parse_operand(trimmed(text.substr(0, bar)));
    operand.also.push_back(parse_operand(trimmed(text.substr(bar + 1))));
    return operand;
  }
  if (text[0] == '!') {
    operand = parse_operand(trimmed(text.substr(1)));
    operand.negated = true;
    return operand;
  }
  if (text[0] == '{') {
    operand.kind = Kind::kVector;
    for (const std::string& part : parts_of(text.substr(1, text.find('}') - 1)))
      operand.elements.push_back(parse_operand(part));
    return operand;
  }
  if (text[0] == '[') {
    operand.kind = Kind::kAddress;
    const std::string inside = trimmed(text.substr(1, text.rfind(']') - 1));
    const std::size_t plus = inside.find_first_of("+-", 1);
    operand.elements.push_back(parse_operand(trimmed(inside.substr(0, plus))));
    if (plus != std::string::npos) {
      const std::string offset = trimmed(inside.substr(plus + 1));
      operand.also.push_back(parse_operand(offset));
      operand.negated = inside[plus] == '-';
    }
    return operand;
  }
  if (std::isdigit(static_cast<unsigned char>(text[0])) != 0 || text[0] == '-') return immediate(text);
  if (text.starts_with("%[")) {
    operand.kind = Kind::kNamed;
    operand.name = text.substr(2, text.find(']') - 2);
    return operand;
  }
  if (text.starts_with("%%")) text.erase(0, 1);
  if (text[0] == '%' && text.size() > 1 && std::isdigit(static_cast<unsigned char>(text[1])) != 0) {
    operand.kind = Kind::kOperand;
    operand.index = static_cast<unsigned>(std::strtoul(text.c_str() + 1, nullptr, 10));
    return operand;
  }
  operand.kind = text[0] == '%' ? Kind::kSpecial : Kind::kRegister;
  operand.name = text;
  return operand;
}

PtxInstruction parse_instruction(const std::string& text) {
  PtxInstruction instruction;
  instruction.text = text;
  std::string_view rest = text;
  if (rest[0] == '@') {
    const std::size_t end = std::min(rest.find_first_of(" \t\n"), rest.size());
    instruction.guard.push_back(parse_operand(std::string(rest.substr(1, end - 1))));
    rest.remove_prefix(end);
    while (!rest.empty() && std::isspace(static_cast<unsigned char>(rest[0])) != 0) rest.remove_prefix(1);
  }
  const std::size_t end = std::min(rest.find_first_of(" \t\n"), rest.size());
  const std::string opcode(rest.substr(0, end));
  for (std::size_t begin = 0; begin <= opcode.size();) {
    const std::size_t dot = std::min(opcode.find('.', begin), opcode.size());
    instruction.words.push_back(opcode.substr(begin, dot - begin));
    begin = dot + 1;
  }
  for (const std::string& part : parts_of(rest.substr(end)))
    instruction.operands.push_back(parse_operand(part));
  return instruction;
}

// DONE, $L__BB0_1, and L%=, which stands for a number of the statement.
bool is_label(const std::string& text) {
  const auto fits = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '=';
  };
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) == 0 &&
         std::all_of(text.begin(), text.end(), fits);
}

}  // namespace

bool PtxInstruction::has(std::string_view word) const {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::vector<PtxInstruction> parse_ptx(std::string_view text) {
  const std::string plain = without_comments(text);
  std::vector<PtxInstruction> program;
  std::string statement;
  int depth = 0;  // of a vector's braces: those that open a block stand where a statement begins
  const auto finish = [&] {
    const std::string one = trimmed(statement);
    statement.clear();
    if (!one.empty() && !one.starts_with(".reg")) program.push_back(parse_instruction(one));
  };
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const char c = plain[i];
    const bool begins = trimmed(statement).empty();
    if (c == ';') {
      finish();
    } else if (c == ':' && plain.substr(i, 2) != "::" && is_label(trimmed(statement))) {
      PtxInstruction label;
      label.text = trimmed(statement);
      label.is_label = true;
      program.push_back(std::move(label));
      statement.clear();
    } else if (c == '{' && begins) {
      continue;
    } else if (c == '}' && depth == 0) {
      finish();
    } else {
      depth += c == '{' ? 1 : c == '}' ? -1 : 0;
      statement += c;
    }
  }
  finish();
  return program;
}

}  // namespace normproof::host
