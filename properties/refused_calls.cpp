// What must be refused, untouched: calls of the C interface with one spoiled argument, and calls whose output
// shares memory with another argument.
#include <fmt/format.h>

#include <array>
#include <string>

#include "corpus/case_json.h"
#include "corpus/hash.h"
#include "properties/check.h"
#include "properties/derived.h"
#include "properties/families.h"
#include "properties/invalid/arena_call.h"
#include "properties/invalid/invalid_call.h"

namespace normproof {
namespace {

CaseFinding refused_calls(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  auto* target = dynamic_cast<CallableTarget*>(&context.target);
  if (target == nullptr) return CaseFinding::not_applicable();  // no C interface to be called
  const CaseTensors tensors = materialize(test_case);
  GuardedCall::Memory memory;
  for (const InvalidArgument& way : invalid_arguments()) {
    GuardedCall call(test_case, tensors, memory);
    const auto wanted = way.spoil(call, test_case);
    if (!wanted) continue;
    const normproof_status status = target->invoke(call);
    Evaluation evaluation;
    evaluation.outcome = Evaluation::Outcome::refused_as_demanded;
    const std::string problem = problem_of_refusal(*wanted, status, call);
    if (!problem.empty()) {
      evaluation.outcome = Evaluation::Outcome::accepted_invalid;
      context.tally.add(test_case, evaluation);
      return CaseFinding::fails(fmt::format("invalid call ({}) of {}: {}\n  status {}, message \"{}\"\n",
                                            way.name, summary(test_case), problem, static_cast<int>(status),
                                            call.message()));
    }
    context.tally.add(test_case, evaluation);
  }
  return CaseFinding::holds();
}

Combination combination_of(const ArenaCall& call) {
  const std::optional<DType> weight = call.has_weight ? std::optional(call.dtype) : std::nullopt;
  return {call_kind(call.operation, call.dtype, weight, kArenaQuantizedDType), KernelPath::automatic};
}

// The case is no more than a seed.
CaseFinding shared_memory(const Case& test_case, PropertyContext& context) {
  constexpr int kCalls = 64;
  Random random(fnv1a(case_to_json(test_case)));
  const NumberSource below = [&](std::int64_t bound) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(bound)));
  };
  alignas(16) std::array<std::byte, kArenaBytes> arena;
  for (int i = 0; i < kCalls; ++i) {
    const ArenaCall call = draw_arena_call(below, arena.data());
    const bool refused = must_be_refused(call, arena.data());
    const std::string problem =
        problem_of_arena_call(call, refused, arena.data(), *functions_of(context.target));
    Counts counts{.cases = 1, .refusals = refused ? 1 : 0};
    if (!problem.empty()) counts.violations = 1;
    context.tally.add(combination_of(call), counts);
    if (!problem.empty()) return CaseFinding::fails(problem + "\n");
  }
  return CaseFinding::holds();
}

PropertyResult check_small_calls(std::string_view name, PropertyContext& context,
                                 CaseFinding (*check)(const Case&, PropertyContext&)) {
  PropertyCheck property;
  property.name = name;
  property.limits.max_rows = 3;
  property.limits.max_hidden = 64;
  property.limits.max_threads_per_block = 32;
  property.any_judge = true;
  property.check = check;
  return check_property(property, context);
}

}  // namespace

PropertyResult check_refused_calls(PropertyContext& context) {
  return check_small_calls("refused-calls", context, refused_calls);
}

PropertyResult check_shared_memory(PropertyContext& context) {
  if (functions_of(context.target) == nullptr) {
    PropertyResult result;
    result.holds = true;
    result.message = "not about a target with memory of its own";
    return result;
  }
  return check_small_calls("shared-memory", context, shared_memory);
}

}  // namespace normproof
