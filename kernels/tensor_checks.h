// Checks of one tensor of a call, and what its memory is: what the checks of every operation are made of.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/norm_arguments.h"
#include "kernels/rms_norm.h"

namespace normproof::kernels {

template <class... Parts>
Status refusal(StatusCode code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  return {code, message.str()};
}

// "fp8_e4m3fn", or "dtype 17" for a number that is none.
std::string text_of(DType dtype);
bool is_known(DType dtype);
bool is_activation(DType dtype);
bool is_fp8(DType dtype);
std::int64_t size_of(DType dtype);

// a * b or a + b for non-negative numbers; nothing where it does not fit in 63 bits.
inline std::optional<std::int64_t> product(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}
inline std::optional<std::int64_t> sum(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// A tensor of the call under its name in messages.
struct Argument {
  const char* name;
  const Tensor* tensor;
  bool written;
  bool in_chunks = true;  // it is read or written in chunks of a row

  int leading() const { return tensor->rank - 1; }
  std::int64_t hidden() const { return tensor->sizes[leading()]; }
  std::int64_t element_bytes() const { return size_of(tensor->dtype); }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(tensor->data); }
  bool empty() const {
    return std::find(tensor->sizes.begin(), tensor->sizes.begin() + tensor->rank, 0) !=
           tensor->sizes.begin() + tensor->rank;
  }
};

Status check_rank(const Argument& argument, int lowest, int highest);
// No negative size, and a hidden size.
Status check_sizes(const Argument& argument);
Status check_no_negative_size(const Argument& argument);
Status check_equal_shape(const Argument& argument, const Argument& input);
Status check_strides(const Argument& argument);
// Requires valid sizes and strides.
Status check_extent(const Argument& argument);
Status check_data(const Argument& argument);
Status check_launch(const Launch& launch);
// Whether every chunk can travel by one access; the status says what forbids it. Chunks are cut by the first.
Status check_vectorizable(const std::vector<Argument>& arguments);

// Refuses a written tensor that shares a byte with itself or another one, but for the very same memory where
// that is allowed.
Status check_overlap(
    const std::vector<Argument>& arguments,
    const std::function<bool(const Argument& written, const Argument& other)>& may_be_the_same);

inline constexpr std::size_t kMostTensors = 16;  // of a call

// A leading dimension that several tensors have, each with a stride of its own.
struct LeadingDimension {
  std::int64_t size = 1;
  std::array<std::int64_t, kMostTensors> strides{};
};
struct MergedDimensions {
  LeadingDimensions rows;
  std::array<RowStrides, kMostTensors> strides{};
};
// Up to three dimensions as just three, the innermost last: those of size 1 dropped, neighbours merged where
// all tensors step evenly across them.
MergedDimensions merge_leading_dimensions(const std::vector<LeadingDimension>& dimensions);

}  // namespace normproof::kernels
