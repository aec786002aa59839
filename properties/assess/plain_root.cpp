// Sums of squares in T, fp32 and fp64, compensated or not, and what is made of them.
#include "properties/assess/plain_root.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "properties/assess/plain_kernel.h"

namespace normproof::assess {
namespace {

using oracle::EpsilonPolicy;
using oracle::MeanPolicy;
using oracle::RootPolicy;
using oracle::SummationOrder;
using oracle::VariancePolicy;

double to_fp32(double number) { return round_to(DType::fp32, number); }

class Root {
 public:
  Root(const RootInputs& inputs, SummationOrder order, Random& random)
      : in_(inputs), order_(order), random_(random), count_(static_cast<double>(inputs.operands.size())) {}

  float unknown() {
    const double m = mean_plus_epsilon();
    // In fp64 the root of an fp64 number is rounded twice; that is within the ulp that a root may be off.
    const double root = std::sqrt(m);
    return static_cast<float>(in_.policy.root == RootPolicy::divide ? root : 1 / root);
  }

 private:
  bool in_activation() const { return in_.policy.variance == VariancePolicy::activation; }
  bool in_fp64() const { return in_.policy.variance == VariancePolicy::fp64; }
  double rounded(double number) const {
    return in_fp64() ? number : round_to(in_activation() ? in_.dtype : DType::fp32, number);
  }

  double mean_plus_epsilon() {
    const bool of_terms = in_.policy.mean == MeanPolicy::of_terms;
    const bool fused = in_.policy.mean == MeanPolicy::fma && in_.policy.epsilon != EpsilonPolicy::maximum;
    const bool multiplies = random_.chance(1, 2) || in_.policy.mean == MeanPolicy::fma;
    const std::vector<double> terms = terms_of_row(of_terms);
    const double sum = in_.policy.variance == VariancePolicy::kahan ? compensated(terms) : plain(terms);
    const double epsilon = effective_epsilon();
    const double inverse = rounded(1 / count_);
    if (fused) {
      // fp64's fma rounds once; to fp32 or T from there the sum is as good as
      // exact, but for a few ties in 2^28.
      const double m = std::fma(sum, inverse, epsilon);
      return rounded(m);
    }
    const double mean = of_terms ? sum : rounded(multiplies ? sum * inverse : sum / count_);
    if (in_.policy.epsilon == EpsilonPolicy::maximum)
      return std::isnan(epsilon) || mean < epsilon ? epsilon : mean;
    return rounded(mean + epsilon);
  }

  std::vector<double> terms_of_row(bool of_terms) {
    const double inverse = rounded(1 / count_);
    const auto way = of_terms ? random_.below(3) : 3;
    std::vector<double> terms;
    for (const float operand : in_.operands) {
      const auto x = static_cast<double>(operand);
      switch (way) {
        case 0:
          terms.push_back(rounded(x * rounded(x / count_)));
          break;
        case 1:
          terms.push_back(rounded(x * rounded(x * inverse)));
          break;
        case 2:
          terms.push_back(rounded(rounded(x * x) * inverse));
          break;
        default:
          terms.push_back(rounded(x * x));
          break;
      }
    }
    return terms;
  }

  // Kahan's sum of one chain, or of up to 1024 lanes that are joined by a tree of plain additions.
  double compensated(const std::vector<double>& terms) {
    const std::size_t lanes = std::size_t{1} << random_.below(11);
    std::vector<double> sums(lanes), corrections(lanes);
    for (std::size_t i = 0; i < terms.size(); ++i) {
      double& sum = sums[i % lanes];
      double& correction = corrections[i % lanes];
      const double term = to_fp32(terms[i] - correction);
      const double next = to_fp32(sum + term);
      correction = to_fp32(to_fp32(next - sum) - term);
      sum = next;
    }
    for (std::size_t distance = lanes / 2; distance > 0; distance /= 2) {
      for (std::size_t i = 0; i < distance; ++i) sums[i] = to_fp32(sums[i] + sums[i + distance]);
    }
    return sums[0];
  }

  double plain(std::vector<double> terms) {
    switch (order_) {
      case SummationOrder::reverse:
        std::ranges::reverse(terms);
        break;
      case SummationOrder::pairwise:
      case SummationOrder::blocked:
      case SummationOrder::blocked_fma:
      case SummationOrder::random_tree:
        return tree(std::move(terms));
      default:
        break;
    }
    double sum = 0;
    for (const double term : terms) sum = rounded(sum + term);
    return sum;
  }

  double tree(std::vector<double> terms) {
    while (terms.size() > 1) {
      std::vector<double> joined;
      const bool shuffles = order_ == SummationOrder::random_tree;
      if (shuffles) std::swap(terms.front(), terms[random_.below(terms.size())]);
      for (std::size_t i = 0; i + 1 < terms.size(); i += 2)
        joined.push_back(rounded(terms[i] + terms[i + 1]));
      if (terms.size() % 2 != 0) joined.push_back(terms.back());
      terms = std::move(joined);
    }
    return terms.empty() ? 0 : terms.front();
  }

  double effective_epsilon() const {
    double epsilon = static_cast<double>(in_.epsilon);
    if (in_activation() || in_.policy.epsilon == EpsilonPolicy::activation)
      epsilon = round_to(in_.dtype, epsilon);
    const double least = in_.dtype == DType::fp16 ? 0x1p-14 : 0x1p-126;
    if (in_.policy.epsilon == EpsilonPolicy::floored && epsilon < least) epsilon = least;
    return epsilon;
  }

  const RootInputs& in_;
  SummationOrder order_;
  Random& random_;
  double count_;
};

}  // namespace

float honest_unknown(const RootInputs& inputs, SummationOrder order, Random& random) {
  const bool contract =
      inputs.policy.variance == VariancePolicy::fp32 && inputs.policy.mean == MeanPolicy::of_sum &&
      inputs.policy.epsilon == EpsilonPolicy::added && inputs.policy.root != RootPolicy::divide;
  if (contract) return oracle::honest_root(inputs.operands, inputs.epsilon, order, random);
  return Root(inputs, order, random).unknown();
}

}  // namespace normproof::assess
