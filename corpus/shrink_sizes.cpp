// Shrinking a case whose tensors are all made by recipes: the smallest sizes that still fail, found by
// bisection and without listing an element. A bug of many rows depends on their number, not on values.
#include <algorithm>

#include "corpus/generate.h"
#include "corpus/shrink.h"

namespace normproof {
namespace {

class SizeShrinker {
 public:
  SizeShrinker(Case& failing, const std::function<bool(const Case&)>& still_fails)
      : failing_(failing), still_fails_(still_fails) {}

  bool run() {
    shrink_sizes();
    simplify([](Case& candidate) { make_plain(candidate); });
    simplify([](Case& candidate) {
      for (CaseTensor& tensor : candidate.tensors) tensor.layout.strides.clear();
      candidate.shape = {candidate.rows(), candidate.hidden_size()};
    });
    simplify([](Case& candidate) {
      candidate.weight_dtype.reset();
      keep_what_it_has(candidate);
    });
    const auto plain_values = [](Case& candidate) {
      for (const Role role : kRoles) {
        std::optional<Recipe>& recipe = candidate[role].data.recipe;
        if (recipe) recipe = Recipe{role == Role::residual ? "zeros" : "ones", 0};
      }
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
  const bool has_listed = std::ranges::any_of(
      failing.tensors, [](const CaseTensor& tensor) { return !tensor.data.bytes.empty(); });
  if (failing.elements() == 0 || has_listed) return false;
  return SizeShrinker(failing, still_fails).run();
}

}  // namespace normproof
