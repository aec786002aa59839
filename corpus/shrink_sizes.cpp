// Shrinking a case whose tensors are all made by recipes: the smallest sizes that still fail, found by
// bisection and without listing an element. A bug of many rows depends on their number, not on values.
#include "corpus/generate.h"
#include "corpus/shrink.h"

namespace normproof {
namespace {

bool is_recipe(const TensorData& data) { return data.recipe.has_value() || data.bytes.empty(); }

void set_recipe(TensorData& data, const char* data_class) {
  if (data.recipe) data.recipe = Recipe{data_class, 0};
}

class SizeShrinker {
 public:
  SizeShrinker(Case& failing, const std::function<bool(const Case&)>& still_fails)
      : failing_(failing), still_fails_(still_fails) {}

  bool run() {
    shrink_sizes();
    simplify([](Case& candidate) { make_plain(candidate); });
    simplify([](Case& candidate) {
      candidate.input_layout.strides.clear();
      candidate.output_layout.strides.clear();
      candidate.shape = {candidate.rows(), candidate.hidden_size()};
    });
    simplify([](Case& candidate) {
      candidate.weight_dtype.reset();
      candidate.weight = {};
      candidate.weight_offset = 0;
    });
    const auto plain_values = [](Case& candidate) {
      set_recipe(candidate.input, "ones");
      set_recipe(candidate.residual, "zeros");
      set_recipe(candidate.weight, "ones");
    };
    simplify(plain_values);
    shrink_sizes();
    Case plain = failing_;
    plain_values(plain);
    return plain == failing_;
  }

 private:
  bool fails(Case candidate) {
    candidate.outputs.reset();
    if (!validate(candidate).empty() || !still_fails_(candidate)) return false;
    failing_ = std::move(candidate);
    return true;
  }

  template <class Change>
  void simplify(const Change& change) {
    Case candidate = failing_;
    change(candidate);
    if (candidate != failing_) fails(std::move(candidate));
  }

  void shrink_sizes() {
    // Short rows first: what follows is then cheap.
    for (std::size_t dim = failing_.shape.size(); dim-- > 0;) shrink_dimension(dim);
  }

  bool fails_with(std::size_t dim, std::int64_t size) {
    Case candidate = failing_;
    candidate.shape[dim] = size;
    return fails(std::move(candidate));
  }

  // Where a size fails and all larger ones do, the smallest that fails. Thresholds are powers of two, or one
  // more, more often than not: to try those first saves the calls that cost most.
  void shrink_dimension(std::size_t dim) {
    const std::int64_t size = failing_.shape[dim];
    if (size <= 1 || fails_with(dim, 1)) return;
    std::int64_t passes = 1, least = size;
    for (std::int64_t power = 2; power < least; power *= 2) {
      if (fails_with(dim, power)) {
        least = power;
      } else {
        passes = power;
      }
    }
    if (least - 1 > passes && !fails_with(dim, least - 1)) return;
    least = failing_.shape[dim];
    if (least - passes > 1 && fails_with(dim, passes + 1)) return;
    for (++passes; least - passes > 1;) {
      const std::int64_t middle = passes + (least - passes) / 2;
      if (fails_with(dim, middle)) {
        least = middle;
      } else {
        passes = middle;
      }
    }
  }

  Case& failing_;
  const std::function<bool(const Case&)>& still_fails_;
};

}  // namespace

bool shrink_sizes(Case& failing, const std::function<bool(const Case&)>& still_fails) {
  if (failing.elements() == 0 || !failing.input.recipe || !is_recipe(failing.residual) ||
      !is_recipe(failing.weight))
    return false;
  return SizeShrinker(failing, still_fails).run();
}

}  // namespace normproof
