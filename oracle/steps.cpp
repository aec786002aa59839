// Performing, recording and altering the rounding steps.
#include "oracle/steps.h"

namespace normproof::oracle {

std::string_view name_of(Step step) {
  switch (step) {
    case Step::residual_sum:
      return "sum with the residual";
    case Step::residual_out:
      return "residual out";
    case Step::variance_operand:
      return "operand of the variance";
    case Step::accumulate:
      return "sum of squares";
    case Step::mean:
      return "mean";
    case Step::epsilon:
      return "epsilon";
    case Step::mean_plus_epsilon:
      return "mean plus epsilon";
    case Step::inverse_root:
      return "inverse root";
    case Step::scaled:
      return "scaled";
    case Step::normalized:
      return "normalized";
    case Step::one_plus_weight:
      return "one plus weight";
    case Step::product:
      return "product";
    case Step::output:
      return "output";
    case Step::inverse_scale:
      return "inverse scale";
    case Step::scaled_output:
      return "scaled output";
    case Step::quantized:
      return "quantized";
  }
  return "unknown step";
}

std::string_view name_of(Alteration alteration) {
  switch (alteration) {
    case Alteration::skip:
      return "skipped";
    case Alteration::truncate:
      return "truncated instead of rounded to nearest";
    case Alteration::round_to_bf16:
      return "rounded to bf16 as well";
  }
  return "unknown alteration";
}

Value Arithmetic::round(Step step, std::string_view formula, DType format, const Value& exact) {
  Value rounded;
  if (altered_ && altered_->step == step) {
    switch (altered_->alteration) {
      case Alteration::skip:
        rounded = exact;
        break;
      case Alteration::truncate:
        rounded = round_to(format, exact, Rounding::toward_zero);
        break;
      case Alteration::round_to_bf16:
        rounded = round_to(DType::bf16, round_to(format, exact));
        break;
    }
  } else {
    rounded = round_to(format, exact);
  }
  if (record_ != nullptr && step != Step::accumulate)
    record_->push_back({step, formula, format, exact, rounded});
  return rounded;
}

}  // namespace normproof::oracle
