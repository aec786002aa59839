#include "python/src/bound.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "corpus/case_json.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"
#include "properties/bound/attain.h"
#include "properties/bound/bound.h"
#include "properties/bound/intervals.h"
#include "python/src/call.h"
#include "python/src/numpy_bytes.h"
#include "python/src/standard_floats.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

using bound::Question;

// The case with the outputs of one of the two kernels, as JSON.
std::string case_with(const bound::Example& example, bool first) {
  Case test_case = example.test_case;
  test_case.description = to_text(first ? example.first : example.second);
  test_case.outputs = first ? example.first_outputs : example.second_outputs;
  return case_to_json(test_case);
}

nb::dict entry_of(const Question& question, const bound::PairBound& pair, bool search) {
  nb::dict entry;
  entry["first"] = to_string(question.policies[pair.first]);
  entry["second"] = to_string(question.policies[pair.second]);
  entry["apart"] = pair.apart;
  entry["rtol"] = pair.rtol;
  entry["atol"] = pair.atol;
  entry["root_ratio"] = pair.root_ratio;
  entry["residual_apart"] = pair.residual_apart;
  entry["scale_apart"] = pair.scale_apart;
  entry["scale_rtol"] = pair.scale_rtol;
  const bound::Attainment found = search ? attain(question, pair) : bound::Attainment();
  entry["best_found"] = found.by_apart ? nb::object(nb::int_(found.by_apart->apart))
                                       : nb::object(search ? nb::object(nb::int_(0)) : nb::none());
  entry["best_rtol"] =
      found.by_rtol ? nb::object(nb::float_(found.by_rtol->ratio - 1)) : nb::object(nb::none());
  entry["column"] = nb::none();
  entry["cases"] = nb::none();
  if (!found.by_apart) return entry;
  const bound::Example& example = found.shown();
  entry["column"] = example.column;
  entry["cases"] = nb::make_tuple(case_with(example, true), case_with(example, false));
  return entry;
}

nb::dict bound_of_kernels(const CallKind& kind, std::int64_t hidden,
                          const std::vector<oracle::Policy>& policies, double largest_weight, bool search,
                          std::optional<double> scale_ub) {
  Question question;
  question.kind() = kind;
  question.hidden_size = hidden;
  question.policies = policies;
  question.largest_weight = largest_weight;
  if (scale_ub) question.scale_ub_bits = oracle::fp32_bits(static_cast<float>(*scale_ub));
  const bound::Bound found = bound_of(question);
  nb::dict result;
  result["no_bound"] = found.no_bound;
  result["apart"] = found.apart();
  result["rtol"] = found.rtol();
  result["atol"] = found.atol();
  result["rtol_text"] = bound::rounded_up(found.rtol());
  result["atol_text"] = bound::rounded_up(found.atol());
  result["conditions"] = bound::conditions(question);
  nb::list pairs;
  for (const bound::PairBound& pair : found.pairs) pairs.append(entry_of(question, pair, search));
  result["pairs"] = pairs;
  return result;
}

nb::tuple intervals(const Call& call, const std::vector<oracle::Policy>& policies) {
  bound::Intervals found;
  {
    const nb::gil_scoped_release unlocked;
    found = bound::output_intervals(call.test_case, call.tensors, policies);
  }
  return nb::make_tuple(numpy_bytes(std::move(found.low[Role::out])),
                        numpy_bytes(std::move(found.high[Role::out])));
}

}  // namespace

void bind_bound(nb::module_& module) {
  module.def("bound", &bound_of_kernels, nb::arg("kind"), nb::arg("hidden"), nb::arg("policies"),
             nb::arg("largest_weight"), nb::arg("search"), nb::arg("scale_ub").none(), kStandardFloats);
  module.def("intervals", &intervals, nb::arg("call"), nb::arg("policies"), kStandardFloats);
}

}  // namespace normproof::python
