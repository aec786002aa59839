#include "kernels/host/source_pass/rewrite.h"

#include <algorithm>
#include <cstddef>

#include "kernels/host/source_pass/inline_ptx.h"
#include "kernels/host/source_pass/token_editor.h"
#include "kernels/host/source_pass/unavailable.h"

namespace normproof::source_pass {
namespace {

class Rewriter : public TokenEditor {
 public:
  Rewriter(std::vector<Token>& tokens, const Names& defined) : TokenEditor(tokens), defined_(defined) {}

  bool run() {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& token = tokens_[i];
      if (token.in_directive && token.directive != "define") {
        if (token.text == token.directive) conditional(token.text);
        continue;
      }
      if (!token.in_directive && is(i, "{")) open_brace(i);
      if (!token.in_directive && is(i, "}") && !scopes_.empty()) scopes_.pop_back();
      if (token.kind == TokenKind::identifier) {
        identifier(i);
      } else if (is(i, "(")) {
        cast(i);
      } else if (is_run_of(i, '<') && !is(previous(i), "operator")) {
        launch(i);
      }
    }
    return changed_;
  }

 private:
  // --- scopes: whether all braces around a place are those of namespaces ---

  void open_brace(std::size_t brace) {
    // What stands between the last statement and the brace says whose it is.
    bool space = false;
    for (std::size_t i = previous(brace); i != kNone && !is(i, ";") && !is(i, "{") && !is(i, "}");
         i = previous(i)) {
      if (tokens_[i].in_directive) break;
      if (is(i, ")")) break;
      if (is(i, "namespace") || is(i, "extern")) space = true;
    }
    scopes_.push_back(space);
  }
  // The branches of a conditional begin in the same scope.
  void conditional(std::string_view directive) {
    if (directive.starts_with("if")) {
      before_branches_.push_back(scopes_);
    } else if (before_branches_.empty()) {
      return;
    } else if (directive.starts_with("el")) {
      scopes_ = before_branches_.back();
    } else if (directive == "endif") {
      before_branches_.pop_back();
    }
  }
  bool in_function() const {
    return !std::all_of(scopes_.begin(), scopes_.end(), [](bool space) { return space; });
  }

  // --- names ---

  void identifier(std::size_t i) {
    const std::string name = tokens_[i].text;
    if (name == "__shared__") return shared(i);
    if (name == "reinterpret_cast") return named_cast(i);
    if (name == "__noinline__") {
      if (!is(previous(i), "(")) replace(i, "__attribute__((noinline))");
      return;
    }
    if (is_assembler(name)) {
      const bool changed = rewrite_inline_ptx(tokens_, i, in_function() || tokens_[i].in_directive);
      changed_ = changed_ || changed;
      return;
    }
    if (name == "pragma" && tokens_[i].directive == "define") return pragma_in_macro(i);
    if (is(previous(i), ".") || is(previous(i), "define") || defined_.contains(name)) return;
    if (const Unavailable* unavailable = find_unavailable(name)) {
      const std::size_t after = next(i);
      if (unavailable->only_if_called && !is(after, "(") && !is(after, "<")) return;
      error(i, name + ": " + std::string(unavailable->why) + remedy(unavailable->instead));
    }
  }

  // #define UNROLL #pragma unroll: nvcc takes it, the standard has _Pragma for it. How a loop is unrolled
  // changes no result, and clang accepts that pragma in front of a loop alone.
  void pragma_in_macro(std::size_t i) {
    const std::size_t hash = previous(i);
    if (!is(hash, "#")) return;
    std::string pragma;
    replace(hash, "");
    replace(i, "");
    for (std::size_t k = i + 1; k < tokens_.size() && tokens_[k].in_directive; ++k) {
      if (tokens_[k].kind == TokenKind::space && tokens_[k].text.find('\n') != std::string::npos) break;
      pragma += tokens_[k].kind == TokenKind::space ? " " : tokens_[k].text;
      if (tokens_[k].kind != TokenKind::space) replace(k, "");
    }
    if (pragma.find("unroll") == std::string::npos) replace(i, "_Pragma(\"" + escaped(pragma) + "\")");
  }

  // --- casts to pointers ---

  // reinterpret_cast<T*>: i is its name.
  void named_cast(std::size_t i) {
    int depth = 0;
    std::size_t last = kNone;
    for (std::size_t k = next(i); k != kNone; k = next(k)) {
      if (is(k, "<") || is(k, "(")) ++depth;
      if ((is(k, ">") || is(k, ")")) && --depth == 0) break;
      last = k;
      if (is(k, ";")) return;
    }
    if (!is(last, "*")) return;
    replace(i, "::normproof::host::pointer_cast");
  }

  // (T*)p: i is the parenthesis. No expression ends in a star; a list of parameters or the operand of sizeof,
  // which do, stand behind a name or in front of no operand.
  void cast(std::size_t i) {
    const std::size_t before = previous(i);
    const bool statement =
        begins_statement(before) && !is(before, "if") && !is(before, "while") && !is(before, "for");
    if ((is_identifier(before) && !statement) || is(before, ">") || is(before, ")") || is(before, "]"))
      return;
    std::size_t star = kNone, end = next(i);
    int angles = 0;
    for (; end != kNone && !is(end, ")"); end = next(end)) {
      const bool of_type = is_identifier(end) || is(end, ":") || is(end, "*") || is(end, "<") ||
                           is(end, ">") ||
                           (angles > 0 && (is(end, ",") || tokens_[end].kind == TokenKind::number));
      if (!of_type) return;
      if (is(end, "<")) ++angles;
      if (is(end, ">")) --angles;
      star = end;
    }
    if (end == kNone || star == next(i) || !is(star, "*")) return;
    const std::size_t operand = next(end);
    if (!(is_identifier(operand) || is(operand, "(") || is(operand, "&"))) return;
    if (is(operand, "const") || is(operand, "noexcept") || is(operand, "override") || is(operand, "mutable"))
      return;
    replace(i, "::normproof::host::PointerCast<");
    replace(end, ">() ->* ");
  }

  // --- kernel<<<configuration>>>(arguments) ---

  bool begins_statement(std::size_t i) const {
    return is(i, "return") || is(i, "else") || is(i, "do") || is(i, "if") || is(i, "while") || is(i, "for");
  }

  // Where the expression begins that names the kernel and ends at `last`.
  std::size_t beginning_of_kernel(std::size_t last) const {
    std::size_t i = last;
    if (is(i, ")")) {
      const std::size_t parenthesis = opening(i, "(", ")");
      i = previous(parenthesis);
      if (!is_identifier(i) || begins_statement(i)) return parenthesis;
    }
    for (;;) {
      if (is(i, ">")) i = previous(opening(i, "<", ">"));
      if (!is_identifier(i)) return kNone;
      std::size_t before = previous(i);
      if (is(before, "template")) before = previous(i = before);
      if (is(before, ":") && is(previous(before), ":")) {
        i = previous(before);  // the first colon: maybe the global namespace
        before = previous(i);
        if (begins_statement(before) || (!is_identifier(before) && !is(before, ">"))) return i;
      } else if (is(before, ".")) {
        before = previous(before);
      } else if (is(before, ">") && is(previous(before), "-")) {
        before = previous(previous(before));
      } else {
        return i;
      }
      i = before;
    }
  }

  void launch(std::size_t i) {
    const std::size_t last = previous(i);
    const std::size_t first = last == kNone ? kNone : beginning_of_kernel(last);
    if (first == kNone) return error(i, "<<< without a kernel in front of it that can be told");
    std::size_t end = i + 3;
    for (int depth = 0; end < tokens_.size() && !(depth == 0 && is_run_of(end, '>')); ++end) {
      if (is(end, "(") || is(end, "[") || is(end, "{")) ++depth;
      if (is(end, ")") || is(end, "]") || is(end, "}")) --depth;
      if (is(end, ";") || depth < 0) end = tokens_.size() - 1;
    }
    if (end >= tokens_.size() || !is(next(end + 2), "(")) return error(i, "<<< without >>>( behind it");
    insert_before(first, "::normproof::host::bracket_launch([&](auto&... normproof_arguments) { ");
    insert_after(last, "(normproof_arguments...); })");
    replace(i, ".configured(");
    replace(i + 1, "");
    replace(i + 2, "");
    replace(end, ")");
    replace(end + 1, "");
    replace(end + 2, "");
  }

  // --- __shared__ ---

  // Blanks an alignment specifier that begins at i, and returns its text; leaves i at its last token.
  std::string take_alignment(std::size_t& i) {
    std::string text = tokens_[i].text;
    replace(i, "");
    int depth = 0;
    while (next(i) != kNone) {
      ++i;
      if (tokens_[i].kind == TokenKind::space) continue;
      text += tokens_[i].text;
      if (is(i, "(")) ++depth;
      const bool last = is(i, ")") && --depth == 0;
      replace(i, "");
      if (last) break;
    }
    return text + " ";
  }
  bool begins_alignment(std::size_t i) const {
    return is(i, "__align__") || is(i, "alignas") || is(i, "__attribute__");
  }

  void shared(std::size_t shared_at) {
    // Specifiers in front of __shared__.
    std::size_t first = shared_at;
    for (std::size_t i = previous(shared_at); i != kNone; i = previous(first)) {
      if (is(i, "extern") || is(i, "static") || is(i, "volatile") || is(i, "const")) {
        first = i;
      } else if (is(i, ")") && begins_alignment(previous(opening(i, "(", ")")))) {
        first = previous(opening(i, "(", ")"));
      } else {
        break;
      }
    }
    std::size_t end = shared_at;
    int depth = 0;
    bool initialized = false;
    for (; end < tokens_.size() && !(depth == 0 && is(end, ";")); ++end) {
      if (is(end, "(") || is(end, "[") || is(end, "{")) ++depth;
      if (is(end, ")") || is(end, "]") || is(end, "}")) --depth;
      if (depth == 0 && is(end, "=")) initialized = true;
      if (depth < 0) end = tokens_.size() - 1;
    }
    if (end >= tokens_.size()) return error(shared_at, "a __shared__ declaration without ; at its end");
    if (initialized) return error(shared_at, "a __shared__ variable with an initializer: CUDA has none");
    bool dynamic = false;
    std::string specifiers;
    for (std::size_t i = first; i < shared_at; ++i) {
      if (tokens_[i].kind == TokenKind::space) continue;
      if (begins_alignment(i)) {
        specifiers += take_alignment(i);
        continue;
      }
      if (is(i, "extern")) dynamic = true;
      if (is(i, "volatile") || is(i, "const")) specifiers += tokens_[i].text + " ";
      replace(i, "");
    }
    if (is(next(shared_at), "extern")) {
      dynamic = true;
      replace(next(shared_at), "");
    }
    if (dynamic) return dynamic_shared(shared_at, end, specifiers);
    static_shared(shared_at, end, specifiers);
  }

  // The name of each declarator between begin and end, and the commas between them.
  struct Declarators {
    std::vector<std::size_t> names, commas;
  };
  Declarators declarators(std::size_t begin, std::size_t end) const {
    Declarators found;
    std::size_t name = kNone;
    int depth = 0, angles = 0;
    bool named = false;
    for (std::size_t i = begin; i <= end; ++i) {
      if (tokens_[i].kind == TokenKind::space) continue;
      if (depth == 0 && angles == 0 && (is(i, "[") || is(i, ",") || i == end)) {
        if (!named && name != kNone) found.names.push_back(name);
        named = is(i, "[");
        if (is(i, ",")) {
          found.commas.push_back(i);
          name = kNone;
        }
      }
      if (is(i, "(") || is(i, "[") || is(i, "{")) ++depth;
      if (is(i, ")") || is(i, "]") || is(i, "}")) --depth;
      if (depth == 0 && is(i, "<")) ++angles;
      if (depth == 0 && is(i, ">")) --angles;
      if (depth == 0 && angles == 0 && is_identifier(i) && !named) name = i;
    }
    return found;
  }

  // T* const name = what the launch gives; in a namespace, an object that is such a pointer in each launch.
  void dynamic_shared(std::size_t shared_at, std::size_t end, const std::string& specifiers) {
    for (std::size_t i = shared_at + 1; i < end; ++i) {
      if (begins_alignment(i)) take_alignment(i);
    }
    const Declarators found = declarators(shared_at + 1, end);
    if (found.names.size() != 1 || !is(next(found.names[0]), "[") || !is(next(next(found.names[0])), "]") ||
        next(next(next(found.names[0]))) != end)
      return error(shared_at, "extern __shared__ other than one array without a size: " + excerpt(shared_at));
    const std::size_t name = found.names[0];
    const bool is_volatile = specifiers.find("volatile") != std::string::npos;
    replace(next(name), "");
    for (std::size_t i = name + 1; i < end; ++i) {
      if (is(i, "]")) replace(i, "");
    }
    if (in_function()) {
      replace(shared_at, is_volatile ? "volatile" : "");
      insert_before(name, "* const ");
      insert_before(end, " = ::normproof::host::DynamicSharedMemory{}");
      return;
    }
    replace(shared_at, std::string("inline constexpr ::normproof::host::DynamicSharedArray<") +
                           (is_volatile ? "volatile " : ""));
    insert_before(name, "> ");
    insert_before(end, "{}");
  }

  // Each variable becomes the one member of a local struct, which keeps its declaration as it is, and a
  // reference to it.
  void static_shared(std::size_t shared_at, std::size_t end, std::string specifiers) {
    const Declarators found = declarators(shared_at + 1, end);
    if (found.names.size() != found.commas.size() + 1)
      return error(shared_at, "a __shared__ declaration whose names cannot be told: " + excerpt(shared_at));
    if (!in_function() && tokens_[shared_at].directive.empty())
      return error(shared_at, "__shared__ outside a function: " + excerpt(shared_at));
    std::string references;
    const auto begin_struct = [&](std::size_t name) {
      const std::string number = std::to_string(++shared_variables_);
      references += " static char normproof_tag_" + number + "; auto& " + tokens_[name].text +
                    " = ::normproof::host::shared_variable<normproof_shared_" + number + ">(&normproof_tag_" +
                    number + ")." + tokens_[name].text + ";";
      return "struct normproof_shared_" + number + " { " + specifiers;
    };
    const std::string first = begin_struct(found.names[0]);
    // What all declarators share, for those behind a comma.
    std::string shared_by_all;
    for (std::size_t i = shared_at + 1; i < found.names[0]; ++i) {
      if (!is(i, "*")) shared_by_all += tokens_[i].kind == TokenKind::space ? " " : tokens_[i].text;
    }
    replace(shared_at, first);
    for (std::size_t k = 0; k < found.commas.size(); ++k)
      replace(found.commas[k], "; }; " + begin_struct(found.names[k + 1]) + shared_by_all);
    replace(end, "; };" + references);
  }

  const Names& defined_;
  std::vector<bool> scopes_;
  std::vector<std::vector<bool>> before_branches_;
  int shared_variables_ = 0;
};

}  // namespace

void add_defined_names(const std::vector<Token>& tokens, Names& defined) {
  std::vector<const Token*> solid;
  for (const Token& token : tokens) {
    if (token.kind != TokenKind::space) solid.push_back(&token);
  }
  for (std::size_t i = 1; i < solid.size(); ++i) {
    if (solid[i]->kind != TokenKind::identifier || find_unavailable(solid[i]->text) == nullptr) continue;
    if (solid[i - 1]->text == "define" && solid[i - 1]->in_directive) {
      defined.insert(solid[i]->text);
      continue;
    }
    // A function: its type in front of it, its parameters and a brace, or a
    // semicolon of a declaration, behind.
    const bool typed = solid[i - 1]->kind == TokenKind::identifier && solid[i - 1]->text != "return";
    const bool pointer = solid[i - 1]->text == "*" || solid[i - 1]->text == "&" || solid[i - 1]->text == ">";
    if ((!typed && !pointer) || i + 1 >= solid.size() || solid[i + 1]->text != "(") continue;
    int depth = 0;
    std::size_t k = i + 1;
    for (; k < solid.size(); ++k) {
      if (solid[k]->text == "(") ++depth;
      if (solid[k]->text == ")" && --depth == 0) break;
    }
    while (++k < solid.size() && solid[k]->kind == TokenKind::identifier) continue;
    if (k < solid.size() && (solid[k]->text == "{" || (typed && solid[k]->text == ";")))
      defined.insert(solid[i]->text);
  }
}

bool rewrite(std::vector<Token>& tokens, const Names& defined) { return Rewriter(tokens, defined).run(); }

bool rewrite_includes(std::vector<Token>& tokens,
                      const std::function<std::string(std::string_view name, bool quoted)>& path) {
  bool changed = false;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool include = tokens[i].kind == TokenKind::identifier && tokens[i].directive == "include" &&
                         tokens[i].text == "include";
    if (!include) continue;
    std::size_t first = i + 1;
    while (first < tokens.size() && tokens[first].kind == TokenKind::space && tokens[first].text != "\n")
      ++first;
    if (first >= tokens.size() || !tokens[first].in_directive) continue;
    const bool quoted = tokens[first].kind == TokenKind::literal && tokens[first].text.front() == '"';
    std::string name;
    std::size_t last = first;
    if (quoted) {
      if (tokens[first].text.size() < 2) continue;
      name = tokens[first].text.substr(1, tokens[first].text.size() - 2);
    } else if (tokens[first].text == "<") {
      while (++last < tokens.size() && tokens[last].in_directive && tokens[last].text != ">" &&
             tokens[last].text != "\n")
        name += tokens[last].text;
      if (last >= tokens.size() || tokens[last].text != ">") continue;
    } else {
      continue;  // a macro, whose value only the preprocessor knows
    }
    const std::string replacement = path(name, quoted);
    if (replacement.empty()) continue;
    for (std::size_t k = first; k <= last; ++k) tokens[k].text.clear();
    tokens[first].text = "\"" + replacement + "\"";
    changed = true;
  }
  return changed;
}

std::string text_of(const std::vector<Token>& tokens) {
  std::string text;
  for (const Token& token : tokens) text += token.text;
  return text;
}

}  // namespace normproof::source_pass
