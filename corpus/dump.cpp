// Dumps: safetensors to Case and back.
#include "corpus/dump.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "corpus/limits.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

constexpr std::array<std::string_view, 6> kTensorNames = {"x",     "weight", "residual",
                                                          "scale", "out",    "residual_out"};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return shortened(text + "]");
}

std::string names_of(std::span<const DType> dtypes) {
  std::string text;
  for (const DType dtype : dtypes)
    text += (text.empty() ? "" : ", ") + std::string(safetensors_name_of(dtype));
  return text;
}

class DumpReader {
 public:
  DumpReader(const SafetensorsFile& file, const DumpOptions& options) : file_(file), options_(options) {}

  Dump read() {
    for (const SafetensorsTensor& tensor : file_.tensors()) {
      if (std::ranges::find(kTensorNames, tensor.name) == kTensorNames.end()) {
        fail(tensor.name, "unknown tensor; a dump has x, weight, residual, scale, out, residual_out");
      }
    }
    read_scalars();
    read_input();
    read_weight();
    read_residual();
    read_scale();
    read_outputs();
    if (const auto reasons = validate(case_); !reasons.empty()) fail("dump", reasons.front());
    Dump dump;
    dump.test_case = std::move(case_);
    if (const auto policy = metadata("policy")) dump.policy = *policy;
    return dump;
  }

 private:
  [[noreturn]] void fail(std::string_view field, std::string reason) const {
    throw SafetensorsError(file_.path(), field.empty() ? in_quotes(field) : shortened(field),
                           std::move(reason));
  }

  const std::string* metadata(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    return found == file_.metadata().end() ? nullptr : &found->second;
  }

  // The tensor, or an error that says why there must be one.
  const SafetensorsTensor& demand(std::string_view name, std::string_view because) const {
    const SafetensorsTensor* tensor = file_.find(name);
    if (tensor == nullptr) fail(name, "missing; " + std::string(because));
    return *tensor;
  }
  void forbid(std::string_view name, std::string_view because) const {
    if (file_.find(name) != nullptr) fail(name, "not expected: " + std::string(because));
  }
  DType demand_dtype(const SafetensorsTensor& tensor, std::span<const DType> allowed) const {
    const auto dtype = tensor.dtype.dtype;
    if (!dtype || std::ranges::find(allowed, *dtype) == allowed.end()) {
      fail(tensor.name + ".dtype",
           "expected " + names_of(allowed) + ", got " + std::string(tensor.dtype.name));
    }
    return *dtype;
  }
  void demand_shape_of_input(const SafetensorsTensor& tensor) const {
    if (tensor.shape == file_.find("x")->shape) return;
    fail(tensor.name + ".shape", "expected the shape of x, " + shape_text(file_.find("x")->shape) + ", got " +
                                     shape_text(tensor.shape));
  }
  std::string operation_name() const { return std::string(name_of(case_.operation)); }

  void read_scalars() {
    const std::string* op = metadata("op");
    if (options_.operation) {
      case_.operation = *options_.operation;
    } else if (op == nullptr) {
      fail("op", "missing: neither metadata nor an option names the operation");
    } else if (const auto operation = operation_from_name(*op)) {
      case_.operation = *operation;
    } else {
      std::string known;
      for (const Operation value : kOperations)
        known += (known.empty() ? "" : ", ") + std::string(name_of(value));
      fail("op", "expected one of " + known + ", got " + in_quotes(*op));
    }
    const std::string* epsilon = metadata("epsilon");
    if (options_.epsilon_bits) {
      case_.epsilon_bits = *options_.epsilon_bits;
    } else if (epsilon == nullptr) {
      fail("epsilon", "missing: neither metadata nor an option gives it");
    } else if (const auto bits = fp32_bits_from_text(*epsilon)) {
      case_.epsilon_bits = *bits;
    } else {
      fail("epsilon",
           "expected an fp32 number such as \"1e-6\" or \"0x358637bd\", got " + in_quotes(*epsilon));
    }
  }

  void read_input() {
    const SafetensorsTensor& x = demand("x", "the input before the call");
    case_.dtype = demand_dtype(x, kActivationDTypes);
    if (x.shape.empty()) fail("x.shape", "at least one dimension, the hidden size, got []");
    const std::int64_t hidden = x.shape.back();
    if (hidden < 1 || hidden > kMaximumHiddenSize) {
      fail("x.shape", "the last dimension, the hidden size, is 1 to " + std::to_string(kMaximumHiddenSize) +
                          ", got " + shape_text(x.shape));
    }
    const auto elements = static_cast<std::int64_t>(x.bytes / size_of(case_.dtype));
    if (elements > kMaximumElements) {
      fail("x.shape",
           "at most " + std::to_string(kMaximumElements) + " elements, got " + shape_text(x.shape));
    }
    case_.shape = {elements / hidden, hidden};
    case_.input.bytes = file_.read(x);
  }

  void read_weight() {
    const SafetensorsTensor* weight = file_.find("weight");
    if (weight == nullptr) return;
    const std::array allowed = {case_.dtype, DType::fp32};
    case_.weight_dtype =
        demand_dtype(*weight, case_.dtype == DType::fp32 ? std::span(allowed).first(1) : std::span(allowed));
    const std::vector<std::int64_t> wanted = {case_.hidden_size()};
    if (weight->shape != wanted) {
      fail("weight.shape",
           "expected the hidden size of x, " + shape_text(wanted) + ", got " + shape_text(weight->shape));
    }
    case_.weight.bytes = file_.read(*weight);
  }

  void read_residual() {
    if (!adds_residual(case_.operation)) return forbid("residual", operation_name() + " adds no residual");
    const SafetensorsTensor& residual = demand("residual", operation_name() + " adds it to x");
    demand_dtype(residual, std::array{case_.dtype});
    demand_shape_of_input(residual);
    case_.residual.bytes = file_.read(residual);
  }

  void read_scale() {
    if (!quantizes(case_.operation)) return forbid("scale", operation_name() + " does not quantize");
    const SafetensorsTensor& scale = demand("scale", operation_name() + " divides by it");
    demand_dtype(scale, std::array{DType::fp32});
    if (scale.bytes != sizeof(float)) {
      fail("scale.shape", "expected one element, got " + shape_text(scale.shape));
    }
    case_.scale_bits = load_bits(file_.read(scale), DType::fp32, 0);
  }

  void read_outputs() {
    const SafetensorsTensor& out = demand("out", "the normalized output is what is judged");
    if (quantizes(case_.operation)) {
      case_.quantized_dtype = demand_dtype(out, kQuantizedDTypes);
    } else {
      demand_dtype(out, std::array{case_.dtype});
    }
    demand_shape_of_input(out);
    case_.outputs.emplace();
    case_.outputs->out = file_.read(out);
    if (!adds_residual(case_.operation)) {
      return forbid("residual_out", operation_name() + " adds no residual");
    }
    const SafetensorsTensor& residual_out =
        demand("residual_out", operation_name() + " writes the new residual");
    demand_dtype(residual_out, std::array{case_.dtype});
    demand_shape_of_input(residual_out);
    case_.outputs->residual_out = file_.read(residual_out);
  }

  const SafetensorsFile& file_;
  const DumpOptions& options_;
  Case case_;
};

std::string fp32_text(std::uint32_t bits) {
  const float number = std::bit_cast<float>(bits);
  std::array<char, 32> text{};
  if (std::isfinite(number)) {
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr};
  }
  text.fill('0');
  text[1] = 'x';
  const auto end = std::to_chars(text.data() + 2, text.data() + text.size(), bits, 16).ptr;
  return {text.data(), end};
}

}  // namespace

std::optional<std::uint32_t> fp32_bits_from_text(std::string_view text) {
  if (text.starts_with("0x")) {
    if (text.size() != 10) return std::nullopt;
    std::uint32_t bits = 0;
    const auto parsed = std::from_chars(text.data() + 2, text.data() + text.size(), bits, 16);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
    return bits;
  }
  // A plain decimal: neither "inf" and "nan" nor blanks, which from_chars and strtof would take.
  if (text.empty() || text.find_first_not_of("0123456789.eE+-") != std::string_view::npos)
    return std::nullopt;
  const std::string terminated(text);
  char* end = nullptr;
  const float number = std::strtof(terminated.c_str(), &end);
  if (end != terminated.c_str() + terminated.size() || std::isinf(number)) return std::nullopt;
  const std::string_view digits = text.substr(0, text.find_first_of("eE"));
  if (number == 0 && digits.find_first_of("123456789") != std::string_view::npos) return std::nullopt;
  return std::bit_cast<std::uint32_t>(number);
}

Dump dump_from_safetensors(const SafetensorsFile& file, const DumpOptions& options) {
  return DumpReader(file, options).read();
}

Dump read_dump(const std::filesystem::path& file, const DumpOptions& options) {
  return dump_from_safetensors(read_safetensors(file), options);
}

void write_dump(const std::filesystem::path& file, const Case& test_case,
                const std::optional<std::string>& policy) {
  if (const auto reasons = validate(test_case); !reasons.empty())
    throw std::invalid_argument(reasons.front());
  if (!test_case.outputs) throw std::invalid_argument("$.outputs: a dump needs outputs, the case has none");
  const CaseTensors tensors = materialize(test_case);
  std::vector<std::byte> scale(sizeof(float));
  store_bits(scale, DType::fp32, 0, test_case.scale_bits);
  // Wider elements first, so that every tensor is aligned to its elements.
  std::vector<SafetensorsContent> contents;
  if (quantizes(test_case.operation)) contents.push_back({"scale", DType::fp32, {1}, scale});
  if (test_case.weight_dtype) {
    contents.push_back({"weight", *test_case.weight_dtype, {test_case.hidden_size()}, tensors.weight});
  }
  contents.push_back({"x", test_case.dtype, test_case.shape, tensors.input});
  if (adds_residual(test_case.operation)) {
    contents.push_back({"residual", test_case.dtype, test_case.shape, tensors.residual});
    contents.push_back({"residual_out", test_case.dtype, test_case.shape, test_case.outputs->residual_out});
  }
  contents.push_back({"out", test_case.output_dtype(), test_case.shape, test_case.outputs->out});
  std::map<std::string, std::string> metadata = {{"op", std::string(name_of(test_case.operation))},
                                                 {"epsilon", fp32_text(test_case.epsilon_bits)}};
  if (policy) metadata["policy"] = *policy;
  write_safetensors(file, contents, metadata);
}

}  // namespace normproof
