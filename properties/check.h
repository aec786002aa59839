// The RapidCheck side of a property: draw cases, check each, shrink the first that fails.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "corpus/case.h"
#include "corpus/generate.h"
#include "corpus/random.h"
#include "properties/finding.h"
#include "properties/property.h"

namespace normproof {

// The operations of which a property may say what values come out (known_steps.h).
std::span<const Operation> operations_of_known_steps();

// The ingredients of one property.
struct PropertyCheck {
  std::string_view name;
  // Operations whose cases the property is about.
  std::span<const Operation> operations = all_operations();
  // Bounds of the cases that are drawn; operation and dtype are filled in per case.
  CaseLimits limits;
  // Turns any valid case that the kernels must accept into one of the property's domain, still valid.
  // Nothing: any case will do.
  std::function<void(Case&, Random&)> adapt;
  // Must depend on nothing but the case. May throw; what it throws is a failure, but for NotTaken.
  std::function<CaseFinding(const Case&, PropertyContext&)> check;
  // Whether `check` demands of a faithful kernel nothing that only the canonical order and the native policy
  // give, such as the same bits in two runs. Otherwise a target that is judged in another way is not asked
  // for it: the property's cases are run and judged one by one.
  bool any_judge = false;
  // `check` compares calls of targets whose bits are determined, and judges those of others one by one.
  bool compares_calls = false;
};

// Checks `context.cases` cases, or as many as time allows, and shrinks the first counterexample. A property
// that could check no case does not hold. Where the context asks for an operation that the property is not
// about, or the target takes none of its cases, it holds of zero cases and the message says so.
PropertyResult check_property(const PropertyCheck& property, PropertyContext& context);

}  // namespace normproof
