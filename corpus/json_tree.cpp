// Strict JSON text to a tree, through the event interface of nlohmann-json.
#include "corpus/json_tree.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

class TreeBuilder : public Json::json_sax_t {
 public:
  JsonNode take() { return std::move(root_); }

  bool null() override { return add({JsonNode::Kind::null, {}, {}, {}}); }
  bool boolean(bool value) override {
    return add({JsonNode::Kind::boolean, value ? "true" : "false", {}, {}});
  }
  bool number_integer(std::int64_t value) override {
    // Non-negative numbers arrive as unsigned: this zero was written "-0".
    return add_number(value == 0 ? "-0" : std::to_string(value));
  }
  bool number_unsigned(std::uint64_t value) override { return add_number(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return add_number(text); }
  bool string(std::string& value) override { return add({JsonNode::Kind::string, std::move(value), {}, {}}); }
  bool binary(Json::binary_t&) override { fail("binary values are no JSON"); }

  bool start_object(std::size_t) override { return open(JsonNode::Kind::object); }
  bool start_array(std::size_t) override { return open(JsonNode::Kind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& key) override {
    std::vector<std::string>& keys = open_.back().keys;
    if (keys.size() == kMaximumJsonKeys) {
      fail("an object has at most " + std::to_string(kMaximumJsonKeys) + " keys, got more");
    }
    if (std::ranges::find(keys, key) != keys.end()) {
      throw CaseError(json_path(path_of_open(), key), "duplicate key " + in_quotes(key));
    }
    keys.push_back(std::move(key));
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: ... last read: '...'"
    std::string_view what = error.what();
    if (const std::size_t end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
    // What follows the first quotation mark is taken from the document.
    const std::string_view reason = what.substr(0, what.find('\''));
    fail(std::string(reason) + shortened(what.substr(reason.size())));
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw CaseError(current_path(), message); }

  // Path of the innermost open array or object.
  std::string path_of_open() const {
    std::string path = "$";
    for (std::size_t depth = 1; depth < open_.size(); ++depth) path = step(path, open_[depth - 1]);
    return path;
  }
  // Path of the value that is read now.
  std::string current_path() const {
    if (open_.empty()) return "$";
    const JsonNode& innermost = open_.back();
    const bool before_first_key = innermost.kind == JsonNode::Kind::object && innermost.keys.empty();
    return before_first_key ? path_of_open() : step(path_of_open(), innermost);
  }
  static std::string step(std::string_view path, const JsonNode& node) {
    return node.kind == JsonNode::Kind::object ? json_path(path, node.keys.back())
                                               : json_path(path, node.items.size());
  }

  void count() {
    if (++nodes_ > kMaximumJsonNodes) fail("more than " + std::to_string(kMaximumJsonNodes) + " values");
  }
  bool add_number(std::string text) { return add({JsonNode::Kind::number, std::move(text), {}, {}}); }
  bool add(JsonNode node) {
    count();
    store(std::move(node));
    return true;
  }
  void store(JsonNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().items.push_back(std::move(node));
    }
  }
  bool open(JsonNode::Kind kind) {
    count();
    if (open_.size() == kMaximumJsonDepth) {
      fail("nested deeper than " + std::to_string(kMaximumJsonDepth) + " levels");
    }
    open_.push_back({kind, {}, {}, {}});
    return true;
  }
  bool close() {
    JsonNode node = std::move(open_.back());
    open_.pop_back();
    store(std::move(node));
    return true;
  }

  JsonNode root_;
  std::vector<JsonNode> open_;  // arrays and objects whose end is still to come, outermost first
  std::size_t nodes_ = 0;
};

}  // namespace

JsonNode parse_json(std::string_view text) {
  if (const std::string objection = json_objection(text); !objection.empty()) throw CaseError("$", objection);
  TreeBuilder builder;
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

const JsonNode* find_key(const JsonNode& object, std::string_view key) {
  const auto found = std::ranges::find(object.keys, key);
  return found == object.keys.end() ? nullptr
                                    : &object.items[static_cast<std::size_t>(found - object.keys.begin())];
}

std::string json_path(std::string_view path, std::string_view key) {
  const bool plain = !key.empty() && key.size() <= 40 && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  return std::string(path) + (plain ? "." + std::string(key) : "[" + in_quotes(key) + "]");
}

std::string json_path(std::string_view path, std::size_t index) {
  return std::string(path) + "[" + std::to_string(index) + "]";
}

std::string shown(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::null:
      return "null";
    case JsonNode::Kind::boolean:
    case JsonNode::Kind::number:
      return shortened(node.text);
    case JsonNode::Kind::string:
      return in_quotes(node.text);
    case JsonNode::Kind::array:
      return "an array of " + std::to_string(node.items.size());
    case JsonNode::Kind::object:
      return "an object of " + std::to_string(node.items.size());
  }
  return "?";
}

}  // namespace normproof
