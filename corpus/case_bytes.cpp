// Cases as bytes.
#include "corpus/case_bytes.h"

#include <algorithm>
#include <array>

#include "corpus/limits.h"
#include "corpus/recipe.h"

namespace normproof {
namespace {

constexpr std::uint8_t kFirstRecipe = 128;
constexpr std::size_t kLeading = kMaximumRank - 1;

class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint64_t integer(std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint64_t byte = position_ < bytes_.size() ? bytes_[position_] : 0;
      value |= byte << (8 * i);
      ++position_;
    }
    return value;
  }
  std::vector<std::byte> data(std::size_t size) {
    std::vector<std::byte> result(size);
    const std::size_t present = std::min(size, bytes_.size() - std::min(bytes_.size(), position_));
    for (std::size_t i = 0; i < present; ++i) result[i] = static_cast<std::byte>(bytes_[position_ + i]);
    position_ += size;
    return result;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
};

class Writer {
 public:
  void integer(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void data(const std::vector<std::byte>& data) {
    for (const std::byte byte : data) bytes_.push_back(std::to_integer<std::uint8_t>(byte));
  }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<std::uint8_t> bytes_;
};

constexpr std::array kOrders = {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::random};
constexpr std::array kPaths = {KernelPath::automatic, KernelPath::vectorized, KernelPath::scalar};

// The header as it stands, before the limits are applied to it.
struct Header {
  std::uint8_t operation, dtype, weight, quantized_dtype, rank, flags, order, path, threads;
  std::array<std::uint8_t, 3> offsets;  // input, residual, output
  std::uint8_t weight_offset;
  std::array<std::uint8_t, 3> data;  // input, residual, weight
  std::uint32_t epsilon, scale;
  std::uint64_t schedule_seed;
  std::array<std::uint64_t, 3> seeds;  // of the recipes: input, residual, weight
  std::array<std::uint32_t, kLeading> sizes;
  std::uint32_t hidden;
  std::array<std::array<std::uint64_t, kLeading>, 3> strides;  // input, residual, output
};

// The one list of the header's fields, in order, for reading and writing.
template <typename Header, typename Visitor>
void visit_fields(Header& header, Visitor visit) {
  for (auto* field : {&header.operation, &header.dtype, &header.weight, &header.quantized_dtype, &header.rank,
                      &header.flags, &header.order, &header.path, &header.threads}) {
    visit(*field);
  }
  for (auto& field : header.offsets) visit(field);
  visit(header.weight_offset);
  for (auto& field : header.data) visit(field);
  visit(header.epsilon);
  visit(header.scale);
  visit(header.schedule_seed);
  for (auto& field : header.seeds) visit(field);
  for (auto& field : header.sizes) visit(field);
  visit(header.hidden);
  for (auto& tensor : header.strides) {
    for (auto& field : tensor) visit(field);
  }
}

void set_types(const Header& header, const CaseLimits& limits, Case& test_case) {
  const bool only_quantizing = limits.quantized_dtype && !limits.operation;
  test_case.operation = limits.operation ? *limits.operation
                        : only_quantizing
                            ? operations_that_quantize()[header.operation % operations_that_quantize().size()]
                            : kOperations[header.operation % kOperations.size()];
  test_case.dtype = limits.dtype ? *limits.dtype : kActivationDTypes[header.dtype % kActivationDTypes.size()];
  switch (limits.weight ? *limits.weight : kWeightKinds[header.weight % kWeightKinds.size()]) {
    case WeightKind::none:
      break;
    case WeightKind::activation:
      test_case.weight_dtype = test_case.dtype;
      break;
    case WeightKind::fp32:
      test_case.weight_dtype = DType::fp32;
      break;
  }
  if (!quantizes(test_case.operation)) return;
  test_case.quantized_dtype = limits.quantized_dtype
                                  ? *limits.quantized_dtype
                                  : kQuantizedDTypes[header.quantized_dtype % kQuantizedDTypes.size()];
  test_case.scale_bits = header.scale;
}

void set_shape(const Header& header, const CaseLimits& limits, Case& test_case) {
  const std::int64_t chunk = chunk_elements(test_case.dtype);
  const bool whole_chunks = limits.path == KernelPath::vectorized;
  const std::int64_t most_hidden =
      std::clamp<std::int64_t>(limits.max_hidden, whole_chunks ? chunk : 1, kMaximumHiddenSize);
  std::int64_t hidden = 1 + header.hidden % most_hidden;
  if (whole_chunks) hidden = std::max(chunk, hidden - hidden % chunk);

  const std::int64_t most_rows =
      std::clamp<std::int64_t>(std::min(limits.max_elements, kMaximumElements) / hidden, 1,
                               std::max<std::int64_t>(limits.max_rows, 1));
  const std::int64_t allowed_rows = std::min(most_rows, std::max<std::int64_t>(limits.max_rows, 0));
  const std::size_t leading = 1 + header.rank % (spec_of(test_case.operation).greatest_rank - 1);
  const std::int64_t most_size = std::max(limits.max_rows, kSizesWithoutRows);
  for (std::size_t i = 0; i < leading; ++i) {
    test_case.shape.push_back(static_cast<std::int64_t>(header.sizes[i] ^ 1) % (most_size + 1));
  }
  test_case.shape.push_back(hidden);
  if (test_case.rows() <= allowed_rows) return;
  std::int64_t rest = allowed_rows;
  for (std::size_t i = 0; i < leading; ++i) {
    test_case.shape[i] %= rest + 1;
    rest /= std::max<std::int64_t>(test_case.shape[i], 1);
  }
}

void set_layouts(const Header& header, const CaseLimits& limits, Case& test_case) {
  const bool keep_aligned = limits.path == KernelPath::vectorized;
  const auto down = [&](std::int64_t value, std::int64_t alignment) {
    return keep_aligned ? value - value % alignment : value;
  };
  const auto layout = [&](std::size_t tensor) {
    const std::int64_t alignment = chunk_elements(test_case.dtype);
    TensorLayout result;
    result.offset = down(header.offsets[tensor] % (kMaximumOffset + 1), alignment);
    if ((header.flags >> (1 + tensor) & 1) != 0) {
      for (std::size_t i = 0; i + 1 < test_case.shape.size(); ++i) {
        // No stride of 2^62 is allowed, and sums of strides could overflow.
        constexpr std::uint64_t kBound = std::uint64_t{1} << 62;
        result.strides.push_back(static_cast<std::int64_t>(header.strides[tensor][i] % kBound));
      }
      result.strides = fit_strides(std::move(result.strides), test_case, limits);
      if (keep_aligned) {
        for (std::int64_t& stride : result.strides) stride = std::max(alignment, down(stride, alignment));
        if (fit_strides(result.strides, test_case, limits) != result.strides) result.strides.clear();
      }
    }
    return result;
  };
  test_case.in_place = may_be_in_place(test_case.operation) && (header.flags & 1) != 0;
  test_case.input_layout = layout(0);
  if (adds_residual(test_case.operation)) test_case.residual_layout = layout(1);
  if (test_case.memory_of(Role::out) == Role::out) {
    test_case.output_layout = layout(2);
  }
  if (test_case.weight_dtype) {
    test_case.weight_offset = down(header.weight_offset % (kMaximumOffset + 1),
                                   16 / static_cast<std::int64_t>(size_of(*test_case.weight_dtype)));
  }
}

void set_execution(const Header& header, const CaseLimits& limits, Case& test_case) {
  test_case.schedule.order = kOrders[header.order % kOrders.size()];
  if (test_case.schedule.order == ThreadOrder::random) test_case.schedule.seed = header.schedule_seed;
  const int most_threads = std::clamp(limits.max_threads_per_block, 0, kMaximumThreadsPerBlock);
  test_case.launch.threads_per_block =
      kThreadsPerWarp * (header.threads % (most_threads / kThreadsPerWarp + 1));
  KernelPath& path = test_case.launch.path;
  path = kPaths[header.path % kPaths.size()];
  const bool vectors = vectorizable(test_case);
  switch (limits.path) {
    case KernelPath::automatic:
      if (path == KernelPath::vectorized && !vectors && !limits.allow_refused) path = KernelPath::automatic;
      break;
    case KernelPath::vectorized:
      if (path == KernelPath::scalar) path = KernelPath::automatic;
      break;
    case KernelPath::scalar:
      if (vectors || path == KernelPath::vectorized) path = KernelPath::scalar;
      break;
  }
}

TensorData read_data(Reader& reader, std::uint8_t mode, std::uint64_t seed, std::int64_t elements,
                     DType dtype) {
  TensorData data;
  if (elements == 0) return data;
  if (mode >= kFirstRecipe) {
    const auto classes = data_classes();
    data.recipe = Recipe{std::string(classes[(mode - kFirstRecipe) % classes.size()]), seed};
  } else {
    data.bytes = reader.data(static_cast<std::size_t>(elements) * size_of(dtype));
  }
  return data;
}

std::uint8_t index_of(const auto& range, const auto& value) {
  return static_cast<std::uint8_t>(std::ranges::find(range, value) - range.begin());
}

void add_data(const TensorData& data, std::uint8_t& mode, std::uint64_t& seed) {
  if (!data.recipe) return;
  const auto classes = data_classes();
  mode = static_cast<std::uint8_t>(kFirstRecipe + index_of(classes, data.recipe->data_class));
  seed = data.recipe->seed;
}

}  // namespace

Case case_from_bytes(std::span<const std::uint8_t> bytes, const CaseLimits& limits) {
  Reader reader(bytes);
  Header header{};
  visit_fields(header, [&](auto& field) {
    field = static_cast<std::remove_reference_t<decltype(field)>>(reader.integer(sizeof(field)));
  });
  Case test_case;
  test_case.epsilon_bits = header.epsilon;
  set_types(header, limits, test_case);
  set_shape(header, limits, test_case);
  set_layouts(header, limits, test_case);
  set_execution(header, limits, test_case);
  if (test_case.weight_dtype) {
    test_case.weight =
        read_data(reader, header.data[2], header.seeds[2], test_case.hidden_size(), *test_case.weight_dtype);
  }
  test_case.input = read_data(reader, header.data[0], header.seeds[0], test_case.elements(), test_case.dtype);
  if (adds_residual(test_case.operation)) {
    test_case.residual =
        read_data(reader, header.data[1], header.seeds[1], test_case.elements(), test_case.dtype);
  }
  return test_case;
}

std::optional<std::vector<std::uint8_t>> case_to_bytes(const Case& test_case) {
  if (!validate(test_case).empty()) return std::nullopt;
  const std::size_t data_bytes =
      test_case.weight.bytes.size() + test_case.input.bytes.size() + test_case.residual.bytes.size();
  if (data_bytes > kMaximumCaseBytes - kCaseHeaderBytes) return std::nullopt;

  Header header{};
  header.operation = index_of(kOperations, test_case.operation);
  header.dtype = index_of(kActivationDTypes, test_case.dtype);
  header.weight = static_cast<std::uint8_t>(weight_kind(test_case));
  if (test_case.quantized_dtype)
    header.quantized_dtype = index_of(kQuantizedDTypes, *test_case.quantized_dtype);
  header.rank = static_cast<std::uint8_t>(test_case.shape.size() - 2);
  header.order = index_of(kOrders, test_case.schedule.order);
  header.path = index_of(kPaths, test_case.launch.path);
  header.threads = static_cast<std::uint8_t>(test_case.launch.threads_per_block / kThreadsPerWarp);
  header.weight_offset = static_cast<std::uint8_t>(test_case.weight_offset);
  header.epsilon = test_case.epsilon_bits;
  header.scale = test_case.scale_bits;
  header.schedule_seed = test_case.schedule.seed;
  header.flags = test_case.in_place ? 1 : 0;
  const std::array layouts = {&test_case.input_layout, &test_case.residual_layout, &test_case.output_layout};
  for (std::size_t tensor = 0; tensor < layouts.size(); ++tensor) {
    header.offsets[tensor] = static_cast<std::uint8_t>(layouts[tensor]->offset);
    if (!layouts[tensor]->strides.empty())
      header.flags = static_cast<std::uint8_t>(header.flags | 2 << tensor);
    for (std::size_t i = 0; i < layouts[tensor]->strides.size(); ++i) {
      header.strides[tensor][i] = static_cast<std::uint64_t>(layouts[tensor]->strides[i]);
    }
  }
  for (std::size_t i = 0; i < header.sizes.size(); ++i) {
    const std::int64_t size = i + 1 < test_case.shape.size() ? test_case.shape[i] : 1;
    if (size > ~std::uint32_t{0}) return std::nullopt;
    header.sizes[i] = static_cast<std::uint32_t>(size) ^ 1;
  }
  header.hidden = static_cast<std::uint32_t>(test_case.hidden_size() - 1);
  add_data(test_case.input, header.data[0], header.seeds[0]);
  add_data(test_case.residual, header.data[1], header.seeds[1]);
  add_data(test_case.weight, header.data[2], header.seeds[2]);

  Writer writer;
  visit_fields(header, [&](const auto& field) { writer.integer(field, sizeof(field)); });
  writer.data(test_case.weight.bytes);
  writer.data(test_case.input.bytes);
  writer.data(test_case.residual.bytes);
  return writer.take();
}

}  // namespace normproof
