#include "kernels/host/approximate_math.h"

#include <array>
#include <limits>

namespace normproof::host {

constinit thread_local std::uint64_t internal::current_approximation_seed = 0;

void set_approximation_seed(std::uint64_t seed) { internal::current_approximation_seed = seed; }
std::uint64_t approximation_seed() { return internal::current_approximation_seed; }

namespace internal {
namespace {

// One step of SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t mixed(std::uint64_t bits) {
  bits += 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

}  // namespace

float draw_approximation(Approximation function, std::uint64_t argument, double exact, double units) {
  const auto nearest = static_cast<float>(exact);
  if (!std::isfinite(nearest) || nearest == 0) return nearest;
  // The smaller of the distances to the neighbours: the unit is halved where the exponent changes.
  const float towards_zero = std::nextafter(nearest, 0.0f);
  const double unit = std::fabs(static_cast<double>(nearest) - static_cast<double>(towards_zero));
  // All within the bound, nearest first, and no more representable numbers away than that: below a power of
  // two they lie closer. Those beyond four would hide nothing that these show.
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::array<float, 9> candidates{nearest};
  std::size_t count = 1;
  for (const float direction : {-kInfinity, kInfinity}) {
    float candidate = nearest;
    for (int step = 0; step < 4 && step + 1 <= units; ++step) {
      candidate = std::nextafter(candidate, direction);
      const double distance = std::fabs(static_cast<double>(candidate) - exact);
      if (!std::isfinite(candidate) || candidate == 0 || distance > units * unit) break;
      candidates[count++] = candidate;
    }
  }
  const std::uint64_t key = mixed(current_approximation_seed + static_cast<std::uint64_t>(function));
  return candidates[mixed(key ^ argument) % count];
}

}  // namespace internal
}  // namespace normproof::host
