#include "properties/order/test/boxes.h"

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "corpus/float_format.h"
#include "corpus/random.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"

namespace normproof::order {
namespace {

class Box final : public BlackBox {
 public:
  Box(std::int32_t hidden, RowSum sum, const BoxOptions& options)
      : hidden_(hidden),
        sum_(std::move(sum)),
        options_(options),
        row_(static_cast<std::size_t>(hidden), 0.0f) {}

  std::int32_t hidden_size() const override { return hidden_; }
  DType dtype() const override { return options_.dtype; }
  DType output_dtype() const override { return options_.output_dtype; }
  std::int64_t rows_per_call() const override { return options_.rows_per_call; }

  std::vector<std::uint32_t> outputs(std::span<const Probe> rows, std::uint32_t epsilon_bits) override {
    float epsilon = std::bit_cast<float>(epsilon_bits);
    if (epsilon < 0 && options_.refuses_negative_epsilon)
      throw NoAnswer("refused: epsilon is negative", true);
    if (epsilon < 0 && options_.clamps_epsilon) epsilon = 0;
    const FloatFormat format = format_of(options_.dtype);
    std::vector<std::uint32_t> read;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (const auto& element : rows[i].elements)
        row_[static_cast<std::size_t>(element.column)] = static_cast<float>(value_of(format, element.bits));
      const std::int64_t call = calls() + static_cast<std::int64_t>(i) / options_.rows_per_call;
      read.push_back(output(sum_(row_, call), row_[static_cast<std::size_t>(rows[i].read)], epsilon));
      for (const auto& element : rows[i].elements) row_[static_cast<std::size_t>(element.column)] = 0;
    }
    const auto all = static_cast<std::int64_t>(rows.size());
    count(all, (all + options_.rows_per_call - 1) / options_.rows_per_call);
    return read;
  }

 private:
  std::uint32_t output(double sum, float x, float epsilon) const {
    const auto hidden = static_cast<float>(hidden_);
    float y = 0;
    if (options_.keeps_fp64) {
      const double m = sum / static_cast<double>(hidden) + static_cast<double>(epsilon);
      y = x * static_cast<float>(1 / std::sqrt(m));
    } else {
      const auto fp32 = static_cast<float>(sum);
      const float m = (options_.inverse_hidden ? fp32 * (1.0f / hidden) : fp32 / hidden) + epsilon;
      y = scaled(x, m);
    }
    const std::uint32_t bits = rounded(format_of(options_.dtype), static_cast<double>(y));
    if (options_.output_dtype == options_.dtype) return bits;
    return static_cast<std::uint32_t>(
        oracle::round_bits(oracle::format_of(options_.output_dtype), oracle::decode(options_.dtype, bits)));
  }

  float scaled(float x, float m) const {
    if (options_.root == BoxOptions::Root::divides) return x / std::sqrt(m);
    float r = options_.root == BoxOptions::Root::once
                  ? static_cast<float>(1 / std::sqrt(static_cast<double>(m)))
                  : 1.0f / std::sqrt(m);
    if (options_.root_off > 0) {
      Random random(std::bit_cast<std::uint32_t>(m));
      const auto width = static_cast<std::uint64_t>(2 * options_.root_off + 1);
      const auto off = static_cast<std::int64_t>(random.below(width)) - options_.root_off;
      r = std::bit_cast<float>(static_cast<std::uint32_t>(std::bit_cast<std::uint32_t>(r) + off));
    }
    return x * r;
  }

  std::int32_t hidden_;
  RowSum sum_;
  BoxOptions options_;
  std::vector<float> row_;
};

}  // namespace

double number_of(DType dtype, std::uint32_t bits) { return value_of(format_of(dtype), bits); }
std::uint32_t bits_of(DType dtype, double number) { return rounded(format_of(dtype), number); }

std::unique_ptr<BlackBox> make_box(std::int32_t hidden, RowSum sum, const BoxOptions& options) {
  return std::make_unique<Box>(hidden, std::move(sum), options);
}

std::unique_ptr<BlackBox> make_tree_box(const oracle::SumTree& tree, const BoxOptions& options) {
  return make_box(
      tree.leaves,
      [tree, scratch = std::vector<double>()](std::span<const float> row, std::int64_t) mutable {
        return sum_of_squares(tree, row, scratch);
      },
      options);
}

oracle::SumTree random_tree(std::int32_t leaves, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::int32_t> roots;
  for (std::int32_t j = 0; j < leaves; ++j) roots.push_back(j);
  std::vector<oracle::SumTree::Node> nodes;
  const auto take = [&] {
    const auto index = static_cast<std::size_t>(random.below(roots.size()));
    std::swap(roots[index], roots.back());
    const std::int32_t taken = roots.back();
    roots.pop_back();
    return taken;
  };
  while (roots.size() > 1) {
    const std::int32_t a = take();
    const std::int32_t b = take();
    nodes.push_back({a, b});
    roots.push_back(leaves + static_cast<std::int32_t>(nodes.size()) - 1);
  }
  return oracle::make_tree(leaves, std::move(nodes));
}

}  // namespace normproof::order
