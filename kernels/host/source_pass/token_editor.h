// What every part of the source pass does with tokens: finds neighbours and partners of brackets, puts text
// in their place, and makes the compiler say what cannot be.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/host/source_pass/tokens.h"

namespace normproof::source_pass {

inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);
// How a refusal ends: what to write instead, where there is something, or how it is left out.
inline std::string remedy(std::string_view instead) {
  return (instead.empty() ? "; leave it out" : "; " + std::string(instead) + ", or leave it out") +
         " with #if !defined(NORMPROOF_HOST_EXECUTION)";
}

class TokenEditor {
 public:
  explicit TokenEditor(std::vector<Token>& tokens) : tokens_(tokens) {}

  bool changed() const { return changed_; }
  bool is(std::size_t i, std::string_view text) const {
    return i != kNone && i < tokens_.size() && tokens_[i].text == text &&
           tokens_[i].kind != TokenKind::literal;
  }
  bool is_identifier(std::size_t i) const { return i != kNone && tokens_[i].kind == TokenKind::identifier; }

  // The neighbours that are no space; kNone where there is none.
  std::size_t previous(std::size_t i) const {
    while (i != kNone && i-- > 0) {
      if (tokens_[i].kind != TokenKind::space) return i;
    }
    return kNone;
  }
  std::size_t next(std::size_t i) const {
    while (++i < tokens_.size()) {
      if (tokens_[i].kind != TokenKind::space) return i;
    }
    return kNone;
  }

  // Whether three of these characters stand side by side from i on.
  bool is_run_of(std::size_t i, char c) const {
    for (std::size_t k = i; k < i + 3; ++k) {
      if (k >= tokens_.size() || tokens_[k].kind != TokenKind::punctuation || tokens_[k].text[0] != c)
        return false;
    }
    return true;
  }

  void replace(std::size_t i, std::string text) {
    tokens_[i].text = std::move(text);
    changed_ = true;
  }
  void insert_before(std::size_t i, const std::string& text) { replace(i, text + tokens_[i].text); }
  void insert_after(std::size_t i, const std::string& text) { replace(i, tokens_[i].text + text); }

  // Makes the compiler say so, unless the preprocessor leaves this place out.
  void error(std::size_t i, const std::string& message) {
    const std::string directive = "GCC error \"" + escaped("normproof: " + message) + "\"";
    insert_before(i, "_Pragma(\"" + escaped(directive) + "\") ");
  }
  static std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
      if (c == '"' || c == '\\') result += '\\';
      result += c;
    }
    return result;
  }

  // The source from i to the end of a statement or a call, on one line and not long.
  std::string excerpt(std::size_t i) const {
    std::string text;
    int depth = 0;
    for (; i < tokens_.size() && text.size() < 120; ++i) {
      const Token& token = tokens_[i];
      if (is(i, ";")) break;
      if (is(i, "(")) ++depth;
      if (token.kind == TokenKind::space) {
        if (!text.empty() && text.back() != ' ') text += ' ';
      } else {
        text += token.text;
      }
      if (is(i, ")") && --depth == 0) break;
    }
    return text;
  }

  // The opening partner of the bracket at i, kNone where there is none.
  std::size_t opening(std::size_t i, std::string_view open, std::string_view close) const {
    int depth = 0;
    for (; i != kNone; i = previous(i)) {
      if (close == ">" && is(i, ")")) {
        i = opening(i, "(", ")");
        if (i == kNone) return kNone;
        continue;
      }
      if (close == ">" && (is(i, ";") || is(i, "{") || is(i, "}"))) return kNone;
      if (is(i, close)) ++depth;
      if (is(i, open) && --depth == 0) return i;
    }
    return kNone;
  }

 protected:
  std::vector<Token>& tokens_;
  bool changed_ = false;
};

}  // namespace normproof::source_pass
