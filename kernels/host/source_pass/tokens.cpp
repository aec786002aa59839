#include "kernels/host/source_pass/tokens.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace normproof::source_pass {
namespace {

bool starts_identifier(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || (c & 0x80) != 0;
}
bool continues_identifier(char c) {
  return starts_identifier(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

bool is_literal_prefix(std::string_view text, bool& raw) {
  constexpr std::array<std::string_view, 10> kPrefixes = {"u8",  "u",  "U",  "L",  "R",
                                                          "u8R", "uR", "UR", "LR", ""};
  raw = text.ends_with('R');
  return std::find(kPrefixes.begin(), kPrefixes.end(), text) != kPrefixes.end();
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t begin = at_;
      const TokenKind kind = next();
      add(kind, source_.substr(begin, at_ - begin));
    }
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  // The length of a backslash and the end of line behind it, 0 where there is none. Compilers take blanks
  // between the two.
  std::size_t continuation(std::size_t at) const {
    if (at >= source_.size() || source_[at] != '\\') return 0;
    const std::size_t end = source_.find_first_not_of(" \t\r\v\f", at + 1);
    return end != std::string_view::npos && source_[end] == '\n' ? end + 1 - at : 0;
  }

  TokenKind next() {
    const char c = peek();
    if (std::isspace(static_cast<unsigned char>(c)) != 0) return ++at_, TokenKind::space;
    if (const std::size_t length = continuation(at_)) return at_ += length, TokenKind::space;
    if (c == '/' && peek(1) == '/') return skip_line(), TokenKind::space;
    if (c == '/' && peek(1) == '*') {
      const std::size_t end = source_.find("*/", at_ + 2);
      at_ = end == std::string_view::npos ? source_.size() : end + 2;
      return TokenKind::space;
    }
    if (starts_identifier(c)) {
      const std::size_t begin = at_;
      skip_identifier();
      bool raw = false;
      if ((peek() == '"' || peek() == '\'') && is_literal_prefix(source_.substr(begin, at_ - begin), raw)) {
        if (raw && peek() == '"') return skip_raw_string(), TokenKind::literal;
        if (!raw) return skip_quoted(), TokenKind::literal;
      }
      return TokenKind::identifier;
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return skip_number(), TokenKind::number;
    if (c == '"' || c == '\'') return skip_quoted(), TokenKind::literal;
    return ++at_, TokenKind::punctuation;
  }

  // Up to the end of the line that no backslash continues.
  void skip_line() {
    while (at_ < source_.size() && source_[at_] != '\n') {
      const std::size_t length = continuation(at_);
      at_ += length != 0 ? length : 1;
    }
  }
  void skip_identifier() {
    while (at_ < source_.size()) {
      const std::size_t length = continuation(at_);
      if (length == 0 && !continues_identifier(source_[at_])) return;
      if (length != 0 && !(at_ + length < source_.size() && continues_identifier(source_[at_ + length])))
        return;
      at_ += length != 0 ? length : 1;
    }
  }
  void skip_number() {
    while (at_ < source_.size()) {
      const char c = source_[at_];
      const bool sign = (c == '+' || c == '-') && at_ > 0 &&
                        std::string_view("eEpP").find(source_[at_ - 1]) != std::string_view::npos;
      const bool separator = c == '\'' && continues_identifier(peek(1));
      if (!sign && !separator && c != '.' && !continues_identifier(c)) return;
      ++at_;
    }
  }
  // A literal ends at its quotation mark, or at the end of the line if it has none.
  void skip_quoted() {
    const char quote = source_[at_++];
    while (at_ < source_.size() && source_[at_] != '\n') {
      if (const std::size_t length = continuation(at_)) {
        at_ += length;
      } else if (source_[at_] == '\\') {
        at_ += std::min<std::size_t>(2, source_.size() - at_);
      } else if (source_[at_++] == quote) {
        return;
      }
    }
  }
  void skip_raw_string() {
    const std::size_t parenthesis = source_.find('(', at_);
    if (parenthesis == std::string_view::npos) return void(at_ = source_.size());
    const std::string closing = ")" + std::string(source_.substr(at_ + 1, parenthesis - at_ - 1)) + "\"";
    const std::size_t end = source_.find(closing, parenthesis + 1);
    at_ = end == std::string_view::npos ? source_.size() : end + closing.size();
  }

  void add(TokenKind kind, std::string_view text) {
    const bool ends_line = kind == TokenKind::space && text == "\n";
    if (kind == TokenKind::punctuation && text == "#" && at_line_start_) {
      in_directive_ = true;
      directive_.clear();
    } else if (in_directive_ && directive_.empty() && kind == TokenKind::identifier) {
      directive_ = text;
    }
    tokens_.push_back({kind, std::string(text), line_, in_directive_ ? directive_ : "", in_directive_});
    line_ += static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    if (ends_line) {
      at_line_start_ = true;
      in_directive_ = false;
    } else if (kind != TokenKind::space) {
      at_line_start_ = false;
    }
  }

  std::string_view source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  bool in_directive_ = false;
  std::string directive_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

}  // namespace normproof::source_pass
