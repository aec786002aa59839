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

// What the header says of one tensor.
struct TensorRecord {
  std::uint8_t offset, has_strides, data;
  std::uint64_t seed;
  std::array<std::uint64_t, kLeading> strides;
};

// The header as it stands, before the limits are applied to it.
struct Header {
  std::uint8_t operation, dtype, weight, codes, rank, in_place, order, path, threads;
  std::uint64_t schedule_seed;
  std::array<std::uint32_t, kLeading> sizes;
  std::uint32_t hidden;
  ParameterBits parameters;
  std::array<TensorRecord, kRoles.size()> tensors;

  TensorRecord& operator[](Role role) { return tensors[static_cast<std::size_t>(role)]; }
  const TensorRecord& operator[](Role role) const { return tensors[static_cast<std::size_t>(role)]; }
};

// The one list of the header's fields, in order, for reading and writing. So many of the roles and the
// parameters are there.
template <typename Header, typename Visitor>
void visit_fields(Header& header, std::size_t roles, std::size_t parameters, Visitor visit) {
  for (auto* field : {&header.operation, &header.dtype, &header.weight, &header.codes, &header.rank,
                      &header.in_place, &header.order, &header.path, &header.threads}) {
    visit(*field);
  }
  visit(header.schedule_seed);
  for (auto& field : header.sizes) visit(field);
  visit(header.hidden);
  for (auto& field : std::span(header.parameters).first(parameters)) visit(field);
  for (auto& tensor : std::span(header.tensors).first(roles)) {
    for (auto* field : {&tensor.offset, &tensor.has_strides, &tensor.data}) visit(*field);
    visit(tensor.seed);
    for (auto& field : tensor.strides) visit(field);
  }
}

template <typename Field>
void read_field(Reader& reader, Field& field) {
  field = static_cast<Field>(reader.integer(sizeof(field)));
}

// The fields of version 1; what it lacks stays zero.
Header read_version_1(Reader& reader) {
  constexpr std::array kWithRows = {Role::input, Role::residual, Role::out};
  constexpr std::array kWithData = {Role::input, Role::residual, Role::weight};
  Header header{};
  std::uint8_t flags = 0;
  for (auto* field : {&header.operation, &header.dtype, &header.weight, &header.codes, &header.rank, &flags,
                      &header.order, &header.path, &header.threads}) {
    read_field(reader, *field);
  }
  header.in_place = flags & 1;
  for (std::size_t i = 0; i < kWithRows.size(); ++i)
    header[kWithRows[i]].has_strides = static_cast<std::uint8_t>(flags >> (1 + i) & 1);
  for (const Role role : kWithRows) read_field(reader, header[role].offset);
  read_field(reader, header[Role::weight].offset);
  for (const Role role : kWithData) read_field(reader, header[role].data);
  for (const Parameter parameter : {Parameter::epsilon, Parameter::scale})
    read_field(reader, header.parameters[static_cast<std::size_t>(parameter)]);
  read_field(reader, header.schedule_seed);
  for (const Role role : kWithData) read_field(reader, header[role].seed);
  for (auto& size : header.sizes) read_field(reader, size);
  read_field(reader, header.hidden);
  for (const Role role : kWithRows)
    for (auto& stride : header[role].strides) read_field(reader, stride);
  return header;
}

Header read_version_2(Reader& reader) {
  reader.integer(1);  // the version
  const std::size_t roles = std::min<std::size_t>(reader.integer(1), kRoles.size());
  const std::size_t parameters = std::min<std::size_t>(reader.integer(1), kParameters.size());
  Header header{};
  header.parameters = usual_parameters();
  visit_fields(header, roles, parameters, [&](auto& field) { read_field(reader, field); });
  return header;
}

void set_types(const Header& header, const CaseLimits& limits, Case& test_case) {
  const auto of_byte = [&](std::span<const Operation> operations) {
    return operations[header.operation % operations.size()];
  };
  Operation operation = limits.operation.value_or(of_byte(all_operations()));
  if (std::ranges::count(limits.operations(), operation) == 0) operation = of_byte(limits.operations());
  test_case.kind() = kind_within(limits, operation, [&header](KindChoice what, std::size_t count) {
    const std::uint8_t byte = what == KindChoice::dtype    ? header.dtype
                              : what == KindChoice::weight ? header.weight
                                                           : header.codes;
    return byte % count;
  });
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
  const auto layout = [&](Role role) {
    const bool has_rows = test_case.has_strides(role);
    const std::int64_t alignment = chunk_elements(has_rows ? test_case.dtype : test_case.dtype_of(role));
    const TensorRecord& record = header[role];
    TensorLayout result;
    result.offset = down(record.offset % (kMaximumOffset + 1), alignment);
    if (has_rows && record.has_strides % 2 != 0) {
      for (std::size_t i = 0; i + 1 < test_case.shape.size(); ++i) {
        // No stride of 2^62 is allowed, and sums of strides could overflow.
        constexpr std::uint64_t kBound = std::uint64_t{1} << 62;
        result.strides.push_back(static_cast<std::int64_t>(record.strides[i] % kBound));
      }
      result.strides = fit_strides(std::move(result.strides), test_case, limits);
      if (keep_aligned) {
        for (std::int64_t& stride : result.strides) stride = std::max(alignment, down(stride, alignment));
        if (fit_strides(result.strides, test_case, limits) != result.strides) result.strides.clear();
      }
    }
    return result;
  };
  test_case.in_place = may_be_in_place(test_case.operation) && header.in_place % 2 != 0;
  for (const Role role : kRoles)
    if (test_case.has_layout(role)) test_case[role].layout = layout(role);
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

TensorRecord record_of(const CaseTensor& tensor) {
  TensorRecord record{};
  record.offset = static_cast<std::uint8_t>(tensor.layout.offset);
  record.has_strides = tensor.layout.strides.empty() ? 0 : 1;
  for (std::size_t i = 0; i < tensor.layout.strides.size(); ++i)
    record.strides[i] = static_cast<std::uint64_t>(tensor.layout.strides[i]);
  if (tensor.data.recipe) {
    record.data =
        static_cast<std::uint8_t>(kFirstRecipe + index_of(data_classes(), tensor.data.recipe->data_class));
    record.seed = tensor.data.recipe->seed;
  }
  return record;
}

}  // namespace

Case case_from_bytes(std::span<const std::uint8_t> bytes, const CaseLimits& limits) {
  Reader reader(bytes);
  const bool is_version_1 = bytes.empty() || bytes.front() != kBinaryVersion;
  const Header header = is_version_1 ? read_version_1(reader) : read_version_2(reader);
  Case test_case;
  set_types(header, limits, test_case);
  for (const Parameter parameter : kParameters) {
    if (has(test_case.operation, parameter))
      test_case.bits_of(parameter) = header.parameters[static_cast<std::size_t>(parameter)];
  }
  if (!limits.scale_ub || !is_upper_bound(test_case.bits_of(Parameter::scale_ub)))
    test_case.bits_of(Parameter::scale_ub) = spec_of(Parameter::scale_ub).usual_bits;
  set_shape(header, limits, test_case);
  set_layouts(header, limits, test_case);
  set_execution(header, limits, test_case);
  const auto read_data_of = [&](Role role) {
    if (!test_case.has_data(role)) return;
    test_case[role].data = read_data(reader, header[role].data, header[role].seed,
                                     test_case.elements_of(role), test_case.dtype_of(role));
  };
  if (is_version_1) {
    for (const Role role : {Role::weight, Role::input, Role::residual}) read_data_of(role);
  } else {
    for (const Role role : kRoles) read_data_of(role);
  }
  return test_case;
}

std::optional<std::vector<std::uint8_t>> case_to_bytes(const Case& test_case) {
  if (!validate(test_case).empty() || !test_case.what_no_target_has().empty()) return std::nullopt;
  std::size_t data_bytes = 0;
  for (const CaseTensor& tensor : test_case.tensors) data_bytes += tensor.data.bytes.size();
  if (data_bytes > kMaximumCaseBytes - kCaseHeaderBytes) return std::nullopt;

  Header header{};
  header.operation = index_of(all_operations(), test_case.operation);
  header.dtype = index_of(kActivationDTypes, test_case.dtype);
  header.weight = static_cast<std::uint8_t>(weight_kind(test_case));
  if (test_case.has_codes())
    header.codes = index_of(code_dtypes(test_case.operation), test_case.output_dtype());
  header.rank = static_cast<std::uint8_t>(test_case.shape.size() - 2);
  header.in_place = test_case.in_place ? 1 : 0;
  header.order = index_of(kOrders, test_case.schedule.order);
  header.path = index_of(kPaths, test_case.launch.path);
  header.threads = static_cast<std::uint8_t>(test_case.launch.threads_per_block / kThreadsPerWarp);
  header.schedule_seed = test_case.schedule.seed;
  header.parameters = test_case.parameter_bits;
  for (std::size_t i = 0; i < header.sizes.size(); ++i) {
    const std::int64_t size = i + 1 < test_case.shape.size() ? test_case.shape[i] : 1;
    if (size > ~std::uint32_t{0}) return std::nullopt;
    header.sizes[i] = static_cast<std::uint32_t>(size) ^ 1;
  }
  header.hidden = static_cast<std::uint32_t>(test_case.hidden_size() - 1);
  for (const Role role : kRoles) header[role] = record_of(test_case[role]);

  Writer writer;
  for (const std::size_t field : {std::size_t{kBinaryVersion}, kRoles.size(), kParameters.size()})
    writer.integer(field, 1);
  visit_fields(header, kRoles.size(), kParameters.size(),
               [&](const auto& field) { writer.integer(field, sizeof(field)); });
  for (const CaseTensor& tensor : test_case.tensors) writer.data(tensor.data.bytes);
  return writer.take();
}

}  // namespace normproof
