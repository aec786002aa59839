#include "python/src/beside.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "oracle/row_kernels.h"
#include "properties/judged/beside.h"
#include "python/src/call.h"
#include "python/src/standard_floats.h"
#include "python/src/thread_count.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

using judging::BesideComparison;
using judging::BesideSide;
using judging::CallSide;
using judging::CaseSide;
using JudgedCall = oracle::judged::Call;
using JudgedPolicy = oracle::judged::Policy;

CaseSide side_of(const Call& call, const oracle::Policy& policy) {
  if (!call.outputs) throw std::invalid_argument("the call has no outputs");
  return {{call.test_case, call.tensors, *call.outputs}, policy};
}
// Throws where the call cannot be judged by the policy.
CallSide side_of(const JudgedCall& call, const JudgedPolicy& policy) {
  const std::string misfit = call.operation->misfit(call, policy);
  if (!misfit.empty()) throw std::invalid_argument(misfit);
  return {call, policy};
}

nb::dict dictionary(const BesideSide& side) {
  nb::dict result;
  result["subject"] = side.subject;
  result["policy"] = side.policy;
  result["rows"] = side.rows;
  result["conforming_rows"] = side.conforming;
  result["conforms"] = side.conforms;
  return result;
}

nb::list dictionaries(const BesideComparison& compared, const std::vector<oracle::CodeBeside>& codes) {
  nb::list result;
  for (const oracle::CodeBeside& code : codes) {
    nb::dict entry;
    entry["row"] = code.row;
    entry["column"] = code.column;
    entry["fused"] = code.fused;
    entry["unfused"] = code.unfused;
    entry["reachable"] = judging::listed(code.reachable);
    entry["text"] = line_of(compared, code);
    result.append(entry);
  }
  return result;
}

nb::list dictionaries(const BesideComparison& compared, const std::vector<oracle::ScaleDifference>& scales) {
  nb::list result;
  for (const oracle::ScaleDifference& each : scales) {
    nb::dict entry;
    entry["row"] = each.row;
    entry["first_column"] = each.scale.begin;
    entry["last_column"] = each.scale.end - 1;
    entry["fused"] = each.scale.fused;
    entry["unfused"] = each.scale.unfused;
    entry["text"] = line_of(compared, each);
    result.append(entry);
  }
  return result;
}

nb::dict dictionary(const BesideComparison& compared) {
  const oracle::BesideVerdict& found = compared.verdict;
  nb::dict result;
  result["fused"] = dictionary(compared.fused);
  result["unfused"] = dictionary(compared.unfused);
  result["codes"] = found.codes;
  result["codes_that_may_differ"] = found.codes_that_may_differ;
  result["codes_that_differ"] = found.codes_that_differ;
  result["codes_that_differ_legally"] = found.legal_codes_that_differ();
  result["illegal_codes"] = found.illegal_codes;
  result["codes_not_compared"] = found.codes_not_judged;
  result["scales"] = found.scales;
  result["scales_that_may_differ"] = found.scales_that_may_differ;
  result["scales_that_differ"] = found.scales_that_differ;
  result["illegal_scales"] = found.illegal_scales;
  result["first_illegal_codes"] = dictionaries(compared, found.first_illegal_codes);
  result["first_legal_codes"] = dictionaries(compared, found.first_legal_codes);
  result["first_illegal_scales"] = dictionaries(compared, found.first_illegal_scales);
  result["diagnosis"] = diagnosis_of(compared);
  result["counts"] = counts_text(compared);
  return result;
}

template <typename Fused, typename Unfused>
nb::dict compared(const Fused& fused, const Unfused& unfused, int threads) {
  BesideComparison found;
  {
    const nb::gil_scoped_release unlocked;
    try {
      found = judging::compare_beside(fused, unfused, thread_count(threads));
    } catch (const std::invalid_argument& refused) {
      throw std::invalid_argument(std::string("unfused: ") + refused.what());
    }
  }
  return dictionary(found);
}

// Where nobody says another policy, the unfused side has the fused one's.
nb::dict of_cases(const Call& fused, const oracle::Policy& policy, const Call& unfused,
                  const std::optional<oracle::Policy>& unfused_policy, int threads) {
  const CaseSide one = side_of(fused, policy);
  const oracle::Policy other = unfused_policy ? *unfused_policy : judging::policy_beside(policy);
  return compared(one, side_of(unfused, other), threads);
}
nb::dict of_calls(const JudgedCall& fused, const JudgedPolicy& policy, const JudgedCall& unfused,
                  const std::optional<JudgedPolicy>& unfused_policy, int threads) {
  return compared(side_of(fused, policy), side_of(unfused, unfused_policy.value_or(policy)), threads);
}
nb::dict of_call_and_case(const JudgedCall& fused, const JudgedPolicy& policy, const Call& unfused,
                          const std::optional<oracle::Policy>& unfused_policy, int threads) {
  const CallSide one = side_of(fused, policy);
  const oracle::Policy other = unfused_policy ? *unfused_policy : judging::policy_beside(one);
  return compared(one, side_of(unfused, other), threads);
}

}  // namespace

void bind_beside(nb::module_& module) {
  const auto define = [&](auto* function) {
    module.def("beside", function, nb::arg("fused"), nb::arg("policy"), nb::arg("unfused"),
               nb::arg("unfused_policy").none(), nb::arg("threads") = 0, kStandardFloats);
  };
  define(&of_cases);
  define(&of_calls);
  define(&of_call_and_case);
  module.def(
      "norm_beside",
      [](const std::string& operation) -> std::optional<std::string> {
        std::optional<Operation> norm;
        if (const auto fused = operation_from_name(operation)) norm = judging::norm_beside(*fused);
        if (const auto* fused = oracle::judged::find_judged_operation(operation))
          norm = judging::norm_beside(*fused);
        return norm ? std::optional(std::string(name_of(*norm))) : std::nullopt;
      },
      nb::arg("operation"));
}

}  // namespace normproof::python
