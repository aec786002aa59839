#include "properties/run/verification_case.h"

#include <array>

#include "corpus/generate.h"
#include "corpus/random.h"

namespace normproof {
namespace {

// How many of a thousand cases have which size. Rows are cheap on a CPU when they are short, and most of what
// a norm kernel can do wrong shows there; long rows reach the second round of lanes and the upper part of the
// tree.
struct SizeClass {
  std::uint64_t per_thousand;
  std::int64_t max_rows;
  std::int64_t max_hidden;
  bool giant_strides;
};
constexpr std::array kSizeClasses = {
    SizeClass{560, 32, 128, false}, SizeClass{300, 64, 512, false}, SizeClass{118, 16, 4096, false},
    SizeClass{12, 4, 16384, false}, SizeClass{5, 2, 65536, false},  SizeClass{5, 3, 64, true},
};

const SizeClass& draw_size_class(Random& random) {
  std::uint64_t ticket = random.below(1000);
  for (const SizeClass& size_class : kSizeClasses) {
    if (ticket < size_class.per_thousand) return size_class;
    ticket -= size_class.per_thousand;
  }
  return kSizeClasses.front();
}

}  // namespace

Case verification_case(std::uint64_t seed, std::int64_t index, const std::vector<Combination>& combinations) {
  Random random = Random(seed).split(static_cast<std::uint64_t>(index));
  const Combination& combination = combinations[static_cast<std::size_t>(index) % combinations.size()];
  const SizeClass& size_class = draw_size_class(random);
  CaseLimits limits;
  limits.max_rows = size_class.max_rows;
  limits.max_hidden = size_class.max_hidden;
  limits.giant_strides = size_class.giant_strides;
  limits.operation = combination.operation;
  limits.dtype = combination.dtype;
  limits.weight = !combination.weight_dtype                        ? WeightKind::none
                  : *combination.weight_dtype == combination.dtype ? WeightKind::activation
                                                                   : WeightKind::fp32;
  limits.quantized_dtype = combination.quantized_dtype;
  limits.path = combination.path;
  return random_case(random, limits);
}

}  // namespace normproof
