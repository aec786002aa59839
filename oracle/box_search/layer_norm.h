// LayerNorm: which mean m and inverse deviation r, if any, explain a row of a kernel's outputs bit for bit.
//
//   y = rnd_T(fl(fl(n * w) + b)), or with one rounding rnd_T(fma(n, w, b)),   n = fl(fl(x - m) * r)
//
// n may be shifted in the place of centred: fl(fl(x * r) + fl(-m * r)), or fma(x, r, fl(-m * r)), whose
// search may be given up (shifted_layer_norm.h). n, and n * w, are rounded to T first where the policy says
// so; w may be 1 + w. m and r are fp32 numbers that an honest evaluation can arrive at, whatever its order of
// summation (layer_norm_window.h). A kernel that stores them says which they are: then every bit is
// determined, and they are judged by the window.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "oracle/box_search/row_search.h"

namespace normproof::oracle::box_search {

enum class Statistics : std::uint8_t {
  two_pass,          // mean of (x - m)^2
  one_pass,          // mean of x^2, less m^2
  one_pass_clamped,  // the same, and max(.., 0), which may turn NaN into 0
  welford            // running mean and squared deviations, joined in any tree
};
std::string_view name_of(Statistics statistics);

// How n is made of x, m and r.
enum class NormForm : std::uint8_t {
  centred,     // fl(fl(x - m) * r)
  shifted,     // fl(fl(x * r) + fl(-m * r))
  shifted_fma  // fma(x, r, fl(-m * r))
};
std::string_view name_of(NormForm form);

struct LayerNormRule {
  DType activation = DType::bf16;
  std::optional<DType> operand;  // of x, where it is another: an fp32 sum with a residual
  std::optional<DType> weight;   // nothing: there is none
  std::optional<DType> bias;
  Statistics statistics = Statistics::two_pass;
  NormForm form = NormForm::centred;
  bool fused = true;                      // fma(n, w, b)
  bool rounds_normalized = false;         // n is rounded to T
  bool rounds_product = false;            // so is n * w; then it is not fused
  bool rounds_output = true;              // y is rounded to T; else what follows reads it in fp32
  bool weight_plus_one = false;           // fl(1 + w) in the place of w
  std::uint32_t epsilon = 0;              // fp32 bits
  int inverse_root_ulp = 2;               // representable numbers between r and the correctly rounded root
  std::optional<std::int64_t> sum_depth;  // longest chain of additions (or merges); nothing: any order
  // Welford: how many times larger than the first part of a merge the second may be, where the difference
  // of the means is multiplied by the second's share.
  int merge_ratio = 4;
};

// What a kernel stored beside its outputs.
struct StoredStatistics {
  std::optional<float> mean;
  std::optional<float> inverse_root;
  // What each was rounded to: then any number that rounds to the stored one may have been computed with.
  DType mean_dtype = DType::fp32;
  DType inverse_root_dtype = DType::fp32;
};

// The row as the search reads it: arrays of fp32 numbers in whole blocks.
class LayerNormRow {
 public:
  LayerNormRow(const LayerNormRule& rule, std::int64_t count, const float* x, const float* weight,
               const float* bias, const float* got)
      : rule_(rule), count_(count), x_(x), weight_(weight), bias_(bias), got_(got) {}

  DType output() const { return rule_.activation; }
  std::int64_t slots() const { return count_; }
  std::uint64_t elements_of(std::int64_t begin) const { return elements_before(count_, begin); }
  const float* got() const { return got_; }

  template <typename Arithmetic>
  typename Arithmetic::Result evaluate(const Arithmetic& a, std::int64_t j,
                                       const typename Arithmetic::Result& mean,
                                       const typename Arithmetic::Result& root) const {
    return affine(a, j, normalized(a, j, mean, root));
  }
  // n in fp32.
  template <typename Arithmetic>
  typename Arithmetic::Result normalized(const Arithmetic& a, std::int64_t j,
                                         const typename Arithmetic::Result& mean,
                                         const typename Arithmetic::Result& root) const {
    const auto x = a.constant(x_, j);
    auto centred = a.multiply(a.subtract(a.range(x), mean), root);
    if (rule_.form == NormForm::centred) return centred;
    const auto shift = a.multiply(a.negate(mean), root);
    const auto n =
        rule_.form == NormForm::shifted_fma ? a.fused(root, x, shift) : a.add(a.multiply(root, x), shift);
    return a.cut_to_shifted(n, centred, x, mean, root);
  }
  // What is made of that n.
  template <typename Arithmetic>
  typename Arithmetic::Result affine(const Arithmetic& a, std::int64_t j,
                                     typename Arithmetic::Result n) const {
    if (rule_.rounds_normalized) n = a.round(n);
    const auto weight = a.constant(weight_, j);
    const auto bias = a.range(a.constant(bias_, j));
    const auto product = [&] {
      const auto exact = a.multiply(n, weight);
      return rule_.rounds_product ? a.round(exact) : exact;
    };
    const auto y = rule_.fused ? a.fused(n, weight, bias) : a.add(product(), bias);
    return rule_.rounds_output ? a.round(y) : y;
  }

  bool is_shifted() const { return rule_.form != NormForm::centred; }
  float x(std::int64_t j) const { return x_[j]; }
  float factor(std::int64_t j) const { return weight_[j]; }
  float bias(std::int64_t j) const { return bias_[j]; }

  // How far n runs: dm * r against dr / r.
  double spread(const Box& box, bool second) const {
    const auto width = [](const Side& side) {
      return static_cast<double>(number_at(side.high)) - static_cast<double>(number_at(side.low));
    };
    const auto root = static_cast<double>(number_at(box.second.high));
    return second ? width(box.second) / root : width(box.first) * root;
  }

 private:
  LayerNormRule rule_;
  std::int64_t count_;
  const float* x_;
  const float* weight_;  // the factor: 1 without a weight
  const float* bias_;    // -0 without a bias, which changes no sum
  const float* got_;
};

class LayerNormJudge {
 public:
  // Packed weight and bias, empty where the rule has none. Throws
  // std::invalid_argument where a size is wrong.
  LayerNormJudge(const LayerNormRule& rule, std::int64_t hidden_size, std::span<const std::byte> weight,
                 std::span<const std::byte> bias);

  // Others, for the rows from now on.
  void set_affine(std::span<const std::byte> weight, std::span<const std::byte> bias);

  // One packed row of inputs and outputs. Within a StandardFloatEnvironment.
  RowVerdict judge(std::span<const std::byte> x, std::span<const std::byte> out,
                   const StoredStatistics& stored = {}, bool with_refutation = true);

  // Confirms the verdict of the row that was judged last by exact arithmetic, its window included; throws
  // std::logic_error where that is not so.
  void require_exact(const RowVerdict& verdict, const StoredStatistics& stored = {}) const;

  // The outputs of the row of x for a given m and r, packed.
  std::vector<std::byte> outputs(std::span<const std::byte> x, float mean, float inverse_root);

  // The statistics in the canonical order of SEARCH.md.
  struct Canonical {
    float mean;
    float inverse_root;
  };
  Canonical canonical_statistics(std::span<const std::byte> x);
  Canonical canonical_statistics() const;  // of the row that was looked at last

  // The row of x from now on, without outputs.
  void look_at(std::span<const std::byte> x) { load(x); }
  // The row that was looked at last, its y rounded to T or not.
  LayerNormRow row_with(bool rounds_output) const {
    LayerNormRule rule = rule_;
    rule.rounds_output = rounds_output;
    return {rule, count_, x_.data(), weight_.data(), bias_.data(), got_.data()};
  }

  // What was judged last.
  std::span<const float> operands() const { return {x_.data(), static_cast<std::size_t>(count_)}; }
  const LayerNormRow& row() const { return row_; }
  const LayerNormRule& rule() const { return rule_; }

 private:
  void load(std::span<const std::byte> x);

  LayerNormRule rule_;
  std::int64_t count_;
  std::vector<float> weight_;
  std::vector<float> bias_;
  std::vector<float> x_;
  std::vector<float> got_;
  LayerNormRow row_;
};

}  // namespace normproof::oracle::box_search
