// Invalid calls: the ways to spoil one argument of a valid call of the C
// interface, and what its refusal must be.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "corpus/case.h"
#include "properties/targets/guarded_call.h"

namespace normproof {

// What the refusal must be.
struct Refusal {
  normproof_status status;
  std::string argument;  // named at the beginning of the message; empty: any
  std::string value;     // contained in it
};

// One way to spoil a call. Nothing is returned where the way does not exist for
// the call, which then is untouched.
struct InvalidArgument {
  const char* name;
  std::optional<Refusal> (*spoil)(GuardedCall& call, const Case& test_case);
};

// The table of all ways. They are for cases with at least one row.
std::span<const InvalidArgument> invalid_arguments();

// What is wrong with the answer to a spoiled call: another status, a message without argument or value,
// memory that was written. Empty where nothing is.
std::string problem_of_refusal(const Refusal& wanted, normproof_status status, const GuardedCall& call);

}  // namespace normproof
