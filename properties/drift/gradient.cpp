#include "properties/drift/gradient.h"

#include <algorithm>
#include <cmath>

#include "oracle/row_kernels.h"
#include "properties/judging/in_parallel.h"

namespace normproof::drift {
namespace {

namespace judged = oracle::judged;

// The backward pass of one run.
class Backward {
 public:
  Backward(const Numbers& numbers, const judged::Policy& policy, Bytes gradient)
      : numbers_(numbers), policy_(policy), gradient_(std::move(gradient)) {}

  // Through one layer; `up_transposed` and `down_transposed` are U^T and D^T.
  void pass(const LayerTrace& trace, const Bytes& weight, const Matrix& up_transposed,
            const Matrix& down_transposed) {
    const std::int64_t hidden = numbers_.model().hidden_size;
    Matrix inner = numbers_.times(numbers_.matrix_of(gradient_, hidden), down_transposed);
    const Matrix given = numbers_.matrix_of(trace.inner, hidden);
    for (std::size_t i = 0; i < inner.values.size(); ++i) {
      if (!(given.values[i] > 0)) inner.values[i] = 0;
    }
    const Bytes rounded = numbers_.bytes_of(inner);
    norm(trace.residual, weight,
         numbers_.bytes_of(numbers_.times(numbers_.matrix_of(rounded, hidden), up_transposed)));
  }

  const Bytes& gradient() const { return gradient_; }
  const Bytes& weight_gradient() const { return weight_gradient_; }

 private:
  void norm(const Bytes& x, const Bytes& weight, Bytes dy) {
    const Model& model = numbers_.model();
    const DType dtype = model.dtype;
    const std::vector<std::int64_t> rows = {model.tokens, model.hidden_size}, one = {model.hidden_size};
    judged::Call call;
    call.operation = policy_.operation;
    call.tensors["x"] = {dtype, rows, x};
    call.tensors["dy"] = {dtype, rows, std::move(dy)};
    call.tensors["weight"] = {dtype, one, weight};
    call.tensors["dresidual"] = {dtype, rows, std::move(gradient_)};
    call.tensors["dx"] = {dtype, rows, Bytes(x.size())};
    call.tensors["dweight"] = {dtype, one, Bytes(weight.size())};
    {
      const oracle::StandardFloatEnvironment environment;
      call.operation->complete(call, model.epsilon_bits);
    }
    for (const judged::Part& part : call.operation->parts(call, policy_))
      (part.tensor == "dx" ? gradient_ : weight_gradient_) = outputs_of(part, dtype);
  }

  Bytes outputs_of(const judged::Part& part, DType dtype) const {
    constexpr std::int64_t kUnitsAtOnce = 16;
    const std::size_t unit_bytes = static_cast<std::size_t>(part.elements_per_unit) * size_of(dtype);
    Bytes result(static_cast<std::size_t>(part.units) * unit_bytes);
    in_parallel((part.units + kUnitsAtOnce - 1) / kUnitsAtOnce, numbers_.threads(), [&](std::int64_t block) {
      const oracle::StandardFloatEnvironment environment;
      const auto judge = part.judge();
      const std::int64_t last = std::min(part.units, (block + 1) * kUnitsAtOnce);
      for (std::int64_t unit = block * kUnitsAtOnce; unit < last; ++unit)
        std::ranges::copy(
            judge->canonical(unit),
            result.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(unit) * unit_bytes));
    });
    return result;
  }

  const Numbers& numbers_;
  const judged::Policy& policy_;
  Bytes gradient_, weight_gradient_;
};

}  // namespace

std::vector<GradientDrift> measure_gradient(Numbers& numbers, const Trace& trace,
                                            const judged::Policy& policy) {
  const Model& model = numbers.model();
  const judged::Policy native = judged::parse_policy(*policy.operation, "native");
  const Bytes last = numbers.random_tensor("normal", model.tokens, model.hidden_size);
  Backward first(numbers, native, last), second(numbers, policy, last);
  std::vector<GradientDrift> result(trace.layers.size());
  for (std::size_t layer = trace.layers.size(); layer-- > 0;) {
    const Trace::Layer& shared = trace.layers[layer];
    numbers.next_tensor = shared.first_tensor;
    const Matrix up =
        transposed(numbers.random_matrix(model.hidden_size, model.hidden_size, std::sqrt(2.0f)));
    const Matrix down = transposed(numbers.random_matrix(model.hidden_size, model.hidden_size, 1));
    first.pass(trace.first[layer], shared.weight, up, down);
    second.pass(trace.second[layer], shared.weight, up, down);
    result[layer] = {numbers.difference(first.gradient(), second.gradient()),
                     numbers.difference(first.weight_gradient(), second.weight_gradient())};
  }
  return result;
}

}  // namespace normproof::drift
