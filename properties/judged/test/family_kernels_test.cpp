// The production kernels of the norm family, in the host build, against what the oracle says their order of
// summation gives: every output bit of random calls, with rows of all kinds, at all places in memory.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "kernels/normproof_kernels.h"
#include "oracle/formats.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/test/canonical_target.h"
#include "properties/targets/interface_dtype.h"
#include "properties/targets/named_call.h"

namespace normproof::judging {
namespace {

struct KernelRun {
  normproof_status status;
  std::string message;
};

KernelRun run_kernel(const NamedCall& named) {
  std::vector<normproof_named_tensor> tensors;
  for (const NamedCall::Argument& argument : named.arguments()) {
    normproof_named_tensor tensor{argument.spec->name.data(), {}};
    tensor.tensor.data = argument.tensor->data();
    tensor.tensor.dtype = interface_dtype(argument.tensor->dtype());
    tensor.tensor.rank = static_cast<std::int32_t>(argument.tensor->shape().size());
    std::ranges::copy(argument.tensor->shape(), tensor.tensor.sizes);
    std::ranges::copy(argument.tensor->strides(), tensor.tensor.strides);
    tensors.push_back(tensor);
  }
  const Call& call = named.call();
  const normproof_named_number epsilon{"epsilon", std::bit_cast<float>(call.epsilon)};
  const normproof_named_call description{call.operation->name.data(), tensors.data(), tensors.size(),
                                         &epsilon, call.operation->takes_epsilon ? std::size_t{1} : 0};
  const std::uint64_t order = call.thread_order;
  normproof_set_thread_order(order < 2 ? static_cast<std::int32_t>(order) : 2, order);
  std::string text(300, '\0');
  const normproof_status status =
      normproof_run(&description, nullptr, nullptr, nullptr, {text.data(), text.size()});
  normproof_set_thread_order(0, 0);
  return {status, text.c_str()};
}

// The first bit pattern that differs; NaN is NaN, whatever its bits.
std::string difference(const oracle::judged::Tensor& got, const oracle::judged::Tensor& wanted) {
  for (std::int64_t i = 0; i < got.elements(); ++i) {
    const std::uint32_t a = load_bits(got.bytes, got.dtype, i), b = load_bits(wanted.bytes, wanted.dtype, i);
    if (oracle::same(got.dtype, a, b)) continue;
    return fmt::format("element {} is {:#x}, not {:#x}", i, a, b);
  }
  return {};
}

class FamilyKernels : public testing::TestWithParam<const char*> {};

TEST_P(FamilyKernels, GiveTheBitsOfTheCanonicalOrder) {
  CanonicalTarget target;
  const auto* operation = oracle::judged::find_judged_operation(GetParam());
  ASSERT_NE(operation, nullptr) << GetParam();
  // Each dtype of codes multiplies the combinations.
  const bool has_codes = std::ranges::any_of(
      operation->tensors, [](const auto& spec) { return spec.extent == oracle::judged::Extent::codes; });
  const std::int64_t calls_of_each = has_codes ? 20 : 60;
  std::int64_t calls = 0;
  for (const Combination& combination : combinations_of(target, operation)) {
    for (std::int64_t index = 0; index < calls_of_each; ++index) {
      if (index == chosen_sizes() - 1) continue;  // very many rows
      const auto call = verification_call(combination, 27, index);
      if (!call || call->at("x").elements() > 1 << 15) continue;
      NamedCall::Memory memory;
      const NamedCall named(*call, kCanary, memory);
      const KernelRun run = run_kernel(named);
      ASSERT_EQ(run.status, NORMPROOF_OK) << to_string(combination) << ": " << run.message;
      EXPECT_EQ(named.memory_violations(false), std::vector<std::string>()) << to_string(combination);
      const Call got = named.with_outputs(), wanted = target.run_judged(*call, kCanary).call;
      for (const auto& spec : operation->tensors) {
        if (spec.direction != Direction::out || !call->has(spec.name)) continue;
        ASSERT_EQ(difference(got.at(spec.name), wanted.at(spec.name)), "")
            << to_string(combination) << ", " << spec.name << "\n"
            << call_to_json(without_contents(*call), {}).substr(0, 3000);
      }
      ++calls;
    }
  }
  EXPECT_GT(calls, 100);
}

std::vector<const char*> operations() {
  std::vector<const char*> names;
  for (const char* const* name = normproof_named_operations(); *name != nullptr; ++name)
    names.push_back(*name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(AllOfThem, FamilyKernels, testing::ValuesIn(operations()),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace normproof::judging
