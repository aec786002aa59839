// Two dumps of a model's norms, of two engines, versions or ways to run: in which norm does the arithmetic
// differ although its inputs agree, and why, as against norms that only pass on what came in?
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "properties/models/model_dump.h"

namespace normproof {

enum class NormDifference : std::uint8_t {
  none,       // all inputs that both hold, and all outputs, are the same bits
  passed_on,  // outputs differ where inputs do; one policy explains both
  undecided,  // inputs differ everywhere, and no known policy explains either: nothing is said
  call,       // another operation, or other dtypes or sizes
  weight,     // another weight, or one of another dtype
  epsilon,    // another epsilon
  policy,     // each follows a policy, but not the same
  order,  // both follow one policy, with unknowns that differ within its bounds: order of summation, or root
  bug,    // one follows a policy, and the other none
  unknown,  // other bits from the same inputs, and neither follows a known policy
  unseen,   // other bits from the same inputs, by the digests of whole calls: in rows that were not recorded
};
std::string_view name_of(NormDifference difference);  // "passes on"
// Whether it is a difference in what the norm computes.
bool is_arithmetic(NormDifference difference);

// What explains the rows of one side, where that was asked.
struct NormSide {
  bool asked = false;
  std::optional<std::string> policy;
  std::vector<std::string> names;  // who computes it
  std::string why_none;            // without a policy: what identify says, in lines
};

// The first element that differs in a row whose inputs agree.
struct DifferingElement {
  RowPlace place;
  std::string tensor;  // "out"
  DType dtype = DType::bf16;
  std::int64_t column = 0;
  std::array<std::uint32_t, 2> bits{};
};

// How far the r's of the second dump lie from those of the first, in rows with the same inputs and other
// outputs: of the r's that explain the rows under the common policy, those
// nearest to the correctly rounded one.
struct RootShift {
  std::int64_t larger = 0, smaller = 0;  // rows
  std::uint64_t greatest = 0;            // representable numbers
  // Another order of summation errs to both sides; another epsilon or divisor to one.
  static constexpr std::int64_t kTellingRows = 8;
  bool one_sided() const {
    return std::max(larger, smaller) >= kTellingRows && std::min(larger, smaller) == 0;
  }
};

struct ComparedNorm {
  std::string module;
  std::string subject;           // of the first dump: "rms_norm bf16, weight bf16, 16 x 64, epsilon 1e-06"
  std::int64_t rows = 0;         // that both hold
  std::int64_t same_inputs = 0;  // of them: whose inputs are the same bits
  std::int64_t different = 0;    // of these: whose outputs are not
  NormDifference difference = NormDifference::none;
  std::array<NormSide, 2> sides;
  std::optional<DifferingElement> element;
  std::optional<RootShift> shift;  // where r alone differs
  bool whole = false;         // both have digests of whole calls, so that rows not recorded are compared, too
  bool other_inputs = false;  // of a row that was recorded or, by the digests, of another
  std::string text;           // what differs, where that is a parameter or the call
  std::string unknowns;       // of which each row has its own: "an r"
};

struct ModelComparison {
  std::vector<ComparedNorm> norms;        // in the order in which the first dump's ran
  std::vector<std::string> not_compared;  // "NAME: why"
  std::int64_t rows = 0, same_inputs = 0;
  // The first norm whose arithmetic differs: of those with inputs that agree, if there is one.
  std::optional<std::size_t> first;
  std::optional<std::size_t> first_other_inputs;  // the first with rows whose inputs differ
  bool same_arithmetic() const { return !first; }
};

// What was called: "rms_norm bf16, weight bf16, 16 x 64, epsilon 1e-06".
std::string subject_of(const ModuleCall& call);

// What is said of one norm, in lines; the dumps are A and B. And the whole comparison, by the dumps' names.
std::string to_text(const ComparedNorm& norm, const std::array<std::string, 2>& names = {"A", "B"});
std::string to_text(const ModelComparison& comparison, const std::array<std::string, 2>& names);

// `threads`: that compare norms.
ModelComparison compare_models(const ModelDump& one, const ModelDump& other, int threads = 1);

}  // namespace normproof
