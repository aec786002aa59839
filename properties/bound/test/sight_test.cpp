// What a tolerance can see, and what it cannot: planted faults under six judges. With NORMPROOF_LONG_TESTS it
// prints the table of README.md.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "corpus/random.h"
#include "oracle/canonical_judge.h"
#include "oracle/fast_row.h"
#include "oracle/honest_root.h"
#include "oracle/row_kernels.h"
#include "oracle/witness_judge.h"
#include "properties/bound/bound.h"
#include "properties/bound/intervals.h"
#include "properties/order/families.h"

namespace normproof::bound {
namespace {

using oracle::bits_of;
using oracle::Policy;
using oracle::SummationOrder;

constexpr std::int64_t kHidden = 4096, kRows = 16;
constexpr float kEpsilon = 1e-5f;

// A kernel, by what it does otherwise than the contract.
struct Kernel {
  std::string name;
  std::string policy = "native";
  std::int64_t summed = kHidden;  // elements
  std::int64_t divisor = kHidden;
  float epsilon_factor = 1;
  bool moves_one_element = false;  // of each row by one number
  bool truncates = false;          // the last rounding, to T
  float size = 1;                  // of the inputs
  SummationOrder order = SummationOrder::blocked_fma;
  int root_off = 0;
};

const std::vector<Kernel>& kernels() {
  static const std::vector<Kernel> kAll = {
      {.name = "fp32 weight multiply", .policy = "weight=fp32"},
      {.name = "truncated output", .truncates = true},
      {.name = "r rounded to T", .policy = "root=activation"},
      {.name = "one element off by 1 ulp", .moves_one_element = true},
      {.name = "eps x 10, x about 1", .epsilon_factor = 10},
      {.name = "eps x 10, x about 1e-3", .epsilon_factor = 10, .size = 1e-3f},
      {.name = "H - 1 as divisor", .divisor = kHidden - 1},
      {.name = "last 8 of 4096 unsummed", .summed = kHidden - 8},
      {.name = "half row unsummed", .summed = kHidden / 2},
      {.name = "honest: serial", .order = SummationOrder::serial},
      {.name = "honest: blocks, root off by 2", .root_off = 2},
  };
  return kAll;
}

struct Sample {
  Case test_case;
  CaseTensors tensors;
  Outputs outputs, expected;
};

double normal(Random& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(random.below(1u << 20)) * 0x1p-20;
  return sum;
}

Question question_of(DType dtype) {
  Question asked;
  asked.dtype = dtype;
  asked.weight_dtype = dtype;
  asked.hidden_size = kHidden;
  return asked;
}

// The row's outputs for that root, cut off to T instead of rounded: n * w is exact in fp32.
std::vector<std::byte> truncated_row(const Sample& sample, std::int64_t r, float root) {
  const DType dtype = sample.test_case.dtype;
  Case unweighted = sample.test_case;
  unweighted.weight_dtype.reset();
  oracle::FastRow row(oracle::formula_of(unweighted, oracle::native()), {});
  const std::size_t bytes = static_cast<std::size_t>(kHidden) * size_of(dtype);
  row.load(sample.tensors[Role::input].data() + static_cast<std::size_t>(r) * bytes, nullptr);
  std::vector<std::byte> outputs(bytes);
  const auto normalized = row.outputs(root);
  for (std::int64_t j = 0; j < kHidden; ++j) {
    const auto number = [&](std::span<const std::byte> tensor) {
      return oracle::decode(dtype, load_bits(tensor, dtype, j));
    };
    const oracle::Value product = number(normalized) * number(sample.tensors[Role::weight]);
    store_bits(outputs, dtype, j,
               static_cast<std::uint32_t>(
                   round_bits(oracle::format_of(dtype), product, oracle::Rounding::toward_zero)));
  }
  return outputs;
}

Sample sample_of(const Kernel& kernel, DType dtype, Random& random) {
  Sample sample;
  sample.test_case = case_of(question_of(dtype));
  sample.test_case.shape = {kRows, kHidden};
  sample.test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(kEpsilon);
  for (const Role role : {Role::input, Role::weight})
    sample.tensors[role].resize(sample.test_case.bytes_of(role));
  for (std::int64_t i = 0; i < kRows * kHidden; ++i)
    store_bits(sample.tensors[Role::input], dtype, i,
               bits_of(dtype, static_cast<double>(kernel.size) * normal(random)));
  for (std::int64_t j = 0; j < kHidden; ++j)
    store_bits(sample.tensors[Role::weight], dtype, j, bits_of(dtype, 1 + 0.1 * normal(random)));
  const oracle::StandardFloatEnvironment environment;
  oracle::FastRow row(oracle::formula_of(sample.test_case, oracle::parse_policy(kernel.policy)),
                      sample.tensors[Role::weight]);
  for (std::int64_t r = 0; r < kRows; ++r) {
    row.load_row(sample.tensors, r);
    // Blocks of 256 threads: a depth of at most 24.
    const auto summed = row.variance_operands().first(static_cast<std::size_t>(kernel.summed));
    const float sum = kernel.order == SummationOrder::serial
                          ? oracle::sum_of_squares(summed, kernel.order, random, oracle::Fp32Steps())
                          : oracle::blocked_sum_of_squares(summed, 256, true, oracle::Fp32Steps());
    const float root = oracle::inverse_root_of(sum, static_cast<std::size_t>(kernel.divisor),
                                               kEpsilon * kernel.epsilon_factor, false);
    const float used = oracle::root_off_by(root, kernel.root_off);
    const std::vector<std::byte> cut =
        kernel.truncates ? truncated_row(sample, r, used) : std::vector<std::byte>();
    const std::span<const std::byte> out = kernel.truncates ? std::span(cut) : row.outputs(used);
    sample.outputs[Role::out].insert(sample.outputs[Role::out].end(), out.begin(), out.end());
    if (!kernel.moves_one_element) continue;
    const std::int64_t index = r * kHidden + static_cast<std::int64_t>(random.below(kHidden));
    const std::uint32_t bits = load_bits(sample.outputs[Role::out], dtype, index);
    store_bits(sample.outputs[Role::out], dtype, index, bits + 1);
  }
  sample.expected = oracle::expected_outputs(sample.test_case, sample.tensors);
  return sample;
}

// Whether all elements of the outputs and the contract's are within something.
bool all_close(const Sample& sample, const std::function<bool(double, double, std::int64_t)>& close) {
  const DType dtype = sample.test_case.dtype;
  for (std::int64_t i = 0; i < kRows * kHidden; ++i) {
    const std::uint32_t a = load_bits(sample.outputs[Role::out], dtype, i),
                        b = load_bits(sample.expected[Role::out], dtype, i);
    const auto apart = static_cast<std::int64_t>(oracle::ulp_distance(dtype, a, b));
    if (!close(to_double(oracle::decode(dtype, a)), to_double(oracle::decode(dtype, b)), apart)) return false;
  }
  return true;
}

bool within_intervals(const Sample& sample) {
  const DType dtype = sample.test_case.dtype;
  const oracle::Format& format = oracle::format_of(dtype);
  const std::vector<Policy> policies = {oracle::native()};
  const Intervals intervals = output_intervals(sample.test_case, sample.tensors, policies);
  for (std::int64_t i = 0; i < kRows * kHidden; ++i) {
    const auto position = [&](const Outputs& outputs) {
      return line_position(format, load_bits(outputs[Role::out], dtype, i));
    };
    if (position(sample.outputs) < position(intervals.low) ||
        position(sample.outputs) > position(intervals.high))
      return false;
  }
  return true;
}

bool conforms(const Sample& sample, const oracle::InverseRootModel& model) {
  Policy policy;
  policy.inverse_root = model;
  return oracle::judge_witness(sample.test_case, sample.tensors, sample.outputs, policy).conforms();
}

enum Judge { usual, derived, in_ulp, intervals, any_order, depth_25, kJudges };

// Of so many tests how many fail under each judge.
std::vector<int> failing_tests(const Kernel& kernel, DType dtype, int tests) {
  const Bound bound = bound_of(question_of(dtype));
  std::vector<int> failing(kJudges, 0);
  Random random(7);
  for (int test = 0; test < tests; ++test) {
    const Sample sample = sample_of(kernel, dtype, random);
    const auto close = [&](double rtol, double atol) {
      return all_close(sample, [&](double a, double b, std::int64_t) {
        return std::abs(a - b) <= atol + rtol * std::abs(b);
      });
    };
    oracle::InverseRootModel shallow;
    shallow.sum_depth = 25;
    failing[usual] += !close(1e-2, 1e-2);
    failing[derived] += !close(bound.rtol(), bound.atol());
    failing[in_ulp] +=
        !all_close(sample, [&](double, double, std::int64_t apart) { return apart <= bound.apart(); });
    failing[intervals] += !within_intervals(sample);
    failing[any_order] += !conforms(sample, {});
    failing[depth_25] += !conforms(sample, shallow);
  }
  return failing;
}

bool is_honest(const Kernel& kernel) { return kernel.name.starts_with("honest"); }

TEST(Sight, OfATolerance) {
  const bool prints = std::getenv("NORMPROOF_LONG_TESTS") != nullptr;
  const int tests = prints ? 8 : 1;
  for (const DType dtype : kActivationDTypes) {
    if (prints) std::printf("%s\n", std::string(name_of(dtype)).c_str());
    for (const Kernel& kernel : kernels()) {
      const bool same_in_fp32 = kernel.policy != "native" && dtype == DType::fp32;
      if (same_in_fp32) continue;
      const std::vector<int> failing = failing_tests(kernel, dtype, tests);
      if (prints) {
        std::printf("| %s |", kernel.name.c_str());
        for (const int count : failing) std::printf(" %d |", count * 100 / tests);
        std::printf("\n");
      }
      // What is derived never rejects an honest kernel, and a judge of r sees what no tolerance can.
      if (is_honest(kernel)) {
        for (const Judge judge : {derived, in_ulp, intervals, any_order})
          EXPECT_EQ(failing[judge], 0) << kernel.name;
      }
      if (kernel.policy != "native" || (kernel.truncates && dtype != DType::fp32)) {
        if (dtype == DType::bf16) {
          EXPECT_EQ(failing[derived], 0) << kernel.name;
        }
        EXPECT_EQ(failing[any_order], tests) << kernel.name;
        EXPECT_EQ(failing[intervals], tests) << kernel.name;
      }
      if (kernel.summed == kHidden / 2) {
        for (const int count : failing) EXPECT_EQ(count, tests);
      }
    }
  }
}

}  // namespace
}  // namespace normproof::bound
