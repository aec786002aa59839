// Which policies explain the outputs of a judged operation, and why the others do not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "properties/judged/judge.h"

namespace normproof::judging {

struct ValueFinding {
  std::string_view name;
  bool survives = false;
  std::string reason;  // rejected: a certificate. Surviving beside the named value: why both do
};
struct AxisFinding {
  std::string_view name;
  std::vector<ValueFinding> values;
};

struct Identification {
  std::int64_t rows = 0;  // that were looked at
  std::int64_t policies = 0;
  std::int64_t units = 0;
  std::vector<Policy> survivors;  // explain every unit, the best first
  Policy best;                    // without survivors the one with most units
  std::int64_t best_units = 0;
  double wrong_explained = 0;  // with survivors: the share of wrong outputs that the best explains as well
  std::vector<std::string> names;  // of survivors
  std::vector<AxisFinding> axes;   // with survivors
  std::string certificate;         // without: the best policy's first violation
  bool explained() const { return !survivors.empty(); }
  // A policy is named only where it would not explain wrong outputs too.
  bool identified() const;
  // No survivor makes the outputs otherwise from their unknowns.
  bool unique() const;
};

// `model` has the bounds. At most `rows` rows are looked at; gradients of weights are sums over all of them.
Identification identify(const Call& call, const Policy& model, std::int64_t rows, std::int64_t threads);

// Every line is indented by two spaces.
std::string to_text(const Identification& found);

}  // namespace normproof::judging
