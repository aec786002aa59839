// The tolerance tests that other projects publish for their norm kernels, from their published parameters:
// random inputs, a reference, and a tolerance. Here for comparison: on the same mutants, what do they catch?
//
// Each test is a row of one table. Its reference is what the contract says, which is kinder to the test than
// its own; only the fused fp8 test compares with the target's own unfused result, as published. Rows that a
// CPU cannot pay for are left out, and the row's `reduction` says so.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "properties/targets/target.h"

namespace normproof::matrix {

struct ToleranceTest {
  std::string_view name;
  std::string_view source;
  std::string_view reduction;  // of the published shapes
  double absolute;
  double relative;
  std::vector<Operation> operations;
  std::vector<DType> dtypes;
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> hidden_sizes;
  std::vector<float> scales;  // of the quantizing operations
  bool small_inputs;          // N(0, 1) / (2 H), else N(0, 1)
  std::string_view weights;   // recipe: "normal", "model_weights" (1 + 0.1 N) or "ones"
  bool strided;               // also the first half of rows twice as long
  bool own_reference;         // fp8 against the target's own norm, quantized
};
std::span<const ToleranceTest> tolerance_tests();

// One call of a test, and what it is compared with.
struct ToleranceCall {
  Case test_case;
  CaseTensors tensors;
  std::optional<Outputs> reference;  // nothing: the target's own
};
// All calls of a test. The elements number some millions, and the references are exact: make them once.
std::vector<ToleranceCall> calls_of(const ToleranceTest& test);

// What is wrong by the test's standards, or nothing: an error, or an element with
// !(|got - reference| <= absolute + relative * |reference|), which a NaN always is.
std::optional<std::string> failure(const ToleranceTest& test, const ToleranceCall& call, Target& target);

}  // namespace normproof::matrix
