// Relations between calls of judged operations that hold of every faithful target, whatever its order of
// summation: rows of a table. Bits of two calls are compared only where no order of summation can tell them
// apart: sums are exact, or each rounding is the same in both. A target that gives other bits for the same
// call is not asked.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "properties/judged/verification_call.h"

namespace normproof::judging {

struct RelatedCalls {
  Call first;
  std::optional<Call> second;  // nothing: what comes out of the first is enough
  // Of the calls with what came out: how they break the relation, a line; empty: they do not.
  std::function<std::string(const Call& first, const Call& second)> difference;
};

struct Relation {
  std::string_view name;
  std::string_view sentence;  // for people
  bool (*applies)(const oracle::judged::JudgedOperation&);
  // Nothing where the target's limits or the policy leave no such calls.
  std::optional<RelatedCalls> (*draw)(const Combination&, Random&);
};
std::span<const Relation> relations();

struct RelationOutcome {
  enum class Kind : std::uint8_t { holds, broken, not_compared };
  Kind kind = Kind::not_compared;
  std::string message;  // of a broken one
  std::optional<RelatedCalls> calls;
};
RelationOutcome check_relation(JudgedTarget& target, const Relation& relation, const Combination& combination,
                               Random random);

}  // namespace normproof::judging
