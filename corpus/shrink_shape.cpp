// Shrink stages that leave out rows and columns, and list what recipes make.
#include <algorithm>
#include <memory>
#include <numeric>

#include "corpus/float_format.h"
#include "corpus/generate.h"
#include "corpus/recipe.h"
#include "corpus/shrink_stages.h"

namespace normproof {
namespace {

using Indices = std::vector<std::int64_t>;

Indices range(std::int64_t first, std::int64_t end) {
  Indices indices(static_cast<std::size_t>(std::max<std::int64_t>(end - first, 0)));
  std::iota(indices.begin(), indices.end(), first);
  return indices;
}

Indices all_but(std::int64_t count, std::int64_t first, std::int64_t end) {
  Indices indices = range(0, first);
  const Indices rest = range(std::min(end, count), count);
  indices.insert(indices.end(), rest.begin(), rest.end());
  return indices;
}

std::vector<std::byte> gather(const std::vector<std::byte>& data, std::size_t element,
                              std::int64_t old_columns, const Indices& rows, const Indices& columns) {
  std::vector<std::byte> result;
  result.reserve(rows.size() * columns.size() * element);
  for (const std::int64_t row : rows) {
    for (const std::int64_t column : columns) {
      const auto* from = data.data() + static_cast<std::size_t>(row * old_columns + column) * element;
      result.insert(result.end(), from, from + element);
    }
  }
  return result;
}

// The values of a case, made when first needed.
class Values {
 public:
  explicit Values(const Case& origin) : origin_(origin) {}

  const Case& origin() const { return origin_; }

  // The origin with these rows (in the order of a rank-2 tensor) and columns only. The caller sets the
  // leading sizes.
  Case selected(const Indices& rows, const Indices& columns) {
    if (!tensors_) tensors_ = materialize(origin_);
    Case candidate = without_data();
    candidate.shape.back() = static_cast<std::int64_t>(columns.size());
    for (const Role role : kRoles) {
      if (!origin_.has_data(role)) continue;
      const bool has_rows = origin_.has_strides(role);
      candidate[role].data.bytes = gather((*tensors_)[role], size_of(origin_.dtype_of(role)),
                                          origin_.hidden_size(), has_rows ? rows : Indices{0}, columns);
    }
    return candidate;
  }

  bool can_list() const { return origin_.elements() <= kMostListedElements; }

 private:
  Case without_data() const {
    Case copy = origin_;
    for (CaseTensor& tensor : copy.tensors) tensor.data = {};
    copy.outputs.reset();
    return copy;
  }

  const Case& origin_;
  std::optional<CaseTensors> tensors_;
};

void clear_strides(Case& test_case) {
  for (CaseTensor& tensor : test_case.tensors) tensor.layout.strides.clear();
}

Case with_rows(Values& values, const Indices& rows) {
  Case candidate = values.selected(rows, range(0, values.origin().hidden_size()));
  if (candidate.shape.size() > 2) clear_strides(candidate);
  candidate.shape = {static_cast<std::int64_t>(rows.size()), candidate.hidden_size()};
  return candidate;
}

Case with_columns(Values& values, const Indices& columns) {
  return values.selected(range(0, values.origin().rows()), columns);
}

// Steps [first, end) of leading dimension `dim` only; rank and strides stay.
Case with_steps(Values& values, std::size_t dim, std::int64_t first, std::int64_t end) {
  const std::vector<std::int64_t>& shape = values.origin().shape;
  std::int64_t inner = 1;
  for (std::size_t i = dim + 1; i + 1 < shape.size(); ++i) inner *= shape[i];
  Indices rows;
  for (std::int64_t row = 0; row < values.origin().rows(); ++row) {
    const std::int64_t step = row / inner % shape[dim];
    if (step >= first && step < end) rows.push_back(row);
  }
  Case candidate = values.selected(rows, range(0, shape.back()));
  candidate.shape[dim] = end - first;
  return candidate;
}

// A column and beside it a companion whose weight is 1 and whose other inputs are 0: with one element to
// choose the inverse RMS takes values that the column alone, or with its neighbours, does not have.
constexpr std::int64_t kCompanions = 8;
Case with_companion(Values& values, std::int64_t column, std::int64_t companion) {
  Case candidate = with_columns(values, {column, column});
  const FloatFormat format = format_of(candidate.dtype);
  // 1, 1.125, ... 1.875, and at last 0.
  const std::uint32_t eighths = static_cast<std::uint32_t>(companion) << (format.mantissa_bits - 3);
  const std::uint32_t bits = companion == kCompanions ? 0 : format.one() | eighths;
  for (std::int64_t row = 0; row < candidate.rows(); ++row) {
    for (const Role role : candidate.inputs_with_rows())
      store_bits(candidate[role].data.bytes, candidate.dtype_of(role), 2 * row + 1,
                 role == Role::input ? bits : 0);
  }
  if (candidate.weight_dtype) {
    store_bits(candidate[Role::weight].data.bytes, *candidate.weight_dtype, 1,
               format_of(*candidate.weight_dtype).one());
  }
  return candidate;
}

// Removal of blocks of size/2, size/4, ... 1 of `size` items: how many there are, and the one of a number.
struct Removal {
  std::int64_t first;
  std::int64_t end;
};
std::int64_t removal_count(std::int64_t size) {
  std::int64_t count = 0;
  for (std::int64_t length = size / 2; length > 0; length /= 2) count += (size + length - 1) / length;
  return count;
}
Removal removal_of(std::int64_t size, std::int64_t index) {
  std::int64_t length = size / 2;
  while (index >= (size + length - 1) / length) {
    index -= (size + length - 1) / length;
    length /= 2;
  }
  return {index * length, std::min(size, (index + 1) * length)};
}

}  // namespace

void append_shape_stages(const Case& origin, std::vector<ShrinkStage>& stages) {
  const auto values = std::make_shared<Values>(origin);
  const bool can_list = values->can_list();
  const std::int64_t rows = origin.rows();
  const std::int64_t columns = origin.hidden_size();
  const std::int64_t chunk = chunk_elements(origin.dtype);
  const std::size_t leading = origin.shape.size() - 1;

  // Half of the steps of a leading dimension, where there are several dimensions.
  stages.push_back({leading > 1 && can_list ? static_cast<std::int64_t>(3 * leading) : 0,
                    [values, &origin](std::int64_t index) -> std::optional<Case> {
                      const auto dim = static_cast<std::size_t>(index / 3);
                      const std::int64_t size = origin.shape[dim];
                      if (size < 2) return std::nullopt;
                      if (index % 3 == 0) return with_steps(*values, dim, 0, 1);
                      return index % 3 == 1 ? with_steps(*values, dim, 0, size / 2)
                                            : with_steps(*values, dim, size / 2, size);
                    },
                    true});
  // Half of the rows.
  stages.push_back({rows > 1 && can_list ? 2 : 0,
                    [values, rows](std::int64_t index) {
                      return with_rows(*values, index == 0 ? range(0, rows / 2) : range(rows / 2, rows));
                    },
                    true});
  // All but a block of rows, down to single ones; the only row may go, too.
  stages.push_back({!can_list   ? 0
                    : rows == 1 ? 1
                                : removal_count(rows),
                    [values, rows](std::int64_t index) {
                      const Removal block = rows == 1 ? Removal{0, 1} : removal_of(rows, index);
                      return with_rows(*values, all_but(rows, block.first, block.end));
                    }});
  // A single column, or two neighbours: most wrong roundings need no more.
  constexpr std::int64_t kMostSingles = 512;
  stages.push_back({columns > 1 && columns <= kMostSingles && can_list ? 2 * columns - 1 : 0,
                    [values, columns](std::int64_t index) {
                      const std::int64_t first = index % columns;
                      return with_columns(*values, range(first, first + 1 + index / columns));
                    },
                    true});
  // A single chunk.
  stages.push_back({columns > chunk && columns <= kMostSingles && can_list ? columns / chunk : 0,
                    [values, chunk](std::int64_t index) {
                      return with_columns(*values, range(index * chunk, (index + 1) * chunk));
                    },
                    true});
  // Half of the columns, rounded to whole chunks, then exactly.
  stages.push_back({columns > 1 && can_list ? 4 : 0,
                    [values, columns, chunk](std::int64_t index) -> std::optional<Case> {
                      std::int64_t half = (columns + 1) / 2;
                      if (index < 2) half = (half + chunk - 1) / chunk * chunk;
                      if (half >= columns) return std::nullopt;
                      return with_columns(*values,
                                          index % 2 == 0 ? range(0, half) : range(columns - half, columns));
                    },
                    true});
  // All but a block of whole chunks.
  const std::int64_t chunks = columns / chunk;
  stages.push_back({columns > chunk && can_list ? removal_count(chunks) : 0,
                    [values, columns, chunk, chunks](std::int64_t index) {
                      const Removal block = removal_of(chunks, index);
                      return with_columns(*values, all_but(columns, block.first * chunk, block.end * chunk));
                    }});
  // All but a block of columns, down to single ones while they are few.
  stages.push_back({columns > 1 && columns <= 4096 && can_list ? removal_count(columns) : 0,
                    [values, columns](std::int64_t index) -> std::optional<Case> {
                      const Removal block = removal_of(columns, index);
                      if (block.end - block.first == columns) return std::nullopt;
                      return with_columns(*values, all_but(columns, block.first, block.end));
                    }});
  // A column and a companion, where neighbours were not enough.
  stages.push_back({columns > 2 && columns <= 64 && can_list ? columns * (kCompanions + 1) : 0,
                    [values](std::int64_t index) {
                      const std::int64_t companion = index % (kCompanions + 1);
                      return with_companion(*values, index / (kCompanions + 1), companion);
                    }});
  // What is too large to be listed is cut short: half of the rows, or of the
  // columns, made by the same recipes.
  stages.push_back({can_list ? 0 : 2,
                    [&origin](std::int64_t index) -> std::optional<Case> {
                      if (!origin[Role::input].data.bytes.empty()) return std::nullopt;
                      Case candidate = origin;
                      if (index == 0) {
                        clear_strides(candidate);
                        candidate.shape = {origin.rows() / 2, origin.hidden_size()};
                        return candidate;
                      }
                      if (!origin[Role::weight].data.bytes.empty()) return std::nullopt;
                      candidate.shape.back() = (origin.hidden_size() + 1) / 2;
                      return candidate;
                    },
                    true});
  // The same values, listed.
  const bool has_recipe = std::ranges::any_of(
      origin.tensors, [](const CaseTensor& tensor) { return tensor.data.recipe.has_value(); });
  stages.push_back({has_recipe && origin.elements() <= kMostElementsListedForReading &&
                            origin.hidden_size() <= kMostElementsListedForReading
                        ? 1
                        : 0,
                    [values, rows, columns](std::int64_t) {
                      return values->selected(range(0, rows), range(0, columns));
                    }});
}

}  // namespace normproof
