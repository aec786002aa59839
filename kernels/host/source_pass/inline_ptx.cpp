#include "kernels/host/source_pass/inline_ptx.h"

#include <algorithm>

#include "kernels/host/source_pass/token_editor.h"

namespace normproof::source_pass {
namespace {

class PtxRewriter : public TokenEditor {
 public:
  PtxRewriter(std::vector<Token>& tokens, bool in_function)
      : TokenEditor(tokens), in_function_(in_function) {}

  void run(std::size_t at) {
    std::size_t open = next(at);
    while (is(open, "volatile") || is(open, "__volatile__") || is(open, "__volatile")) open = next(open);
    if (!is(open, "(")) return;
    // int f(int) __asm("llvm.amdgcn.sad.u8"): by that name the compiler's own function, which kernels/host
    // defines under a name of C; other names of declarations stay as they are.
    if (!in_function_ && is(previous(at), ")")) return label(open);
    if (!in_function_)
      return error(at, "inline PTX outside a function: " + excerpt(at) + remedy("put it into a function"));
    const std::size_t close = closing(open);
    if (close == kNone) return error(at, "inline PTX without ) at its end");
    for (std::size_t i = next(at); i != open; i = next(i)) replace(i, "");
    // Before the tokens change. The text is the first section; outputs, inputs and clobbers follow.
    int section = 0;
    for (std::size_t i = next(open); i != close && i != kNone; i = next(i)) {
      if (is(i, ":")) {
        replace(i, section++ == 0 ? ")" : "");
      } else if (section >= 3) {
        replace(i, "");
      } else if (section > 0) {
        i = operand(i, section == 1);
        if (i == kNone) return;
      }
    }
    replace(at, "::normproof::host::InlineAssembly");
    replace(close, section == 0 ? ").run()" : ".run()");
  }

 private:
  void label(std::size_t open) {
    const std::size_t name = next(open);
    std::string text = tokens_[name].text;
    if (text.find("llvm.amdgcn.") == std::string::npos) return;
    std::replace(text.begin(), text.end(), '.', '_');
    replace(name, "\"normproof_" + text.substr(text.find("llvm")));
  }

  // The partner of the parenthesis at i.
  std::size_t closing(std::size_t i) const {
    int depth = 0;
    for (; i < tokens_.size(); ++i) {
      if (is(i, "(")) ++depth;
      if (is(i, ")") && --depth == 0) return i;
    }
    return kNone;
  }

  // [name] "constraint"(expression), at i; returns its last token.
  std::size_t operand(std::size_t i, bool output) {
    if (is(i, ",")) return replace(i, ""), i;
    std::string name;
    if (is(i, "[")) {
      const std::size_t word = next(i);
      name = tokens_[word].text;
      replace(i, "");
      replace(word, "");
      replace(next(word), "");
      i = next(next(word));
    }
    // The constraint may be several literals, or a macro of one.
    const std::string method = output ? ".output(" : ".input(";
    insert_before(i, method);
    std::size_t parenthesis = i;
    while (parenthesis != kNone && !is(parenthesis, "(")) parenthesis = next(parenthesis);
    const std::size_t end = parenthesis == kNone ? kNone : closing(parenthesis);
    if (end == kNone) return error(i, "an operand of inline PTX that cannot be told"), kNone;
    replace(parenthesis, ", ");
    if (!name.empty()) insert_before(end, ", \"" + name + "\"");
    return end;
  }

  bool in_function_;
};

}  // namespace

bool is_assembler(std::string_view name) { return name == "asm" || name == "__asm" || name == "__asm__"; }

bool rewrite_inline_ptx(std::vector<Token>& tokens, std::size_t at, bool in_function) {
  PtxRewriter rewriter(tokens, in_function);
  rewriter.run(at);
  return rewriter.changed();
}

}  // namespace normproof::source_pass
