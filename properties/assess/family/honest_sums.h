// Sums and statistics of honest kernels in hardware fp32: the seven orders of honest_root.h for any terms,
// one and two passes, Welford in several trees. Nothing here judges, and nothing here is the judges' code.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "corpus/random.h"
#include "oracle/box_search/layer_norm.h"
#include "oracle/honest_root.h"

namespace normproof::assess::family {

using oracle::SummationOrder;
using oracle::box_search::Statistics;

// honest_root.h adds up squares of "values"; here the values are indices, and the square of j is a[j] * b[j].
struct IndexedSteps {
  std::span<const float> a;
  std::span<const float> b;
  float square(float j) const { return a[static_cast<std::size_t>(j)] * b[static_cast<std::size_t>(j)]; }
  float add(float p, float q) const { return p + q; }
  float add_square(float j, float total) const {
    return std::fma(a[static_cast<std::size_t>(j)], b[static_cast<std::size_t>(j)], total);
  }
};

// sum a[j] * b[j] in the given order, with or without fma as the order says.
inline float sum_of_products(std::span<const float> a, std::span<const float> b, SummationOrder order,
                             Random& random) {
  std::vector<float> indices(a.size());
  for (std::size_t j = 0; j < indices.size(); ++j) indices[j] = static_cast<float>(j);
  return oracle::sum_of_squares(indices, order, random, IndexedSteps{a, b});
}
inline float sum_of(std::span<const float> values, SummationOrder order, Random& random) {
  const std::vector<float> ones(values.size(), 1.0f);
  return sum_of_products(values, ones, order, random);
}
inline float mean_of_sum(float sum, std::size_t count, bool multiplies) {
  const auto n = static_cast<float>(count);
  return multiplies ? sum * (1.0f / n) : sum / n;
}

struct MeanAndVariance {
  float mean = 0;
  float variance = 0;
};

struct WelfordPart {
  float count = 0;
  float mean = 0;
  float squares = 0;
};
inline void add_value(WelfordPart& part, float x, bool multiplies) {
  part.count += 1;
  const float difference = x - part.mean;
  part.mean += multiplies ? difference * (1.0f / part.count) : difference / part.count;
  part.squares += difference * (x - part.mean);
}
// The two forms in use; the part with more elements first, as kernels that combine lanes have it.
inline WelfordPart merged(WelfordPart a, WelfordPart b, bool by_coefficients) {
  if (a.count < b.count) std::swap(a, b);
  if (b.count == 0) return a;
  WelfordPart result;
  result.count = a.count + b.count;
  const float difference = b.mean - a.mean;
  const float coefficient = 1.0f / result.count;
  const float share = by_coefficients ? b.count * coefficient : b.count / result.count;
  result.mean =
      by_coefficients ? a.count * coefficient * a.mean + share * b.mean : a.mean + difference * share;
  result.squares = a.squares + b.squares + difference * difference * a.count * share;
  return result;
}

inline MeanAndVariance welford(std::span<const float> x, Random& random) {
  const std::size_t threads = std::size_t{1} << random.below(8);
  const bool multiplies = random.chance(1, 2);
  const bool by_coefficients = random.chance(1, 2);
  std::vector<WelfordPart> parts(threads);
  for (std::size_t j = 0; j < x.size(); ++j) add_value(parts[j % threads], x[j], multiplies);
  for (std::size_t distance = threads / 2; distance > 0; distance /= 2) {
    for (std::size_t i = 0; i < distance; ++i) {
      parts[i] = merged(parts[i], parts[i + distance], by_coefficients);
    }
  }
  return {parts[0].mean, mean_of_sum(parts[0].squares, x.size(), random.chance(1, 2))};
}

inline MeanAndVariance honest_statistics(std::span<const float> x, Statistics statistics,
                                         SummationOrder order, Random& random) {
  if (statistics == Statistics::welford) return welford(x, random);
  const bool multiplies = random.chance(1, 2);
  MeanAndVariance result;
  result.mean = mean_of_sum(sum_of(x, order, random), x.size(), multiplies);
  if (statistics == Statistics::two_pass) {
    std::vector<float> deviations;
    for (const float value : x) deviations.push_back(value - result.mean);
    result.variance =
        mean_of_sum(sum_of_products(deviations, deviations, order, random), x.size(), multiplies);
    return result;
  }
  const float squares = mean_of_sum(sum_of_products(x, x, order, random), x.size(), multiplies);
  result.variance = random.chance(1, 2) ? squares - result.mean * result.mean
                                        : std::fma(-result.mean, result.mean, squares);
  if (statistics == Statistics::one_pass_clamped) result.variance = std::fmax(result.variance, 0.0f);
  return result;
}

inline float inverse_root_off_by(float variance, std::uint32_t epsilon, int steps) {
  const float m = variance + std::bit_cast<float>(epsilon);
  return oracle::root_off_by(static_cast<float>(1 / std::sqrt(static_cast<double>(m))), steps);
}

}  // namespace normproof::assess::family
