// For every property a target that violates it, and that the property must find and shrink.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "corpus/case_json.h"
#include "properties/bits.h"
#include "properties/property.h"
#include "properties/targets/kernel_target.h"
#include "properties/test/wrong_target.h"

namespace normproof {
namespace {

constexpr std::uint64_t kSeed = 7;
constexpr int kCases = 400;

// Replaces every element of the output that is a number.
template <class Function>
void map_numbers(const Case& test_case, RunResult& result, Function function) {
  const DType dtype = test_case.output_dtype();
  for (std::int64_t index = 0; index < test_case.elements(); ++index) {
    const std::uint32_t bits = load_bits(result.outputs[Role::out], dtype, index);
    if (!bits::is_nan(dtype, bits)) store_bits(result.outputs[Role::out], dtype, index, function(bits));
  }
}

void flip_first(std::vector<std::byte>& output) { output.front() ^= std::byte{1}; }

// The C interface with one fault.
std::unique_ptr<Target> with_rms_norm(decltype(KernelFunctions::rms_norm) rms_norm) {
  KernelFunctions functions = linked_kernels();
  functions.rms_norm = rms_norm;
  return make_kernel_target("wrong", functions);
}

std::unique_ptr<Target> writes_after_the_last_row() {
  return with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                          const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                          normproof_stream stream, normproof_launch_report* report,
                          normproof_message message) {
    const normproof_status status =
        normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
    if (status == NORMPROOF_OK && out->rank == 2 && out->sizes[0] > 0) {
      const std::size_t size = out->dtype == NORMPROOF_FP32 ? 4 : 2;
      const std::int64_t end = (out->sizes[0] - 1) * out->strides[0] + out->sizes[1];
      static_cast<std::byte*>(out->data)[static_cast<std::size_t>(end) * size] = std::byte{0};
    }
    return status;
  });
}

std::unique_ptr<Target> accepts_any_launch() {
  return with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                          const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                          normproof_stream stream, normproof_launch_report* report,
                          normproof_message message) {
    const normproof_status status =
        normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
    return status == NORMPROOF_INVALID_LAUNCH ? NORMPROOF_OK : status;
  });
}

std::unique_ptr<Target> refuses_to_work_in_place() {
  return with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                          const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                          normproof_stream stream, normproof_launch_report* report,
                          normproof_message message) {
    if (out != nullptr && input != nullptr && out->data == input->data) return NORMPROOF_OVERLAP;
    return normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
  });
}

std::unique_ptr<Target> does_not_look_for_overlaps() {
  return with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                          const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                          normproof_stream stream, normproof_launch_report* report,
                          normproof_message message) {
    const normproof_status status =
        normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
    return status == NORMPROOF_OVERLAP ? NORMPROOF_OK : status;
  });
}

std::unique_ptr<Target> writes_before_it_refuses() {
  return with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                          const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                          normproof_stream stream, normproof_launch_report* report,
                          normproof_message message) {
    const normproof_status status =
        normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
    if (status == NORMPROOF_UNSUPPORTED_DTYPE && out != nullptr)
      *static_cast<std::byte*>(out->data) = std::byte{1};
    return status;
  });
}

std::unique_ptr<Target> says_nothing() {
  return with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                          const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                          normproof_stream stream, normproof_launch_report* report, normproof_message) {
    return normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, {});
  });
}

struct WrongFor {
  std::string property;
  std::string fault;
  std::unique_ptr<Target> (*make)();
  std::int64_t hidden;  // at most so many columns in the shrunk counterexample
};

const std::vector<WrongFor>& wrong_targets() {
  static const std::vector<WrongFor> table = {
      {"bitwise-equality", "the fifth element is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.hidden_size() < 5) return;
           const std::uint32_t bits = load_bits(result.outputs[Role::out], test_case.output_dtype(), 4);
           store_bits(result.outputs[Role::out], test_case.output_dtype(), 4, bits ^ 1u);
         });
       },
       5},
      {"bitwise-equality", "writes after the last row", writes_after_the_last_row, 1},
      {"fused-add-is-add-then-norm", "the residual is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.operation == Operation::fused_add_rms_norm)
             flip_first(result.outputs[Role::residual_out]);
         });
       },
       1},
      {"fused-add-is-add-then-norm", "the norm is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.operation == Operation::fused_add_rms_norm) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"fp8-is-quantized-norm", "truncates the code",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.operation == Operation::rms_norm_static_fp8_quant)
             map_numbers(test_case, result, [](std::uint32_t code) { return code & ~1u; });
         });
       },
       1},
      {"fused-fp8-is-composition", "the residual keeps its old value",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [](Target& right, const Case& test_case, const CaseTensors& tensors) {
               RunResult result = right.run(test_case, tensors);
               if (test_case.operation == Operation::fused_add_rms_norm_static_fp8_quant)
                 result.outputs[Role::residual_out] = tensors[Role::residual];
               return result;
             }));
       },
       1},
      {"fused-fp8-is-composition", "the fused code is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.operation == Operation::fused_add_rms_norm_static_fp8_quant)
             flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"dynamic-quant-is-quantized-norm", "the scale is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.operation == Operation::rms_norm_dynamic_quant)
             flip_first(result.outputs[Role::scales]);
         });
       },
       1},
      {"fused-dynamic-quant-is-composition", "the fused scale is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.operation == Operation::fused_add_rms_norm_dynamic_quant)
             flip_first(result.outputs[Role::scales]);
         });
       },
       1},
      {"row-maximum-gets-the-largest-code", "stops one below the largest number",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!quantizes_by_row(test_case.operation)) return;
           const DType dtype = *test_case.quantized_dtype;
           map_numbers(test_case, result, [dtype](std::uint32_t code) {
             const bool negative = bits::is_negative(dtype, code);
             return code == bits::largest(dtype, negative) ? code - 1 : code;
           });
         });
       },
       1},
      {"power-of-two-weights", "no scale is below 1/64",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!quantizes_by_row(test_case.operation)) return;
           for (std::int64_t row = 0; row < test_case.rows(); ++row) {
             const std::uint32_t scale = load_bits(result.outputs[Role::scales], DType::fp32, row);
             store_bits(result.outputs[Role::scales], DType::fp32, row, std::max(scale, 0x3c800000u));
           }
         });
       },
       1},
      {"rows-are-independent", "other bits from three rows on",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.rows() >= 3) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"rows-are-independent", "other bits from 256 rows on",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.rows() >= 256) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"layout-changes-nothing", "other bits off the alignment",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case[Role::input].layout.offset % 2 == 1) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"layout-changes-nothing", "other bits in place",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.in_place) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"launch-changes-nothing", "other bits on the scalar path",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.launch.path == KernelPath::scalar) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"launch-changes-nothing", "other bits under a random schedule",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.schedule.order == ThreadOrder::random) flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"calls-leave-no-trace", "keeps the first epsilon",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [first = std::optional<std::uint32_t>()](Target& right, const Case& test_case,
                                                      const CaseTensors& tensors) mutable {
               if (!first) first = test_case.bits_of(Parameter::epsilon);
               Case kept = test_case;
               kept.bits_of(Parameter::epsilon) = *first;
               return right.run(kept, tensors);
             }));
       },
       1},
      {"power-of-two-scaling", "epsilon is always 1e-5",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [](Target& right, const Case& test_case, const CaseTensors& tensors) {
               Case fixed = test_case;
               fixed.bits_of(Parameter::epsilon) = 0x3727c5ac;
               return right.run(fixed, tensors);
             }));
       },
       2},
      {"negation", "negative numbers are truncated",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           map_numbers(test_case, result, [&](std::uint32_t bits) {
             return bits::is_negative(test_case.output_dtype(), bits) ? bits & ~1u : bits;
           });
         });
       },
       2},  // alone in its row a number may be the largest one, whose last bit is 0
      {"fp8-is-monotone", "one code becomes zero",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (quantizes(test_case.operation))
             map_numbers(test_case, result,
                         [](std::uint32_t code) { return (code & 0x70) == 0x30 ? 0 : code; });
         });
       },
       3},  // in a row with a scale of its own, beside the largest
      {"fp8-is-idempotent", "truncates the code",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (quantizes(test_case.operation))
             map_numbers(test_case, result, [](std::uint32_t code) { return code & ~1u; });
         });
       },
       1},
      {"fp8-saturates", "stops one below the largest number",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!quantizes(test_case.operation)) return;
           const DType dtype = *test_case.quantized_dtype;
           map_numbers(test_case, result, [dtype](std::uint32_t code) {
             const bool negative = bits::is_negative(dtype, code);
             return code == bits::largest(dtype, negative) ? code - 1 : code;
           });
         });
       },
       1},
      {"special-values", "NaN becomes the largest number",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           const DType dtype = test_case.output_dtype();
           for (std::int64_t index = 0; index < test_case.elements(); ++index) {
             if (bits::is_nan(dtype, load_bits(result.outputs[Role::out], dtype, index)))
               store_bits(result.outputs[Role::out], dtype, index, bits::largest(dtype, false));
           }
         });
       },
       1},
      {"special-values", "subnormal results are flushed to zero",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           const DType dtype = test_case.output_dtype();
           if (quantizes(test_case.operation)) return;
           const double least = dtype == DType::fp16 ? 0x1p-14 : 0x1p-126;
           map_numbers(test_case, result, [&](std::uint32_t bits) {
             return std::abs(bits::value(dtype, bits)) < least
                        ? bits::zero(dtype, bits::is_negative(dtype, bits))
                        : bits;
           });
         });
       },
       1},
      {"special-values", "the sign of zero is lost",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           const DType dtype = test_case.output_dtype();
           map_numbers(test_case, result,
                       [&](std::uint32_t bits) { return bits::is_zero(dtype, bits) ? 0 : bits; });
         });
       },
       2},  // an infinity, and a zero beside it
      {"negation", "below a bound int8 wraps",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!test_case.has_scale_ub() || test_case.output_dtype() != DType::int8) return;
           map_numbers(test_case, result, [](std::uint32_t code) { return code == 0x7f ? 0x80u : code; });
         });
       },
       1},
      {"negation", "positive int8 is truncated",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8) return;
           map_numbers(test_case, result, [](std::uint32_t code) { return code < 0x80 ? code & ~1u : code; });
         });
       },
       2},
      {"power-of-two-scaling", "int8 has its own epsilon",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [](Target& right, const Case& test_case, const CaseTensors& tensors) {
               Case fixed = test_case;
               if (test_case.output_dtype() == DType::int8) fixed.bits_of(Parameter::epsilon) = 0x3727c5ac;
               return right.run(fixed, tensors);
             }));
       },
       2},
      {"power-of-two-scaling", "a bound brings its own epsilon",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [](Target& right, const Case& test_case, const CaseTensors& tensors) {
               Case fixed = test_case;
               if (test_case.has_scale_ub()) fixed.bits_of(Parameter::epsilon) = 0x3727c5ac;
               return right.run(fixed, tensors);
             }));
       },
       2},
      {"fp8-is-monotone", "one code of int8 becomes zero",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8) return;
           map_numbers(test_case, result, [](std::uint32_t code) { return code == 5 ? 0u : code; });
         });
       },
       4},
      {"fp8-is-idempotent", "int8 is truncated",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8) return;
           map_numbers(test_case, result, [](std::uint32_t code) { return code < 0x7f ? code & ~1u : code; });
         });
       },
       3},
      {"row-maximum-gets-the-largest-code", "int8 stops at -127 below a bound",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!test_case.has_scale_ub() || test_case.output_dtype() != DType::int8) return;
           map_numbers(test_case, result, [](std::uint32_t code) { return code == 0x80 ? 0x81u : code; });
         });
       },
       1},
      {"row-maximum-gets-the-largest-code", "below a bound fp8 stops one below the largest number",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!test_case.has_scale_ub() || !(test_case.output_dtype() != DType::int8)) return;
           const DType dtype = *test_case.quantized_dtype;
           map_numbers(test_case, result, [dtype](std::uint32_t code) {
             const bool negative = bits::is_negative(dtype, code);
             return code == bits::largest(dtype, negative) ? code - 1 : code;
           });
         });
       },
       1},
      {"dynamic-quant-is-quantized-norm", "a bounded scale is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (!test_case.has_scale_ub() || test_case.has(Role::residual)) return;
           flip_first(result.outputs[Role::scales]);
         });
       },
       1},
      {"fused-dynamic-quant-is-composition", "the fused code of int8 is one bit off",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8 || !test_case.has(Role::residual)) return;
           flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"launch-changes-nothing", "other codes of int8 on the scalar path",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8 || test_case.launch.path != KernelPath::scalar) return;
           flip_first(result.outputs[Role::out]);
         });
       },
       1},
      {"special-values", "a row of NaN becomes -128 in int8",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8) return;
           for (std::int64_t index = 0; index < test_case.elements(); ++index) {
             const std::int64_t row = index / test_case.hidden_size();
             if (bits::is_nan(DType::fp32, load_bits(result.outputs[Role::scales], DType::fp32, row)))
               store_bits(result.outputs[Role::out], DType::int8, index, 0x80);
           }
         });
       },
       1},
      {"power-of-two-weights", "no bound is above 4",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [](Target& right, const Case& test_case, const CaseTensors& tensors) {
               Case fixed = test_case;
               if (test_case.has_scale_ub())
                 fixed.bits_of(Parameter::scale_ub) =
                     std::min(test_case.bits_of(Parameter::scale_ub), 0x40800000u);
               return right.run(fixed, tensors);
             }));
       },
       1},
      {"power-of-two-weights", "no scale of int8 is below 1/64",
       [] {
         return spoiled([](const Case& test_case, RunResult& result) {
           if (test_case.output_dtype() != DType::int8) return;
           for (std::int64_t row = 0; row < test_case.rows(); ++row) {
             const std::uint32_t scale = load_bits(result.outputs[Role::scales], DType::fp32, row);
             store_bits(result.outputs[Role::scales], DType::fp32, row, std::max(scale, 0x3c800000u));
           }
         });
       },
       1},
      {"calls-leave-no-trace", "keeps the first bound",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [first = std::optional<std::uint32_t>()](Target& right, const Case& test_case,
                                                      const CaseTensors& tensors) mutable {
               if (!test_case.has_scale_ub()) return right.run(test_case, tensors);
               if (!first) first = test_case.bits_of(Parameter::scale_ub);
               Case kept = test_case;
               kept.bits_of(Parameter::scale_ub) = *first;
               return right.run(kept, tensors);
             }));
       },
       1},
      {"memory-safety", "writes after the last row", writes_after_the_last_row, 1},
      {"empty-batch", "refuses zero rows",
       [] {
         return std::unique_ptr<Target>(std::make_unique<WrongTarget>(
             [](Target& right, const Case& test_case, const CaseTensors& tensors) {
               RunResult result = right.run(test_case, tensors);
               if (test_case.rows() == 0) result.status = RunResult::Status::refused;
               return result;
             }));
       },
       1},
      {"refused-calls", "accepts any launch", accepts_any_launch, 1},
      {"refused-calls", "writes before it refuses", writes_before_it_refuses, 1},
      {"refused-calls", "refuses without a message", says_nothing, 1},
      {"shared-memory", "does not look for overlaps", does_not_look_for_overlaps, 64},
      {"shared-memory", "refuses to work in place", refuses_to_work_in_place, 64},
  };
  return table;
}

TEST(EveryPropertyCanFail, HasAWrongTargetForEveryProperty) {
  std::set<std::string> covered;
  for (const WrongFor& wrong : wrong_targets()) covered.insert(wrong.property);
  for (const Property& property : all_properties()) {
    EXPECT_TRUE(covered.contains(std::string(property.name))) << property.name;
  }
}

class EveryPropertyCanFail : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryPropertyCanFail, AndShrinks) {
  const WrongFor& wrong = wrong_targets()[GetParam()];
  SCOPED_TRACE(wrong.property + ": " + wrong.fault);
  const auto property = std::ranges::find(all_properties(), wrong.property, &Property::name);
  ASSERT_NE(property, all_properties().end());
  const std::unique_ptr<Target> target = wrong.make();
  Tally tally;
  PropertyContext context{*target, tally, kSeed, kCases, {}, {}, [] { return false; }};
  const PropertyResult result = property->check(context);
  EXPECT_FALSE(result.holds);
  EXPECT_FALSE(result.message.empty());
  ASSERT_TRUE(result.counterexample) << result.message;
  const Case& smallest = *result.counterexample;
  EXPECT_TRUE(validate(smallest).empty()) << validate(smallest).front();
  EXPECT_LE(smallest.hidden_size(), wrong.hidden) << case_to_json(smallest) << result.message;
}

std::string name_of_row(const testing::TestParamInfo<std::size_t>& info) {
  const WrongFor& wrong = wrong_targets()[info.param];
  std::string name = wrong.property + "__" + wrong.fault;
  for (char& letter : name) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Wrong, EveryPropertyCanFail, testing::Range(std::size_t{0}, wrong_targets().size()),
                         name_of_row);

}  // namespace
}  // namespace normproof
