// The flow of one case: case -> target -> outputs -> judge -> verdict.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "corpus/case.h"
#include "oracle/verdict.h"
#include "properties/run/target.h"

namespace normproof {

struct Evaluation {
  enum class Outcome {
    conforms,
    refused_as_demanded,  // the case asks for what the kernels must refuse, and they did, touching nothing
    wrong_bits,
    memory,            // a byte outside the outputs was written, or an input was modified
    refused_valid,     // a call that the contract allows was refused
    accepted_invalid,  // a call that must be refused was carried out
    failed,            // the target reported an error
    disagrees,         // two targets gave different results
  };
  Outcome outcome = Outcome::conforms;
  RunResult run;
  oracle::Verdict verdict;  // of a completed run
  bool violates() const { return outcome != Outcome::conforms && outcome != Outcome::refused_as_demanded; }
};

std::string_view name_of(Evaluation::Outcome outcome);

// Runs a valid case and judges what came of it with the canonical judge.
Evaluation evaluate(const Case& test_case, Target& target);
Evaluation evaluate(const Case& test_case, const CaseTensors& tensors, Target& target);

// Whether the kernels must refuse this valid case: the vectorized path demanded where the layout forbids it.
bool must_be_refused(const Case& test_case);

// A violation as text for people: what is wrong, where, the bits got and wanted, how many ulp apart.
// `authority` is who says which bits are wanted.
std::string describe(const Case& test_case, const Evaluation& evaluation,
                     std::string_view authority = "the contract");

}  // namespace normproof
