#include "properties/drift/drift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "oracle/canonical_judge.h"
#include "properties/drift/gradient.h"
#include "properties/drift/numbers.h"

namespace normproof::drift {
namespace {

class Stack {
 public:
  Stack(const Model& model, const Subject& subject, int threads)
      : model_(model), subject_(subject), numbers_(model, threads) {}

  std::vector<LayerDrift> run(const std::function<void(std::int64_t)>& progress) {
    const Matrix embedding = numbers_.random_matrix(model_.hidden_size, model_.vocabulary, 1);
    Stream native;
    native.delta = numbers_.random_tensor("normal", model_.tokens, model_.hidden_size);
    native.residual = numbers_.random_tensor("normal", model_.tokens, model_.hidden_size);
    Stream other = native;
    std::vector<LayerDrift> layers;
    Trace trace;
    for (std::int64_t layer = 0; layer < model_.layers; ++layer) {
      const Bytes weight = numbers_.random_tensor("model_weights", 1, model_.hidden_size);
      const Bytes native_norm = normalize(native, weight, Subject{}),
                  other_norm = normalize(other, weight, subject_);
      const Matrix a = numbers_.matrix_of(native_norm, model_.hidden_size),
                   b = numbers_.matrix_of(other_norm, model_.hidden_size);
      layers.push_back({numbers_.difference(native_norm, other_norm),
                        numbers_.difference(native.residual, other.residual),
                        agreement(numbers_.times(a, embedding), numbers_.times(b, embedding)),
                        {}});
      trace.layers.push_back({numbers_.next_tensor, weight});
      const Matrix up = numbers_.random_matrix(model_.hidden_size, model_.hidden_size, std::sqrt(2.0f));
      const Matrix down = numbers_.random_matrix(model_.hidden_size, model_.hidden_size, 1);
      through(native, a, up, down, trace.first);
      through(other, b, up, down, trace.second);
      if (progress) progress(layer + 1);
    }
    if (!subject_.gradient) return layers;
    const std::vector<GradientDrift> gradients = measure_gradient(numbers_, trace, *subject_.gradient);
    for (std::size_t i = 0; i < layers.size(); ++i) layers[i].gradient = gradients[i];
    return layers;
  }

 private:
  // What one of the two runs carries from layer to layer, in T.
  struct Stream {
    Bytes delta, residual;
  };

  // residual += delta, and the norm of it.
  Bytes normalize(Stream& stream, const Bytes& weight, const Subject& subject) const {
    Case test_case;
    const Operation operation = operation_of({NormStep::add_residual, NormStep::normalize});
    test_case.kind() = call_kind(operation, model_.dtype, model_.dtype);
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
    stream.residual = std::move(outputs[normalized_tensor(operation)]);
    return std::move(outputs[Role::out]);
  }

  void through(Stream& stream, const Matrix& normalized, const Matrix& up, const Matrix& down,
               std::vector<LayerTrace>& traces) const {
    Matrix inner = numbers_.times(normalized, up);
    for (float& value : inner.values) value = std::max(value, 0.0f);
    Bytes given = numbers_.bytes_of(inner);
    stream.delta = numbers_.bytes_of(numbers_.times(numbers_.matrix_of(given, inner.columns), down));
    if (subject_.gradient) traces.push_back({stream.residual, std::move(given)});
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
  Numbers numbers_;
};

}  // namespace

std::vector<LayerDrift> measure(const Model& model, const Subject& subject, int threads,
                                const std::function<void(std::int64_t layers)>& progress) {
  return Stack(model, subject, threads).run(progress);
}

}  // namespace normproof::drift
