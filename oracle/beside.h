// Codes of a fused kernel beside the unfused computation of the same call: which codes honest evaluations can
// give, in any order of summation, and so which of those that differ are legal. Without a tolerance.
//
// An element's reachable codes are those that some admissible r gives it, with the scale that the fused
// kernel stored: for one factor a code rises or falls with r, or has two phases (feasible.h), so its codes
// over an interval of r are found by bisection. That one r gives the whole row
// is for the witness judge to say.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "corpus/case.h"
#include "oracle/feasible.h"
#include "oracle/policy.h"

namespace normproof::oracle {

// Codes of at most 8 bits.
using CodeSet = std::bitset<256>;

// A code as it is compared: any NaN equals any NaN.
inline std::uint8_t compared_code(const Format& format, std::uint32_t code) {
  return static_cast<std::uint8_t>(is_nan(format, code) ? format.nan_bits() : code);
}

// Adds what output_at(r) is for the r of an interval, which must not be empty; it does not come back to what
// it was.
template <typename Output>
void add_codes(const Format& format, const RootInterval& range, Output output_at, CodeSet& codes) {
  const auto output = [&](std::int64_t r) { return compared_code(format, output_at(r)); };
  const std::uint32_t last = output(range.high);
  for (std::int64_t r = range.low;;) {
    const std::uint32_t code = output(r);
    codes.set(code);
    if (code == last) return;
    r = first_where(r + 1, range.high, [&](std::int64_t other) { return output(other) != code; });
  }
}

// The scale of a row, or of a block of it, as bits of its storage.
struct ScaleBeside {
  std::int64_t begin = 0, end = 0;  // the columns that it is of
  std::uint32_t fused = 0, unfused = 0;
  bool differs = false;
  bool legal = false;       // an admissible r gives the fused one
  bool may_differ = false;  // an admissible r gives another one than the unfused one
};
struct RowBeside {
  std::vector<std::uint8_t> fused, unfused;  // compared_code()
  std::vector<CodeSet> reachable;            // of each element; nothing where its scale is not legal
  std::vector<ScaleBeside> scales;           // none where the scale is an argument
};

// What is counted over all rows.
struct CodeBeside {
  std::int64_t row = 0, column = 0;
  std::uint8_t fused = 0, unfused = 0;
  CodeSet reachable;
  friend bool operator==(const CodeBeside&, const CodeBeside&) = default;
};
struct ScaleDifference {
  std::int64_t row = 0;
  ScaleBeside scale;
};
struct BesideVerdict {
  std::int64_t rows = 0;
  std::int64_t codes = 0;
  std::int64_t codes_that_may_differ = 0;  // an honest fused kernel can give another than the unfused code
  std::int64_t codes_that_differ = 0;
  std::int64_t illegal_codes = 0;        // that no admissible r gives, whether they differ or not
  std::int64_t illegal_codes_equal = 0;  // of these, those that do not differ
  std::int64_t codes_not_judged = 0;     // made with a scale that is not legal: counted nowhere else
  std::int64_t scales = 0;
  std::int64_t scales_that_may_differ = 0;
  std::int64_t scales_that_differ = 0;
  std::int64_t illegal_scales = 0;
  std::vector<CodeBeside> first_illegal_codes;  // at most kListed
  std::vector<CodeBeside> first_legal_codes;    // that differ
  std::vector<ScaleDifference> first_illegal_scales;
  static constexpr std::size_t kListed = 8;

  std::int64_t legal_codes_that_differ() const {
    return codes_that_differ - (illegal_codes - illegal_codes_equal);
  }
  bool all_legal() const { return illegal_codes == 0 && illegal_scales == 0; }
  // Of rows in order.
  void add(const RowBeside& row, std::int64_t index);
};

// Static and dynamic quantization: the rows of a case, `unfused` the outputs of the same operation or of the
// operation without its last step. Requires inputs and outputs that were validated.
BesideVerdict compare_beside(const Case& test_case, const CaseTensors& tensors, const Outputs& fused,
                             const Outputs& unfused, bool unfused_is_quantized, const Policy& policy);

}  // namespace normproof::oracle
