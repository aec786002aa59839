// What makes a Case well-formed. Every message names the JSON path, the rule and the value that broke it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "corpus/case.h"
#include "corpus/case_checks.h"
#include "corpus/case_names.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "corpus/recipe.h"

namespace normproof {
namespace {

constexpr std::int64_t kMaximumInt64 = std::numeric_limits<std::int64_t>::max();
// Room that a target may put around a tensor (guard zones, alignment) without leaving 63 bits.
constexpr std::int64_t kReservedBytes = 4096;

using Reasons = std::vector<std::string>;

void add(Reasons& reasons, std::string_view path, std::string_view what) {
  reasons.push_back(std::string(path) + ": " + std::string(what));
}

std::string in_path(std::string_view path, std::string_view key) {
  return std::string(path) + "." + std::string(key);
}

std::string at_path(std::string_view path, std::size_t index) {
  return std::string(path) + "[" + std::to_string(index) + "]";
}

std::string hexadecimal(std::uint32_t bits) {
  std::array<char, 11> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", static_cast<unsigned>(bits));
  return text.data();
}

template <class Values>
bool contains(const Values& values, const typename Values::value_type& value) {
  return std::ranges::find(values, value) != values.end();
}

void check_texts(const Case& test_case, Reasons& reasons) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '+';
  };
  if (test_case.name.size() > kMaximumNameBytes) {
    add(reasons, "$.name",
        "at most " + std::to_string(kMaximumNameBytes) + " bytes, got " +
            std::to_string(test_case.name.size()));
  } else if (!std::ranges::all_of(test_case.name, allowed)) {
    add(reasons, "$.name", "only letters, digits and - _ . +, got " + in_quotes(test_case.name));
  }
  if (test_case.description.size() > kMaximumDescriptionBytes) {
    add(reasons, "$.description",
        "at most " + std::to_string(kMaximumDescriptionBytes) + " bytes, got " +
            std::to_string(test_case.description.size()));
  } else if (!is_utf8(test_case.description)) {
    add(reasons, "$.description", "not UTF-8: " + in_quotes(test_case.description));
  }
}

// fp32 in the place of a narrower T.
void check_wide_tensors(const Case& test_case, Reasons& reasons) {
  const auto check = [&](bool wide, std::string_view key, bool possible, std::string_view what) {
    if (!wide) return;
    const std::string path = "$." + std::string(key);
    if (test_case.dtype == DType::fp32) add(reasons, path, "the activations are fp32 already, got fp32");
    if (!possible) add(reasons, path, std::string(what) + ", got fp32");
    if (!test_case.outputs)
      add(reasons, path, "no target writes it: only outputs that are given are judged, got none");
  };
  const bool narrow_weight = test_case.weight_dtype && *test_case.weight_dtype != DType::fp32;
  const std::string operation(name_of(test_case.operation));
  check(test_case.fp32_output, "output_dtype", has(test_case.operation, DTypeRule::output) && !narrow_weight,
        narrow_weight ? "only beside an fp32 weight, or none" : operation + " quantizes");
  check(test_case.fp32_residual, "residual_dtype", has(test_case.operation, DTypeRule::residual),
        operation + " has no residual");
}

void check_upper_bound(const Case& test_case, Reasons& reasons) {
  const std::uint32_t bits = test_case.bits_of(Parameter::scale_ub);
  if (!is_upper_bound(bits))
    add(reasons, "$.scale_ub", "a number above 0, or infinity, got bits " + hexadecimal(bits));
}

void check_codes(const Case& test_case, Reasons& reasons) {
  const bool wanted = has(test_case.operation, DTypeRule::codes);
  const std::string path = "$." + std::string(kOptionalDTypes.back().key),
                    operation(name_of(test_case.operation));
  const std::string got = ", got " + std::string(name_of(test_case.kind().output_dtype()));
  if (wanted && !test_case.has_codes()) {
    add(reasons, path, operation + " needs one, got none");
  } else if (!wanted && test_case.has_codes()) {
    add(reasons, path, operation + " does not quantize" + got);
  } else if (wanted && !may_quantize_to(test_case.operation, test_case.output_dtype())) {
    const bool with_int8 = may_quantize_to(test_case.operation, DType::int8);
    add(reasons, path, (with_int8 ? "an fp8 dtype or int8" : "an fp8 dtype") + got);
  }
}

void check_dtypes(const Case& test_case, Reasons& reasons) {
  if (!contains(kActivationDTypes, test_case.dtype)) {
    add(reasons, "$.dtype",
        "an activation dtype is bf16, fp16 or fp32, got " + std::string(name_of(test_case.dtype)));
  }
  if (test_case.weight_dtype && *test_case.weight_dtype != test_case.dtype &&
      *test_case.weight_dtype != DType::fp32) {
    add(reasons, "$.weight_dtype",
        "the dtype of the activation (" + std::string(name_of(test_case.dtype)) + ") or fp32, got " +
            std::string(name_of(*test_case.weight_dtype)));
  }
  check_codes(test_case, reasons);
  check_wide_tensors(test_case, reasons);
  check_upper_bound(test_case, reasons);
  for (const Parameter parameter : kParameters) {
    if (has(test_case.operation, parameter) || test_case.bits_of(parameter) == spec_of(parameter).usual_bits)
      continue;
    const std::string name(spec_of(parameter).name);
    add(reasons, "$." + name,
        std::string(name_of(test_case.operation)) + " has no " + name + ", got bits " +
            hexadecimal(test_case.bits_of(parameter)));
  }
}

// False where the shape is unusable for the checks that follow.
bool check_shape(const Case& test_case, Reasons& reasons) {
  const std::size_t count = reasons.size();
  const std::size_t rank = test_case.shape.size();
  const std::size_t maximum = spec_of(test_case.operation).greatest_rank;
  if (rank < kMinimumRank || rank > maximum) {
    add(reasons, "$.shape",
        "rank " + std::to_string(kMinimumRank) +
            (maximum > kMinimumRank ? " to " + std::to_string(maximum) : std::string()) + " for " +
            std::string(name_of(test_case.operation)) + ", got rank " + std::to_string(rank));
    return false;
  }
  for (std::size_t dim = 0; dim + 1 < rank; ++dim) {
    if (test_case.shape[dim] < 0) {
      add(reasons, at_path("$.shape", dim),
          "a size is at least 0, got " + std::to_string(test_case.shape[dim]));
    }
  }
  const std::int64_t hidden = test_case.shape.back();
  if (hidden < 1 || hidden > kMaximumHiddenSize) {
    add(reasons, at_path("$.shape", rank - 1),
        "the hidden size is 1 to " + std::to_string(kMaximumHiddenSize) + ", got " + std::to_string(hidden));
  }
  if (reasons.size() == count && test_case.elements() > kMaximumElements) {
    const std::int64_t elements = test_case.elements();
    add(reasons, "$.shape",
        "at most " + std::to_string(kMaximumElements) + " elements, got " +
            (elements == kMaximumInt64 ? "2^63 or more" : std::to_string(elements)));
  }
  return reasons.size() == count;
}

// Rows must not overlap: of the leading dimensions with more than one step, taken from the smallest stride
// up, each must step over everything that the smaller ones span.
void check_strides(std::string_view layout_path, const std::vector<std::int64_t>& strides,
                   const Case& test_case, std::int64_t offset, std::size_t element_size, Reasons& reasons) {
  const std::size_t leading = test_case.shape.size() - 1;
  if (strides.empty()) return;  // contiguous: bounded by kMaximumElements
  const auto path = [&] { return in_path(layout_path, "strides"); };
  if (strides.size() != leading) {
    add(reasons, path(),
        "one stride per leading dimension (" + std::to_string(leading) + "), got " +
            std::to_string(strides.size()));
    return;
  }
  bool positive = true;
  for (std::size_t dim = 0; dim < leading; ++dim) {
    if (strides[dim] >= 1) continue;
    add(reasons, at_path(path(), dim), "a stride is at least 1 element, got " + std::to_string(strides[dim]));
    positive = false;
  }
  if (!positive) return;

  std::array<std::size_t, kMaximumRank - 1> dims{};
  std::iota(dims.begin(), dims.end(), std::size_t{0});
  const std::span inner_first = std::span(dims).first(leading);
  std::ranges::sort(inner_first, {}, [&](std::size_t dim) { return std::pair(strides[dim], dim); });
  std::int64_t extent = test_case.shape.back();
  for (const std::size_t dim : inner_first) {
    const std::int64_t size = test_case.shape[dim];
    if (size <= 1) continue;
    if (strides[dim] < extent) {
      add(reasons, at_path(path(), dim),
          "rows overlap: each step must clear " + std::to_string(extent) + " elements, got " +
              std::to_string(strides[dim]));
      return;
    }
    std::int64_t steps = 0;
    if (__builtin_mul_overflow(size - 1, strides[dim], &steps) ||
        __builtin_add_overflow(extent, steps, &extent) ||
        extent > (kMaximumInt64 - kReservedBytes) / static_cast<std::int64_t>(element_size) - offset) {
      add(reasons, at_path(path(), dim),
          "the tensor's extent in bytes must fit in 63 bits, got stride " + std::to_string(strides[dim]) +
              " for size " + std::to_string(size));
      return;
    }
  }
}

void check_offset(std::string_view path, std::int64_t offset, Reasons& reasons) {
  if (offset >= 0 && offset <= kMaximumOffset) return;
  add(reasons, in_path(path, "offset"),
      "0 to " + std::to_string(kMaximumOffset) + " elements, got " + std::to_string(offset));
}

// Why a tensor has no place of its own.
std::string why_no_layout(const Case& test_case, Role role) {
  if (!test_case.has(role)) return test_case.why_no(role);
  const Role memory = test_case.memory_of(role);
  if (memory == role) return std::string(name_of(role)) + " is a number of the call";
  return std::string(name_of(role)) + " is written over " + std::string(name_of(memory)) +
         " and has its layout";
}

void check_layout(const Case& test_case, Role role, Reasons& reasons) {
  const TensorLayout& layout = test_case[role].layout;
  const std::string path = "$.layout." + std::string(layout_name_of(role));
  if (!test_case.has_layout(role)) {
    if (layout == TensorLayout{}) return;
    add(reasons, path,
        why_no_layout(test_case, role) + ", got " +
            (layout.strides.empty() ? "offset " + std::to_string(layout.offset) : "strides"));
    return;
  }
  check_offset(path, layout.offset, reasons);
  if (test_case.has_strides(role)) {
    check_strides(path, layout.strides, test_case, layout.offset, size_of(test_case.dtype_of(role)), reasons);
  } else if (!layout.strides.empty()) {
    add(reasons, in_path(path, "strides"), std::string(name_of(role)) + " has no strides, got some");
  }
}

void check_layouts(const Case& test_case, Reasons& reasons) {
  for (const Role role : kRoles) check_layout(test_case, role, reasons);
  if (test_case.in_place && !may_be_in_place(test_case.operation)) {
    add(reasons, "$.layout.in_place",
        std::string(name_of(test_case.operation)) + " leaves no choice, got true");
  }
}

void check_execution(const Case& test_case, Reasons& reasons) {
  constexpr std::array kThreadOrders = {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::random};
  constexpr std::array kKernelPaths = {KernelPath::automatic, KernelPath::vectorized, KernelPath::scalar};
  if (!contains(kThreadOrders, test_case.schedule.order)) {
    add(reasons, "$.schedule.order",
        "no order has number " + std::to_string(static_cast<int>(test_case.schedule.order)));
  } else if (test_case.schedule.order != ThreadOrder::random && test_case.schedule.seed != 0) {
    add(reasons, "$.schedule.seed",
        "only the random order has one, got " + std::to_string(test_case.schedule.seed));
  }
  if (!contains(kKernelPaths, test_case.launch.path)) {
    add(reasons, "$.launch.path",
        "no path has number " + std::to_string(static_cast<int>(test_case.launch.path)));
  }
  const int threads = test_case.launch.threads_per_block;
  if (threads < 0 || threads > kMaximumThreadsPerBlock || threads % kThreadsPerWarp != 0) {
    add(reasons, "$.launch.threads_per_block",
        "0, or a multiple of " + std::to_string(kThreadsPerWarp) + " up to " +
            std::to_string(kMaximumThreadsPerBlock) + ", got " + std::to_string(threads));
  }
}

void check_data(const Case& test_case, Role role, Reasons& reasons) {
  const TensorData& data = test_case[role].data;
  const std::string path = "$." + std::string(name_of(role));
  if (!test_case.has_data(role)) {
    if (data == TensorData{}) return;
    add(reasons, path,
        (test_case.has(role) ? std::string(name_of(role)) + " has no values of its own"
                             : test_case.why_no(role)) +
            ", got data");
    return;
  }
  if (test_case.elements_of(role) == 0) {
    if (!data.bytes.empty() || data.recipe)
      add(reasons, path, "the tensor is empty and has no data, got some");
    return;
  }
  if (data.recipe && !data.bytes.empty()) {
    add(reasons, path, "either bits or a recipe, got both");
  } else if (data.recipe) {
    if (!is_data_class(data.recipe->data_class)) {
      add(reasons, in_path(path, "recipe.class"), "unknown class " + in_quotes(data.recipe->data_class));
    }
  } else if (data.bytes.empty()) {
    add(reasons, path, "bits or a recipe, got neither");
  } else if (data.bytes.size() != test_case.bytes_of(role)) {
    add(reasons, path,
        std::to_string(test_case.bytes_of(role)) + " bytes, got " + std::to_string(data.bytes.size()));
  }
}

void check_output(const Case& test_case, Role role, Reasons& reasons) {
  const std::size_t wanted = test_case.has_output(role) ? test_case.bytes_of(role) : 0;
  const std::size_t got = (*test_case.outputs)[role].size();
  if (got == wanted) return;
  add(reasons, "$.outputs." + std::string(name_of(role)),
      test_case.has_output(role) ? std::to_string(wanted) + " bytes, got " + std::to_string(got)
                                 : test_case.why_no(role) + ", got " + std::to_string(got) + " bytes");
}

}  // namespace

std::vector<std::string> validate_all_but_data(const Case& test_case) {
  Reasons reasons;
  check_texts(test_case, reasons);
  if (!contains(all_operations(), test_case.operation)) {
    add(reasons, "$.operation",
        "no operation has number " + std::to_string(static_cast<int>(test_case.operation)));
    return reasons;  // what follows reads its row of the table
  }
  check_dtypes(test_case, reasons);
  if (check_shape(test_case, reasons)) check_layouts(test_case, reasons);
  check_execution(test_case, reasons);
  return reasons;
}

std::vector<std::string> validate(const Case& test_case) {
  Reasons reasons = validate_all_but_data(test_case);
  if (!reasons.empty()) return reasons;  // sizes may be meaningless
  for (const Role role : kRoles) {
    check_data(test_case, role, reasons);
    if (test_case.outputs) check_output(test_case, role, reasons);
  }
  return reasons;
}

}  // namespace normproof
