#include "oracle/box_search/canonical_gate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace normproof::oracle::box_search {
namespace {

// exp(-89.5), and what is below, is 0.
constexpr float kLargest = 89.5f;

// 4 exp(t), -kLargest <= t <= 0.
float four_times_exp(float t) {
  constexpr float kLog2E = 0x1.715476p+0f, kRounder = 0x1.8p+23f;
  constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  constexpr std::array<float, 8> kInverseFactorials = {
      1.0f, 1.0f, 0.5f, 0x1.555556p-3f, 0x1.555556p-5f, 0x1.111112p-7f, 0x1.6c16c2p-10f, 0x1.a01a02p-13f};
  const float n = std::fma(t, kLog2E, kRounder) - kRounder;
  const float q = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, t));
  float p = kInverseFactorials.back();
  for (std::size_t k = kInverseFactorials.size() - 1; k-- > 0;) p = std::fma(q, p, kInverseFactorials[k]);
  return n == -129 ? 0.0f : p * std::ldexp(1.0f, static_cast<int>(n) + 2);
}

}  // namespace

float canonical_gate(float z, bool sigmoid) {
  if (std::isnan(z)) return z;
  const float t = std::max(-std::fabs(z), -kLargest);
  const float e = four_times_exp(t);
  const float inverse = 1.0f / std::fma(e, 0.25f, 1.0f);
  if (!(z < 0)) return sigmoid ? inverse : z * inverse;
  return (sigmoid ? e : t * e) * (0.25f * inverse);
}

}  // namespace normproof::oracle::box_search
