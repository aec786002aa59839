// What makes two violations the same one, whatever the cases that show them: kind, place, and the identity of
// the fault. It must stay while a case shrinks, or the small case shows another
// bug than the one that was found.
#pragma once

#include <string>

#include "corpus/case.h"
#include "properties/judging/evaluate.h"

namespace normproof {

// A message without what changes with the case: numbers stand as '#', but for those of signals and of places
// in a module, "libmine.so+0x12ab", which say what happened and where.
std::string without_numbers(const std::string& message);

struct ViolationIdentity {
  Evaluation::Outcome outcome = Evaluation::Outcome::conforms;
  KernelPath path = KernelPath::automatic;  // where the target tells it
  // A call without rows fails in ways of its own: a grid of no blocks, a division by the number of rows.
  bool without_rows = false;
  // Which tensor and how far off, which certificate, which stray write, which signal and where, or which
  // message, without_numbers().
  std::string fault;
  friend bool operator==(const ViolationIdentity&, const ViolationIdentity&) = default;
};

// Requires an evaluation that violates.
ViolationIdentity identity_of(const Case& test_case, const Evaluation& evaluation);

}  // namespace normproof
