// A greedy cover: each candidate is tried under every policy, and of all the one is taken that tells the most
// pairs of policies apart that none has told apart yet.
#include "properties/detective/aimed_weights.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "oracle/fast_row.h"
#include "properties/detective/policy_class.h"

namespace normproof {
namespace {

constexpr std::size_t kCandidates = 1500;
// Representable numbers by which r may be off: what policies allow, and more, so that the outputs themselves
// pin it.
constexpr std::array kRootSteps = {0, -1, 1, -2, 2, -8, 8, -64, 64, -1024, 1024};

// Those that differ in how the output is made from x and r.
std::vector<oracle::Policy> output_policies(const Case& types) {
  std::vector<oracle::Policy> result;
  for (const oracle::Policy& policy : oracle::all_policies(types)) {
    if (!oracle::is_widespread(policy)) continue;  // the inputs are made to tell these apart
    if (policy.variance != oracle::VariancePolicy::fp32 || policy.sum != oracle::SumPolicy::rounded) continue;
    if (policy.fp8_nan != oracle::Fp8NanPolicy::propagate || representative(policy, types) != policy)
      continue;
    result.push_back(policy);
  }
  return result;
}

class WeightSearch {
 public:
  WeightSearch(const Case& types, std::span<const KnownElement> elements, Random& random)
      : case_(types), elements_(elements), random_(random) {
    case_.operation = operation_of({NormStep::normalize, NormStep::quantize});
    // int8, which rows with scales of their own alone have: many products lie beside half a step in any case.
    if (case_.output_dtype() == DType::int8) case_.set_codes(DType::fp8_e4m3fn);
    case_.shape = {1, static_cast<std::int64_t>(kCandidates)};
  }

  std::vector<double> run(std::size_t count) {
    draw_candidates();
    try_candidates();
    std::vector<double> chosen;
    std::vector<std::uint64_t> covered(words_);
    std::size_t since_restart = 0;
    while (chosen.size() < count) {
      const std::size_t best = most_useful(covered);
      if (best == kCandidates) {  // all is covered, or nothing can be: once more
        if (since_restart == 0) break;
        std::ranges::fill(covered, 0);
        since_restart = 0;
        continue;
      }
      for (std::size_t word = 0; word < words_; ++word) covered[word] |= tells_[best * words_ + word];
      chosen.push_back(values_[best]);
      used_[best] = true;
      ++since_restart;
    }
    return chosen;
  }

 private:
  static std::uint32_t rounded(DType dtype, double value) {
    int exponent = 0;
    const double fraction = std::frexp(std::abs(value), &exponent);
    const auto integer = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
    const oracle::Format& format = oracle::format_of(dtype);
    return static_cast<std::uint32_t>(oracle::round_bits(
        format, oracle::Value::finite(std::signbit(value), oracle::cpp_int(integer), exponent - 53)));
  }

  // Products on midpoints of the output format, on the bounds of what T rounds to them, and beside both.
  void draw_candidates() {
    const bool coarse =
        case_.output_dtype() == DType::fp8_e4m3fn || case_.output_dtype() == DType::fp8_e4m3fnuz;
    const int precision = coarse ? 4 : 3;
    const int mantissa_bits = oracle::format_of(case_.dtype).mantissa_bits();
    const double ulp = std::ldexp(1, -mantissa_bits);
    weights_.resize(kCandidates * size_of(*case_.weight_dtype));
    for (std::size_t i = 0; i < kCandidates; ++i) {
      const KnownElement& element = elements_[random_.below(elements_.size())];
      const auto odd = static_cast<double>(
          2 * random_.between(std::int64_t{1} << (precision - 1), (std::int64_t{1} << precision) - 1) + 1);
      double product = static_cast<double>(case_.value_of(Parameter::scale)) *
                       std::ldexp(odd, static_cast<int>(random_.between(-1, 1)) - precision);
      const double binade = std::exp2(std::floor(std::log2(product)));
      const auto halves = static_cast<double>(random_.between(-2, 2));
      product += halves * binade * ulp / 2;
      if (random_.chance(1, 2)) {
        const auto steps = static_cast<double>(random_.between(-8, 8));
        product +=
            steps * product * std::ldexp(1, random_.chance(1, 2) ? -24 : -24 + (23 - mantissa_bits) / 2);
      }
      double weight = product / (element.operand * static_cast<double>(element.root));
      if (random_.chance(1, 3)) weight -= 1;
      const std::uint32_t bits = rounded(*case_.weight_dtype, random_.chance(1, 2) ? weight : -weight);
      store_bits(weights_, *case_.weight_dtype, static_cast<std::int64_t>(i), bits);
      values_.push_back(oracle::to_double(oracle::decode(*case_.weight_dtype, bits)));
    }
    used_.assign(kCandidates, false);
  }

  // Fills in, for each candidate, one bit for each element, pair of policies and step of r: whether the
  // second policy with that r gives other bits than the first.
  void try_candidates() {
    const std::vector<oracle::Policy> policies = output_policies(case_);
    const std::size_t pairs = policies.size() * policies.size();
    words_ = (elements_.size() * pairs * kRootSteps.size() + 63) / 64;
    tells_.assign(kCandidates * words_, 0);
    const oracle::StandardFloatEnvironment environment;
    std::vector<std::byte> input(kCandidates * size_of(case_.dtype));
    std::size_t bit = 0;
    for (const KnownElement& element : elements_) {
      for (std::size_t i = 0; i < kCandidates; ++i)
        store_bits(input, case_.dtype, static_cast<std::int64_t>(i), rounded(case_.dtype, element.operand));
      std::vector<std::vector<std::byte>> outputs;  // by policy, then step
      for (const oracle::Policy& policy : policies) {
        oracle::FastRow row(oracle::formula_of(case_, policy), weights_);
        row.load(input.data(), nullptr);
        for (const int step : kRootSteps) {
          const auto root_bits =
              std::bit_cast<std::uint32_t>(element.root) + static_cast<std::uint32_t>(step);
          const auto bytes = row.outputs(std::bit_cast<float>(root_bits));
          outputs.emplace_back(bytes.begin(), bytes.end());
        }
      }
      for (std::size_t first = 0; first < policies.size(); ++first) {
        for (std::size_t second = 0; second < policies.size(); ++second) {
          for (std::size_t step = 0; step < kRootSteps.size(); ++step, ++bit) {
            if (first == second) continue;
            const std::vector<std::byte>& truth = outputs[first * kRootSteps.size()];
            const std::vector<std::byte>& other = outputs[second * kRootSteps.size() + step];
            for (std::size_t i = 0; i < kCandidates; ++i) {
              if (truth[i] != other[i]) tells_[i * words_ + bit / 64] |= std::uint64_t{1} << bit % 64;
            }
          }
        }
      }
    }
  }

  // The unused candidate that tells most of what is not covered; kCandidates where none tells anything.
  std::size_t most_useful(const std::vector<std::uint64_t>& covered) const {
    std::size_t best = kCandidates;
    int most = 0;
    for (std::size_t i = 0; i < kCandidates; ++i) {
      if (used_[i]) continue;
      int gain = 0;
      for (std::size_t word = 0; word < words_; ++word)
        gain += std::popcount(tells_[i * words_ + word] & ~covered[word]);
      if (gain <= most) continue;
      most = gain;
      best = i;
    }
    return best;
  }

  Case case_;
  std::span<const KnownElement> elements_;
  Random& random_;
  std::vector<std::byte> weights_;  // packed candidates
  std::vector<double> values_;
  std::vector<bool> used_;
  std::size_t words_ = 0;
  std::vector<std::uint64_t> tells_;
};

}  // namespace

std::vector<double> aimed_weights(const Case& types, std::span<const KnownElement> elements,
                                  std::size_t count, Random& random) {
  return WeightSearch(types, elements, random).run(count);
}

}  // namespace normproof
