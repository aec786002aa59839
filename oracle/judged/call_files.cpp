// Calls of judged operations: safetensors and JSON to Call and back.
#include "oracle/judged/call_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <system_error>

#include "corpus/case.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/json_tree.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "corpus/safetensors.h"
#include "oracle/formats.h"
#include "oracle/policy.h"

namespace normproof::oracle::judged {
namespace {

constexpr std::string_view kVersionKey = "normproof_call";

// A file that is read from its beginning on, once.
class OpenedFile {
 public:
  explicit OpenedFile(const std::filesystem::path& file) : file_(file), stream_(file, std::ios::binary) {
    if (!stream_) throw std::system_error(errno, std::generic_category(), file.string());
  }
  // The first so many bytes, or all where there are fewer.
  const std::string& first(std::size_t bytes) {
    if (text_.size() >= bytes) return text_;
    const std::size_t known = text_.size();
    std::error_code no_size;  // a pipe has none
    const std::uintmax_t size = std::filesystem::file_size(file_, no_size);
    text_.resize(no_size ? bytes : std::max<std::uintmax_t>(known, std::min<std::uintmax_t>(bytes, size)));
    stream_.read(text_.data() + known, static_cast<std::streamsize>(text_.size() - known));
    text_.resize(known + static_cast<std::size_t>(stream_.gcount()));
    if (stream_.bad()) throw std::system_error(errno, std::generic_category(), file_.string());
    return text_;
  }
  // By its first bytes: those of a safetensors file are a length, whose upper bytes are 0, which no text has.
  bool is_json() {
    constexpr std::size_t kLength = 8;
    if (!std::filesystem::is_regular_file(file_)) return file_.extension() == ".json";
    return first(kLength).substr(0, kLength).find('\0') == std::string::npos;
  }

 private:
  std::filesystem::path file_;
  std::ifstream stream_;
  std::string text_;
};

std::string known_operations() {
  std::string names;
  for (const JudgedOperation* operation : judged_operations())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", operation->name);
  return names;
}

// The epsilon as text; a decimal where there is one.
std::string epsilon_text(std::uint32_t bits) {
  const Format& format = format_of(DType::fp32);
  return is_nan(format, bits) || is_infinite(format, bits) ? hex_bits(format, bits)
                                                           : value_text(format, bits);
}

// What a file says beside its tensors. `fail(field, reason)` does not return.
template <typename Find, typename Fail>
StoredCall call_without_tensors(const FileOptions& options, const Find& find, const Fail& fail) {
  StoredCall stored;
  const std::optional<std::string> name = find("op"), epsilon = find("epsilon");
  stored.call.operation = options.operation;
  if (options.operation == nullptr) {
    if (!name) fail("op", "missing: nothing names the operation");
    stored.call.operation = find_judged_operation(*name);
    if (stored.call.operation == nullptr)
      fail("op", "expected one of " + known_operations() + ", got " + in_quotes(*name));
  }
  stored.policy = find("policy");
  if (options.epsilon) {
    stored.call.epsilon = *options.epsilon;
  } else if (!epsilon) {
    stored.lacks_epsilon = true;
  } else if (const auto bits = fp32_bits_from_text(*epsilon)) {
    stored.call.epsilon = *bits;
  } else {
    fail("epsilon", "expected an fp32 number such as 1e-6 or 0x358637bd, got " + in_quotes(*epsilon));
  }
  return stored;
}

// Once the tensors are known, which may do without one.
template <typename Fail>
void require_epsilon(const StoredCall& stored, const Fail& fail) {
  if (stored.lacks_epsilon && takes_epsilon(stored.call)) fail("epsilon", "missing: nothing gives it");
}

// --- JSON. ---

void require_object(const JsonNode& node, const std::string& path, std::span<const std::string_view> known) {
  if (node.kind != JsonNode::Kind::object) throw CaseError(path, "an object, got " + shown(node));
  for (const std::string& key : node.keys) {
    if (!known.empty() && std::ranges::find(known, key) == known.end())
      throw CaseError(json_path(path, key), "unknown key");
  }
}

const JsonNode& require(const JsonNode& object, const std::string& path, std::string_view key,
                        JsonNode::Kind kind, std::string_view what) {
  const JsonNode* node = find_key(object, key);
  if (node == nullptr) throw CaseError(json_path(path, key), "missing");
  if (node->kind != kind)
    throw CaseError(json_path(path, key), fmt::format("{}, got {}", what, shown(*node)));
  return *node;
}

std::vector<std::int64_t> shape_from(const JsonNode& node, const std::string& path) {
  std::vector<std::int64_t> shape;
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    std::int64_t size = -1;
    const std::string& text = node.items[i].text;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), size);
    const bool is_size = node.items[i].kind == JsonNode::Kind::number && parsed.ec == std::errc() &&
                         parsed.ptr == text.data() + text.size() && size >= 0 && size <= kMaximumElements;
    if (is_size) elements *= std::max<std::int64_t>(size, 1);
    if (!is_size || elements > kMaximumElements)
      throw CaseError(json_path(path, i), fmt::format("a size, {} elements in all at most, got {}",
                                                      kMaximumElements, shown(node.items[i])));
    shape.push_back(size);
  }
  return shape;
}

// One string of hexadecimal elements for each row.
std::vector<std::byte> bits_from(const JsonNode& node, const std::string& path, DType dtype,
                                 std::int64_t elements) {
  const std::size_t digits = 2 * size_of(dtype);
  std::vector<std::byte> bytes;
  for (std::size_t row = 0; row < node.items.size(); ++row) {
    const std::string_view text = node.items[row].text;
    const std::string where = json_path(path, row);
    if (node.items[row].kind != JsonNode::Kind::string)
      throw CaseError(where, "a string, got " + shown(node.items[row]));
    for (std::size_t begin = 0; begin < text.size(); begin += digits + 1) {
      const std::string_view word = text.substr(begin, digits);
      std::uint32_t bits = 0;
      const auto parsed = std::from_chars(word.data(), word.data() + word.size(), bits, 16);
      const bool ends =
          begin + digits == text.size() || (begin + digits < text.size() && text[begin + digits] == ' ');
      if (word.size() != digits || parsed.ec != std::errc() || parsed.ptr != word.data() + word.size() ||
          !ends)
        throw CaseError(where,
                        fmt::format("{} hexadecimal digits for each element of {}, one space between, got {}",
                                    digits, name_of(dtype), in_quotes(word)));
      const std::size_t at = bytes.size() / size_of(dtype);
      bytes.resize(bytes.size() + size_of(dtype));
      store_bits(bytes, dtype, static_cast<std::int64_t>(at), bits);
    }
  }
  const auto got = static_cast<std::int64_t>(bytes.size() / size_of(dtype));
  if (got != elements) throw CaseError(path, fmt::format("{} elements, got {}", elements, got));
  return bytes;
}

Tensor tensor_from(const JsonNode& node, const std::string& path) {
  static constexpr std::array<std::string_view, 3> kKeys = {"dtype", "shape", "bits"};
  require_object(node, path, kKeys);
  Tensor tensor;
  const JsonNode& dtype = require(node, path, "dtype", JsonNode::Kind::string, "a dtype");
  const auto known = dtype_from_name(dtype.text);
  if (!known) throw CaseError(json_path(path, "dtype"), "a dtype, got " + in_quotes(dtype.text));
  tensor.dtype = *known;
  tensor.shape =
      shape_from(require(node, path, "shape", JsonNode::Kind::array, "an array"), json_path(path, "shape"));
  tensor.bytes = bits_from(require(node, path, "bits", JsonNode::Kind::array, "an array"),
                           json_path(path, "bits"), tensor.dtype, tensor.elements());
  return tensor;
}

bool flag_from(const JsonNode& node, const std::string& path, std::string_view key) {
  const JsonNode* flag = find_key(node, key);
  if (flag == nullptr) return false;
  if (flag->kind != JsonNode::Kind::boolean)
    throw CaseError(json_path(path, key), "true or false, got " + shown(*flag));
  return flag->text == "true";
}

// "places": {"x": {"offset": 1, "gap": 3}, "out": {"in_place": true}, "scales": {"by_columns": true}}.
std::map<std::string, Place, std::less<>> places_from(const JsonNode& node, const std::string& path) {
  static constexpr std::array<std::string_view, 4> kKeys = {"offset", "gap", "in_place", "by_columns"};
  require_object(node, path, {});
  std::map<std::string, Place, std::less<>> places;
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const JsonNode& given = node.items[i];
    const std::string where = json_path(path, node.keys[i]);
    require_object(given, where, kKeys);
    const auto number = [&](std::string_view key) -> std::int64_t {
      const JsonNode* found = find_key(given, key);
      if (found == nullptr) return 0;
      std::int64_t value = -1;
      const char* end = found->text.data() + found->text.size();
      const auto parsed = std::from_chars(found->text.data(), end, value);
      if (found->kind != JsonNode::Kind::number || parsed.ec != std::errc() || parsed.ptr != end || value < 0)
        throw CaseError(json_path(where, key), "a number of elements, got " + shown(*found));
      return value;
    };
    places[node.keys[i]] = {number("offset"), number("gap"), flag_from(given, where, "in_place"),
                            flag_from(given, where, "by_columns")};
  }
  return places;
}

std::string json_places(const Call& call) {
  std::string text;
  for (const auto& [name, place] : call.places) {
    if (place == Place{}) continue;
    std::string members;
    const auto add = [&](const std::string& member) { members += (members.empty() ? "" : ", ") + member; };
    if (place.offset != 0) add(fmt::format("\"offset\": {}", place.offset));
    if (place.gap != 0) add(fmt::format("\"gap\": {}", place.gap));
    if (place.in_place) add("\"in_place\": true");
    if (place.by_columns) add("\"by_columns\": true");
    text += fmt::format("{}\n    \"{}\": {{{}}}", text.empty() ? "" : ",", name, members);
  }
  return text;
}

std::string json_bits(const Tensor& tensor) {
  const std::int64_t columns = tensor.shape.empty() ? 1 : std::max<std::int64_t>(tensor.shape.back(), 1);
  std::string text = "[";
  for (std::int64_t element = 0; element < tensor.elements(); ++element) {
    const bool begins = element % columns == 0;
    if (begins) text += element == 0 ? "\n      \"" : ",\n      \"";
    text += fmt::format("{}{:0{}x}", begins ? "" : " ", load_bits(tensor.bytes, tensor.dtype, element),
                        2 * size_of(tensor.dtype));
    if (element % columns == columns - 1) text += '"';
  }
  return text + (tensor.elements() > 0 ? "\n    ]" : "]");
}

}  // namespace

namespace {

// Of the operation that a dump names. A rms_norm whose weight has several rows is grouped_rms_norm.
std::string operation_of_dump(const SafetensorsFile& file, const std::string& prefix,
                              const std::string& named) {
  const bool has_rows = std::ranges::any_of(file.tensors(), [&](const SafetensorsTensor& tensor) {
    return tensor.name == prefix + "weight" && tensor.shape.size() > 1;
  });
  return has_rows && named == "rms_norm" ? "grouped_rms_norm" : named;
}
// Its policy is then one of rms_norm, as axes; what is none is left to those who read it.
std::string axes_of_rms_norm(const std::string& policy) {
  try {
    return oracle::to_string(oracle::parse_policy(policy));
  } catch (const std::invalid_argument&) {
    return policy;
  }
}

}  // namespace

StoredCall call_from_dump(const SafetensorsFile& file, const FileOptions& options, bool with_outputs,
                          const std::string& prefix) {
  const auto fail = [&](std::string_view field, const std::string& reason) {
    throw SafetensorsError(file.path(), shortened(prefix + std::string(field)), reason);
  };
  const auto metadata = [&](const std::string& key) -> std::optional<std::string> {
    const auto found = file.metadata().find(prefix + key);
    if (found == file.metadata().end()) return std::nullopt;
    if (key == "op") return operation_of_dump(file, prefix, found->second);
    const auto named = file.metadata().find(prefix + "op");
    const bool is_of_rms_norm = named != file.metadata().end() && named->second == "rms_norm";
    return key == "policy" && is_of_rms_norm ? axes_of_rms_norm(found->second) : found->second;
  };
  StoredCall stored = call_without_tensors(options, metadata, fail);
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (!tensor.name.starts_with(prefix)) continue;
    const std::string name = tensor.name.substr(prefix.size());
    if (!tensor.dtype.dtype)
      fail(name + ".dtype", "no tensor of these operations has dtype " + std::string(tensor.dtype.name));
    const bool known = find_tensor(*stored.call.operation, name) != nullptr;
    stored.call.tensors[name] = {*tensor.dtype.dtype, tensor.shape,
                                 known ? file.read(tensor) : std::vector<std::byte>()};
  }
  require_epsilon(stored, fail);
  try {
    require_valid(stored.call, with_outputs);
  } catch (const ArgumentError& error) {
    fail(error.field(), error.reason());
  }
  return stored;
}

StoredCall call_from_json(std::string_view text, const FileOptions& options, bool with_outputs) {
  static constexpr std::array<std::string_view, 9> kKeys = {
      kVersionKey, "name", "description", "op", "policy", "epsilon", "tensors", "places", "thread_order"};
  const JsonNode document = parse_json(text);
  require_object(document, "$", kKeys);
  if (require(document, "$", kVersionKey, JsonNode::Kind::number, "1").text != "1")
    throw CaseError(json_path("$", kVersionKey),
                    "expected 1, got " + shown(*find_key(document, kVersionKey)));
  const auto fail = [](std::string_view field, const std::string& reason) {
    throw CaseError(json_path("$", field), reason);
  };
  const auto string_of = [&](std::string_view key) -> std::optional<std::string> {
    const JsonNode* node = find_key(document, key);
    if (node == nullptr) return std::nullopt;
    if (node->kind != JsonNode::Kind::string && node->kind != JsonNode::Kind::number)
      fail(key, "a string, got " + shown(*node));
    return node->text;
  };
  StoredCall stored = call_without_tensors(options, string_of, fail);
  stored.call.name = string_of("name").value_or("");
  stored.call.description = string_of("description").value_or("");
  const JsonNode& tensors = require(document, "$", "tensors", JsonNode::Kind::object, "an object");
  for (std::size_t i = 0; i < tensors.keys.size(); ++i)
    stored.call.tensors[tensors.keys[i]] =
        tensor_from(tensors.items[i], json_path("$.tensors", tensors.keys[i]));
  if (const JsonNode* places = find_key(document, "places"))
    stored.call.places = places_from(*places, json_path("$", "places"));
  if (const JsonNode* order = find_key(document, "thread_order")) {
    const char* end = order->text.data() + order->text.size();
    const auto parsed = std::from_chars(order->text.data(), end, stored.call.thread_order);
    if (order->kind != JsonNode::Kind::number || parsed.ec != std::errc() || parsed.ptr != end)
      fail("thread_order", "a whole number from 0 on, got " + shown(*order));
  }
  require_epsilon(stored, fail);
  try {
    require_valid(stored.call, with_outputs);
  } catch (const ArgumentError& error) {
    throw CaseError(json_path("$.tensors", error.field()), error.reason());
  }
  return stored;
}

namespace {

StoredCall read_json(const std::filesystem::path& file, OpenedFile& opened, const FileOptions& options,
                     bool with_outputs) {
  try {
    return call_from_json(opened.first(kMaximumCaseTextBytes), options, with_outputs);
  } catch (const CaseError& error) {
    throw CaseError(file, error);
  }
}

}  // namespace

StoredCall read_call(const std::filesystem::path& file, const FileOptions& options, bool with_outputs) {
  OpenedFile opened(file);
  return opened.is_json() ? read_json(file, opened, options, with_outputs)
                          : call_from_dump(read_safetensors(file), options, with_outputs);
}

std::optional<StoredCall> read_call_if_judged(const std::filesystem::path& file, const FileOptions& options,
                                              bool with_outputs) {
  if (options.operation != nullptr) return read_call(file, options, with_outputs);
  // A pipe is read once: who reads cases says what it holds.
  if (!std::filesystem::is_regular_file(file)) return std::nullopt;
  OpenedFile opened(file);
  if (opened.is_json()) {
    // Our own documents begin with it; a case of another operation may be long.
    constexpr std::size_t kBeginning = 256;
    const std::string_view beginning = std::string_view(opened.first(kBeginning)).substr(0, kBeginning);
    if (beginning.find(fmt::format("\"{}\"", kVersionKey)) == std::string_view::npos) return std::nullopt;
    return read_json(file, opened, options, with_outputs);
  }
  const SafetensorsFile dump = read_safetensors(file);
  const auto found = dump.metadata().find("op");
  if (found == dump.metadata().end() ||
      find_judged_operation(operation_of_dump(dump, {}, found->second)) == nullptr)
    return std::nullopt;
  return call_from_dump(dump, options, with_outputs);
}

std::string call_to_json(const Call& call, const std::optional<std::string>& policy) {
  const auto quoted = [](std::string_view text) {
    return json_text(nlohmann::ordered_json(std::string(text)));
  };
  std::string text = fmt::format("{{\n  \"{}\": 1", kVersionKey);
  const auto add = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) text += fmt::format(",\n  \"{}\": {}", key, quoted(value));
  };
  add("name", call.name);
  add("description", call.description);
  add("op", call.operation->name);
  add("policy", policy.value_or(""));
  if (takes_epsilon(call)) add("epsilon", epsilon_text(call.epsilon));
  if (call.thread_order != 0) text += fmt::format(",\n  \"thread_order\": {}", call.thread_order);
  if (const std::string places = json_places(call); !places.empty())
    text += ",\n  \"places\": {" + places + "\n  }";
  text += ",\n  \"tensors\": {";
  std::string_view before = "";
  for (const TensorSpec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr) continue;
    text +=
        fmt::format("{}\n    \"{}\": {{\"dtype\": \"{}\", \"shape\": [{}], \"bits\": {}}}", before, spec.name,
                    name_of(tensor->dtype), fmt::join(tensor->shape, ", "), json_bits(*tensor));
    before = ",";
  }
  return text + "\n  }\n}\n";
}

CallContents call_contents(const Call& call, const std::optional<std::string>& policy,
                           const std::string& prefix) {
  CallContents result;
  for (const auto& [name, tensor] : call.tensors)
    result.contents.push_back({prefix + name, tensor.dtype, tensor.shape, tensor.bytes});
  result.metadata = {{prefix + "op", std::string(call.operation->name)}};
  if (takes_epsilon(call)) result.metadata[prefix + "epsilon"] = epsilon_text(call.epsilon);
  if (policy) result.metadata[prefix + "policy"] = *policy;
  return result;
}

void write_call_dump(const std::filesystem::path& file, const Call& call,
                     const std::optional<std::string>& policy) {
  CallContents dump = call_contents(call, policy);
  align(dump.contents);
  write_safetensors(file, dump.contents, dump.metadata);
}

}  // namespace normproof::oracle::judged
