// Operations that are judged where outputs are given (oracle/judged): calls made of arrays, and verdicts as
// plain dictionaries of the same form as those of module.cpp.
#include "python/src/judged.h"

#include <nanobind/stl/function.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <exception>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "corpus/safetensors.h"
#include "oracle/exact.h"
#include "oracle/formats.h"
#include "oracle/judged/call_files.h"
#include "oracle/row_kernels.h"
#include "properties/judged/cases.h"
#include "properties/judged/identify.h"
#include "properties/judged/judge.h"
#include "python/src/arrays.h"
#include "python/src/numpy_bytes.h"
#include "python/src/standard_floats.h"
#include "python/src/thread_count.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

namespace judged = oracle::judged;
using judged::JudgedOperation;
using judged::Tensor;
using JudgedCall = judged::Call;
using JudgedPolicy = judged::Policy;

const JudgedOperation& judged_operation_of(const std::string& name) {
  const JudgedOperation* operation = judged::find_judged_operation(name);
  if (operation == nullptr) throw std::invalid_argument("there is no operation '" + name + "'");
  return *operation;
}
std::optional<DType> known_dtype_of(const std::optional<std::string>& name) {
  return name ? dtype_from_name(*name) : std::nullopt;
}
nb::object text_of(std::string_view text) { return nb::str(text.data(), text.size()); }

// Name, dtype, shape, array; of an output that is set later, too.
using Given = std::tuple<std::string, std::string, std::vector<std::int64_t>, AnyArray>;

void set_tensors(JudgedCall& call, const std::vector<Given>& tensors) {
  for (const auto& [name, dtype, shape, array] : tensors)
    call.tensors[name] = {dtype_from_name(dtype).value(), shape, bytes_of(array)};
}

JudgedCall make_judged_call(const std::string& operation, const std::vector<Given>& tensors, double epsilon,
                            bool with_outputs) {
  JudgedCall call;
  call.operation = &judged_operation_of(operation);
  call.epsilon = std::bit_cast<std::uint32_t>(static_cast<float>(epsilon));
  set_tensors(call, tensors);
  require_valid(call, with_outputs);
  return call;
}

JudgedCall with_outputs(const JudgedCall& call, const std::vector<Given>& tensors) {
  JudgedCall result = normproof::judging::without_outputs(call);
  set_tensors(result, tensors);
  require_valid(result, true);
  return result;
}

nb::dict properties_of_judged(const JudgedCall& call) {
  nb::dict result, tensors;
  for (const auto& [name, tensor] : call.tensors)
    tensors[name.c_str()] = nb::make_tuple(text_of(name_of(tensor.dtype)), tensor.shape);
  const Tensor* weight = call.find("weight");
  result["name"] = call.name;
  result["operation"] = text_of(call.operation->name);
  result["dtype"] = text_of(name_of(call.dtype()));
  result["weight_dtype"] = weight == nullptr ? nb::none() : text_of(name_of(weight->dtype));
  result["quantized_dtype"] = nb::none();
  result["shape"] = call.at("x").shape;
  result["epsilon"] = static_cast<double>(std::bit_cast<float>(call.epsilon));
  result["has_outputs"] = call.has_outputs();
  result["subject"] = subject_of(call);
  result["tensors"] = tensors;
  return result;
}

nb::dict dictionary(const judged::Violation& violation) {
  nb::list elements, window;
  for (const judged::Element& element : violation.elements) {
    nb::dict values;
    for (const judged::NamedBits& value : element.values) values[text_of(value.name)] = value.bits;
    elements.append(nb::make_tuple(element.column, values));
  }
  for (const auto& box : violation.window) {
    nb::dict ranges;
    for (const judged::UnknownRange& range : box)
      ranges[text_of(range.name)] = nb::make_tuple(range.low, range.high);
    window.append(ranges);
  }
  nb::dict result;
  result["tensor"] = text_of(violation.tensor);
  result["kind"] = text_of(violation.kind);
  result["row"] = violation.row;
  result["elements"] = elements;
  result["window"] = window;
  result["text"] = violation.text();
  return result;
}

nb::dict check(const JudgedCall& call, const JudgedPolicy& policy, int threads) {
  normproof::judging::Judgement judgement;
  {
    const nb::gil_scoped_release unlocked;
    judgement = normproof::judging::judge(call, policy, {thread_count(threads), 8});
  }
  nb::list certificates;
  for (const judged::Violation& violation : judgement.first_violations)
    certificates.append(dictionary(violation));
  nb::dict result;
  result["units"] = judgement.units();
  result["conforming"] = judgement.conforming();
  result["elements"] = judgement.elements();
  result["certificates"] = certificates;
  result["not_looked_at"] = judgement.not_looked_at;
  result["undecided"] = judgement.undecided;
  result["parts"] = normproof::judging::parts_text(judgement);
  result["random_outputs_accepted"] =
      judgement.conforms() && judgement.units() > 0 ? std::optional(judgement.wrong_accepted) : std::nullopt;
  result["doubt"] = normproof::judging::doubt_of(judgement);
  result["repro"] =
      judgement.first_violations.empty()
          ? nb::cast(call)
          : nb::cast(normproof::judging::violating_part(call, judgement.first_violations.front(), policy));
  return result;
}

nb::dict identify_judged(const JudgedCall& call, const JudgedPolicy& model, std::int64_t rows) {
  normproof::judging::Identification found;
  {
    const nb::gil_scoped_release unlocked;
    found = normproof::judging::identify(call, model, rows, thread_count(0));
  }
  nb::dict axes;
  for (const normproof::judging::AxisFinding& axis : found.axes) {
    nb::dict values;
    for (const normproof::judging::ValueFinding& value : axis.values)
      values[text_of(value.name)] = nb::make_tuple(value.survives, value.reason);
    axes[text_of(axis.name)] = values;
  }
  std::vector<std::string> survivors;
  std::vector<std::tuple<std::string, std::optional<double>, std::string>> loose;
  for (const JudgedPolicy& policy : found.survivors) {
    if (found.identified()) {
      survivors.push_back(to_string(policy));
    } else {
      loose.emplace_back(to_string(policy), found.wrong_explained,
                         "random statistics or sums conform as well");
    }
  }
  nb::dict result;
  result["rows"] = found.rows;
  result["identified"] = found.identified();
  result["unique"] = found.unique();
  result["policy"] = to_string(found.best);
  result["policy_rows"] = found.best_units;
  result["survivors"] = survivors;
  result["names"] = found.names;
  result["axes"] = axes;
  result["certificate"] = found.certificate;
  result["random_outputs_explained"] =
      found.explained() ? std::optional(found.wrong_explained) : std::nullopt;
  result["loose"] = loose;
  result["text"] = to_text(found);
  return result;
}

nb::list judged_operation_table() {
  nb::list result;
  for (const JudgedOperation* operation : judged::judged_operations()) {
    nb::list inputs, outputs, needed;
    for (const judged::TensorSpec& spec : operation->tensors) {
      (spec.direction == Direction::in ? inputs : outputs).append(text_of(spec.name));
      if (spec.need == judged::Need::always) needed.append(text_of(spec.name));
    }
    nb::dict entry;
    entry["name"] = text_of(operation->name);
    entry["inputs"] = inputs;
    entry["outputs"] = outputs;
    entry["needed"] = needed;
    entry["epsilon"] = operation->takes_epsilon;
    entry["epsilon_without"] = text_of(operation->epsilon_without);
    result.append(entry);
  }
  return result;
}

nb::list judged_policy_table() {
  nb::list result;
  for (const JudgedOperation* operation : judged::judged_operations()) {
    for (const judged::NamedPolicy& policy : operation->policies) {
      const std::string text = to_string(judged::parse_policy(*operation, policy.name));
      result.append(nb::make_tuple(text_of(policy.name), text, text_of(policy.source)));
    }
  }
  return result;
}

JudgedPolicy make_policy(const std::string& operation, const std::string& text,
                         std::optional<std::int64_t> inverse_root_ulp,
                         std::optional<std::int64_t> sum_depth) {
  JudgedPolicy policy = judged::parse_policy(judged_operation_of(operation), text);
  const auto set = [&](std::string_view name, const std::optional<std::int64_t>& value) {
    if (!value) return;
    for (std::size_t i = 0; i < policy.bounds.size(); ++i) {
      if (policy.operation->bounds[i].name != name) continue;
      policy.bounds[i] = value;
      return;
    }
    throw std::invalid_argument(std::string(name) + ": " + operation + " has no such bound");
  };
  set("inverse_root_ulp", inverse_root_ulp);
  set("sum_depth", sum_depth);
  return policy;
}

JudgedCall generate_judged_call(const std::string& operation, const std::string& dtype,
                                const std::optional<std::string>& weight,
                                const std::optional<std::string>& bias,
                                const std::optional<std::string>& rotation, std::optional<double> epsilon,
                                std::int64_t max_rows, std::int64_t least_rows, std::int64_t max_hidden,
                                std::int64_t hidden_multiple, bool finite, bool with_statistics,
                                std::uint64_t seed, std::int64_t index) {
  normproof::judging::CaseDemand demand;
  demand.operation = &judged_operation_of(operation);
  demand.dtype = dtype_from_name(dtype).value();
  demand.weight = known_dtype_of(weight);
  demand.bias = known_dtype_of(bias);
  demand.rotation = known_dtype_of(rotation);
  if (epsilon) demand.epsilon = std::bit_cast<std::uint32_t>(static_cast<float>(*epsilon));
  demand.max_rows = max_rows;
  demand.least_rows = least_rows;
  demand.max_hidden = max_hidden;
  demand.hidden_multiple = hidden_multiple;
  demand.finite = finite;
  demand.with_statistics = with_statistics;
  const nb::gil_scoped_release unlocked;
  return normproof::judging::random_call(demand, seed, index);
}

}  // namespace

void bind_judged(nb::module_& module) {
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const judged::ArgumentError& refused) {
      PyErr_SetString(refused.is_type() ? PyExc_TypeError : PyExc_ValueError, refused.what());
    } catch (const SafetensorsError& refused) {
      PyErr_SetString(PyExc_ValueError, refused.what());
    }
  });
  nb::class_<JudgedPolicy>(module, "JudgedPolicy").def("__str__", [](const JudgedPolicy& policy) {
    return to_string(policy);
  });
  nb::class_<JudgedCall>(module, "JudgedCall")
      .def("properties", &properties_of_judged, kStandardFloats)
      .def("with_outputs", &with_outputs, nb::arg("tensors"), kStandardFloats)
      .def(
          "bits",
          [](const JudgedCall& call, const std::string& tensor) {
            return numpy_bytes(std::vector(call.at(tensor).bytes));
          },
          nb::arg("tensor"))
      .def("check", &check, nb::arg("policy"), nb::arg("threads") = 0, kStandardFloats)
      .def("identify", &identify_judged, nb::arg("model"), nb::arg("rows"), kStandardFloats)
      .def(
          "expected",
          [](const JudgedCall& call, const JudgedPolicy& policy, const std::vector<std::string>& outputs) {
            return normproof::judging::with_canonical_outputs(normproof::judging::without_outputs(call),
                                                              policy, outputs);
          },
          nb::arg("policy"), nb::arg("outputs"), kStandardFloats)
      .def(
          "with_description",
          [](JudgedCall call, const std::string& name, const std::string& description) {
            call.name = name;
            call.description = description;
            return call;
          },
          nb::arg("name"), nb::arg("description"))
      .def(
          "to_json",
          [](const JudgedCall& call, const std::optional<std::string>& policy) {
            return call_to_json(call, policy);
          },
          nb::arg("policy") = nb::none(), kStandardFloats)
      .def(
          "write_dump",
          [](const JudgedCall& call, const std::string& file, const std::optional<std::string>& policy) {
            write_call_dump(file, call, policy);
          },
          nb::arg("file"), nb::arg("policy") = nb::none(), kStandardFloats);
  module.def("judged_operation_table", &judged_operation_table);
  module.def("judged_policy_table", &judged_policy_table);
  module.def("judged_policy", &make_policy, nb::arg("operation"), nb::arg("text"),
             nb::arg("inverse_root_ulp") = nb::none(), nb::arg("sum_depth") = nb::none());
  module.def("make_judged_call", &make_judged_call, nb::arg("operation"), nb::arg("tensors"),
             nb::arg("epsilon"), nb::arg("with_outputs"), kStandardFloats);
  module.def("random_judged_call", &generate_judged_call, nb::arg("operation"), nb::arg("dtype"),
             nb::arg("weight").none(), nb::arg("bias").none(), nb::arg("rotation").none(),
             nb::arg("epsilon").none(), nb::arg("max_rows"), nb::arg("least_rows"), nb::arg("max_hidden"),
             nb::arg("hidden_multiple"), nb::arg("finite"), nb::arg("with_statistics"), nb::arg("seed"),
             nb::arg("index"), kStandardFloats);
  // Without kStandardFloats: the function is the caller's.
  module.def("minimized_judged", &normproof::judging::minimized, nb::arg("failing"), nb::arg("policy"),
             nb::arg("still_fails"), nb::arg("seconds"));
  module.def(
      "read_judged_call",
      [](const std::string& file) -> std::optional<std::pair<JudgedCall, std::optional<std::string>>> {
        std::optional<judged::StoredCall> stored = judged::read_call_if_judged(file, {}, false);
        if (!stored) return std::nullopt;
        return std::pair(std::move(stored->call), std::move(stored->policy));
      },
      nb::arg("file"), kStandardFloats);
}

}  // namespace normproof::python
