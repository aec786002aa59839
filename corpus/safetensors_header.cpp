// The JSON header of a safetensors file, through the event interface of nlohmann-json: nothing that the
// format does not have is ever stored, so memory is bounded by the header's size.
#include "corpus/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "corpus/json.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMetadataKey = "__metadata__";

// An entry of the header as it was written; the fields that were seen have a value.
struct Entry {
  std::string name;
  std::optional<SafetensorsDType> dtype;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::int64_t>> data_offsets;
};

[[noreturn]] void refuse(std::string field, std::string reason) {
  throw SafetensorsHeaderError{std::move(field), std::move(reason)};
}

// A tensor's name for a message.
std::string shown_name(std::string_view name) { return name.empty() ? in_quotes(name) : shortened(name); }

class HeaderBuilder : public Json::json_sax_t {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { return wrong_value("null"); }
  bool boolean(bool value) override { return wrong_value(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) override { return wrong_value(std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) override {
    std::vector<std::int64_t>* integers = open_array();
    if (integers == nullptr) return wrong_value(std::to_string(value));
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      refuse(field(), "numbers are below 2^63, got " + std::to_string(value));
    }
    integers->push_back(static_cast<std::int64_t>(value));
    return true;
  }
  bool number_float(double, const std::string& text) override { return wrong_value(shortened(text)); }
  bool binary(Json::binary_t&) override { return wrong_value("binary data"); }
  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      metadata[key_] = std::move(value);
    } else if (place_ == Place::tensor && key_ == "dtype") {
      const auto known = safetensors_dtypes();
      const auto found = std::ranges::find(known, std::string_view(value), &SafetensorsDType::name);
      if (found == known.end()) refuse(field(), "unknown dtype " + in_quotes(value));
      entries.back().dtype = *found;
    } else {
      return wrong_value(in_quotes(value));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::outside:
        place_ = Place::header;
        return true;
      case Place::header:
        place_ = key_ == kMetadataKey ? Place::metadata : Place::tensor;
        if (place_ == Place::tensor) entries.push_back({key_, {}, {}, {}});
        return true;
      default:
        return wrong_value("an object");
    }
  }
  bool end_object() override {
    place_ = place_ == Place::header ? Place::outside : Place::header;
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") return wrong_value("an array");
    (key_ == "shape" ? entries.back().shape : entries.back().data_offsets).emplace();
    place_ = Place::array;
    return true;
  }
  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }
  bool key(std::string& key) override {
    key_ = std::move(key);
    switch (place_) {
      case Place::header:
        name_ = key_;
        if (!names_.insert(key_).second) refuse(shown_name(key_), "the name occurs twice");
        return true;
      case Place::metadata:
        if (metadata.contains(key_)) refuse(field(), "the key occurs twice");
        return true;
      default:
        return tensor_key();
    }
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: ..."
    std::string_view what = error.what();
    if (const std::size_t end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
    refuse("header", shortened(what));
  }

 private:
  enum class Place { outside, header, metadata, tensor, array };

  // Where the reader is, for messages.
  std::string field() const {
    switch (place_) {
      case Place::outside:
        return "header";
      case Place::header:
        return shown_name(key_);
      default:
        return shown_name(name_) + "." + shown_name(key_);
    }
  }
  bool tensor_key() {
    const Entry& entry = entries.back();
    const bool known = key_ == "dtype" || key_ == "shape" || key_ == "data_offsets";
    if (!known) refuse(field(), "unknown key; a tensor has dtype, shape and data_offsets");
    const bool seen = key_ == "dtype"   ? entry.dtype.has_value()
                      : key_ == "shape" ? entry.shape.has_value()
                                        : entry.data_offsets.has_value();
    if (seen) refuse(field(), "the key occurs twice");
    return true;
  }
  std::vector<std::int64_t>* open_array() {
    if (place_ != Place::array) return nullptr;
    Entry& entry = entries.back();
    return key_ == "shape" ? &*entry.shape : &*entry.data_offsets;
  }
  [[noreturn]] bool wrong_value(std::string_view got) const {
    const std::string_view wanted = place_ == Place::outside                       ? "an object"
                                    : place_ == Place::header                      ? "an object"
                                    : place_ == Place::metadata || key_ == "dtype" ? "a string"
                                    : place_ == Place::tensor ? "an array of non-negative integers"
                                                              : "a non-negative integer";
    refuse(field(), "expected " + std::string(wanted) + ", got " + std::string(got));
  }

  Place place_ = Place::outside;
  std::string name_;  // of the tensor, or the metadata key
  std::string key_;
  std::unordered_set<std::string> names_;
};

// Bytes of a tensor; every partial product is checked.
std::uint64_t bytes_of(const Entry& entry) {
  const std::string field = shown_name(entry.name) + ".shape";
  const bool empty = std::ranges::find(*entry.shape, 0) != entry.shape->end();
  std::uint64_t elements = empty ? 0 : 1, bits = 0;
  for (const std::int64_t size : *entry.shape) {
    if (empty || !__builtin_mul_overflow(elements, static_cast<std::uint64_t>(size), &elements)) continue;
    refuse(field, "the number of elements overflows 64 bits at the size " + std::to_string(size));
  }
  if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(entry.dtype->bits), &bits)) {
    refuse(field, "the size in bits overflows: " + std::to_string(elements) + " elements of " +
                      std::string(entry.dtype->name));
  }
  if (bits % 8 != 0) refuse(field, std::to_string(bits) + " bits are no whole number of bytes");
  return bits / 8;
}

SafetensorsTensor tensor_of(Entry&& entry, std::uint64_t data_bytes) {
  const std::string name = shown_name(entry.name);
  if (!entry.dtype) refuse(name + ".dtype", "missing");
  if (!entry.shape) refuse(name + ".shape", "missing");
  if (!entry.data_offsets) refuse(name + ".data_offsets", "missing");
  const auto& offsets = *entry.data_offsets;
  const std::string field = name + ".data_offsets";
  if (offsets.size() != 2) {
    refuse(field, "expected [begin, end], got " + std::to_string(offsets.size()) + " numbers");
  }
  const std::string range = "[" + std::to_string(offsets[0]) + ", " + std::to_string(offsets[1]) + "]";
  if (offsets[0] > offsets[1]) refuse(field, "the end lies before the begin: " + range);
  const auto begin = static_cast<std::uint64_t>(offsets[0]), end = static_cast<std::uint64_t>(offsets[1]);
  if (end > data_bytes) {
    refuse(field, range + " reaches beyond the " + std::to_string(data_bytes) + " bytes of data in the file");
  }
  const std::uint64_t bytes = bytes_of(entry);
  if (end - begin != bytes) {
    refuse(field, range + " holds " + std::to_string(end - begin) + " bytes, but the shape and dtype " +
                      std::string(entry.dtype->name) + " take " + std::to_string(bytes));
  }
  return {std::move(entry.name), *entry.dtype, *std::move(entry.shape), begin, bytes};
}

// Sorts by position and demands that each tensor begins where the one before it ends.
void check_cover(std::vector<SafetensorsTensor>& tensors, std::uint64_t data_bytes) {
  std::ranges::sort(tensors, {},
                    [](const SafetensorsTensor& tensor) { return std::pair(tensor.offset, tensor.bytes); });
  std::uint64_t covered = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.offset != covered) {
      refuse(shown_name(tensor.name) + ".data_offsets",
             std::string(tensor.offset < covered ? "overlaps the tensor before it" : "leaves a hole") +
                 ": it begins at " + std::to_string(tensor.offset) + ", the bytes before " +
                 std::to_string(covered) + " are taken");
    }
    covered += tensor.bytes;
  }
  if (covered != data_bytes) {
    refuse("header", "the tensors cover " + std::to_string(covered) + " of the " +
                         std::to_string(data_bytes) + " bytes of data in the file");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes) {
  if (!text.starts_with('{')) refuse("header", "must begin with '{', got " + in_quotes(text.substr(0, 16)));
  if (text.find('\0') != std::string_view::npos) refuse("header", "contains a NUL byte");
  HeaderBuilder builder;
  Json::sax_parse(text.begin(), text.end(), &builder);
  SafetensorsHeader header;
  header.metadata = std::move(builder.metadata);
  header.tensors.reserve(builder.entries.size());
  for (Entry& entry : builder.entries) header.tensors.push_back(tensor_of(std::move(entry), data_bytes));
  check_cover(header.tensors, data_bytes);
  return header;
}

}  // namespace normproof
