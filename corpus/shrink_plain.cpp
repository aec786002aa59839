// The boldest steps of shrinking: a simpler operation, and tensors of one value. They are no stages of
// ShrinkSequence, since most who shrink ask about one operation, and values come last there.
#include <array>

#include "corpus/float_format.h"
#include "corpus/shrink.h"
#include "corpus/shrink_stages.h"

namespace normproof {
namespace {

Case without_quantization(Case test_case) {
  const bool fused = adds_residual(test_case.operation);
  test_case.operation = fused ? Operation::fused_add_rms_norm : Operation::rms_norm;
  test_case.quantized_dtype.reset();
  test_case.scale_bits = Case{}.scale_bits;
  if (fused) test_case.output_layout = {};  // it writes into its input
  return test_case;
}

Case without_residual(Case test_case) {
  test_case.operation =
      quantizes(test_case.operation) ? Operation::rms_norm_static_fp8_quant : Operation::rms_norm;
  test_case.residual = {};
  test_case.residual_layout = {};
  return test_case;
}

// What the fused addition hands to its norm.
Case of_sums(const Case& test_case) {
  const CaseTensors tensors = materialize(test_case);
  const FloatFormat format = format_of(test_case.dtype);
  Case candidate = without_residual(test_case);
  candidate.input = {tensors.input, std::nullopt};
  for (std::int64_t i = 0; i < test_case.elements(); ++i) {
    const auto value = [&](const std::vector<std::byte>& data) {
      return value_of(format, load_bits(data, test_case.dtype, i));
    };
    store_bits(candidate.input.bytes, test_case.dtype, i,
               rounded(format, value(tensors.input) + value(tensors.residual)));
  }
  return candidate;
}

}  // namespace

std::vector<Case> simpler_operations(const Case& test_case) {
  std::vector<Case> candidates;
  const auto add = [&](Case candidate) {
    candidate.outputs.reset();
    if (validate(candidate).empty()) candidates.push_back(std::move(candidate));
  };
  const bool fused = adds_residual(test_case.operation), quantized = quantizes(test_case.operation);
  const bool can_list = test_case.elements() <= kMostListedElements;
  if (fused && quantized) {
    add(without_quantization(without_residual(test_case)));
    if (can_list) add(without_quantization(of_sums(test_case)));
  }
  if (fused) {
    add(without_residual(test_case));
    if (can_list) add(of_sums(test_case));
  }
  if (quantized) add(without_quantization(test_case));
  return candidates;
}

std::vector<Case> plain_values(const Case& test_case) {
  std::vector<Case> candidates;
  if (test_case.elements() == 0) return candidates;
  const auto add = [&](TensorData Case::* tensor, const char* data_class) {
    Case candidate = test_case;
    candidate.outputs.reset();
    candidate.*tensor = {{}, Recipe{data_class, 0}};
    const CaseTensors before = materialize(test_case), after = materialize(candidate);
    if (before.input == after.input && before.residual == after.residual && before.weight == after.weight)
      return;
    candidates.push_back(std::move(candidate));
  };
  if (test_case.weight_dtype) add(&Case::weight, "ones");
  if (adds_residual(test_case.operation)) add(&Case::residual, "zeros");
  add(&Case::input, "ones");
  return candidates;
}

}  // namespace normproof
