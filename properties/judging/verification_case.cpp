#include "properties/judging/verification_case.h"

#include <array>
#include <span>

#include "corpus/generate.h"
#include "corpus/random.h"

namespace normproof {
namespace {

// How many of a thousand cases have which size. Rows are cheap on a CPU when they are short, and most of what
// a norm kernel can do wrong shows there; long rows reach the second round of
// lanes and the upper part of the tree.
struct SizeClass {
  std::uint64_t per_thousand;
  std::int64_t max_rows;
  std::int64_t max_hidden;
  std::int64_t max_elements;
  bool giant_strides;
};
constexpr std::int64_t kUsual = std::int64_t{1} << 16, kMany = std::int64_t{1} << 18;
constexpr std::array kSizeClasses = {
    SizeClass{560, 32, 128, kUsual, false},  SizeClass{300, 64, 512, kUsual, false},
    SizeClass{118, 16, 4096, kUsual, false}, SizeClass{12, 4, 16384, kUsual, false},
    SizeClass{5, 2, 65536, kUsual, false},   SizeClass{5, 3, 64, kUsual, true},
};
// On a GPU a long case costs hardly more than a short one, and the judge sets the pace.
constexpr std::array kLongSizeClasses = {
    SizeClass{200, 1024, 256, kMany, false}, SizeClass{300, 256, 2048, kMany, false},
    SizeClass{300, 64, 8192, kMany, false},  SizeClass{140, 16, 32768, kMany, false},
    SizeClass{58, 4, 131072, kMany, false},  SizeClass{2, 3, 64, kUsual, true},
};

const SizeClass& draw_size_class(Random& random, std::span<const SizeClass> classes) {
  std::uint64_t ticket = random.below(1000);
  for (const SizeClass& size_class : classes) {
    if (ticket < size_class.per_thousand) return size_class;
    ticket -= size_class.per_thousand;
  }
  return classes.front();
}

}  // namespace

Case verification_case(std::uint64_t seed, std::int64_t index, const std::vector<Combination>& combinations,
                       bool long_cases) {
  Random random = Random(seed).split(static_cast<std::uint64_t>(index));
  const Combination& combination = combinations[static_cast<std::size_t>(index) % combinations.size()];
  const SizeClass& size_class =
      draw_size_class(random, long_cases ? std::span<const SizeClass>(kLongSizeClasses) : kSizeClasses);
  CaseLimits limits;
  limits.max_rows = size_class.max_rows;
  limits.max_hidden = size_class.max_hidden;
  limits.max_elements = size_class.max_elements;
  limits.giant_strides = size_class.giant_strides;
  limits.hold_to(combination);
  limits.calls = combination.limits;
  limits.scale_ub = combination.scale_ub;
  limits.path = combination.path;
  // A foreign kernel may take none but aligned tensors: half of its cases are.
  if (limits.path == KernelPath::automatic && random.chance(1, 2)) limits.path = KernelPath::vectorized;
  return random_case(random, limits);
}

}  // namespace normproof
