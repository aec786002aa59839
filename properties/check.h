// The RapidCheck side of a property: draw cases, check each, shrink the first that fails.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "corpus/case.h"
#include "corpus/generate.h"
#include "corpus/random.h"
#include "properties/property.h"

namespace normproof {

// What a check says of one case.
struct CaseFinding {
  enum class Kind {
    holds,
    fails,
    not_applicable,  // the property says nothing about this case; it counts for nothing
  };
  Kind kind = Kind::holds;
  std::string message;  // of a failure: what was expected, and the certificate
  // Of a failure of a relation between two runs: the second one. It is the counterexample where it violates
  // the contract by itself and the case that was checked does not, so that a replay shows the bug.
  std::optional<Case> related;

  static CaseFinding holds() { return {}; }
  static CaseFinding fails(std::string what, std::optional<Case> related = {}) {
    return {Kind::fails, std::move(what), std::move(related)};
  }
  static CaseFinding not_applicable() { return {Kind::not_applicable, {}, {}}; }
};

// The ingredients of one property.
struct PropertyCheck {
  std::string_view name;
  // Operations whose cases the property is about.
  std::span<const Operation> operations = kOperations;
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
};

// Judges one run of the case, as target.judging() says, and adds it to the tally.
CaseFinding judge_alone(const Case& test_case, PropertyContext& context);

// Whether the target's bits are a function of the row alone, by the contract: it is judged by the canonical
// judge and policy native.
bool bits_are_determined(const Target& target);

// Checks `context.cases` cases, or as many as time allows, and shrinks the first counterexample. A property
// that could check no case does not hold. Where the context asks for an operation that the property is not
// about, or the target takes none of its cases, it holds of zero cases and the message says so.
PropertyResult check_property(const PropertyCheck& property, PropertyContext& context);

}  // namespace normproof
