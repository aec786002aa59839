#include "cli/source_functions.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include "kernels/host/source_pass/tokens.h"

namespace normproof {
namespace {

using source_pass::Token;
using source_pass::TokenKind;

template <std::size_t n>
bool is_one_of(std::string_view text, const std::array<std::string_view, n>& texts) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

// --- preprocessing: the tokens of the branches that are read ---

constexpr std::array<std::string_view, 8> kNeverDefined = {
    "USE_ROCM",     "__HIP_PLATFORM_AMD__", "__HIPCC__", "__HIP_DEVICE_COMPILE__",
    "GGML_USE_HIP", "GGML_USE_MUSA",        "USE_MUSA",  "__CUDA_NO_HALF_OPERATORS__"};

class Branches {
 public:
  bool reading() const {
    return std::all_of(open_.begin(), open_.end(), [](const Branch& branch) { return branch.reading; });
  }
  // A conditional directive and the words behind it.
  void follow(std::string_view directive, const std::vector<std::string_view>& words) {
    if (directive.starts_with("if")) {
      const bool is_true = may_be_true(directive, words);
      open_.push_back({is_true, is_true});
    } else if (open_.empty()) {
      return;
    } else if (directive == "endif") {
      open_.pop_back();
    } else if (directive.starts_with("el")) {
      Branch& branch = open_.back();
      branch.reading = !branch.taken && (directive == "else" || may_be_true(directive, words));
      branch.taken = branch.taken || branch.reading;
    }
  }

 private:
  struct Branch {
    bool reading, taken;
  };
  static bool may_be_true(std::string_view directive, const std::vector<std::string_view>& words) {
    if (words.empty()) return true;
    const bool negated = directive == "ifndef" || directive == "elifndef" || words[0] == "!";
    const bool never = std::any_of(words.begin(), words.end(),
                                   [](std::string_view word) { return is_one_of(word, kNeverDefined); });
    return never ? negated : words[0] != "0";
  }
  std::vector<Branch> open_;
};

std::vector<const Token*> read_tokens(const std::vector<Token>& tokens) {
  std::vector<const Token*> read;
  Branches branches;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Token& token = tokens[i];
    if (!token.in_directive) {
      if (token.kind != TokenKind::space && branches.reading()) read.push_back(&token);
      continue;
    }
    if (token.kind != TokenKind::identifier || token.text != token.directive) continue;
    std::vector<std::string_view> words;
    for (std::size_t k = i + 1; k < tokens.size() && tokens[k].in_directive && tokens[k].text != "\n"; ++k) {
      if (tokens[k].kind != TokenKind::space) words.push_back(tokens[k].text);
    }
    branches.follow(token.text, words);
  }
  return read;
}

// --- declarations ---

constexpr std::array<std::string_view, 12> kSpecifiers = {
    "static",     "inline",     "__inline__",      "__host__", "constexpr", "extern",
    "__device__", "__global__", "__forceinline__", "C10_HOST", "TORCH_API", "C10_EXPORT"};
// What looks like a function's name and is none.
constexpr std::array<std::string_view, 8> kWithParentheses = {
    "__attribute__", "__launch_bounds__", "alignas",  "decltype",
    "noexcept",      "__align__",         "requires", "explicit"};

class Reader {
 public:
  explicit Reader(std::vector<const Token*> tokens) : tokens_(std::move(tokens)) {}

  std::vector<SourceFunction> run() {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (is(i, ";")) {
        begin = i + 1;
      } else if (is(i, "}")) {
        if (!spaces_.empty()) spaces_.pop_back();
        begin = i + 1;
      } else if (is(i, "(") || is(i, "[")) {
        i = closing(i);
      } else if (is(i, "{")) {
        if (const std::string* space = opened_space(begin, i)) {
          spaces_.push_back(*space);
          begin = i + 1;
          continue;
        }
        const bool function = add_function(begin, i);
        i = closing(i);
        // What follows the braces of a class or an initializer ends with a semicolon.
        if (function) begin = i + 1;
      }
    }
    return std::move(functions_);
  }

 private:
  bool is(std::size_t i, std::string_view text) const {
    return i < tokens_.size() && tokens_[i]->text == text;
  }
  bool is_identifier(std::size_t i) const {
    return i < tokens_.size() && tokens_[i]->kind == TokenKind::identifier;
  }

  // The bracket that closes the one at i; the last token where none does.
  std::size_t closing(std::size_t i) const {
    int depth = 0;
    for (; i < tokens_.size(); ++i) {
      if (is(i, "(") || is(i, "[") || is(i, "{")) ++depth;
      if ((is(i, ")") || is(i, "]") || is(i, "}")) && --depth == 0) return i;
    }
    return tokens_.size() - 1;
  }
  std::size_t closing_angle(std::size_t i) const {
    int depth = 0;
    for (; i < tokens_.size(); ++i) {
      if (is(i, "(")) i = closing(i);
      if (is(i, "<")) ++depth;
      if (is(i, ">") && --depth == 0) return i;
    }
    return tokens_.size() - 1;
  }

  // The name of the namespace whose brace is at `brace`; "" of one without, and of extern "C".
  const std::string* opened_space(std::size_t begin, std::size_t brace) {
    std::size_t i = begin;
    if (is(i, "inline")) ++i;
    const bool linkage = is(i, "extern") && i + 2 == brace && tokens_[i + 1]->kind == TokenKind::literal;
    if (!linkage && !is(i, "namespace")) return nullptr;
    space_.clear();
    for (++i; !linkage && i < brace; ++i) space_ += tokens_[i]->text;
    return &space_;
  }

  // The declaration between begin and the brace of its body, where it is a function's.
  bool add_function(std::size_t begin, std::size_t brace) {
    SourceFunction function;
    while (is(begin, "template") && is(begin + 1, "<")) {
      const std::size_t end = closing_angle(begin + 1);
      for (const auto& [first, last] : split(begin + 2, end))
        function.template_parameters.push_back(text(first, last));
      begin = end + 1;
    }
    bool device = false, host = false;
    std::vector<std::size_t> result;
    std::size_t open = brace;
    for (std::size_t i = begin; i < brace && open == brace; ++i) {
      if (is(i, "=") || is(i, "operator") || is(i, "class") || is(i, "struct") || is(i, "union") ||
          is(i, "enum"))
        return false;
      if (is(i, "__global__")) function.is_kernel = true;
      if (is(i, "__device__")) device = true;
      if (is(i, "__host__")) host = true;
      if (is(i, "<")) {
        for (const std::size_t end = closing_angle(i); i < end; ++i) result.push_back(i);
      }
      if (is(i, "[") || (is(i, "(") && i > begin && is_one_of(tokens_[i - 1]->text, kWithParentheses))) {
        i = closing(i);
        if (!result.empty() && is_one_of(tokens_[result.back()]->text, kWithParentheses)) result.pop_back();
      } else if (is(i, "(")) {
        open = i;
      } else if (!is_one_of(tokens_[i]->text, kSpecifiers)) {
        result.push_back(i);
      }
    }
    if (open == brace || result.size() < 2 || !is_identifier(result.back())) return open != brace;
    const std::size_t name = result.back();
    result.pop_back();
    if (is(result.back(), ":")) return true;  // a member, or a specialization in another namespace
    if (device && !host && !function.is_kernel) return true;
    for (const std::size_t i : result) append(function.result, i);
    function.name = qualified(tokens_[name]->text);
    function.line = tokens_[name]->line;
    for (const auto& [first, last] : split(open + 1, closing(open))) {
      if (SourceParameter parameter; read(parameter, first, last)) function.parameters.push_back(parameter);
    }
    functions_.push_back(std::move(function));
    return true;
  }

  std::string qualified(const std::string& name) const {
    std::string whole;
    for (const std::string& space : spaces_) whole += space.empty() ? "" : space + "::";
    return whole + name;
  }

  // The parts of [begin, end) between commas outside of brackets.
  std::vector<std::pair<std::size_t, std::size_t>> split(std::size_t begin, std::size_t end) const {
    std::vector<std::pair<std::size_t, std::size_t>> parts;
    int angles = 0;
    std::size_t first = begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (is(i, "(") || is(i, "[") || is(i, "{")) i = closing(i);
      if (is(i, "<")) ++angles;
      if (is(i, ">")) --angles;
      if (angles == 0 && is(i, ",")) {
        parts.emplace_back(first, i);
        first = i + 1;
      }
    }
    if (first < end) parts.emplace_back(first, end);
    return parts;
  }

  bool read(SourceParameter& parameter, std::size_t first, std::size_t last) const {
    std::size_t end = first;
    while (end < last && !is(end, "=")) ++end;
    parameter.has_default = end < last;
    while (end > first && is(end - 1, "]")) {  // int a[4]
      while (end > first && !is(--end, "[")) continue;
    }
    const bool named = end > first + 1 && is_identifier(end - 1) && !is(end - 2, ":") &&
                       !(end == first + 2 && is(first, "const"));
    if (named) parameter.name = tokens_[--end]->text;
    for (std::size_t i = first; i < end; ++i) {
      const std::string_view word = tokens_[i]->text;
      if (word != "__restrict__" && word != "__restrict" && word != "__grid_constant__")
        append(parameter.type, i);
    }
    return parameter.type != "void" || named;
  }

  std::string text(std::size_t first, std::size_t last) const {
    std::string whole;
    for (std::size_t i = first; i < last; ++i) append(whole, i);
    return whole;
  }
  // Words are kept apart by a blank, signs are not.
  void append(std::string& whole, std::size_t i) const {
    const std::string& token = tokens_[i]->text;
    const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    if (!whole.empty() && is_word(token.front()) && (is_word(whole.back()) || whole.back() == ','))
      whole += ' ';
    whole += token;
  }

  std::vector<const Token*> tokens_;
  std::vector<std::string> spaces_;
  std::string space_;
  std::vector<SourceFunction> functions_;
};

}  // namespace

std::vector<SourceFunction> functions_of(std::string_view source) {
  const std::vector<Token> tokens = source_pass::tokens_of(source);
  return Reader(read_tokens(tokens)).run();
}

}  // namespace normproof
