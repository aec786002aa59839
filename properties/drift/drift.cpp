#include "properties/drift/drift.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "corpus/float_format.h"
#include "corpus/random.h"
#include "corpus/recipe.h"
#include "oracle/canonical_judge.h"
#include "properties/judging/in_parallel.h"

namespace normproof::drift {
namespace {

using Bytes = std::vector<std::byte>;

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

class Stack {
 public:
  Stack(const Model& model, const Subject& subject, int threads)
      : model_(model), subject_(subject), threads_(threads), format_(format_of(model.dtype)) {
    for (const std::int64_t size : {model.hidden_size, model.layers, model.tokens, model.vocabulary}) {
      if (size < 1)
        throw std::invalid_argument(fmt::format("a size of the model is at least 1, got {}", size));
    }
    if (model.dtype != DType::fp32) {
      for (std::uint32_t bits = 0; bits <= 0xffff; ++bits)
        table_.push_back(static_cast<float>(value_of(format_, bits)));
    }
  }

  std::vector<LayerDrift> run(const std::function<void(std::int64_t)>& progress) {
    const Matrix embedding = random_matrix(model_.hidden_size, model_.vocabulary, 1);
    Stream native;
    native.delta = random_tensor("normal", model_.tokens, model_.hidden_size);
    native.residual = random_tensor("normal", model_.tokens, model_.hidden_size);
    Stream other = native;
    std::vector<LayerDrift> layers;
    for (std::int64_t layer = 0; layer < model_.layers; ++layer) {
      const Bytes weight = random_tensor("model_weights", 1, model_.hidden_size);
      const Bytes native_norm = normalize(native, weight, Subject{}),
                  other_norm = normalize(other, weight, subject_);
      const Matrix a = matrix_of(native_norm, model_.hidden_size),
                   b = matrix_of(other_norm, model_.hidden_size);
      layers.push_back({difference(native_norm, other_norm), difference(native.residual, other.residual),
                        agreement(times(a, embedding), times(b, embedding))});
      const Matrix up = random_matrix(model_.hidden_size, model_.hidden_size, std::sqrt(2.0f));
      const Matrix down = random_matrix(model_.hidden_size, model_.hidden_size, 1);
      native.delta = through(a, up, down);
      other.delta = through(b, up, down);
      if (progress) progress(layer + 1);
    }
    return layers;
  }

 private:
  // What one of the two runs carries from layer to layer, in T.
  struct Stream {
    Bytes delta, residual;
  };

  // Every tensor has a seed of its own.
  Bytes random_tensor(const char* data_class, std::int64_t rows, std::int64_t columns) {
    const Recipe recipe{data_class, Random(model_.seed).split(tensors_++).next()};
    const std::size_t row_bytes = static_cast<std::size_t>(columns) * size_of(model_.dtype);
    Bytes data(static_cast<std::size_t>(rows) * row_bytes);
    in_parallel(rows, threads_, [&](std::int64_t row) {
      generate_row(recipe, model_.dtype, row,
                   std::span(data).subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes));
    });
    return data;
  }
  // Numbers of T, from N(0, gain^2 / rows) before they are rounded to it.
  Matrix random_matrix(std::int64_t rows, std::int64_t columns, float gain) {
    Matrix matrix = matrix_of(random_tensor("normal", rows, columns), columns);
    const float factor = gain / std::sqrt(static_cast<float>(rows));
    for (float& value : matrix.values) value = decode(rounded(format_, value * factor));
    return matrix;
  }

  float decode(std::uint32_t bits) const {
    return table_.empty() ? std::bit_cast<float>(bits) : table_[bits];
  }
  Matrix matrix_of(const Bytes& data, std::int64_t columns) const {
    const auto count = static_cast<std::int64_t>(data.size() / size_of(model_.dtype));
    Matrix matrix(count / columns, columns);
    for (std::int64_t index = 0; index < count; ++index)
      matrix.values[static_cast<std::size_t>(index)] = decode(load_bits(data, model_.dtype, index));
    return matrix;
  }
  Bytes bytes_of(const Matrix& matrix) const {
    Bytes data(matrix.values.size() * size_of(model_.dtype));
    for (std::size_t index = 0; index < matrix.values.size(); ++index)
      store_bits(data, model_.dtype, static_cast<std::int64_t>(index),
                 rounded(format_, matrix.values[index]));
    return data;
  }

  // residual += delta, and the norm of it.
  Bytes normalize(Stream& stream, const Bytes& weight, const Subject& subject) const {
    Case test_case;
    test_case.operation = Operation::fused_add_rms_norm;
    test_case.dtype = model_.dtype;
    test_case.weight_dtype = model_.dtype;
    test_case.shape = {model_.tokens, model_.hidden_size};
    test_case.bits_of(Parameter::epsilon) = model_.epsilon_bits;
    const CaseTensors tensors{
        {Role::input, stream.delta}, {Role::residual, stream.residual}, {Role::weight, weight}};
    Outputs outputs;
    if (subject.target == nullptr) {
      outputs = oracle::expected_outputs(test_case, tensors, subject.policy);
    } else {
      RunResult result = subject.target->run(test_case, tensors);
      if (result.status != RunResult::Status::completed) {
        throw TargetError(fmt::format("target {} gave no outputs for {} x {}: {}", subject.target->name(),
                                      model_.tokens, model_.hidden_size, result.message));
      }
      outputs = std::move(result.outputs);
    }
    stream.residual = std::move(outputs[Role::residual_out]);
    return std::move(outputs[Role::out]);
  }

  // Each element is added up in the order of the inner dimension, however many
  // elements are handled side by side.
  Matrix times(const Matrix& left, const Matrix& right) const {
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

  Bytes through(const Matrix& normalized, const Matrix& up, const Matrix& down) const {
    Matrix inner = times(normalized, up);
    for (float& value : inner.values) value = std::max(value, 0.0f);
    return bytes_of(times(matrix_of(bytes_of(inner), inner.columns), down));
  }

  Difference difference(const Bytes& a, const Bytes& b) const {
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

  static double agreement(const Matrix& a, const Matrix& b) {
    std::int64_t same = 0;
    for (std::int64_t row = 0; row < a.rows; ++row) {
      const auto arg_max = [row](const Matrix& logits) {
        return std::max_element(logits.row(row), logits.row(row) + logits.columns) - logits.row(row);
      };
      same += arg_max(a) == arg_max(b);
    }
    return static_cast<double>(same) / static_cast<double>(a.rows);
  }

  const Model& model_;
  const Subject& subject_;
  int threads_;
  FloatFormat format_;
  std::vector<float> table_;  // of a 16-bit T
  std::uint64_t tensors_ = 0;
};

}  // namespace

std::vector<LayerDrift> measure(const Model& model, const Subject& subject, int threads,
                                const std::function<void(std::int64_t layers)>& progress) {
  return Stack(model, subject, threads).run(progress);
}

}  // namespace normproof::drift
