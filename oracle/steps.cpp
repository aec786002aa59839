// Performing, recording and altering the rounding steps.
#include "oracle/steps.h"

#include <array>

namespace normproof::oracle {

namespace {

// In the order of Step and of Alteration.
constexpr std::array<std::string_view, 21> kSteps = {"sum with the residual",
                                                     "residual out",
                                                     "operand of the variance",
                                                     "sum of squares",
                                                     "mean",
                                                     "epsilon",
                                                     "mean plus epsilon",
                                                     "inverse root",
                                                     "rounded inverse root",
                                                     "scaled",
                                                     "normalized",
                                                     "factor of the weight",
                                                     "product with the weight",
                                                     "product",
                                                     "output",
                                                     "inverse of the range",
                                                     "scale of the row",
                                                     "inverse scale",
                                                     "scaled output",
                                                     "scaled output in bf16",
                                                     "quantized"};
static_assert(kSteps.size() == static_cast<std::size_t>(Step::quantized) + 1);
constexpr std::array<std::string_view, 4> kAlterations = {
    "skipped", "truncated instead of rounded to nearest", "rounded to bf16 as well",
    "rounded to nearest with ties away from zero"};

}  // namespace

std::string_view name_of(Step step) { return kSteps.at(static_cast<std::size_t>(step)); }

std::string_view name_of(Alteration alteration) {
  return kAlterations.at(static_cast<std::size_t>(alteration));
}

Value Arithmetic::round(Step step, std::string_view formula, const Format& format, const Value& exact,
                        Rounding rounding) {
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
        rounded = round_to(DType::bf16, round_to(format, exact, rounding));
        break;
      case Alteration::ties_away:
        rounded = round_to(format, exact, Rounding::nearest_away);
        break;
    }
  } else {
    rounded = round_to(format, exact, rounding);
  }
  if (record_ != nullptr && step != Step::accumulate)
    record_->push_back({step, formula, &format, exact, rounded});
  return rounded;
}

}  // namespace normproof::oracle
