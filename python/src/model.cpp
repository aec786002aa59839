#include "python/src/model.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <utility>

#include "oracle/row_kernels.h"
#include "properties/judging/report_text.h"
#include "properties/models/compare_models.h"
#include "python/src/call.h"
#include "python/src/standard_floats.h"
#include "python/src/thread_count.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

struct Model {
  ModelDump calls;
};

void add_call(Model& model, ModuleCall added,
              const std::vector<std::pair<std::int64_t, std::int64_t>>& places,
              const std::vector<std::pair<std::uint64_t, std::uint64_t>>& digests) {
  for (const auto& [number, row] : places) added.places.push_back({number, row});
  for (const auto& [inputs, outputs] : digests) added.digests.push_back({inputs, outputs});
  model.calls.push_back(std::move(added));
}

void add(Model& model, const std::string& name, const Call& call,
         const std::vector<std::pair<std::int64_t, std::int64_t>>& places,
         const std::optional<std::string>& policy,
         const std::vector<std::pair<std::uint64_t, std::uint64_t>>& digests) {
  add_call(model, {name, Dump{whole_case(call), policy}, {}}, places, digests);
}

void add_judged(Model& model, const std::string& name, const oracle::judged::Call& call,
                const std::vector<std::pair<std::int64_t, std::int64_t>>& places,
                const std::optional<std::string>& policy,
                const std::vector<std::pair<std::uint64_t, std::uint64_t>>& digests) {
  add_call(model, {name, oracle::judged::StoredCall{call, policy}, {}}, places, digests);
}

nb::list calls_of(const Model& model) {
  nb::list result;
  for (const ModuleCall& call : model.calls) {
    std::vector<std::pair<std::int64_t, std::int64_t>> places;
    for (const RowPlace& place : call.places) places.emplace_back(place.call, place.row);
    const nb::object own =
        call.dump() != nullptr ? nb::cast(call_of(call.dump()->test_case)) : nb::cast(call.judged()->call);
    result.append(nb::make_tuple(call.module, own, places, call.policy()));
  }
  return result;
}

nb::dict dictionary(const NormSide& side) {
  nb::dict result;
  result["policy"] = side.policy;
  result["names"] = side.names;
  result["why_none"] = side.why_none;
  return result;
}

nb::dict dictionary(const ComparedNorm& norm) {
  nb::dict result;
  result["module"] = norm.module;
  result["subject"] = norm.subject;
  result["difference"] = std::string(name_of(norm.difference));
  result["is_arithmetic"] = is_arithmetic(norm.difference);
  result["rows"] = norm.rows;
  result["same_inputs"] = norm.same_inputs;
  result["different"] = norm.different;
  result["text"] = to_text(norm);
  nb::list sides;
  for (const NormSide& side : norm.sides)
    sides.append(side.asked ? nb::object(dictionary(side)) : nb::none());
  result["sides"] = sides;
  return result;
}

nb::dict compare_with(const Model& one, const Model& other, const std::vector<std::string>& names,
                      int threads) {
  ModelComparison found;
  {
    const nb::gil_scoped_release unlocked;
    found = compare_models(one.calls, other.calls, thread_count(threads));
  }
  nb::list norms;
  for (const ComparedNorm& norm : found.norms) norms.append(dictionary(norm));
  nb::dict result;
  result["norms"] = norms;
  result["not_compared"] = found.not_compared;
  result["rows"] = found.rows;
  result["same_inputs"] = found.same_inputs;
  result["first"] = found.first;
  result["first_other_inputs"] = found.first_other_inputs;
  result["text"] = to_text(found, {names.at(0), names.at(1)});
  return result;
}

}  // namespace

void bind_model(nb::module_& module) {
  nb::class_<Model>(module, "Model")
      .def(nb::init<>())
      .def_static(
          "read", [](const std::string& file) { return Model{read_model_dump(file)}; }, nb::arg("file"))
      .def("add", &add_judged, nb::arg("module"), nb::arg("call"), nb::arg("places"),
           nb::arg("policy") = nb::none(),
           nb::arg("digests") = std::vector<std::pair<std::uint64_t, std::uint64_t>>())
      .def("add", &add, nb::arg("module"), nb::arg("call"), nb::arg("places"), nb::arg("policy") = nb::none(),
           nb::arg("digests") = std::vector<std::pair<std::uint64_t, std::uint64_t>>())
      .def(
          "write",
          [](const Model& model, const std::string& file,
             const std::map<std::string, std::string>& metadata) {
            write_model_dump(file, model.calls, metadata);
          },
          nb::arg("file"), nb::arg("metadata"), kStandardFloats)
      .def("calls", &calls_of)
      .def("compare", &compare_with, nb::arg("other"), nb::arg("names"), nb::arg("threads") = 0,
           kStandardFloats);
}

}  // namespace normproof::python
