// The numbers of a model that drift is measured in: random tensors, matrix products, differences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "properties/drift/drift.h"

namespace normproof::drift {

using Bytes = std::vector<std::byte>;  // packed numbers of the model's dtype T

// rows x columns numbers, row-major.
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;
  Matrix() = default;
  Matrix(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count), columns(column_count), values(static_cast<std::size_t>(row_count * column_count)) {}
  float* row(std::int64_t index) { return values.data() + index * columns; }
  const float* row(std::int64_t index) const { return values.data() + index * columns; }
};
Matrix transposed(const Matrix& matrix);

class Numbers {
 public:
  // Throws std::invalid_argument where a size of the model is not positive.
  Numbers(const Model& model, int threads);

  // Every tensor has a seed of its own, by its number.
  Bytes random_tensor(const char* data_class, std::int64_t rows, std::int64_t columns);
  // Numbers of T, from N(0, gain^2 / rows) before they are rounded to it.
  Matrix random_matrix(std::int64_t rows, std::int64_t columns, float gain);
  // The number of the next tensor. Set it to make the same ones again.
  std::uint64_t next_tensor = 0;

  float decode(std::uint32_t bits) const;
  Matrix matrix_of(const Bytes& data, std::int64_t columns) const;
  Bytes bytes_of(const Matrix& matrix) const;  // rounded to T

  // Each element is added up in the order of the inner dimension, however many elements are handled side by
  // side.
  Matrix times(const Matrix& left, const Matrix& right) const;

  Difference difference(const Bytes& a, const Bytes& b) const;

  const Model& model() const { return model_; }
  int threads() const { return threads_; }

 private:
  const Model& model_;
  int threads_;
  std::vector<float> table_;  // of a 16-bit T
};

}  // namespace normproof::drift
