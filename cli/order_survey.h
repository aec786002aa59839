// The orders of summation of one operation, dtype and length: found for the first number of rows per call,
// then looked for at the others and in calls that are shifted by one element.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/order_document.h"
#include "cli/progress.h"
#include "properties/targets/target.h"

namespace normproof {

struct OrderSurveyOptions {
  std::vector<std::int64_t> rows = {64};
  bool aligned_only = false;
  std::uint64_t seed = 1;
  int threads = 1;
};

struct OrderEvent {
  enum class Kind : std::uint8_t {
    found,      // an order was looked for from nothing
    same,       // a call of another shape has the first order, certified
    differs,    // it has not, `why` says what refutes it; what it has is found next
    no_answer,  // the target does not answer such calls, for the reason `why`
  };
  Kind kind = Kind::found;
  order::CallShape shape;
  const OrderEntry* entry = nullptr;  // of `found` and `same`
  std::string why;
};

struct OrderSurvey {
  std::vector<OrderEntry> entries;
  bool changes = false;  // not all calls have one order
};

// `shape.rows` is that of the options' first. Throws TargetError where the target answers nothing.
OrderSurvey survey_orders(Target& target, order::CallShape shape, const OrderSurveyOptions& options,
                          Progress& progress, const std::function<void(const OrderEvent&)>& tell = {});

}  // namespace normproof
