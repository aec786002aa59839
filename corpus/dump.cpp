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

// A dump calls the input x.
std::string_view dump_name_of(Role role) { return role == Role::input ? "x" : name_of(role); }

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
  DumpReader(const SafetensorsFile& file, const DumpOptions& options, std::string prefix)
      : file_(file), options_(options), prefix_(std::move(prefix)) {}

  Dump read() {
    demand_known_names();
    read_scalars();
    read_input();
    for (const Role role : kRoles)
      if (role != Role::input && !is_output(case_.operation, role)) read_tensor(role);
    for (const Role role : kRoles)  // what may be wide depends on the weight and the residual
      if (is_output(case_.operation, role)) read_tensor(role);
    if (const auto reasons = validate(case_); !reasons.empty()) fail("dump", reasons.front());
    Dump dump;
    dump.test_case = std::move(case_);
    if (const auto policy = metadata("policy")) dump.policy = *policy;
    return dump;
  }

 private:
  [[noreturn]] void fail(std::string_view field, std::string reason) const {
    throw SafetensorsError(file_.path(),
                           field.empty() ? in_quotes(field) : shortened(prefix_ + std::string(field)),
                           std::move(reason));
  }

  const SafetensorsTensor* find(std::string_view name) const {
    return file_.find(prefix_ + std::string(name));
  }

  const std::string* metadata(const std::string& key) const {
    const auto found = file_.metadata().find(prefix_ + key);
    return found == file_.metadata().end() ? nullptr : &found->second;
  }

  void demand_known_names() const {
    std::string known;
    for (const Role role : kRoles) known += (known.empty() ? "" : ", ") + std::string(dump_name_of(role));
    for (const SafetensorsTensor& tensor : file_.tensors()) {
      if (!tensor.name.starts_with(prefix_)) continue;
      const std::string name = tensor.name.substr(prefix_.size());
      if (std::ranges::find(kRoles, name, dump_name_of) == kRoles.end())
        fail(name, "unknown tensor; a dump has " + known);
    }
  }

  std::string own_name(const SafetensorsTensor& tensor) const { return tensor.name.substr(prefix_.size()); }

  DType demand_dtype(const SafetensorsTensor& tensor, std::span<const DType> allowed) const {
    const auto dtype = tensor.dtype.dtype;
    if (!dtype || std::ranges::find(allowed, *dtype) == allowed.end()) {
      fail(own_name(tensor) + ".dtype",
           "expected " + names_of(allowed) + ", got " + std::string(tensor.dtype.name));
    }
    return *dtype;
  }
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
      for (const Operation value : all_operations())
        known += (known.empty() ? "" : ", ") + std::string(name_of(value));
      fail("op", "expected one of " + known + ", got " + in_quotes(*op));
    }
    const std::string* epsilon = metadata("epsilon");
    if (options_.epsilon_bits) {
      case_.bits_of(Parameter::epsilon) = *options_.epsilon_bits;
    } else if (epsilon == nullptr) {
      fail("epsilon", "missing: neither metadata nor an option gives it");
    } else if (const auto bits = fp32_bits_from_text(*epsilon)) {
      case_.bits_of(Parameter::epsilon) = *bits;
    } else {
      fail("epsilon",
           "expected an fp32 number such as \"1e-6\" or \"0x358637bd\", got " + in_quotes(*epsilon));
    }
  }

  void read_input() {
    const SafetensorsTensor* found = find("x");
    if (found == nullptr) fail("x", "missing; the input before the call");
    const SafetensorsTensor& x = *found;
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
    case_[Role::input].data.bytes = file_.read(x);
  }

  // The dtypes that the file may choose from.
  std::vector<DType> dtypes_of(const TensorSpec& spec) const {
    if (spec.dtype == DTypeRule::weight && case_.dtype != DType::fp32) return {case_.dtype, DType::fp32};
    if (spec.dtype == DTypeRule::codes) return code_dtypes(case_.operation);
    const bool narrow_weight = case_.weight_dtype && *case_.weight_dtype != DType::fp32;
    const bool may_be_wide =
        spec.dtype == DTypeRule::residual || (spec.dtype == DTypeRule::output && !narrow_weight);
    // The sum is stored as the residual is, which was read before it.
    const bool is_sum = spec.dtype == DTypeRule::residual && spec.direction == Direction::out;
    if (may_be_wide && case_.dtype != DType::fp32 && !is_sum) return {case_.dtype, DType::fp32};
    return {case_.dtype_of(spec.role)};
  }

  void demand_shape(const SafetensorsTensor& tensor, const TensorSpec& spec) const {
    const std::vector<std::int64_t>& x = find("x")->shape;
    std::vector<std::int64_t> wanted = x;
    std::string_view what = "the shape of x, ";
    if (spec.extent == Extent::hidden) {
      wanted = {case_.hidden_size()};
      what = "the hidden size of x, ";
    } else if (spec.extent == Extent::one) {
      // [], [1], [1, 1]: they all hold one number.
      if (tensor.bytes == size_of(*tensor.dtype.dtype)) return;
      fail(own_name(tensor) + ".shape", "expected one element, got " + shape_text(tensor.shape));
    } else if (spec.extent == Extent::row) {
      // [..., 1], or without the last dimension, as a maximum over it leaves it.
      wanted.pop_back();
      if (tensor.shape == wanted) return;
      wanted.push_back(1);
      what = "one element for each row of x, ";
    }
    if (tensor.shape == wanted) return;
    fail(own_name(tensor) + ".shape",
         "expected " + std::string(what) + shape_text(wanted) + ", got " + shape_text(tensor.shape));
  }

  void read_tensor(Role role) {
    const TensorSpec* spec = find_tensor(case_.operation, role);
    const SafetensorsTensor* tensor = find(dump_name_of(role));
    if (spec == nullptr) {
      if (tensor != nullptr) fail(dump_name_of(role), "not expected: " + case_.why_no(role));
      return;
    }
    if (tensor == nullptr) {
      if (spec->optional) return;
      fail(dump_name_of(role), "missing; " + std::string(name_of(case_.operation)) +
                                   (spec->direction == Direction::in ? " reads it" : " writes it"));
    }
    const DType dtype = demand_dtype(*tensor, dtypes_of(*spec));
    case_.set_dtype(*spec, dtype);
    demand_shape(*tensor, *spec);
    if (holds_parameter(role)) {
      set_parameter(role, load_bits(file_.read(*tensor), dtype, 0));
    } else if (spec->direction == Direction::in) {
      case_[role].data.bytes = file_.read(*tensor);
    } else {
      if (!case_.outputs) case_.outputs.emplace();
      (*case_.outputs)[role] = file_.read(*tensor);
    }
  }

  void set_parameter(Role role, std::uint32_t bits) {
    for (const Parameter parameter : kParameters)
      if (spec_of(parameter).lies_in == role) case_.bits_of(parameter) = bits;
  }

  const SafetensorsFile& file_;
  const DumpOptions& options_;
  std::string prefix_;
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

Dump dump_from_safetensors(const SafetensorsFile& file, const DumpOptions& options,
                           const std::string& prefix) {
  return DumpReader(file, options, prefix).read();
}

Dump read_dump(const std::filesystem::path& file, const DumpOptions& options) {
  return dump_from_safetensors(read_safetensors(file), options);
}

DumpContents dump_contents(const Case& test_case, const std::optional<std::string>& policy,
                           const std::string& prefix) {
  if (const auto reasons = validate(test_case); !reasons.empty())
    throw std::invalid_argument(reasons.front());
  if (!test_case.outputs) throw std::invalid_argument("$.outputs: a dump needs outputs, the case has none");
  DumpContents result{materialize(test_case), {}, {}};
  for (const Parameter parameter : kParameters) {
    const auto role = spec_of(parameter).lies_in;
    if (!role || !test_case.has(*role)) continue;
    result.tensors[*role].resize(sizeof(float));
    store_bits(result.tensors[*role], DType::fp32, 0, test_case.bits_of(parameter));
  }
  for (const Role role : kRoles) {
    if (!test_case.has(role)) continue;
    result.contents.push_back(
        {prefix + std::string(dump_name_of(role)), test_case.dtype_of(role), test_case.shape_of(role),
         test_case.has_output(role) ? (*test_case.outputs)[role] : result.tensors[role]});
  }
  result.metadata = {{prefix + "op", std::string(name_of(test_case.operation))},
                     {prefix + "epsilon", fp32_text(test_case.bits_of(Parameter::epsilon))}};
  if (policy) result.metadata[prefix + "policy"] = *policy;
  return result;
}

void write_dump(const std::filesystem::path& file, const Case& test_case,
                const std::optional<std::string>& policy) {
  DumpContents dump = dump_contents(test_case, policy);
  align(dump.contents);
  write_safetensors(file, dump.contents, dump.metadata);
}

void align(std::vector<SafetensorsContent>& contents) {
  std::vector<SafetensorsContent> aligned;
  for (const std::size_t size : {4, 2, 1}) {
    for (const SafetensorsContent& tensor : contents)
      if (size_of(tensor.dtype) == size) aligned.push_back(tensor);
  }
  contents = std::move(aligned);
}

}  // namespace normproof
