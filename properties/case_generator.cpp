#include "properties/case_generator.h"

#include <rapidcheck/Random.h>
#include <rapidcheck/seq/Create.h>
#include <rapidcheck/shrinkable/Create.h>

#include <ostream>
#include <utility>

#include "corpus/shrink.h"

namespace normproof {

rc::Gen<Case> case_generator(std::function<Case(Random&)> draw) {
  return [draw = std::move(draw)](const rc::Random& random, int /*size*/) {
    rc::Random source = random;
    Random case_random(source.next());
    return rc::shrinkable::shrinkRecur(
        draw(case_random), [](Case&& larger) { return rc::seq::fromContainer(shrink_candidates(larger)); });
  };
}

void showValue(const Case& test_case, std::ostream& stream) {
  stream << name_of(test_case.operation) << ' ' << test_case.rows() << 'x' << test_case.hidden_size() << ' '
         << name_of(test_case.dtype);
}

}  // namespace normproof
