// Drawing a case: operation, dtypes, shape, layout, execution. The values come from tensor_values.cpp.
#include "corpus/generate.h"

#include <algorithm>
#include <array>

#include "corpus/limits.h"
#include "corpus/tensor_values.h"

namespace normproof {
namespace {

constexpr std::int64_t kCommonOffsets = 16;
constexpr std::int64_t kMaximumGiantGap = std::int64_t{1} << 33;
constexpr std::int64_t kMaximumExtent = std::int64_t{1} << 60;  // elements: in bytes it still fits in 63 bits

// Alignment, in elements, that one chunk's access to a tensor needs: a chunk has as many elements in each
// tensor with rows, and a tensor of H elements is read in pieces of 16 bytes.
std::int64_t alignment_of(const Case& test_case, Role role) {
  const bool has_rows = test_case.has_strides(role);
  return chunk_elements(has_rows ? test_case.dtype : test_case.dtype_of(role));
}

// Whether a kernel may read or write it in chunks of a row.
bool lies_in_chunks(const Case& test_case, Role role) {
  return test_case.has_layout(role) && find_tensor(test_case.operation, role)->extent != Extent::row;
}

// The stride of a dimension that is never stepped along does not matter.
bool aligned(const TensorLayout& layout, const Case& test_case, std::int64_t alignment) {
  if (layout.offset % alignment != 0) return false;
  for (std::size_t dim = 0; dim < layout.strides.size(); ++dim) {
    if (test_case.shape[dim] > 1 && layout.strides[dim] % alignment != 0) return false;
  }
  return true;
}

void draw_types(Random& random, const CaseLimits& limits, Case& test_case) {
  const Operation operation = limits.operation ? *limits.operation : random.pick(limits.operations());
  test_case.kind() = kind_within(limits, operation, [&random](KindChoice, std::size_t count) {
    return static_cast<std::size_t>(random.below(count));
  });
}

// Around the sizes at which a kernel changes its way: vector widths, warps, blocks, all lanes of the
// canonical order.
std::int64_t draw_hidden(Random& random, std::int64_t maximum, std::int64_t chunk, bool whole_chunks) {
  maximum = std::min(std::max<std::int64_t>(maximum, whole_chunks ? chunk : 1), kMaximumHiddenSize);
  std::int64_t hidden = 1;
  const std::uint64_t way = random.below(8);
  if (way < 4) {
    hidden = random.log_between(1, maximum);
  } else if (way < 7) {
    const std::array units = {std::int64_t{4},   std::int64_t{8}, std::int64_t{32},   std::int64_t{128},
                              std::int64_t{256}, 32 * chunk,      std::int64_t{1024}, 1024 * chunk};
    const auto fitting = std::max<std::ptrdiff_t>(
        1, std::ranges::count_if(units, [&](std::int64_t unit) { return unit <= maximum; }));
    const std::int64_t unit = units[random.below(static_cast<std::uint64_t>(fitting))];
    const std::int64_t most = std::clamp<std::int64_t>(maximum / unit, 1, 8);
    hidden = random.between(1, most) * unit;
    hidden += random.between(-1, 1);
  } else {
    hidden = random.between(1, 2 * chunk + 1);
  }
  if (whole_chunks) return std::clamp(hidden / chunk * chunk, chunk, maximum / chunk * chunk);
  return std::clamp<std::int64_t>(hidden, 1, maximum);
}

std::int64_t draw_rows(Random& random, const CaseLimits& limits, std::int64_t hidden) {
  const std::int64_t most = std::min(
      limits.max_rows, std::max<std::int64_t>(1, std::min(limits.max_elements, kMaximumElements) / hidden));
  if (most < 1 || random.chance(1, 256)) return 0;
  switch (random.below(4)) {
    case 0:
      return 1;
    case 1:
      return random.between(1, std::min<std::int64_t>(4, most));
    default:
      return random.log_between(1, most);
  }
}

void draw_shape(Random& random, const CaseLimits& limits, bool whole_chunks, Case& test_case) {
  std::int64_t maximum = std::min(limits.max_hidden, limits.max_elements);
  const std::int64_t chunk = chunk_elements(test_case.dtype);
  const std::int64_t hidden = draw_hidden(random, maximum, chunk, whole_chunks);
  std::int64_t rows = draw_rows(random, limits, hidden);
  std::size_t leading = 1;
  if (spec_of(test_case.operation).greatest_rank > 2 && random.chance(2, 5))
    leading = random.chance(2, 3) ? 2 : 3;
  for (; leading > 1; --leading) {
    const std::int64_t size = rows == 0 ? random.between(1, kSizesWithoutRows) : random.log_between(1, rows);
    test_case.shape.push_back(size);
    rows /= size;
  }
  test_case.shape.push_back(rows);
  if (rows == 0) std::swap(test_case.shape.front(), test_case.shape.back());
  test_case.shape.push_back(hidden);
}

// Leading dimensions nested in any order (a transposed view has the outermost one
// innermost in memory), with gaps.
std::vector<std::int64_t> draw_strides(Random& random, const CaseLimits& limits, const Case& test_case,
                                       std::int64_t alignment) {
  const std::size_t leading = test_case.shape.size() - 1;
  const std::int64_t hidden = test_case.hidden_size();
  std::array<std::size_t, kMaximumRank> inner_first{};
  for (std::size_t i = 0; i < leading; ++i) inner_first[i] = leading - 1 - i;
  for (std::size_t i = leading; i > 1 && random.chance(1, 2); --i) {
    std::swap(inner_first[i - 1], inner_first[random.below(i)]);
  }
  std::vector<std::int64_t> strides(leading);
  std::int64_t extent = hidden;
  for (std::size_t i = 0; i < leading; ++i) {
    const std::size_t dim = inner_first[i];
    std::int64_t gap = 0;
    switch (random.below(4)) {
      case 0:
        break;
      case 1:
        gap = alignment * random.between(0, 4);
        break;
      case 2:  // heads of a packed query-key-value tensor
        gap = random.between(0, 3) * hidden;
        break;
      default:
        gap = random.between(0, 17);
        break;
    }
    gap = std::min(gap, limits.max_padding);
    std::int64_t stride = (test_case.shape[dim] > 1 ? extent : hidden) + gap;
    if (limits.giant_strides && i + 1 == leading) {
      stride = std::int64_t{1} << random.between(31, 32);
      stride += alignment * random.between(-2, 2);
    }
    strides[dim] = stride - stride % alignment;  // the extent is a multiple of the alignment
    extent += (std::max<std::int64_t>(test_case.shape[dim], 1) - 1) * strides[dim];
  }
  return strides;
}

TensorLayout draw_layout(Random& random, const CaseLimits& limits, const Case& test_case, Role role,
                         bool keep_aligned) {
  TensorLayout layout;
  const std::int64_t unit = keep_aligned ? alignment_of(test_case, role) : 1;
  const bool has_rows = test_case.has_strides(role);
  if (has_rows && (limits.giant_strides ? random.chance(7, 8) : random.chance(1, 2)))
    layout.strides = draw_strides(random, limits, test_case, unit);
  if (random.chance(1, 2)) layout.offset = random.between(0, kCommonOffsets / unit - 1) * unit;
  return layout;
}

void draw_layouts(Random& random, const CaseLimits& limits, bool keep_aligned, Case& test_case) {
  const bool in_place = may_be_in_place(test_case.operation);
  for (const Role role : kRoles) {
    if (test_case.has_layout(role))
      test_case[role].layout = draw_layout(random, limits, test_case, role, keep_aligned);
    if (role == Role::input && in_place) test_case.in_place = random.chance(1, 4);
  }
}

void draw_execution(Random& random, const CaseLimits& limits, Case& test_case) {
  switch (random.below(8)) {
    case 0:
    case 1:
      test_case.schedule.order = ThreadOrder::reverse;
      break;
    case 2:
    case 3:
      test_case.schedule = {ThreadOrder::random, random.below(std::uint64_t{1} << 32)};
      break;
    default:
      break;
  }
  // Large blocks are rare: a CPU resumes their threads one by one.
  static constexpr std::array kThreads = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,   0,   0,
                                          32, 32, 32, 32, 32, 32, 32, 32, 64, 64, 64, 96, 128, 160, 256, -1};
  int threads = random.pick(kThreads);
  if (threads < 0) threads = kThreadsPerWarp * static_cast<int>(random.between(5, 32));
  test_case.launch.threads_per_block = threads <= limits.max_threads_per_block ? threads : 0;

  const bool vectors = vectorizable(test_case);
  if (limits.path == KernelPath::scalar) {
    if (vectors || random.chance(1, 4)) test_case.launch.path = KernelPath::scalar;
  } else if (vectors) {
    if (random.chance(1, 4)) test_case.launch.path = KernelPath::vectorized;
    if (limits.path == KernelPath::automatic && random.chance(1, 4))
      test_case.launch.path = KernelPath::scalar;
  } else {
    if (random.chance(1, 8)) test_case.launch.path = KernelPath::scalar;
    if (limits.allow_refused && random.chance(1, 8)) test_case.launch.path = KernelPath::vectorized;
  }
}

bool fits(const TensorLayout& layout, const Case& test_case, const CaseLimits& limits) {
  return fit_strides(layout.strides, test_case, limits) == layout.strides;
}

}  // namespace

WeightKind weight_kind(std::optional<DType> weight, DType activation) {
  if (!weight) return WeightKind::none;
  return *weight == activation ? WeightKind::activation : WeightKind::fp32;
}

std::int64_t chunk_elements(DType activation) { return 16 / static_cast<std::int64_t>(size_of(activation)); }

bool vectorizable(const Case& test_case) {
  return test_case.hidden_size() % chunk_elements(test_case.dtype) == 0 &&
         std::ranges::all_of(kRoles, [&](Role role) {
           return !lies_in_chunks(test_case, role) ||
                  aligned(test_case[role].layout, test_case, alignment_of(test_case, role));
         });
}

std::vector<std::int64_t> fit_strides(std::vector<std::int64_t> strides, const Case& test_case,
                                      const CaseLimits& limits) {
  const std::size_t leading = std::min(strides.size(), test_case.shape.size() - 1);
  const std::int64_t most =
      limits.giant_strides ? kMaximumGiantGap : std::max<std::int64_t>(limits.max_padding, 0);
  const auto with_gap = [&](std::int64_t stride, std::int64_t extent) {
    if (stride < extent) return extent;
    return extent + (stride - extent > most ? (stride - extent) % (most + 1) : stride - extent);
  };
  std::array<std::size_t, kMaximumRank> inner_first{};
  for (std::size_t i = 0; i < leading; ++i) inner_first[i] = i;
  std::sort(
      inner_first.begin(), inner_first.begin() + static_cast<std::ptrdiff_t>(leading),
      [&](std::size_t a, std::size_t b) { return std::pair(strides[a], a) < std::pair(strides[b], b); });
  std::int64_t extent = test_case.hidden_size();
  for (std::size_t i = 0; i < leading; ++i) {
    std::int64_t& stride = strides[inner_first[i]];
    const std::int64_t size = test_case.shape[inner_first[i]];
    if (size > 1) {
      stride = with_gap(stride, extent);
    } else {  // Without steps any stride will do.
      stride = stride > test_case.hidden_size() ? with_gap(stride, test_case.hidden_size())
                                                : std::max(stride, std::int64_t{1});
    }
    std::int64_t span = 0;
    if (size > 1 && (__builtin_mul_overflow(size - 1, stride, &span) || span > kMaximumExtent - extent))
      return {};
    extent += span;
  }
  return strides;
}

std::optional<DType> weight_dtype(WeightKind kind, DType activation) {
  switch (kind) {
    case WeightKind::none:
      return std::nullopt;
    case WeightKind::activation:
      return activation;
    case WeightKind::fp32:
      return DType::fp32;
  }
  return std::nullopt;
}

void CaseLimits::hold_to(const CallKind& kind) {
  operation = kind.operation;
  dtype = kind.dtype;
  weight = weight_kind(kind.weight_dtype, kind.dtype);
  quantized_dtype = kind.quantized_dtype;
}

std::span<const Operation> CaseLimits::operations() const {
  if (operation) return {&*operation, 1};
  if (quantized_dtype == DType::int8) return operations_with(NormStep::quantize_by_row);
  return quantized_dtype ? operations_that_quantize() : all_operations();
}

std::vector<DType> CaseLimits::codes_of(Operation quantizing) const {
  std::vector<DType> codes = code_dtypes(quantizing);
  if (!int8) std::erase(codes, DType::int8);
  return codes;
}

bool CaseLimits::admits(const CallKind& kind) const {
  if (operation && kind.operation != *operation) return false;
  if (dtype && kind.dtype != *dtype) return false;
  if (weight && kind.weight_dtype != weight_dtype(*weight, kind.dtype)) return false;
  if (!quantized_dtype) return int8 || kind.quantized_dtype != DType::int8;
  return kind.has_codes() ? kind.quantized_dtype == quantized_dtype : operation.has_value();
}

CallKind kind_within(const CaseLimits& limits, Operation operation, const ChooseKind& choose) {
  const auto one_of = [&choose](KindChoice what, const auto& list) {
    return list[choose(what, std::size(list))];
  };
  const DType dtype = limits.dtype ? *limits.dtype : one_of(KindChoice::dtype, kActivationDTypes);
  const WeightKind weight = limits.weight ? *limits.weight : one_of(KindChoice::weight, kWeightKinds);
  CallKind kind = call_kind(operation, dtype, weight_dtype(weight, dtype));
  if (kind.has_codes())
    kind.quantized_dtype = limits.quantized_dtype ? *limits.quantized_dtype
                                                  : one_of(KindChoice::codes, limits.codes_of(operation));
  return kind;
}

bool within(const Case& test_case, const CaseLimits& limits) {
  const bool demanded_vectors = test_case.launch.path == KernelPath::vectorized;
  const bool whole_chunks = limits.path == KernelPath::vectorized;
  const bool vectors = vectorizable(test_case);
  if (test_case.rows() > std::max<std::int64_t>(limits.max_rows, 0)) return false;
  for (std::size_t i = 0; i + 1 < test_case.shape.size(); ++i) {
    if (test_case.shape[i] > std::max(limits.max_rows, kSizesWithoutRows)) return false;
  }
  if (test_case.hidden_size() >
      (whole_chunks ? std::max(limits.max_hidden, chunk_elements(test_case.dtype)) : limits.max_hidden)) {
    return false;
  }
  if (test_case.elements() > std::max(limits.max_elements, test_case.hidden_size())) return false;
  if (!limits.admits(test_case)) return false;
  if (test_case.has_scale_ub() && !limits.scale_ub) return false;
  if (demanded_vectors && !vectors && !limits.allow_refused) return false;
  if (limits.path == KernelPath::vectorized && (!vectors || test_case.launch.path == KernelPath::scalar))
    return false;
  if (limits.path == KernelPath::scalar &&
      (demanded_vectors || (vectors && test_case.launch.path != KernelPath::scalar))) {
    return false;
  }
  if (test_case.launch.threads_per_block > limits.max_threads_per_block) return false;
  return std::ranges::all_of(kRoles,
                             [&](Role role) { return fits(test_case[role].layout, test_case, limits); });
}

Case random_case(Random& random, const CaseLimits& limits) {
  Case test_case;
  draw_types(random, limits, test_case);
  const bool whole_chunks =
      limits.path == KernelPath::vectorized ||
      (limits.path == KernelPath::automatic && random.chance(1, 2) &&
       std::min(limits.max_hidden, limits.max_elements) >= chunk_elements(test_case.dtype));
  draw_shape(random, limits, whole_chunks, test_case);
  draw_layouts(random, limits, whole_chunks, test_case);
  fit_to(limits.calls, test_case);
  draw_execution(random, limits, test_case);
  draw_values(random, limits.special_percent, test_case);
  if (limits.scale_ub && normproof::has(test_case.operation, Parameter::scale_ub) && random.chance(1, 3))
    test_case.bits_of(Parameter::scale_ub) = draw_upper_bound(random);
  fit_to(limits.calls, test_case);  // its epsilon
  return test_case;
}

}  // namespace normproof
