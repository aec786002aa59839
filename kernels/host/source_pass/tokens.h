// A C++ source as tokens, whitespace and comments among them: put together, their texts are the source.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace normproof::source_pass {

enum class TokenKind {
  space,       // whitespace, comments, continued lines
  identifier,  // keywords too
  number,
  literal,      // strings, raw strings and characters, with their prefixes
  punctuation,  // one character
};

struct Token {
  TokenKind kind = TokenKind::space;
  std::string text;
  int line = 1;  // of its first character
  // The directive that it is part of, such as "include"; empty outside directives and for `#` itself.
  std::string directive;
  bool in_directive = false;
};

// Never fails: what is no C++ comes out as punctuation, and what is not terminated ends with the source.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace normproof::source_pass
