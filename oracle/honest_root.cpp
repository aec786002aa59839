// Honest evaluations of the inverse RMS.
#include "oracle/honest_root.h"

namespace normproof::oracle {

std::string_view name_of(SummationOrder order) {
  static constexpr std::array<std::string_view, kSummationOrders.size()> kNames = {
      "serial", "reverse", "pairwise", "blocked", "random tree", "serial, fma", "blocked, fma"};
  return kNames[static_cast<std::size_t>(order)];
}

float inverse_root_of(float sum, std::size_t count, float epsilon, bool multiplies) {
  const auto terms = static_cast<float>(count);
  const float mean = multiplies ? sum * (1.0f / terms) : sum / terms;
  const float m = mean + epsilon;
  // Rounding the fp64 root to fp32 is correct for every fp32 number (oracle/test/inverse_root_test.cpp).
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(m)));
}

float honest_root(std::span<const float> x, float epsilon, SummationOrder order, Random& random) {
  const float sum = sum_of_squares(x, order, random, Fp32Steps());
  return inverse_root_of(sum, x.size(), epsilon, random.chance(1, 2));
}

float root_off_by(float r, int steps) {
  if (!(r > 0) || std::isinf(r)) return r;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(r) + static_cast<std::uint32_t>(steps));
}

}  // namespace normproof::oracle
