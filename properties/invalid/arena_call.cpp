#include "properties/invalid/arena_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <vector>

#include "properties/targets/interface_dtype.h"

namespace normproof {
namespace {

constexpr std::byte kFill{0x3c};  // every element is a small positive number
constexpr char kUntouched = '?';  // of the memory for a message

// The first byte of every element, in index order.
std::vector<std::size_t> element_offsets(const ArenaTensor& layout, const std::byte* arena) {
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

ArenaTensor draw_tensor(const NumberSource& below, std::byte* arena, const std::vector<std::int64_t>& sizes,
                        DType dtype) {
  ArenaTensor layout;
  layout.element_bytes = size_of(dtype);
  layout.tensor.dtype = interface_dtype(dtype);
  layout.tensor.rank = static_cast<std::int32_t>(sizes.size());
  const std::int64_t hidden = sizes.back();
  for (std::size_t dim = 0; dim < sizes.size(); ++dim) {
    layout.tensor.sizes[dim] = sizes[dim];
    // At least a row, as the interface demands; dimensions may interleave.
    layout.tensor.strides[dim] = dim + 1 == sizes.size() ? 1 : hidden + below(3 * hidden + 2);
  }
  layout.tensor.data = arena + below(256) * static_cast<std::int64_t>(layout.element_bytes);
  return layout;
}

normproof_status invoke(const ArenaCall& call, const KernelFunctions& functions, normproof_message message) {
  const normproof_launch launch{NORMPROOF_PATH_AUTOMATIC, 32};
  normproof_tensor scale{};
  scale.data = const_cast<float*>(call.scale);
  KernelCall kernel_call;
  kernel_call.tensors[Role::input] = &call.input.tensor;
  kernel_call.tensors[Role::residual] = &call.residual.tensor;
  kernel_call.tensors[Role::out] = &call.out.tensor;
  kernel_call.tensors[Role::scale] = &scale;
  kernel_call.tensors[Role::scales] = &call.scales.tensor;
  if (call.has_weight) kernel_call.tensors[Role::weight] = &call.weight.tensor;
  kernel_call.epsilon = 1e-6f;
  kernel_call.launch = &launch;
  kernel_call.message = message;
  return call_kernel(functions, call.operation, kernel_call);
}

std::string describe(const ArenaCall& call, const std::byte* arena) {
  std::string text = fmt::format("\n  {}", name_of(call.operation));
  const auto add = [&](const char* name, const ArenaTensor& layout) {
    fmt::format_to(std::back_inserter(text), "\n  {}: from byte {}, {} bytes an element,", name,
                   static_cast<std::byte*>(layout.tensor.data) - arena, layout.element_bytes);
    for (std::int32_t dim = 0; dim < layout.tensor.rank; ++dim)
      fmt::format_to(std::back_inserter(text), " {} x stride {}", layout.tensor.sizes[dim],
                     layout.tensor.strides[dim]);
  };
  add("input", call.input);
  if (has(call.operation, Role::residual)) add("residual", call.residual);
  if (call.has_weight) add("weight", call.weight);
  if (call.has_out()) add("out", call.out);
  if (quantizes_by_row(call.operation)) add("scales", call.scales);
  if (has(call.operation, Parameter::scale))
    fmt::format_to(std::back_inserter(text), "\n  scale: from byte {}",
                   reinterpret_cast<const std::byte*>(call.scale) - arena);
  return text;
}

}  // namespace

ArenaCall draw_arena_call(const NumberSource& below, std::byte* arena) {
  std::fill_n(arena, kArenaBytes, kFill);
  ArenaCall call;
  static const std::vector<Operation> operations = [] {
    std::vector<Operation> found;
    std::ranges::copy_if(all_operations(), std::back_inserter(found), has_kernel);
    return found;
  }();
  call.operation = operations[static_cast<std::size_t>(below(std::ssize(operations)))];
  constexpr std::array kDTypes = {DType::fp32, DType::fp16, DType::bf16};
  call.dtype = kDTypes[static_cast<std::size_t>(below(3))];
  const auto more = static_cast<std::int64_t>(spec_of(call.operation).greatest_rank) - 2;
  const std::size_t rank = 2 + (more > 0 ? static_cast<std::size_t>(below(more + 1)) : 0);
  std::vector<std::int64_t> sizes;
  // Sometimes combs: many rows of one element between each other.
  const bool combs = below(8) == 0;
  // Or grids of one element between each other, whose strides all differ: long to tell apart unless the
  // largest strides are looked at first.
  constexpr std::int64_t kGrid = 7;
  const bool grids = !combs && rank == 4 && size_of(call.dtype) == 2 && below(4) == 0;
  if (grids) {
    sizes = {kGrid, kGrid, kGrid, 1};
  } else if (combs) {
    sizes = {call.dtype == DType::fp32 ? 60 : 160, 1};
  } else {
    for (std::size_t dim = 0; dim + 1 < rank; ++dim) sizes.push_back(below(4));
    sizes.push_back(1 + below(9));
  }
  call.input = draw_tensor(below, arena, sizes, call.dtype);
  call.residual = draw_tensor(below, arena, sizes, call.dtype);
  const bool codes = has(call.operation, DTypeRule::codes);
  call.out = draw_tensor(below, arena, sizes, codes ? kArenaQuantizedDType : call.dtype);
  call.has_weight = below(2) != 0;
  call.weight = draw_tensor(below, arena, {sizes.back()}, call.dtype);
  call.scale = reinterpret_cast<float*>(arena + 4 * below(256));
  std::vector<std::int64_t> scale_sizes = sizes;
  scale_sizes.back() = 1;
  call.scales = draw_tensor(below, arena, scale_sizes, DType::fp32);
  if (combs) {
    // Between even rows there is room for odd ones.
    for (ArenaTensor* tensor : {&call.input, &call.residual, &call.out})
      tensor->tensor.strides[0] = 2 + 2 * below(5);
  }
  if (combs) call.scales.tensor.strides[0] = 1 + below(3);  // so that all of them lie in the arena
  if (grids) {
    for (ArenaTensor* tensor : {&call.input, &call.out}) {
      std::int64_t* strides = tensor->tensor.strides;
      strides[2] = 2 + 2 * below(2);
      strides[1] = kGrid * strides[2] + 2 * below(3);
      strides[0] = kGrid * strides[1] + 2 * below(3);
    }
  }
  // Rows that are read may be the same ones.
  if (!combs && !grids && rank > 2 && below(4) == 0)
    call.input.tensor.strides[0] = call.input.tensor.strides[1];
  switch (below(5)) {
    case 0:  // exactly in place, which rms_norm allows
      if (!codes) call.out = call.input;
      break;
    case 1:
      call.out.tensor.data = call.input.tensor.data;
      break;
    case 2:  // in the same layout, a little aside
      if (!codes) {
        constexpr std::int64_t kFarthest = 12;
        const std::int64_t first = (static_cast<std::byte*>(call.input.tensor.data) - arena) /
                                   static_cast<std::int64_t>(size_of(call.dtype));
        call.out = call.input;
        call.out.tensor.data =
            arena + std::max<std::int64_t>(0, first + below(2 * kFarthest + 1) - kFarthest) *
                        static_cast<std::int64_t>(size_of(call.dtype));
      }
      break;
    case 3:  // from the last element of the input on
      if (const auto offsets = element_offsets(call.input, arena); !combs && !grids && !offsets.empty())
        call.out.tensor.data = arena + offsets.back();
      break;
    default:
      break;
  }
  if (below(8) == 1) call.message_capacity = 0;
  return call;
}

bool must_be_refused(const ArenaCall& call, const std::byte* arena) {
  std::array<int, kArenaBytes> readers{}, writers{};
  const auto mark = [&](const ArenaTensor& layout, std::array<int, kArenaBytes>& touched) {
    for (const std::size_t offset : element_offsets(layout, arena)) {
      for (std::size_t byte = 0; byte < layout.element_bytes; ++byte) ++touched[offset + byte];
    }
  };
  const bool in_place = may_be_in_place(call.operation) &&
                        element_offsets(call.out, arena) == element_offsets(call.input, arena);
  if (!in_place) mark(call.input, call.has_out() ? readers : writers);
  if (has(call.operation, Role::residual)) mark(call.residual, writers);
  if (call.has_out()) mark(call.out, writers);
  if (call.has_weight) mark(call.weight, readers);
  if (quantizes_by_row(call.operation)) mark(call.scales, writers);
  if (has(call.operation, Parameter::scale)) {
    const auto offset = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(call.scale) - arena);
    for (std::size_t byte = 0; byte < sizeof(float); ++byte) ++readers[offset + byte];
  }
  for (std::size_t byte = 0; byte < kArenaBytes; ++byte) {
    if (writers[byte] > 1 || (writers[byte] == 1 && readers[byte] > 0)) return true;
  }
  return false;
}

std::string problem_of_arena_call(const ArenaCall& call, bool refused, std::byte* arena,
                                  const KernelFunctions& functions) {
  const std::size_t capacity = call.message_capacity;
  std::array<char, 512> text;
  text.fill(kUntouched);
  const normproof_status status = invoke(call, functions, {text.data(), capacity});
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(capacity);
  if ((capacity > 0 && std::find(text.begin(), end, '\0') == end) ||
      std::any_of(end, text.end(), [](char byte) { return byte != kUntouched; }))
    return fmt::format("the message does not end within its {} bytes{}", capacity, describe(call, arena));
  if (capacity == 0) text[0] = '\0';
  if (refused && capacity > 0 && std::find(text.begin(), end, '\0') != end - 1)
    return fmt::format("a refusal's message, \"{}\", does not fill its {} bytes{}", text.data(), capacity,
                       describe(call, arena));
  if (status != (refused ? NORMPROOF_OVERLAP : NORMPROOF_OK)) {
    return fmt::format("{}, but status {}, message \"{}\"{}",
                       refused ? "memory is shared" : "no memory is shared", static_cast<int>(status),
                       text.data(), describe(call, arena));
  }
  const bool written =
      std::any_of(arena, arena + kArenaBytes, [](std::byte value) { return value != kFill; });
  if (refused && written) return "a refused call wrote" + describe(call, arena);
  return {};
}

}  // namespace normproof
