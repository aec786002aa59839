// Promises about several calls: a row has the same bits in any batch, in every call, in any layout. The
// judges look at one call at a time; where they leave the order of summation open,
// only a comparison of calls tells.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/tally.h"
#include "properties/targets/target.h"

namespace normproof {

enum class Promise : std::uint8_t { deterministic, batch_invariant, layout_invariant, graph_replay };
// In the order in which they are looked at: where the same call twice differs, so does everything else.
inline constexpr std::array kPromises = {Promise::deterministic, Promise::batch_invariant,
                                         Promise::layout_invariant, Promise::graph_replay};

// As on the command line, "batch-invariant".
std::string_view name_of(Promise promise);
std::optional<Promise> promise_from_name(std::string_view name);
// What its breach looks like: "bits differ between batch sizes".
std::string_view breach_of(Promise promise);

// What a run has seen of one promise.
struct Observation {
  enum class State : std::uint8_t { not_seen, seen, not_compared };
  State state = State::not_compared;
  std::int64_t comparisons = 0;  // pairs of calls
  std::string message;           // why nothing was compared; or how the pair differs
  std::vector<Case> calls;       // the smallest pair found whose first common rows differ
};
std::string_view name_of(Observation::State state);  // "not seen"
std::optional<Observation::State> state_from_name(std::string_view name);

using Observations = std::array<Observation, kPromises.size()>;  // by promise

struct PromiseContext {
  Target& target;
  Tally& tally;  // every call is judged, and added here
  const std::vector<Combination>& combinations;
  std::uint64_t seed = 0;
  // Asked after each combination has been compared once.
  std::function<bool()> out_of_time = [] { return true; };
};

inline constexpr std::string_view kNoGraphs = "it runs on the CPU, where no CUDA graph is replayed";

// A call among those compared that violates by itself.
struct WrongCall {
  Case test_case;
  Evaluation evaluation;
};
struct PromiseRun {
  Observations observations;
  std::optional<WrongCall> wrong;  // then the comparison ended there
};

// Compares calls of every combination, first of short rows, then, while there is time, of more and longer
// ones. Rows have one large element among small ones, whose squares get lost or not as the order of the sum
// has it. Requires at least one combination.
PromiseRun compare_calls(PromiseContext& context);

// Whether the first rows that all calls have in common came out with the same bits; otherwise what differs.
std::string difference_between(const Case& first, const RunResult& wanted, const Case& second,
                               const RunResult& got);

}  // namespace normproof
