// The steps of an operation as the oracle carries them out on exact values: one row for each NormStep. Every
// formula is a list of these rows. Loops in hardware arithmetic (fast_row.h) are found by the list; without
// them these rows serve.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "corpus/operation.h"
#include "oracle/policy_rows.h"
#include "oracle/steps.h"

namespace normproof::oracle {

struct Formula;

// The steps of a formula in order.
class NormSteps {
 public:
  static constexpr std::size_t kMost = 8;

  // Throws std::invalid_argument where there are more than kMost.
  NormSteps(std::span<const NormStep> steps);
  NormSteps(std::initializer_list<NormStep> steps) : NormSteps(std::span(steps.begin(), steps.size())) {}

  const NormStep* begin() const { return steps_.data(); }
  const NormStep* end() const { return steps_.data() + count_; }
  bool has(NormStep step) const;
  NormSteps without(NormStep step) const;
  friend bool operator==(const NormSteps&, const NormSteps&) = default;

 private:
  std::array<NormStep, kMost> steps_{};
  std::uint8_t count_ = 0;
};

// One element on its way through the steps.
struct ElementState {
  Value input, residual, weight;  // as the tensors hold them; a residual that there is not is +0
  Value unknown;                  // r, or rms, of the row
  SumParts sum;                   // what the row's mean square and y are made of: x at first
  Product product;                // y before it is rounded
  Value y;                        // rounded as the policy says; then its code
};

// When a step is carried out, in the order in which an operation may have them.
enum class StepPlace : std::uint8_t {
  sum,      // before the mean square, which reads `sum`
  product,  // makes `product` of `sum` and `unknown`, or changes it
  code      // makes a code of y
};

struct NormStepRow {
  StepPlace place;
  // Whether |y| still rises with r for every element (falls, where r is a divisor), if it did before. A scale
  // of the row needs that (scale_roots.h). y itself always has to rise, to fall or to stay: see
  // "Monotonicity" in policy_rows.h.
  bool keeps_magnitude;
  std::span<const Role> tensors;          // that the step reads or writes, beside input and out
  std::span<const Parameter> parameters;  // that it reads
  void (*function)(Arithmetic&, const Formula&, ElementState&);
};
const NormStepRow& row_of(NormStep step);
bool has_tensor(const NormStepRow& row, Role role);

// Carries out the steps of one place.
void carry_out(Arithmetic& arithmetic, const Formula& formula, StepPlace place, ElementState& element);

// Throws std::invalid_argument, naming the operation and what is wrong, unless its steps are a formula: in
// order, one of them normalizes, and every tensor and number of the operation belongs to one.
void require_formula(const OperationSpec& spec);

// Whether there are loops for exactly these steps.
bool has_loops(const NormSteps& steps);

}  // namespace normproof::oracle
