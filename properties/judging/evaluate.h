// The flow of one case: case -> target -> outputs -> judge -> verdict.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "corpus/case.h"
#include "oracle/certificate.h"
#include "oracle/verdict.h"
#include "properties/targets/target.h"

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
    not_taken,         // a foreign target is not made for such a call: neither right nor wrong
  };
  Outcome outcome = Outcome::conforms;
  RunResult run;
  // Of a completed run. Where the witness judge judged, a mismatch is a violating row or a wrong element of
  // a stored sum, and only the latter are listed; the rows have certificates.
  oracle::Verdict verdict;
  std::vector<oracle::Certificate> certificates;
  oracle::Policy policy;  // by which it was judged
  bool by_known_order() const { return policy.inverse_root.order != nullptr; }
  bool violates() const {
    return outcome != Outcome::conforms && outcome != Outcome::refused_as_demanded &&
           outcome != Outcome::not_taken;
  }
  // The first wrong element that is listed, as row and column; of a certificate's two the one that is farther
  // from what the correctly rounded r gives.
  std::optional<std::pair<std::int64_t, std::int64_t>> first_wrong_element() const;
};

std::string_view name_of(Evaluation::Outcome outcome);

// Runs a valid case and judges what came of it as target.judging() says.
Evaluation evaluate(const Case& test_case, Target& target);
Evaluation evaluate(const Case& test_case, const CaseTensors& tensors, Target& target);
// The same until the first violating rows: what is wrong is known then, but not how much is.
Evaluation evaluate_until_violation(const Case& test_case, Target& target);
// Judges what came of a run.
Evaluation judge_run(const Case& test_case, const Target& target, RunResult result);
// evaluate() of several; a violation among them is looked at again alone, since another case may have done
// the damage.
std::vector<Evaluation> evaluate_all(std::span<const RunRequest> requests, Target& target);

// Whether the kernels must refuse this valid case: the vectorized path demanded where the layout forbids it.
bool must_be_refused(const Case& test_case);

// A violation as text for people: what is wrong, where, the bits got and wanted, how many ulp apart.
// `authority` is who says which bits are wanted.
std::string describe(const Case& test_case, const Evaluation& evaluation,
                     std::string_view authority = "the contract");

}  // namespace normproof
