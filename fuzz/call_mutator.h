// The structure-aware mutator of calls by name: small changes that numerics and kernels care about, whatever
// operations there are. Deterministic: everything comes from the Random that the fuzzer's seed started.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "fuzz/call_form.h"

namespace normproof::fuzz {

// One kind of change. `apply` returns false where the call has nothing of the kind to change; it may leave a
// call that is invalid, which mutate() then discards.
struct CallMutation {
  std::string_view name;
  bool (*apply)(Call& call, Random& random, const CallSpace& space);
};
std::span<const CallMutation> call_mutations();

// Applies one to four mutations. The result is valid and of the space wherever `call` is.
Call mutate(const Call& call, Random& random, const CallSpace& space);

// A call drawn anew, by the generator of `verify`; nothing where what it drew is not of the space.
std::optional<Call> fresh_call(Random& random, const CallSpace& space);

}  // namespace normproof::fuzz
