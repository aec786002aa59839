#include "properties/invalid/invalid_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "corpus/generate.h"

namespace normproof {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

std::optional<Refusal> misalign(const char* name, normproof_tensor& tensor) {
  tensor.data = static_cast<std::byte*>(tensor.data) + 1;
  return Refusal{NORMPROOF_MISALIGNED_POINTER, name, fmt::format("{}", tensor.data)};
}

std::optional<Refusal> no_data(const char* name, normproof_tensor& tensor) {
  tensor.data = nullptr;
  return Refusal{NORMPROOF_NULL_POINTER, name, "0x0"};
}

std::optional<Refusal> invalid_stride(const char* name, normproof_tensor& tensor, std::int64_t stride) {
  for (std::int32_t dim = 0; dim + 1 < tensor.rank; ++dim) {
    if (tensor.sizes[dim] < 2) continue;
    tensor.strides[dim] = stride;
    return Refusal{NORMPROOF_INVALID_STRIDE, name, fmt::format("strides[{}] is {}", dim, stride)};
  }
  return std::nullopt;
}

std::optional<Refusal> narrow_stride(const char* name, normproof_tensor& tensor) {
  return invalid_stride(name, tensor, tensor.sizes[tensor.rank - 1] - 1);
}

std::optional<Refusal> wide_last_stride(const char* name, normproof_tensor& tensor) {
  tensor.strides[tensor.rank - 1] = 2;
  return Refusal{NORMPROOF_INVALID_STRIDE, name, fmt::format("strides[{}] is 2", tensor.rank - 1)};
}

// "... bytes from ... on", as messages name the memory of a tensor.
std::string memory_of(const normproof_tensor& tensor, std::size_t element_bytes) {
  std::int64_t extent = tensor.sizes[tensor.rank - 1];
  for (std::int32_t dim = 0; dim + 1 < tensor.rank; ++dim)
    extent += (tensor.sizes[dim] - 1) * tensor.strides[dim];
  return fmt::format("{} bytes from {} on", extent * static_cast<std::int64_t>(element_bytes), tensor.data);
}

// Gives all tensors of the call so many rows, in the first dimension and perhaps the second, all others
// being 1.
void set_rows(GuardedCall& call, std::int64_t first, std::int64_t second = 1) {
  for (const Role role : {Role::input, Role::out, Role::residual, Role::scales}) {
    normproof_tensor* tensor = &call.description(role);
    const std::int64_t hidden = tensor->sizes[call.description(Role::input).rank - 1];
    for (std::int32_t dim = 0; dim + 1 < call.description(Role::input).rank; ++dim) {
      tensor->sizes[dim] = dim == 0 ? first : dim == 1 ? second : 1;
      tensor->strides[dim] = std::max(tensor->strides[dim], hidden);  // with one row it might have been any
    }
  }
}

// Two rows of input that end `elements` after its beginning.
void stretch_input(GuardedCall& call, std::uint64_t elements) {
  set_rows(call, 2);
  const auto hidden =
      static_cast<std::uint64_t>(call.description(Role::input).sizes[call.description(Role::input).rank - 1]);
  call.description(Role::input).strides[0] = static_cast<std::int64_t>(elements - hidden);
}

// Gives the enumeration a value that names nothing.
template <class Enumeration>
void set_number(Enumeration& value, std::int32_t number) {
  static_assert(sizeof value == sizeof number);
  std::memcpy(&value, &number, sizeof number);
}

Refusal unknown_dtype(const char* name, normproof_tensor& tensor, std::int32_t number) {
  set_number(tensor.dtype, number);
  return {NORMPROOF_UNSUPPORTED_DTYPE, name, std::to_string(number)};
}

Refusal unknown_path(GuardedCall& call, std::int32_t number) {
  set_number(call.launch.path, number);
  return {NORMPROOF_INVALID_LAUNCH, "launch", fmt::format("path is {}", number)};
}

// The refusal of an input that is too large by what it names, sizes and strides and all.
Refusal too_large(const GuardedCall& call, std::string_view what) {
  const normproof_tensor& input = call.description(Role::input);
  std::string shape;
  for (std::int32_t dim = 0; dim < input.rank; ++dim)
    shape += fmt::format("{}{} x stride {}", dim == 0 ? "" : ", ", input.sizes[dim], input.strides[dim]);
  return {NORMPROOF_SIZE_OVERFLOW, "input",
          fmt::format("{} does not fit in 63 bits (sizes {})", what, shape)};
}

bool writes_out(const Case& test_case) { return test_case.memory_of(Role::out) == Role::out; }

std::optional<Refusal> invalid_threads(GuardedCall& call, std::int32_t threads) {
  call.launch.threads_per_block = threads;
  return Refusal{NORMPROOF_INVALID_LAUNCH, "launch", fmt::format("threads_per_block is {}", threads)};
}

constexpr std::array kInvalidArguments = {
    // Pointers.
    InvalidArgument{"no input description",
                    [](GuardedCall& call, const Case&) {
                      call.argument(Role::input) = nullptr;
                      return std::optional(Refusal{NORMPROOF_NULL_POINTER, "input", "0x0"});
                    }},
    InvalidArgument{"no out description",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (overwrites_input(test_case.operation)) return std::nullopt;
                      call.argument(Role::out) = nullptr;
                      return Refusal{NORMPROOF_NULL_POINTER, "out", "0x0"};
                    }},
    InvalidArgument{"no residual description",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::residual) == nullptr) return std::nullopt;
                      call.argument(Role::residual) = nullptr;
                      return Refusal{NORMPROOF_NULL_POINTER, "residual", "0x0"};
                    }},
    InvalidArgument{"no scale",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scale) == nullptr) return std::nullopt;
                      call.argument(Role::scale) = nullptr;
                      return Refusal{NORMPROOF_NULL_POINTER, "scale", "0x0"};
                    }},
    InvalidArgument{"input without data", [](GuardedCall& call, const Case&) { return no_data("input", call.description(Role::input)); }},
    InvalidArgument{"out without data",
                    [](GuardedCall& call, const Case& test_case) {
                      return writes_out(test_case) ? no_data("out", call.description(Role::out)) : std::nullopt;
                    }},
    InvalidArgument{"residual without data",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::residual) ? no_data("residual", call.description(Role::residual)) : std::nullopt;
                    }},
    InvalidArgument{"weight without data",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::weight) ? no_data("weight", call.description(Role::weight)) : std::nullopt;
                    }},
    InvalidArgument{"no scales description",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scales) == nullptr) return std::nullopt;
                      call.argument(Role::scales) = nullptr;
                      return Refusal{NORMPROOF_NULL_POINTER, "scales", "0x0"};
                    }},
    InvalidArgument{"scales without data",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::scales) ? no_data("scales", call.description(Role::scales))
                                                         : std::nullopt;
                    }},
    InvalidArgument{"misaligned scales",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::scales) ? misalign("scales", call.description(Role::scales))
                                                         : std::nullopt;
                    }},
    InvalidArgument{"scales of another rank",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scales) == nullptr) return std::nullopt;
                      call.description(Role::scales).rank = 1;
                      return Refusal{NORMPROOF_INVALID_RANK, "scales", "rank is 1"};
                    }},
    InvalidArgument{"scales for fewer rows",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scales) == nullptr) return std::nullopt;
                      const std::int64_t size = --call.description(Role::scales).sizes[0];
                      return Refusal{NORMPROOF_INVALID_SIZE, "scales", fmt::format("sizes[0] is {}", size)};
                    }},
    InvalidArgument{"several scales for a row",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scales) == nullptr) return std::nullopt;
                      call.description(Role::scales).sizes[1] = 2;
                      return Refusal{NORMPROOF_INVALID_SIZE, "scales", "sizes[1] is 2"};
                    }},
    InvalidArgument{"scales of another dtype",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scales) == nullptr) return std::nullopt;
                      call.description(Role::scales).dtype = NORMPROOF_FP16;
                      return Refusal{NORMPROOF_UNSUPPORTED_DTYPE, "scales", "fp16"};
                    }},
    InvalidArgument{"scales over the input",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scales) == nullptr) return std::nullopt;
                      normproof_tensor& scales = call.description(Role::scales);
                      const auto address =
                          reinterpret_cast<std::uintptr_t>(call.description(Role::input).data);
                      if (address % sizeof(float) != 0) return std::nullopt;
                      scales.data = call.description(Role::input).data;
                      return Refusal{NORMPROOF_OVERLAP, "scales", memory_of(scales, sizeof(float))};
                    }},
    // Alignment to the element size.
    InvalidArgument{"misaligned input", [](GuardedCall& call, const Case&) { return misalign("input", call.description(Role::input)); }},
    InvalidArgument{"misaligned out",
                    [](GuardedCall& call, const Case& test_case) {
                      const bool possible = writes_out(test_case) && size_of(test_case.output_dtype()) > 1;
                      return possible ? misalign("out", call.description(Role::out)) : std::nullopt;
                    }},
    InvalidArgument{"misaligned residual",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::residual) ? misalign("residual", call.description(Role::residual)) : std::nullopt;
                    }},
    InvalidArgument{"misaligned weight",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::weight) ? misalign("weight", call.description(Role::weight)) : std::nullopt;
                    }},
    InvalidArgument{"misaligned scale",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::scale) == nullptr) return std::nullopt;
                      return misalign("scale", call.description(Role::scale));
                    }},
    // Rank and sizes.
    InvalidArgument{"input of rank 1",
                    [](GuardedCall& call, const Case&) {
                      call.description(Role::input).rank = 1;
                      return std::optional(Refusal{NORMPROOF_INVALID_RANK, "input", "rank is 1"});
                    }},
    InvalidArgument{"input of rank 5",
                    [](GuardedCall& call, const Case&) {
                      call.description(Role::input).rank = 5;
                      return std::optional(Refusal{NORMPROOF_INVALID_RANK, "input", "rank is 5"});
                    }},
    InvalidArgument{"rank 3 where rows have one stride",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (spec_of(test_case.operation).greatest_rank > 2) return std::nullopt;
                      call.description(Role::input).rank = 3;
                      call.description(Role::input).sizes[2] = call.description(Role::input).sizes[1];
                      call.description(Role::input).strides[2] = 1;
                      return Refusal{NORMPROOF_INVALID_RANK, "input", "rank is 3"};
                    }},
    InvalidArgument{
        "out of another rank",
        [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
          if (!writes_out(test_case)) return std::nullopt;
          normproof_tensor& out = call.description(Role::out);
          out.rank = out.rank < 4 ? out.rank + 1 : 3;
          return Refusal{NORMPROOF_INVALID_RANK, "out", fmt::format("rank is {}", out.rank)};
        }},
    InvalidArgument{"residual of another rank",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::residual) == nullptr) return std::nullopt;
                      call.description(Role::residual).rank = 3;
                      return Refusal{NORMPROOF_INVALID_RANK, "residual", "rank is 3"};
                    }},
    InvalidArgument{"weight of rank 2",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::weight) == nullptr) return std::nullopt;
                      call.description(Role::weight).rank = 2;
                      return Refusal{NORMPROOF_INVALID_RANK, "weight", "rank is 2"};
                    }},
    InvalidArgument{"negative number of rows",
                    [](GuardedCall& call, const Case&) {
                      call.description(Role::input).sizes[0] = call.description(Role::out).sizes[0] =
                          call.description(Role::residual).sizes[0] = -7;
                      return std::optional(Refusal{NORMPROOF_INVALID_SIZE, "input", "sizes[0] is -7"});
                    }},
    InvalidArgument{"hidden size 0",
                    [](GuardedCall& call, const Case&) {
                      for (normproof_tensor* tensor :
                           {&call.description(Role::input), &call.description(Role::out), &call.description(Role::residual)})
                        tensor->sizes[call.description(Role::input).rank - 1] = 0;
                      call.description(Role::weight).sizes[0] = 0;
                      return std::optional(Refusal{NORMPROOF_INVALID_SIZE, "input",
                                                   fmt::format("sizes[{}], the hidden size, is 0",
                                                               call.description(Role::input).rank - 1)});
                    }},
    InvalidArgument{"out of another shape",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (!writes_out(test_case)) return std::nullopt;
                      const std::int64_t size = ++call.description(Role::out).sizes[0];
                      return Refusal{NORMPROOF_INVALID_SIZE, "out", fmt::format("sizes[0] is {}", size)};
                    }},
    InvalidArgument{"out of a smaller shape",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (!writes_out(test_case)) return std::nullopt;
                      const std::int64_t size = --call.description(Role::out).sizes[0];
                      return Refusal{NORMPROOF_INVALID_SIZE, "out", fmt::format("sizes[0] is {}", size)};
                    }},
    InvalidArgument{"residual of another shape",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::residual) == nullptr) return std::nullopt;
                      const std::int64_t size = ++call.description(Role::residual).sizes[1];
                      return Refusal{NORMPROOF_INVALID_SIZE, "residual", fmt::format("sizes[1] is {}", size)};
                    }},
    InvalidArgument{"weight of another size",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.argument(Role::weight) == nullptr) return std::nullopt;
                      const std::int64_t size = ++call.description(Role::weight).sizes[0];
                      return Refusal{NORMPROOF_INVALID_SIZE, "weight", fmt::format("sizes[0] is {}", size)};
                    }},
    InvalidArgument{"rows beyond 63 bits",
                    [](GuardedCall& call, const Case&) {
                      set_rows(call, kHuge);
                      return std::optional(Refusal{NORMPROOF_SIZE_OVERFLOW, "input", fmt::format("{}", kHuge)});
                    }},
    InvalidArgument{"an extent of 2^63 elements",
                    [](GuardedCall& call, const Case&) {
                      stretch_input(call, std::uint64_t{1} << 63);
                      return std::optional(too_large(call, "the extent in elements"));
                    }},
    InvalidArgument{"an extent of 2^63 bytes",
                    [](GuardedCall& call, const Case& test_case) {
                      stretch_input(call, (std::uint64_t{1} << 63) / size_of(test_case.dtype));
                      return std::optional(too_large(call, "the extent in bytes"));
                    }},
    // An extent that just fits is no reason to refuse.
    InvalidArgument{"an extent below 2^63 bytes of input without data",
                    [](GuardedCall& call, const Case& test_case) {
                      stretch_input(call, (std::uint64_t{1} << 63) / size_of(test_case.dtype) - 1);
                      return no_data("input", call.description(Role::input));
                    }},
    InvalidArgument{"2^64 rows in little memory",
                    [](GuardedCall& call, const Case&) -> std::optional<Refusal> {
                      if (call.description(Role::input).rank < 3) return std::nullopt;
                      set_rows(call, std::int64_t{1} << 32, std::int64_t{1} << 32);
                      return too_large(call, "the number of elements");
                    }},
    InvalidArgument{"2^63 bytes of elements in little memory",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (call.description(Role::input).rank < 3) return std::nullopt;
                      const std::int64_t rows = std::int64_t{1} << 31;
                      set_rows(call, rows, rows / test_case.hidden_size() + 1);
                      return too_large(call, "the extent in bytes");
                    }},
    InvalidArgument{"input past the end of the address space",
                    [](GuardedCall& call, const Case& test_case) {
                      const auto last = std::uintptr_t{0} - size_of(test_case.dtype);
                      call.description(Role::input).data = reinterpret_cast<void*>(last);
                      return std::optional(
                          Refusal{NORMPROOF_SIZE_OVERFLOW, "input", fmt::format("0x{:x}", last)});
                    }},
    // Strides.
    InvalidArgument{"input rows that overlap", [](GuardedCall& call, const Case&) { return narrow_stride("input", call.description(Role::input)); }},
    InvalidArgument{"input with a negative stride",
                    [](GuardedCall& call, const Case& test_case) {
                      return invalid_stride("input", call.description(Role::input), -test_case.hidden_size());
                    }},
    InvalidArgument{"out rows that overlap",
                    [](GuardedCall& call, const Case& test_case) {
                      return writes_out(test_case) ? narrow_stride("out", call.description(Role::out)) : std::nullopt;
                    }},
    InvalidArgument{"residual rows that overlap",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::residual) ? narrow_stride("residual", call.description(Role::residual)) : std::nullopt;
                    }},
    InvalidArgument{"input with a gap between elements",
                    [](GuardedCall& call, const Case&) { return wide_last_stride("input", call.description(Role::input)); }},
    InvalidArgument{"weight with a gap between elements",
                    [](GuardedCall& call, const Case&) {
                      return call.argument(Role::weight) ? wide_last_stride("weight", call.description(Role::weight)) : std::nullopt;
                    }},
    // Dtypes.
    InvalidArgument{"fp8 input",
                    [](GuardedCall& call, const Case&) {
                      call.description(Role::input).dtype = NORMPROOF_FP8_E5M2;
                      return std::optional(Refusal{NORMPROOF_UNSUPPORTED_DTYPE, "input", "fp8_e5m2"});
                    }},
    InvalidArgument{"unknown input dtype",
                    [](GuardedCall& call, const Case&) {
                      return std::optional(unknown_dtype("input", call.description(Role::input), 99));
                    }},
    InvalidArgument{"negative input dtype",
                    [](GuardedCall& call, const Case&) {
                      return std::optional(unknown_dtype("input", call.description(Role::input), -1));
                    }},
    InvalidArgument{"unknown out dtype",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (!writes_out(test_case)) return std::nullopt;
                      return unknown_dtype("out", call.description(Role::out), 98);
                    }},
    InvalidArgument{"out of the wrong kind of dtype",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (!writes_out(test_case)) return std::nullopt;
                      const bool quantized = test_case.has_codes();
                      call.description(Role::out).dtype = quantized ? NORMPROOF_FP32 : NORMPROOF_FP8_E4M3FN;
                      return Refusal{NORMPROOF_UNSUPPORTED_DTYPE, "out", quantized ? "fp32" : "fp8_e4m3fn"};
                    }},
    InvalidArgument{"residual of another dtype",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (call.argument(Role::residual) == nullptr) return std::nullopt;
                      const bool is_half = test_case.dtype == DType::fp16;
                      call.description(Role::residual).dtype = is_half ? NORMPROOF_BF16 : NORMPROOF_FP16;
                      return Refusal{NORMPROOF_UNSUPPORTED_DTYPE, "residual", is_half ? "bf16" : "fp16"};
                    }},
    InvalidArgument{"weight of a third dtype",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (call.argument(Role::weight) == nullptr) return std::nullopt;
                      const bool is_half = test_case.dtype == DType::fp16;
                      call.description(Role::weight).dtype = is_half ? NORMPROOF_BF16 : NORMPROOF_FP16;
                      return Refusal{NORMPROOF_UNSUPPORTED_DTYPE, "weight", is_half ? "bf16" : "fp16"};
                    }},
    // Overlap. Messages name the tensor that would be written.
    InvalidArgument{"out half over input",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (!writes_out(test_case)) return std::nullopt;
                      // The same first byte is a legal in-place call only where the layouts agree too.
                      if (!test_case.has_codes() && test_case.hidden_size() < 2) return std::nullopt;
                      const bool shifted = !test_case.has_codes();
                      call.description(Role::out).data = static_cast<std::byte*>(call.description(Role::input).data) +
                                                  (shifted ? size_of(test_case.dtype) : 0);
                      return Refusal{NORMPROOF_OVERLAP, "out",
                                     memory_of(call.description(Role::out), size_of(test_case.output_dtype()))};
                    }},
    InvalidArgument{"residual over input",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (call.argument(Role::residual) == nullptr) return std::nullopt;
                      call.description(Role::residual) = call.description(Role::input);
                      return Refusal{NORMPROOF_OVERLAP, "",
                                     memory_of(call.description(Role::input), size_of(test_case.dtype))};
                    }},
    InvalidArgument{"weight over the output",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (call.argument(Role::weight) == nullptr || test_case.has_codes()) return std::nullopt;
                      if (*test_case.weight_dtype != test_case.dtype) return std::nullopt;
                      normproof_tensor& written =
                          writes_out(test_case) ? call.description(Role::out) : call.description(Role::input);
                      call.description(Role::weight).data = written.data;
                      return Refusal{NORMPROOF_OVERLAP, "", memory_of(written, size_of(test_case.dtype))};
                    }},
    InvalidArgument{"weight over the last row of the output",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (call.argument(Role::weight) == nullptr || test_case.has_codes()) return std::nullopt;
                      if (*test_case.weight_dtype != test_case.dtype || test_case.rows() < 2) return std::nullopt;
                      normproof_tensor& written =
                          writes_out(test_case) ? call.description(Role::out) : call.description(Role::input);
                      std::int64_t last_row = 0;
                      for (std::int32_t dim = 0; dim + 1 < written.rank; ++dim)
                        last_row += (written.sizes[dim] - 1) * written.strides[dim];
                      call.description(Role::weight).data = static_cast<std::byte*>(written.data) +
                                                     last_row * static_cast<std::int64_t>(size_of(test_case.dtype));
                      return Refusal{NORMPROOF_OVERLAP, "", memory_of(written, size_of(test_case.dtype))};
                    }},
    InvalidArgument{"out so interleaved with input that nobody can tell",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (!writes_out(test_case) || call.argument(Role::residual) != nullptr) return std::nullopt;
                      // Both rows fit into the grain, and all their addresses are multiples of it or lie halfway.
                      const auto grain = static_cast<std::int64_t>(
                          2 * std::bit_ceil(static_cast<std::uint64_t>(test_case.hidden_size()) * sizeof(float)));
                      set_rows(call, std::int64_t{1} << 30);
                      normproof_tensor &input = call.description(Role::input), &out = call.description(Role::out);
                      input.strides[0] = 1'000'003 * (grain / static_cast<std::int64_t>(size_of(test_case.dtype)));
                      out.strides[0] =
                          1'000'033 * (grain / static_cast<std::int64_t>(size_of(test_case.output_dtype())));
                      out.data = static_cast<std::byte*>(input.data) + grain / 2;
                      return Refusal{NORMPROOF_OVERLAP, "out", "share memory with input"};
                    }},
    // Launch.
    InvalidArgument{"33 threads", [](GuardedCall& call, const Case&) { return invalid_threads(call, 33); }},
    InvalidArgument{"negative threads", [](GuardedCall& call, const Case&) { return invalid_threads(call, -32); }},
    InvalidArgument{"1056 threads", [](GuardedCall& call, const Case&) { return invalid_threads(call, 1056); }},
    InvalidArgument{"unknown path",
                    [](GuardedCall& call, const Case&) { return std::optional(unknown_path(call, 7)); }},
    InvalidArgument{"negative path",
                    [](GuardedCall& call, const Case&) { return std::optional(unknown_path(call, -1)); }},
    InvalidArgument{"vectorized where the alignment forbids it",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (test_case.hidden_size() % chunk_elements(test_case.dtype) != 0 || vectorizable(test_case))
                        return std::nullopt;
                      call.launch.path = NORMPROOF_PATH_VECTORIZED;
                      // Which tensor it names first is the interface's choice.
                      return Refusal{NORMPROOF_MISALIGNED_POINTER, "", "as the vectorized path demands"};
                    }},
    InvalidArgument{"vectorized where the hidden size forbids it",
                    [](GuardedCall& call, const Case& test_case) -> std::optional<Refusal> {
                      if (test_case.hidden_size() % chunk_elements(test_case.dtype) == 0) return std::nullopt;
                      call.launch.path = NORMPROOF_PATH_VECTORIZED;
                      return Refusal{NORMPROOF_INVALID_LAUNCH, "launch",
                                     fmt::format("{}", test_case.hidden_size())};
                    }},
};

}  // namespace

std::span<const InvalidArgument> invalid_arguments() { return kInvalidArguments; }

std::string problem_of_refusal(const Refusal& wanted, normproof_status status, const GuardedCall& call) {
  if (status == NORMPROOF_OK) return "the call was carried out";
  if (status != wanted.status)
    return fmt::format("status {} instead of {}", static_cast<int>(status), static_cast<int>(wanted.status));
  const std::string message = call.message();
  if (message.empty()) return "there is no message";
  if (!wanted.argument.empty() && !message.starts_with(wanted.argument + ":"))
    return fmt::format("the message does not begin with the argument's name, {}", wanted.argument);
  if (message.find(wanted.value) == std::string::npos)
    return fmt::format("the message does not contain the value, {}", wanted.value);
  const auto violations = call.memory_violations(true);
  return violations.empty() ? std::string() : violations.front();
}

}  // namespace normproof
