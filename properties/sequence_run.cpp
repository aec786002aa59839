#include "properties/sequence_run.h"

#include <fmt/format.h>

#include <optional>

#include "properties/demands.h"
#include "properties/judging/evaluate.h"

namespace normproof {

SequenceRun run_sequence(const Sequence& sequence, Target& target) {
  SequenceRun run;
  std::optional<RunResult> first;  // of `first_call`
  const Case* first_call = nullptr;
  const std::int64_t all = static_cast<std::int64_t>(sequence.calls.size()) * sequence.repeat;
  for (int round = 0; round < sequence.repeat; ++round) {
    for (const Case& call : sequence.calls) {
      Evaluation evaluation = evaluate(call, target);
      ++run.calls;
      if (evaluation.outcome == Evaluation::Outcome::not_taken) {
        ++run.not_taken;
        continue;
      }
      std::string wrong;
      if (evaluation.violates()) {
        wrong = describe(call, evaluation);
      } else if (sequence.same_bits && first) {
        wrong = difference_between(*first_call, *first, call, evaluation.run);
        if (!wrong.empty()) wrong = "the bits must be the same and are not\n" + wrong;
      }
      if (!wrong.empty()) {
        run.violates = true;
        run.message = fmt::format("call {} of {}: {}", run.calls, all, wrong);
        return run;
      }
      if (!first) first = std::move(evaluation.run), first_call = &call;
    }
  }
  run.message = fmt::format("{} calls, one after the other, conform{}\n", run.calls - run.not_taken,
                            sequence.same_bits ? " and have the same bits" : "");
  if (run.not_taken > 0) run.message += fmt::format("  {} calls not taken\n", run.not_taken);
  return run;
}

}  // namespace normproof
