// Quoting for a shell, for Python and for Markdown.
#include "corpus/quoting.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "corpus/message_text.h"

namespace normproof {
namespace {

std::size_t longest_run_of_backticks(std::string_view text) {
  std::size_t longest = 0, run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

// $'...' with octal numbers, which are of one length everywhere.
std::string dollar_quoted(std::string_view argument) {
  std::string quoted = "$'";
  for (const char c : argument) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte >= 0x20 && byte < 0x7f) {
      quoted += c;
    } else {
      quoted += '\\';
      for (const int shift : {6, 3, 0}) quoted += static_cast<char>('0' + (byte >> shift & 7));
    }
  }
  return quoted + "'";
}

}  // namespace

std::string shell_quoted(std::string_view argument) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (!argument.empty() && argument.find_first_not_of(kPlain) == std::string_view::npos)
    return std::string(argument);
  if (printable_line(argument) != argument) return dollar_quoted(argument);
  std::string quoted = "'";
  for (const char character : argument) quoted += character == '\'' ? "'\"'\"'" : std::string(1, character);
  return quoted + "'";
}

std::string shell_quoted_file(std::string_view file) {
  return shell_quoted(file.starts_with('-') ? "./" + std::string(file) : std::string(file));
}

std::string python_quoted(std::string_view text) {
  std::string quoted = "\"";
  const std::string line = printable_line(text);
  for (std::size_t i = 0; i < line.size();) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte < 0x80) {
      if (line[i] == '"' || line[i] == '\\') quoted += '\\';
      quoted += line[i++];
      continue;
    }
    // The first byte of a character says by its leading ones how many follow; the others hold 6 bits each.
    const auto length = static_cast<std::size_t>(std::countl_one(byte));
    std::uint32_t character = byte & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k)
      character = character << 6 | (static_cast<unsigned char>(line[i + k]) & 0x3fU);
    i += length;
    std::array<char, 11> escape{};
    std::snprintf(escape.data(), escape.size(), "\\U%08x", character);
    quoted += escape.data();
  }
  return quoted + "\"";
}

std::string markdown_code(std::string_view text) {
  const std::string line = printable_line(text);
  const std::string fence(longest_run_of_backticks(line) + 1, '`');
  const bool needs_space = line.empty() || line.front() == '`' || line.back() == '`';
  const std::string space = needs_space ? " " : "";
  return fence + space + line + space + fence;
}

std::string markdown_block(std::string_view text, std::string_view language) {
  const std::string content = printable(text);
  const std::string fence(std::max<std::size_t>(longest_run_of_backticks(content) + 1, 3), '`');
  return fence + std::string(language) + "\n" + content + (content.ends_with('\n') ? "" : "\n") + fence +
         "\n";
}

}  // namespace normproof
