// Random tensors, matrix products, differences.
#include "properties/drift/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "corpus/float_format.h"
#include "corpus/random.h"
#include "corpus/recipe.h"
#include "properties/judging/in_parallel.h"

namespace normproof::drift {

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix.columns, matrix.rows);
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    for (std::int64_t column = 0; column < matrix.columns; ++column)
      result.row(column)[row] = matrix.row(row)[column];
  }
  return result;
}

Numbers::Numbers(const Model& model, int threads) : model_(model), threads_(threads) {
  for (const std::int64_t size : {model.hidden_size, model.layers, model.tokens, model.vocabulary}) {
    if (size < 1) throw std::invalid_argument(fmt::format("a size of the model is at least 1, got {}", size));
  }
  if (model.dtype != DType::fp32) {
    for (std::uint32_t bits = 0; bits <= 0xffff; ++bits)
      table_.push_back(static_cast<float>(value_of(normproof::format_of(model.dtype), bits)));
  }
}

Bytes Numbers::random_tensor(const char* data_class, std::int64_t rows, std::int64_t columns) {
  const Recipe recipe{data_class, Random(model_.seed).split(next_tensor++).next()};
  const std::size_t row_bytes = static_cast<std::size_t>(columns) * size_of(model_.dtype);
  Bytes data(static_cast<std::size_t>(rows) * row_bytes);
  in_parallel(rows, threads_, [&](std::int64_t row) {
    generate_row(recipe, model_.dtype, row,
                 std::span(data).subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes));
  });
  return data;
}

Matrix Numbers::random_matrix(std::int64_t rows, std::int64_t columns, float gain) {
  Matrix matrix = matrix_of(random_tensor("normal", rows, columns), columns);
  const float factor = gain / std::sqrt(static_cast<float>(rows));
  for (float& value : matrix.values)
    value = decode(rounded(normproof::format_of(model_.dtype), value * factor));
  return matrix;
}

float Numbers::decode(std::uint32_t bits) const {
  return table_.empty() ? std::bit_cast<float>(bits) : table_[bits];
}

Matrix Numbers::matrix_of(const Bytes& data, std::int64_t columns) const {
  const auto count = static_cast<std::int64_t>(data.size() / size_of(model_.dtype));
  Matrix matrix(count / columns, columns);
  for (std::int64_t index = 0; index < count; ++index)
    matrix.values[static_cast<std::size_t>(index)] = decode(load_bits(data, model_.dtype, index));
  return matrix;
}

Bytes Numbers::bytes_of(const Matrix& matrix) const {
  Bytes data(matrix.values.size() * size_of(model_.dtype));
  for (std::size_t index = 0; index < matrix.values.size(); ++index)
    store_bits(data, model_.dtype, static_cast<std::int64_t>(index),
               rounded(normproof::format_of(model_.dtype), matrix.values[index]));
  return data;
}

Matrix Numbers::times(const Matrix& left, const Matrix& right) const {
  constexpr std::int64_t kRowsAtOnce = 8;
  Matrix product(left.rows, right.columns);
  in_parallel((left.rows + kRowsAtOnce - 1) / kRowsAtOnce, threads_, [&](std::int64_t block) {
    const std::int64_t first = block * kRowsAtOnce, last = std::min(left.rows, first + kRowsAtOnce);
    for (std::int64_t inner = 0; inner < left.columns; ++inner) {
      const float* from = right.row(inner);
      for (std::int64_t row = first; row < last; ++row) {
        const float factor = left.row(row)[inner];
        float* to = product.row(row);
        for (std::int64_t column = 0; column < right.columns; ++column) to[column] += factor * from[column];
      }
    }
  });
  return product;
}

Difference Numbers::difference(const Bytes& a, const Bytes& b) const {
  Difference result;
  const auto count = static_cast<std::int64_t>(a.size() / size_of(model_.dtype));
  std::int64_t differing = 0;
  for (std::int64_t index = 0; index < count; ++index) {
    const std::uint32_t x = load_bits(a, model_.dtype, index), y = load_bits(b, model_.dtype, index);
    if (x == y) continue;
    ++differing;
    const double distance = std::abs(static_cast<double>(decode(x)) - decode(y));
    result.largest = std::max(result.largest, distance);
    result.mean += distance;
  }
  result.mean /= static_cast<double>(count);
  result.share = static_cast<double>(differing) / static_cast<double>(count);
  return result;
}

}  // namespace normproof::drift
