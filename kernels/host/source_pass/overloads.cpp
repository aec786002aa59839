#include "kernels/host/source_pass/overloads.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include "kernels/host/source_pass/token_editor.h"

namespace normproof::source_pass {
namespace {

struct Definition {
  std::size_t begin = 0, end = 0;  // its first and last token
  std::string signature;           // name and parameters
  bool for_host = false, for_device = false;
};

class Overloads : public TokenEditor {
 public:
  using TokenEditor::TokenEditor;

  void run() {
    std::vector<Definition> host;
    std::set<std::string> device;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (!is(i, "__host__") && !is(i, "__device__")) continue;
      const auto found = definition(i);
      if (!found) continue;
      if (found->for_host && !found->for_device) host.push_back(*found);
      if (found->for_device && !found->for_host) device.insert(found->signature);
      i = found->end;
    }
    for (const Definition& each : host) {
      if (!device.contains(each.signature)) continue;
      for (std::size_t i = each.begin; i <= each.end; ++i) {
        if (tokens_[i].kind != TokenKind::space && !tokens_[i].in_directive) replace(i, "");
      }
    }
  }

 private:
  // The partner of the bracket at i.
  std::size_t closing(std::size_t i, std::string_view open, std::string_view close) const {
    int depth = 0;
    for (; i < tokens_.size(); ++i) {
      if (tokens_[i].in_directive) continue;
      if (is(i, open)) ++depth;
      if (is(i, close) && --depth == 0) return i;
    }
    return kNone;
  }

  // What begins with the specifiers around i, if it is the definition of a function without a template.
  std::optional<Definition> definition(std::size_t i) const {
    Definition found;
    found.begin = i;
    for (std::size_t before = previous(i); before != kNone; before = previous(before)) {
      if (!is_identifier(before) || tokens_[before].in_directive) break;
      found.begin = before;
    }
    if (is(previous(found.begin), ">")) return std::nullopt;
    std::size_t open = found.begin, name = kNone;
    for (; open != kNone && !is(open, "("); open = next(open)) {
      if (tokens_[open].in_directive || is(open, ";") || is(open, "{") || is(open, "=")) return std::nullopt;
      found.for_host = found.for_host || is(open, "__host__");
      found.for_device = found.for_device || is(open, "__device__") || is(open, "__global__");
      name = open;
    }
    const std::size_t close = open == kNone ? kNone : closing(open, "(", ")");
    if (close == kNone || !is_identifier(name)) return std::nullopt;
    std::size_t body = next(close);
    while (is(body, "const") || is(body, "noexcept")) body = next(body);
    if (!is(body, "{")) return std::nullopt;
    found.end = closing(body, "{", "}");
    if (found.end == kNone) return std::nullopt;
    for (std::size_t k = name; k <= close; ++k) {
      if (tokens_[k].kind != TokenKind::space) found.signature += tokens_[k].text + ' ';
    }
    return found;
  }
};

}  // namespace

bool drop_host_overloads(std::vector<Token>& tokens) {
  Overloads overloads(tokens);
  overloads.run();
  return overloads.changed();
}

}  // namespace normproof::source_pass
