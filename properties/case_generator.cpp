#include "properties/case_generator.h"

#include <rapidcheck/Random.h>
#include <rapidcheck/shrinkable/Create.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <utility>

#include "corpus/shrink.h"

namespace normproof {

namespace {

// The candidates of corpus/shrink.h as a RapidCheck sequence, made one by one.
class LazyShrinks {
 public:
  explicit LazyShrinks(Case origin) : origin_(std::move(origin)), sequence_(origin_) {}
  LazyShrinks(const LazyShrinks& other) : LazyShrinks(other.origin_) {
    while (taken_ < other.taken_) next();
  }
  LazyShrinks& operator=(const LazyShrinks&) = delete;

  rc::Maybe<Case> operator()() {
    std::optional<Case> candidate = next();
    if (!candidate) return rc::Nothing;
    return std::move(*candidate);
  }

 private:
  std::optional<Case> next() {
    ++taken_;
    return sequence_.next();
  }

  Case origin_;
  ShrinkSequence sequence_;
  std::int64_t taken_ = 0;
};

}  // namespace

rc::Gen<Case> case_generator(std::function<Case(Random&)> draw) {
  return [draw = std::move(draw)](const rc::Random& random, int /*size*/) {
    rc::Random source = random;
    Random case_random(source.next());
    return rc::shrinkable::shrinkRecur(
        draw(case_random), [](Case&& larger) { return rc::makeSeq<LazyShrinks>(std::move(larger)); });
  };
}

void showValue(const Case& test_case, std::ostream& stream) {
  stream << name_of(test_case.operation) << ' ' << test_case.rows() << 'x' << test_case.hidden_size() << ' '
         << name_of(test_case.dtype);
}

}  // namespace normproof
