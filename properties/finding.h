// What a check says of one case. Without RapidCheck, so that fuzzers can ask the same checks.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "corpus/case.h"
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
  // What was seen of the case by itself, where it alone violates: the target may not do it again.
  std::optional<Evaluation> seen;

  static CaseFinding holds() { return {}; }
  static CaseFinding fails(std::string what, std::optional<Case> related = {}) {
    return {Kind::fails, std::move(what), std::move(related), {}};
  }
  static CaseFinding not_applicable() { return {Kind::not_applicable, {}, {}, {}}; }
};

// Judges one run of the case, as target.judging() says, and adds it to the tally.
CaseFinding judge_alone(const Case& test_case, PropertyContext& context);

// Whether the target's bits are a function of the row alone, by the contract: it is judged by the canonical
// judge and policy native.
bool bits_are_determined(const Target& target);

}  // namespace normproof
