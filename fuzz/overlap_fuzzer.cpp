// Tensors that share memory are refused, and no others.
// 1. Read the bytes as descriptions of input, residual, weight, scale and out, all within one small arena.
// 2. Mark every byte of every tensor: an output byte that anybody else touches, or the output twice, is an
// overlap.
// 3. Call: refused as an overlap exactly then, and nothing is written.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/normproof_kernels.h"

namespace normproof::fuzz {
namespace {

constexpr std::size_t kArenaBytes = 4096;
constexpr std::byte kFill{0x3c};  // every element is a small positive number

// Small numbers from the input; zeros when it ends.
class Numbers {
 public:
  Numbers(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::int64_t below(std::int64_t bound) { return position_ < size_ ? data_[position_++] % bound : 0; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t position_ = 0;
};

struct Layout {
  normproof_tensor tensor{};
  std::size_t element_bytes = 0;
};

// The first byte of every element, in index order.
std::vector<std::size_t> element_offsets(const Layout& layout, const std::byte* arena) {
  const normproof_tensor& tensor = layout.tensor;
  std::vector<std::size_t> offsets = {static_cast<std::size_t>(static_cast<std::byte*>(tensor.data) - arena)};
  for (std::int32_t dim = 0; dim < tensor.rank; ++dim) {
    std::vector<std::size_t> next;
    for (const std::size_t base : offsets) {
      for (std::int64_t index = 0; index < tensor.sizes[dim]; ++index) {
        next.push_back(base + static_cast<std::size_t>(index * tensor.strides[dim]) * layout.element_bytes);
      }
    }
    offsets = std::move(next);
  }
  return offsets;
}

struct Call {
  int operation = 0;  // in the order of the C interface
  Layout input, residual, weight, out;
  bool has_weight = false;
  float* scale = nullptr;

  bool adds() const { return operation % 2 != 0; }
  bool quantizes() const { return operation >= 2; }
  bool has_out() const { return operation != 1; }
};

Layout layout_of(Numbers& numbers, std::byte* arena, const std::vector<std::int64_t>& sizes,
                 normproof_dtype dtype, std::size_t element_bytes) {
  Layout layout;
  layout.element_bytes = element_bytes;
  layout.tensor.dtype = dtype;
  layout.tensor.rank = static_cast<std::int32_t>(sizes.size());
  const std::int64_t hidden = sizes.back();
  for (std::size_t dim = 0; dim < sizes.size(); ++dim) {
    layout.tensor.sizes[dim] = sizes[dim];
    // At least a row, as the interface demands; dimensions may interleave.
    layout.tensor.strides[dim] = dim + 1 == sizes.size() ? 1 : hidden + numbers.below(3 * hidden + 2);
  }
  layout.tensor.data = arena + numbers.below(256) * static_cast<std::int64_t>(element_bytes);
  return layout;
}

Call read_call(Numbers numbers, std::byte* arena) {
  Call call;
  call.operation = static_cast<int>(numbers.below(4));
  constexpr std::array kDTypes = {NORMPROOF_FP32, NORMPROOF_FP16, NORMPROOF_BF16};
  const auto dtype = kDTypes[static_cast<std::size_t>(numbers.below(3))];
  const std::size_t bytes = dtype == NORMPROOF_FP32 ? 4 : 2;
  const std::size_t rank = call.operation == 0 ? 2 + static_cast<std::size_t>(numbers.below(3)) : 2;
  std::vector<std::int64_t> sizes;
  for (std::size_t dim = 0; dim + 1 < rank; ++dim) sizes.push_back(numbers.below(4));
  sizes.push_back(1 + numbers.below(9));
  call.input = layout_of(numbers, arena, sizes, dtype, bytes);
  call.residual = layout_of(numbers, arena, sizes, dtype, bytes);
  call.out = call.quantizes() ? layout_of(numbers, arena, sizes, NORMPROOF_FP8_E4M3FN, 1)
                              : layout_of(numbers, arena, sizes, dtype, bytes);
  call.has_weight = numbers.below(2) != 0;
  call.weight = layout_of(numbers, arena, {sizes.back()}, dtype, bytes);
  call.scale = reinterpret_cast<float*>(arena + 4 * numbers.below(256));
  switch (numbers.below(4)) {
    case 0:  // exactly in place, which rms_norm allows
      if (!call.quantizes()) call.out = call.input;
      break;
    case 1:
      call.out.tensor.data = call.input.tensor.data;
      break;
    default:
      break;
  }
  return call;
}

// Whether the contract calls it an overlap.
bool overlaps(const Call& call, const std::byte* arena) {
  std::array<int, kArenaBytes> readers{}, writers{};
  const auto mark = [&](const Layout& layout, std::array<int, kArenaBytes>& touched) {
    for (const std::size_t offset : element_offsets(layout, arena)) {
      for (std::size_t byte = 0; byte < layout.element_bytes; ++byte) ++touched[offset + byte];
    }
  };
  const bool in_place =
      call.operation == 0 && element_offsets(call.out, arena) == element_offsets(call.input, arena);
  const bool writes_input = call.operation == 1;
  if (!in_place) mark(call.input, writes_input ? writers : readers);
  if (call.adds()) mark(call.residual, writers);
  if (call.has_out()) mark(call.out, writers);
  if (call.has_weight) mark(call.weight, readers);
  if (call.quantizes()) {
    const auto offset = static_cast<std::size_t>(reinterpret_cast<std::byte*>(call.scale) - arena);
    for (std::size_t byte = 0; byte < sizeof(float); ++byte) ++readers[offset + byte];
  }
  for (std::size_t byte = 0; byte < kArenaBytes; ++byte) {
    if (writers[byte] > 1 || (writers[byte] == 1 && readers[byte] > 0)) return true;
  }
  return false;
}

normproof_status invoke(const Call& call, normproof_message message) {
  const normproof_tensor* weight = call.has_weight ? &call.weight.tensor : nullptr;
  const normproof_launch launch{NORMPROOF_PATH_AUTOMATIC, 32};
  const float epsilon = 1e-6f;
  switch (call.operation) {
    case 0:
      return normproof_rms_norm(&call.out.tensor, &call.input.tensor, weight, epsilon, &launch, nullptr,
                                nullptr, message);
    case 1:
      return normproof_fused_add_rms_norm(&call.input.tensor, &call.residual.tensor, weight, epsilon, &launch,
                                          nullptr, nullptr, message);
    case 2:
      return normproof_rms_norm_static_fp8_quant(&call.out.tensor, &call.input.tensor, weight, call.scale,
                                                 epsilon, &launch, nullptr, nullptr, message);
    default:
      return normproof_fused_add_rms_norm_static_fp8_quant(&call.out.tensor, &call.input.tensor,
                                                           &call.residual.tensor, weight, call.scale, epsilon,
                                                           &launch, nullptr, nullptr, message);
  }
}

void describe(const char* name, const Layout& layout, const std::byte* arena) {
  fmt::print(stderr, "  {}: from byte {}, {} bytes an element,", name,
             static_cast<std::byte*>(layout.tensor.data) - arena, layout.element_bytes);
  for (std::int32_t dim = 0; dim < layout.tensor.rank; ++dim) {
    fmt::print(stderr, " {} x stride {}", layout.tensor.sizes[dim], layout.tensor.strides[dim]);
  }
  fmt::print(stderr, "\n");
}

[[noreturn]] void fail(const Call& call, const std::byte* arena, const std::string& what) {
  fmt::print(stderr, "{}\n  operation {}\n", what, call.operation);
  describe("input", call.input, arena);
  if (call.adds()) describe("residual", call.residual, arena);
  if (call.has_weight) describe("weight", call.weight, arena);
  if (call.has_out()) describe("out", call.out, arena);
  if (call.quantizes())
    fmt::print(stderr, "  scale: from byte {}\n", reinterpret_cast<std::byte*>(call.scale) - arena);
  std::abort();
}

void check(const std::uint8_t* data, std::size_t size) {
  alignas(16) static std::array<std::byte, kArenaBytes> arena;
  arena.fill(kFill);
  const Call call = read_call(Numbers(data, size), arena.data());
  const bool wanted = overlaps(call, arena.data());
  std::array<char, 512> text{};
  const normproof_status status = invoke(call, {text.data(), text.size()});
  if (status != (wanted ? NORMPROOF_OVERLAP : NORMPROOF_OK)) {
    fail(call, arena.data(),
         fmt::format("{}, but status {}, message \"{}\"", wanted ? "memory is shared" : "no memory is shared",
                     static_cast<int>(status), text.data()));
  }
  const bool written = std::ranges::any_of(arena, [](std::byte value) { return value != kFill; });
  if (wanted && written) fail(call, arena.data(), "a refused call wrote");
}

}  // namespace
}  // namespace normproof::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  normproof::fuzz::check(data, size);
  return 0;
}
