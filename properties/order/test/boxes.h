// Black boxes whose order of summation is known, because they are made here: norms that share no code with
// the kernels or with the recovery.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "oracle/sum_tree.h"
#include "properties/order/probe.h"

namespace normproof::order {

// The number of those bits, and the bits of the nearest number (corpus/float_format.h).
double number_of(DType dtype, std::uint32_t bits);
std::uint32_t bits_of(DType dtype, double number);

// The sum of squares of a row; the number of the call, for orders that change from call to call.
using RowSum = std::function<double(std::span<const float> row, std::int64_t call)>;

struct BoxOptions {
  DType dtype = DType::bf16;
  DType output_dtype = DType::bf16;
  std::int64_t rows_per_call = 64;
  bool refuses_negative_epsilon = false;
  bool clamps_epsilon = false;  // a negative one to zero
  int root_off = 0;             // the root is off by up to so many ulp, in a way that depends on m alone
  enum class Root { once, quotient, divides } root = Root::once;
  bool inverse_hidden = false;  // the sum is multiplied by 1 / H
  bool keeps_fp64 = false;      // mean and epsilon in fp64
};

std::unique_ptr<BlackBox> make_box(std::int32_t hidden, RowSum sum, const BoxOptions& options = {});
// One that sums by a tree.
std::unique_ptr<BlackBox> make_tree_box(const oracle::SumTree& tree, const BoxOptions& options = {});

// A random binary tree: two random subtrees are joined until one is left.
oracle::SumTree random_tree(std::int32_t leaves, std::uint64_t seed);

}  // namespace normproof::order
