// Case to canonical JSON text.
#include <bit>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "corpus/case_json.h"
#include "corpus/case_names.h"
#include "corpus/json.h"
#include "corpus/limits.h"

namespace normproof {
namespace {

void append_hex(std::string& text, std::uint32_t bits, std::size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t digit = digits; digit-- > 0;) text += kDigits[bits >> (4 * digit) & 15];
}

std::string json_string(std::string_view text) { return nlohmann::ordered_json(text).dump(); }

std::string json_integers(const std::vector<std::int64_t>& values) {
  std::string text = "[";
  for (const std::int64_t value : values) text += (text.size() > 1 ? ", " : "") + std::to_string(value);
  return text + "]";
}

// The shortest decimal that reads back to the same bits; bits where there is none, and for -0, whose sign
// other JSON software may drop.
std::string json_fp32(std::uint32_t bits) {
  const float number = std::bit_cast<float>(bits);
  std::string text;
  if (std::isfinite(number) && bits != 0x80000000) {
    char decimal[32];
    text.assign(decimal, std::to_chars(decimal, decimal + sizeof(decimal), number).ptr);
  } else {
    text = "\"0x";
    append_hex(text, bits, 8);
    text += '"';
  }
  return text;
}

// An object on one line, built of the entries that are given.
class Line {
 public:
  void add(std::string_view key, std::string_view value) {
    text_ += (text_.empty() ? "\"" : ", \"") + std::string(key) + "\": " + std::string(value);
  }
  bool empty() const { return text_.empty(); }
  std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

// An object with one entry per line.
class Block {
 public:
  explicit Block(std::size_t indent) : indent_(indent, ' ') {}
  void add(std::string_view key, std::string_view value) {
    text_ += (text_.empty() ? "" : ",\n") + indent_ + "  \"" + std::string(key) + "\": " + std::string(value);
  }
  bool empty() const { return text_.empty(); }
  std::string text() const { return "{\n" + text_ + "\n" + indent_ + "}"; }

 private:
  std::string indent_;
  std::string text_;
};

std::string json_bits(const std::vector<std::byte>& bytes, DType dtype, std::int64_t columns,
                      std::size_t indent) {
  const std::string line = "\n" + std::string(indent + 2, ' ');
  const auto elements = static_cast<std::int64_t>(bytes.size() / size_of(dtype));
  std::string text = "{\"bits\": [";
  text.reserve(bytes.size() * 3 + 64);
  for (std::int64_t element = 0; element < elements; ++element) {
    if (element % columns == 0) {
      text += element == 0 ? "" : ",";
      text += line + "\"";
    } else {
      text += ' ';
    }
    append_hex(text, load_bits(bytes, dtype, element), 2 * size_of(dtype));
    if (element % columns == columns - 1) text += '"';
  }
  if (elements > 0) text += "\n" + std::string(indent, ' ');
  return text + "]}";
}

std::string json_data(const TensorData& data, DType dtype, std::int64_t columns) {
  if (!data.recipe) return json_bits(data.bytes, dtype, columns, 2);
  Line recipe;
  recipe.add("class", json_string(data.recipe->data_class));
  recipe.add("seed", std::to_string(data.recipe->seed));
  Line line;
  line.add("recipe", recipe.text());
  return line.text();
}

void add_layout(Block& layouts, std::string_view key, const TensorLayout& layout) {
  Line line;
  if (!layout.strides.empty()) line.add("strides", json_integers(layout.strides));
  if (layout.offset != 0) line.add("offset", std::to_string(layout.offset));
  if (!line.empty()) layouts.add(key, line.text());
}

void add_layouts(Block& document, const Case& test_case) {
  Block layouts(2);
  for (const Role role : kRoles) add_layout(layouts, layout_name_of(role), test_case[role].layout);
  if (test_case.in_place) layouts.add("in_place", "true");
  if (!layouts.empty()) document.add("layout", layouts.text());
}

void add_data(Block& document, const Case& test_case) {
  for (const Role role : kRoles) {
    const TensorData& data = test_case[role].data;
    if (data == TensorData{}) continue;
    document.add(name_of(role), json_data(data, test_case.dtype_of(role), test_case.columns_of(role)));
  }
}

void add_execution(Block& document, const Case& test_case) {
  Line schedule;
  if (test_case.schedule.order != ThreadOrder::forward) {
    schedule.add("order", json_string(find_name(kThreadOrderNames, test_case.schedule.order)));
  }
  if (test_case.schedule.seed != 0) schedule.add("seed", std::to_string(test_case.schedule.seed));
  if (!schedule.empty()) document.add("schedule", schedule.text());

  Line launch;
  if (test_case.launch.path != KernelPath::automatic) {
    launch.add("path", json_string(find_name(kKernelPathNames, test_case.launch.path)));
  }
  if (test_case.launch.threads_per_block != 0) {
    launch.add("threads_per_block", std::to_string(test_case.launch.threads_per_block));
  }
  if (test_case.launch.in_graph) launch.add("in_graph", "true");
  if (!launch.empty()) document.add("launch", launch.text());
}

void add_outputs(Block& document, const Case& test_case) {
  if (!test_case.outputs) return;
  Block outputs(2);
  for (const Role role : kRoles) {
    if (!test_case.has_output(role)) continue;
    outputs.add(name_of(role), json_bits((*test_case.outputs)[role], test_case.dtype_of(role),
                                         test_case.columns_of(role), 4));
  }
  document.add("outputs", outputs.text());
}

void add_demand(Block& document, const Demand& demand) {
  if (demand == Demand{}) return;
  Block entry(2);
  if (demand.policy) {
    if (demand.policy->empty() || demand.policy->size() > kMaximumPolicyBytes) {
      throw std::invalid_argument("$.demand.policy: expected 1 to " + std::to_string(kMaximumPolicyBytes) +
                                  " bytes, got " + std::to_string(demand.policy->size()));
    }
    entry.add("policy", json_string(*demand.policy));
  }
  if (demand.canonical) entry.add("judge", json_string("canonical"));
  document.add("demand", entry.text());
}

}  // namespace

std::string case_to_json(const Case& test_case, const Demand& demand) {
  if (const auto reasons = validate(test_case); !reasons.empty())
    throw std::invalid_argument(reasons.front());
  Block document(0);
  document.add("normproof_case", "1");
  if (!test_case.name.empty()) document.add("name", json_string(test_case.name));
  if (!test_case.description.empty()) document.add("description", json_string(test_case.description));
  document.add("operation", json_string(name_of(test_case.operation)));
  document.add("dtype", json_string(name_of(test_case.dtype)));
  for (const auto& [key, of] : kOptionalDTypes)
    if (test_case.*of) document.add(key, json_string(name_of(*(test_case.*of))));
  if (test_case.fp32_output) document.add("output_dtype", json_string(name_of(DType::fp32)));
  if (test_case.fp32_residual) document.add("residual_dtype", json_string(name_of(DType::fp32)));
  document.add("shape", json_integers(test_case.shape));
  add_layouts(document, test_case);
  for (const Parameter parameter : kParameters) {
    if (!has(test_case.operation, parameter)) continue;
    if (!may_lack(test_case.operation, parameter) ||
        test_case.bits_of(parameter) != spec_of(parameter).usual_bits)
      document.add(spec_of(parameter).name, json_fp32(test_case.bits_of(parameter)));
  }
  add_data(document, test_case);
  add_execution(document, test_case);
  add_demand(document, demand);
  add_outputs(document, test_case);
  std::string text = document.text() + "\n";
  if (text.size() > kMaximumCaseTextBytes) {
    throw std::invalid_argument("$: the text would have " + std::to_string(text.size()) + " bytes, at most " +
                                std::to_string(kMaximumCaseTextBytes) + " can be read back");
  }
  return text;
}

}  // namespace normproof
