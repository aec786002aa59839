// The boldest steps of shrinking: a simpler operation, and tensors of one value. They are no stages of
// ShrinkSequence, since most who shrink ask about one operation, and values come last there.
#include <array>

#include "corpus/float_format.h"
#include "corpus/shrink.h"
#include "corpus/shrink_stages.h"

namespace normproof {
namespace {

Case as_operation(Case test_case, Operation operation) {
  test_case.operation = operation;
  keep_what_it_has(test_case);
  return test_case;
}

// What the fused addition hands to its norm.
Case of_sums(const Case& test_case) {
  const CaseTensors tensors = materialize(test_case);
  const FloatFormat format = format_of(test_case.dtype);
  Case candidate = as_operation(test_case, *spec_of(test_case.operation).without_first_step);
  candidate[Role::input].data = {tensors[Role::input], std::nullopt};
  for (std::int64_t i = 0; i < test_case.elements(); ++i) {
    const auto value = [&](const std::vector<std::byte>& data) {
      return value_of(format, load_bits(data, test_case.dtype, i));
    };
    store_bits(candidate[Role::input].data.bytes, test_case.dtype, i,
               rounded(format, value(tensors[Role::input]) + value(tensors[Role::residual])));
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
  // The simplest operation first: without the first step and the last, without the first, without the last.
  const OperationSpec& spec = spec_of(test_case.operation);
  std::vector<Case> without_first;
  if (spec.without_first_step) {
    without_first.push_back(as_operation(test_case, *spec.without_first_step));
    if (test_case.elements() <= kMostListedElements) without_first.push_back(of_sums(test_case));
  }
  for (const Case& shorter : without_first) {
    if (const auto shortest = spec_of(shorter.operation).without_last_step)
      add(as_operation(shorter, *shortest));
  }
  for (Case& shorter : without_first) add(std::move(shorter));
  if (spec.without_last_step) add(as_operation(test_case, *spec.without_last_step));
  return candidates;
}

std::vector<Case> plain_values(const Case& test_case) {
  std::vector<Case> candidates;
  if (test_case.elements() == 0) return candidates;
  const CaseTensors before = materialize(test_case);
  const auto add = [&](Role role, const char* data_class) {
    if (!test_case.has_data(role)) return;
    Case candidate = test_case;
    candidate.outputs.reset();
    candidate[role].data = {{}, Recipe{data_class, 0}};
    if (materialize(candidate) != before) candidates.push_back(std::move(candidate));
  };
  add(Role::weight, "ones");
  add(Role::residual, "zeros");
  add(Role::input, "ones");
  return candidates;
}

}  // namespace normproof
