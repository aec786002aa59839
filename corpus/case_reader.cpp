// JSON text to Case.
#include <algorithm>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <span>
#include <utility>

#include "corpus/case_checks.h"
#include "corpus/case_json.h"
#include "corpus/case_names.h"
#include "corpus/exact_decimal.h"
#include "corpus/json_tree.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

// A value and where it stands.
struct Value {
  const JsonNode& node;
  std::string path;

  [[noreturn]] void fail(const std::string& reason) const { throw CaseError(path, reason); }
  [[noreturn]] void expected(std::string_view what) const {
    fail(std::string(what) + ", got " + shown(node));
  }
};

class Object {
 public:
  Object(const Value& value, std::initializer_list<std::string_view> known)
      : Object(value, std::span(known.begin(), known.size())) {}
  Object(const Value& value, std::span<const std::string_view> known) : node_(value.node), path_(value.path) {
    if (node_.kind != JsonNode::Kind::object) value.expected("an object");
    for (std::size_t i = 0; i < node_.keys.size(); ++i) {
      if (std::ranges::find(known, node_.keys[i]) != known.end()) continue;
      throw CaseError(json_path(path_, node_.keys[i]),
                      "unknown key, with the value " + shown(node_.items[i]));
    }
  }

  std::optional<Value> find(std::string_view key) const {
    const auto found = std::ranges::find(node_.keys, key);
    if (found == node_.keys.end()) return std::nullopt;
    return Value{node_.items[static_cast<std::size_t>(found - node_.keys.begin())], json_path(path_, key)};
  }
  Value at(std::string_view key) const {
    if (auto value = find(key)) return *std::move(value);
    throw CaseError(json_path(path_, key), "missing");
  }

 private:
  const JsonNode& node_;
  std::string path_;
};

const std::string& string_of(const Value& value) {
  if (value.node.kind != JsonNode::Kind::string) value.expected("a string");
  return value.node.text;
}

bool boolean_of(const Value& value) {
  if (value.node.kind != JsonNode::Kind::boolean) value.expected("true or false");
  return value.node.text == "true";
}

template <std::integral Integer>
Integer integer_of(const Value& value) {
  Integer result = 0;
  const std::string& text = value.node.text;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), result);
  if (value.node.kind != JsonNode::Kind::number || parsed.ec != std::errc() ||
      parsed.ptr != text.data() + text.size()) {
    value.expected("an integer from " + std::to_string(std::numeric_limits<Integer>::min()) + " to " +
                   std::to_string(std::numeric_limits<Integer>::max()));
  }
  return result;
}

std::vector<std::int64_t> integers_of(const Value& value) {
  if (value.node.kind != JsonNode::Kind::array) value.expected("an array of integers");
  // No list of a case is longer; a longer one must not cost more than its text.
  if (value.node.items.size() > kMaximumRank)
    value.expected("at most " + std::to_string(kMaximumRank) + " integers");
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < value.node.items.size(); ++i) {
    result.push_back(integer_of<std::int64_t>({value.node.items[i], json_path(value.path, i)}));
  }
  return result;
}

// The enumerator of `names` (pairs of enumerator and name) that `value` names.
template <class Names>
auto enumerator_of(const Value& value, const Names& names) {
  const std::string& text = string_of(value);
  std::string known;
  for (const auto& [enumerator, name] : names) {
    if (name == text) return enumerator;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  value.expected("one of " + known);
}

// Bits in hexadecimal, exactly `digits` of them; nothing where `text` is something else.
std::optional<std::uint32_t> bits_of(std::string_view text, std::size_t digits) {
  if (text.size() != digits) return std::nullopt;
  std::uint32_t bits = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    bits = bits << 4 | static_cast<std::uint32_t>(digit);
  }
  return bits;
}

// An fp32 number: a decimal, correctly rounded, or "0x" and eight hexadecimal digits.
std::uint32_t fp32_bits_of(const Value& value) {
  const std::string& text = value.node.text;
  if (value.node.kind == JsonNode::Kind::string) {
    const auto bits = text.starts_with("0x") ? bits_of(std::string_view(text).substr(2), 8) : std::nullopt;
    if (!bits) value.expected("a number, or fp32 bits as \"0x\" and 8 hexadecimal digits");
    return *bits;
  }
  if (value.node.kind != JsonNode::Kind::number) value.expected("a number or a string of fp32 bits");
  // Not through double, which would round twice.
  const float number = std::strtof(text.c_str(), nullptr);
  if (number == std::numeric_limits<float>::infinity() || number == -std::numeric_limits<float>::infinity()) {
    value.expected("a number within the range of fp32");
  }
  const std::string_view digits = std::string_view(text).substr(0, text.find_first_of("eE"));
  if (number == 0 && digits.find_first_of("123456789") != std::string_view::npos) {
    value.expected("0 or a number that fp32 does not round to 0");
  }
  return std::bit_cast<std::uint32_t>(number);
}

// The elements of a tensor from one string for each row, with one space between two elements. `parse` makes
// ExactBits of an element's text.
template <class Parse>
std::vector<std::byte> elements_of(const Value& value, DType dtype, std::int64_t rows, std::int64_t columns,
                                   Parse parse) {
  if (value.node.kind != JsonNode::Kind::array) value.expected("an array with a string for each row");
  if (std::cmp_not_equal(value.node.items.size(), rows))
    value.expected("an array of " + std::to_string(rows) + " rows");
  std::vector<std::byte> bytes;
  for (std::size_t row = 0; row < value.node.items.size(); ++row) {
    const Value row_value{value.node.items[row], json_path(value.path, row)};
    std::string_view text = string_of(row_value);
    const auto count = static_cast<std::int64_t>(std::ranges::count(text, ' ')) + (text.empty() ? 0 : 1);
    if (count != columns) {
      row_value.fail(std::to_string(columns) + " elements with one space between them, got " +
                     std::to_string(count) + " in " + in_quotes(text));
    }
    const auto first = static_cast<std::int64_t>(bytes.size() / size_of(dtype));
    bytes.resize(bytes.size() + static_cast<std::size_t>(columns) * size_of(dtype));
    for (std::int64_t column = 0; column < columns; ++column) {
      const std::string_view element = text.substr(0, text.find(' '));
      const ExactBits parsed = parse(element);
      if (!parsed.fault.empty()) row_value.fail("element " + std::to_string(column) + ": " + parsed.fault);
      store_bits(bytes, dtype, first + column, parsed.bits);
      text.remove_prefix(std::min(element.size() + 1, text.size()));
    }
  }
  return bytes;
}

// {"bits": ["3f80 4000", ...]}
std::vector<std::byte> elements_of_bits(const Value& value, DType dtype, std::int64_t rows,
                                        std::int64_t columns) {
  const std::size_t digits = 2 * size_of(dtype);
  return elements_of(value, dtype, rows, columns, [&](std::string_view text) -> ExactBits {
    if (const auto bits = bits_of(text, digits)) return {*bits, {}};
    return {0, std::to_string(digits) + " hexadecimal digits for " + std::string(name_of(dtype)) + ", got " +
                   in_quotes(text)};
  });
}

// {"values": ["1 2.5", ...]}
std::vector<std::byte> elements_of_values(const Value& value, DType dtype, std::int64_t rows,
                                          std::int64_t columns) {
  return elements_of(value, dtype, rows, columns,
                     [&](std::string_view text) { return exact_bits(text, dtype); });
}

TensorData data_of(const Value& value, DType dtype, std::int64_t rows, std::int64_t columns) {
  const Object object(value, {"bits", "values", "recipe"});
  if (value.node.keys.size() != 1)
    value.fail("one of bits, values and recipe, got " + std::to_string(value.node.keys.size()));
  TensorData data;
  if (const auto bits = object.find("bits")) {
    data.bytes = elements_of_bits(*bits, dtype, rows, columns);
  } else if (const auto values = object.find("values")) {
    data.bytes = elements_of_values(*values, dtype, rows, columns);
  } else {
    const Value recipe = object.at("recipe");
    const Object recipe_object(recipe, {"class", "seed"});
    data.recipe =
        Recipe{string_of(recipe_object.at("class")), integer_of<std::uint64_t>(recipe_object.at("seed"))};
  }
  return data;
}

TensorLayout layout_of(const Value& value) {
  const Object object(value, {"strides", "offset"});
  TensorLayout layout;
  if (const auto strides = object.find("strides")) {
    layout.strides = integers_of(*strides);
    if (layout.strides.empty()) strides->expected("one stride per leading dimension");
  }
  if (const auto offset = object.find("offset")) layout.offset = integer_of<std::int64_t>(*offset);
  return layout;
}

// Names of the roles that some operation has in this direction, the places of parameters apart.
std::vector<std::string_view> role_names(Direction direction) {
  std::vector<std::string_view> names;
  for (const Role role : kRoles) {
    const bool found = std::ranges::any_of(all_operations(), [&](Operation operation) {
      return direction == Direction::in ? is_data(operation, role) : is_output(operation, role);
    });
    if (found) names.push_back(name_of(role));
  }
  return names;
}

std::vector<std::string_view> document_keys() {
  std::vector<std::string_view> keys = {
      "normproof_case", "name",   "description", "operation", "dtype",  "output_dtype", "residual_dtype",
      "shape",          "layout", "schedule",    "launch",    "demand", "outputs"};
  for (const OptionalDType& field : kOptionalDTypes) keys.push_back(field.key);
  for (const Parameter parameter : kParameters) keys.push_back(spec_of(parameter).name);
  for (const std::string_view name : role_names(Direction::in)) keys.push_back(name);
  return keys;
}

void read_layouts(const Value& value, Case& test_case) {
  std::vector<std::string_view> known = {"in_place"};
  for (const Role role : kRoles) known.push_back(layout_name_of(role));
  const Object layouts(value, known);
  for (const Role role : kRoles) {
    if (const auto layout = layouts.find(layout_name_of(role))) test_case[role].layout = layout_of(*layout);
  }
  if (const auto in_place = layouts.find("in_place")) test_case.in_place = boolean_of(*in_place);
}

void read_execution(const Object& document, Case& test_case) {
  if (const auto value = document.find("schedule")) {
    const Object schedule(*value, {"order", "seed"});
    if (const auto order = schedule.find("order"))
      test_case.schedule.order = enumerator_of(*order, kThreadOrderNames);
    if (const auto seed = schedule.find("seed")) test_case.schedule.seed = integer_of<std::uint64_t>(*seed);
  }
  if (const auto value = document.find("launch")) {
    const Object launch(*value, {"path", "threads_per_block", "in_graph"});
    if (const auto path = launch.find("path")) test_case.launch.path = enumerator_of(*path, kKernelPathNames);
    if (const auto threads = launch.find("threads_per_block")) {
      test_case.launch.threads_per_block = integer_of<int>(*threads);
    }
    if (const auto in_graph = launch.find("in_graph")) test_case.launch.in_graph = boolean_of(*in_graph);
  }
}

bool is_fp32(const std::optional<Value>& value) {
  if (value && string_of(*value) != name_of(DType::fp32)) value->expected("\"fp32\", or nothing for T");
  return value.has_value();
}

[[noreturn]] void expected_nothing(const Value& value, const Case& test_case, Role role) {
  value.expected("nothing, because " + test_case.why_no(role));
}

void read_parameters(const Object& document, Case& test_case) {
  for (const Parameter parameter : kParameters) {
    const std::string_view name = spec_of(parameter).name;
    const auto value = document.find(name);
    if (has(test_case.operation, parameter)) {
      if (value || !may_lack(test_case.operation, parameter))
        test_case.bits_of(parameter) = fp32_bits_of(document.at(name));
    } else if (value) {
      value->expected("nothing, because " + std::string(name_of(test_case.operation)) + " has no " +
                      std::string(name));
    }
  }
}

void read_data(const Object& document, Case& test_case) {
  for (const Role role : kRoles) {
    if (holds_parameter(role)) continue;  // read as a number
    const auto data = document.find(name_of(role));
    if (!data) continue;
    if (!test_case.has_data(role)) expected_nothing(*data, test_case, role);
    test_case[role].data =
        data_of(*data, test_case.dtype_of(role), test_case.rows_of(role), test_case.columns_of(role));
  }
}

void read_outputs(const Object& document, Case& test_case) {
  const auto value = document.find("outputs");
  if (!value) return;
  const Object outputs(*value, role_names(Direction::out));
  test_case.outputs.emplace();
  for (const Role role : kRoles) {
    if (test_case.has_output(role)) {
      const Value bits = Object(outputs.at(name_of(role)), {"bits"}).at("bits");
      (*test_case.outputs)[role] = elements_of_bits(bits, test_case.dtype_of(role), test_case.rows_of(role),
                                                    test_case.columns_of(role));
    } else if (const auto surplus = outputs.find(name_of(role))) {
      expected_nothing(*surplus, test_case, role);
    }
  }
}

// "witness": any order of summation; "canonical": the contract's.
Demand demand_of(const Value& value) {
  const Object object(value, {"policy", "judge"});
  Demand demand;
  if (const auto policy = object.find("policy")) {
    demand.policy = string_of(*policy);
    if (demand.policy->empty() || demand.policy->size() > kMaximumPolicyBytes)
      policy->expected("a policy of at most " + std::to_string(kMaximumPolicyBytes) + " bytes");
  }
  if (const auto judge = object.find("judge")) {
    demand.canonical = string_of(*judge) == "canonical";
    if (!demand.canonical && string_of(*judge) != "witness") judge->expected("\"witness\" or \"canonical\"");
  }
  return demand;
}

Operation operation_of(const Value& value) {
  if (const auto operation = operation_from_name(string_of(value))) return *operation;
  std::string known;
  for (const Operation each : all_operations())
    known += (known.empty() ? "" : ", ") + std::string(name_of(each));
  value.expected("one of " + known);
}

void demand_none(const std::vector<std::string>& reasons) {
  if (reasons.empty()) return;
  const std::size_t end_of_path = reasons.front().find(": ");
  throw CaseError(reasons.front().substr(0, end_of_path), reasons.front().substr(end_of_path + 2));
}

}  // namespace

Case case_from_json(std::string_view text, Demand* demand) {
  if (text.size() > kMaximumCaseTextBytes) {
    throw CaseError("$", "at most " + std::to_string(kMaximumCaseTextBytes) + " bytes of text, got " +
                             std::to_string(text.size()));
  }
  const JsonNode root = parse_json(text);
  const Object document({root, "$"}, document_keys());
  const Value version = document.at("normproof_case");
  if (integer_of<std::int64_t>(version) != 1) version.expected("version 1");

  Case test_case;
  if (const auto name = document.find("name")) test_case.name = string_of(*name);
  if (const auto description = document.find("description")) test_case.description = string_of(*description);
  test_case.operation = operation_of(document.at("operation"));
  test_case.dtype = enumerator_of(document.at("dtype"), kDTypeNames);
  // emplace: g++ 12 warns of an assignment, as if it went beyond the first member.
  for (const auto& [key, of] : kOptionalDTypes)
    if (const auto dtype = document.find(key)) (test_case.*of).emplace(enumerator_of(*dtype, kDTypeNames));
  test_case.fp32_output = is_fp32(document.find("output_dtype"));
  test_case.fp32_residual = is_fp32(document.find("residual_dtype"));
  if (document.find("outputs")) test_case.outputs.emplace();  // read below
  test_case.shape = integers_of(document.at("shape"));
  if (const auto layout = document.find("layout")) read_layouts(*layout, test_case);
  read_parameters(document, test_case);
  read_execution(document, test_case);
  demand_none(validate_all_but_data(test_case));
  read_data(document, test_case);
  read_outputs(document, test_case);
  demand_none(validate(test_case));
  const auto asked = document.find("demand");
  const Demand found = asked ? demand_of(*asked) : Demand{};
  if (demand != nullptr) *demand = found;
  return test_case;
}

}  // namespace normproof
