// JSON documents as text.
#include "corpus/json_text.h"

#include "corpus/json.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string utf8(const std::string& text) { return is_utf8(text) ? text : printable(text); }

OrderedJson in_utf8(const OrderedJson& node) {
  if (node.is_string()) return utf8(node.get_ref<const std::string&>());
  if (node.is_array()) {
    OrderedJson result = OrderedJson::array();
    for (const OrderedJson& item : node) result.push_back(in_utf8(item));
    return result;
  }
  if (!node.is_object()) return node;
  OrderedJson result = OrderedJson::object();
  for (const auto& item : node.items()) result[utf8(item.key())] = in_utf8(item.value());
  return result;
}

}  // namespace

std::string json_text(const OrderedJson& document, int indent) {
  constexpr int kNotUtf8 = 316;
  try {
    return document.dump(indent);
  } catch (const OrderedJson::type_error& error) {
    if (error.id != kNotUtf8) throw;
    return in_utf8(document).dump(indent);
  }
}

std::string json_objection(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) return "begins with a byte order mark, which JSON has not";
  const std::size_t nul = text.find('\0');
  return nul == std::string_view::npos ? "" : "a NUL character stands at byte " + std::to_string(nul);
}

}  // namespace normproof
