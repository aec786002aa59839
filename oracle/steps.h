// The named rounding steps of the contract, and the arithmetic that performs,
// records or deliberately alters them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "oracle/exact.h"

namespace normproof::oracle {

enum class Step : std::uint8_t {
  residual_sum,       // s = x + residual, where it feeds the norm
  residual_out,       // s as it is stored
  variance_operand,   // s as the variance reads it
  accumulate,         // every square, fma and addition of the sum of squares
  mean,               // v = sum / H
  epsilon,            // eps as it is added
  mean_plus_epsilon,  // m = v + eps
  inverse_root,       // r = 1 / sqrt(m), or rms = sqrt(m)
  rounded_root,       // r rounded to T
  scaled,             // x * r, or x / rms
  normalized,         // n
  weight_factor,      // 1 + w, 0 + w, w rounded to T
  weighted,           // x * w or r * w, where that product comes first
  product,            // n * w
  output,             // y
  inverse_range,      // 1 / max_Q
  row_scale,          // s, from the row's largest |y|
  inverse_scale,      // 1 / scale
  scaled_output,      // y * inv, or y / scale
  output_in_bf16,     // that rounded to bf16 on the way to fp8
  quantized           // q
};
std::string_view name_of(Step step);

// What was rounded where.
struct StepRecord {
  Step step = Step::residual_sum;
  std::string_view formula;
  const Format* format = nullptr;  // rounded to
  Value exact;
  Value rounded;
};

// A deliberate deviation from one step, for `explain`: which wrong rounding
// gives the bits that a kernel gave?
enum class Alteration : std::uint8_t { skip, truncate, round_to_bf16, ties_away };
std::string_view name_of(Alteration alteration);
struct AlteredStep {
  Step step = Step::output;
  Alteration alteration = Alteration::skip;
};

class Arithmetic {
 public:
  // Records each step other than Step::accumulate in `*record` where given.
  explicit Arithmetic(std::vector<StepRecord>* record = nullptr, std::optional<AlteredStep> altered = {})
      : record_(record), altered_(altered) {}

  // `exact` rounded to `format`: one rounding of the contract.
  Value round(Step step, std::string_view formula, const Format& format, const Value& exact,
              Rounding rounding = Rounding::nearest_even);
  Value round(Step step, std::string_view formula, DType format, const Value& exact,
              Rounding rounding = Rounding::nearest_even) {
    return round(step, formula, format_of(format), exact, rounding);
  }

 private:
  std::vector<StepRecord>* record_;
  std::optional<AlteredStep> altered_;
};

}  // namespace normproof::oracle
