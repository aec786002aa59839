// The extension module normproof._core: calls made of arrays, and what the judges say of them as plain
// dictionaries. The public functions, with their checks of arguments and their documentation, are written in
// Python on top of it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "oracle/canonical_judge.h"
#include "oracle/explain.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"
#include "oracle/witness_judge.h"
#include "properties/detective/identification_text.h"
#include "properties/detective/identify.h"
#include "properties/detective/minimize_outputs.h"
#include "properties/detective/policy_power.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"
#include "python/src/arrays.h"
#include "python/src/beside.h"
#include "python/src/bound.h"
#include "python/src/call.h"
#include "python/src/judged.h"
#include "python/src/kernels_library.h"
#include "python/src/model.h"
#include "python/src/numpy_bytes.h"
#include "python/src/order.h"
#include "python/src/standard_floats.h"
#include "python/src/thread_count.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

Operation operation_of(const std::string& name) {
  const auto operation = operation_from_name(name);
  if (!operation) throw std::invalid_argument("there is no operation '" + name + "'");
  return *operation;
}
DType dtype_of(const std::string& name) {
  const auto dtype = dtype_from_name(name);
  if (!dtype) throw std::invalid_argument("there is no dtype '" + name + "'");
  return *dtype;
}
std::optional<DType> dtype_of(const std::optional<std::string>& name) {
  return name ? std::optional(dtype_of(*name)) : std::nullopt;
}

std::uint32_t fp32_bits(double value) { return std::bit_cast<std::uint32_t>(static_cast<float>(value)); }

// --- Tensors in and out. ---

// What an object that speaks DLPack or the buffer protocol holds: ("float", bits, shape), ("int", bits,
// shape), or the name of a dtype that has no other. None where it is no tensor.
nb::object describe(const nb::object& object) {
  AnyArray array;
  if (!nb::try_cast<AnyArray>(object, array)) return nb::none();
  using Code = nb::dlpack::dtype_code;
  const char* kind = "an unknown kind, ";
  switch (static_cast<Code>(array.dtype().code)) {
    case Code::Int:
    case Code::UInt:
      kind = "int";
      break;
    case Code::Float:
      kind = "float";
      break;
    case Code::Bfloat:
      kind = "bf16";
      break;
    case Code::Float8_E4M3FN:
      kind = "fp8_e4m3fn";
      break;
    case Code::Float8_E5M2:
      kind = "fp8_e5m2";
      break;
    case Code::Float8_E4M3FNUZ:
      kind = "fp8_e4m3fnuz";
      break;
    case Code::Float8_E5M2FNUZ:
      kind = "fp8_e5m2fnuz";
      break;
    default:
      break;
  }
  return nb::make_tuple(kind, static_cast<int>(array.dtype().bits), strided(array).shape);
}

Outputs zero_outputs(const Case& test_case) {
  Outputs outputs;
  for (const Role role : kRoles)
    if (test_case.has_output(role)) outputs[role].resize(test_case.bytes_of(role));
  return outputs;
}

CallKind make_kind(const std::string& operation, const std::string& dtype,
                   const std::optional<std::string>& weight_dtype, const std::optional<std::string>& codes) {
  CallKind kind{operation_of(operation), dtype_of(dtype), dtype_of(weight_dtype), {}};
  if (codes) kind.set_codes(dtype_of(*codes));
  return kind;
}

Call make_call(const CallKind& kind, bool fp32_output, bool fp32_residual,
               const std::vector<std::int64_t>& shape, double epsilon, double scale,
               std::optional<double> scale_ub, const AnyArray& x, const std::optional<AnyArray>& residual,
               const std::optional<AnyArray>& weight) {
  Call call;
  Case& test_case = call.test_case;
  test_case.kind() = kind;
  test_case.fp32_output = fp32_output;
  test_case.fp32_residual = fp32_residual;
  test_case.shape = shape;
  test_case.bits_of(Parameter::epsilon) = fp32_bits(epsilon);
  test_case.bits_of(Parameter::scale) = fp32_bits(scale);
  if (scale_ub) test_case.bits_of(Parameter::scale_ub) = fp32_bits(*scale_ub);
  test_case[Role::input].data.bytes = bytes_of(x);
  test_case[Role::residual].data.bytes = bytes_of(residual);
  test_case[Role::weight].data.bytes = bytes_of(weight);
  Case complete = test_case;
  // What no target has is judged only: outputs are given later.
  if (!complete.what_no_target_has().empty()) complete.outputs = zero_outputs(complete);
  require_valid(complete);
  call.tensors = take_data(test_case);
  return call;
}

// `arrays` by the names of the roles.
void set_outputs(Call& call, const nb::dict& arrays) {
  Outputs outputs;
  for (const Role role : kRoles) {
    const nb::str name(name_of(role).data());
    if (arrays.contains(name)) outputs[role] = bytes_of(nb::cast<AnyArray>(arrays[name]));
  }
  oracle::require_output_sizes(call.test_case, outputs);
  call.outputs = std::move(outputs);
}

const Outputs& outputs_of(const Call& call) {
  if (!call.outputs) throw std::invalid_argument("the call has no outputs");
  return *call.outputs;
}

nb::object bits_of(const Call& call, const std::string& tensor) {
  for (const Role role : kRoles) {
    if ((role == Role::input ? "x" : name_of(role)) != tensor || holds_parameter(role)) continue;
    const bool is_output = call.test_case.has_output(role);
    return nb::cast(numpy_bytes(is_output ? outputs_of(call)[role] : call.tensors[role]));
  }
  throw std::invalid_argument("a call has no tensor '" + tensor + "'");
}

nb::dict properties_of(const Call& call) {
  const Case& test_case = call.test_case;
  const auto name = [](const std::optional<DType>& dtype) -> nb::object {
    return dtype ? nb::object(nb::str(std::string(name_of(*dtype)).c_str())) : nb::none();
  };
  nb::dict result;
  result["name"] = test_case.name;
  result["operation"] = std::string(name_of(test_case.operation));
  result["dtype"] = std::string(name_of(test_case.dtype));
  for (const auto& [key, of] : kOptionalDTypes) result[std::string(key).c_str()] = name(test_case.*of);
  result["output_dtype"] = std::string(name_of(test_case.output_dtype()));
  result["residual_dtype"] = std::string(name_of(test_case.dtype_of(Role::residual)));
  result["shape"] = test_case.shape;
  result["epsilon"] = static_cast<double>(test_case.value_of(Parameter::epsilon));
  result["scale"] = static_cast<double>(test_case.value_of(Parameter::scale));
  result["scale_ub"] = test_case.has_scale_ub()
                           ? nb::cast(static_cast<double>(test_case.value_of(Parameter::scale_ub)))
                           : nb::none();
  result["has_outputs"] = call.outputs.has_value();
  result["subject"] = subject_of(test_case);
  return result;
}

// --- Judging. ---

nb::object interval(const oracle::RootInterval& roots) {
  if (roots.empty()) return nb::none();
  return nb::make_tuple(roots.low, roots.high);
}

nb::dict dictionary(const oracle::Mismatch& mismatch) {
  nb::dict result;
  result["tensor"] = std::string(name_of(mismatch.tensor));
  result["row"] = mismatch.row;
  result["column"] = mismatch.column;
  result["got"] = mismatch.got;
  result["wanted"] = mismatch.wanted;
  result["ulp_distance"] =
      mismatch.ulp_distance == UINT64_MAX ? nb::object(nb::none()) : nb::cast(mismatch.ulp_distance);
  result["text"] = mismatch_line(mismatch);
  return result;
}
nb::list list_of(const std::vector<oracle::Mismatch>& mismatches) {
  nb::list result;
  for (const oracle::Mismatch& mismatch : mismatches) result.append(dictionary(mismatch));
  return result;
}

nb::dict dictionary(const oracle::Certificate& certificate, const oracle::Formula& formula) {
  nb::list elements;
  for (const oracle::CertificateElement& element : certificate.elements) {
    nb::dict entry;
    entry["tensor"] = std::string(name_of(element.tensor));
    entry["column"] = element.column;
    entry["operand"] = element.operand;
    entry["weight"] = element.weight;
    entry["got"] = element.got;
    entry["needs"] = interval(element.needs);
    if (!certificate.factors.empty()) entry["factor"] = element.factor;
    elements.append(entry);
  }
  nb::dict result;
  result["kind"] = std::string(name_of(certificate.kind));
  result["row"] = certificate.row;
  result["elements"] = elements;
  result["admissible"] = interval(certificate.admissible.interval);
  result["correctly_rounded_root"] = certificate.correctly_rounded_root;
  result["text"] = oracle::to_text(certificate, formula);
  return result;
}

JudgeRowsOptions on_threads(int threads) {
  JudgeRowsOptions options;
  options.threads = thread_count(threads);
  return options;
}

nb::dict check_witness(const Call& call, const oracle::Policy& policy, int threads) {
  const Outputs& outputs = outputs_of(call);
  oracle::WitnessVerdict verdict;
  std::optional<double> wrong_accepted;
  {
    const nb::gil_scoped_release unlocked;
    verdict = judge_witness_rows(call.test_case, call.tensors, outputs, policy, on_threads(threads));
    if (verdict.conforms() && verdict.rows > 0)
      wrong_accepted = wrong_outputs_accepted(policy, call.test_case, call.tensors, outputs);
  }
  const oracle::Formula formula = oracle::formula_of(call.test_case, policy);
  nb::list certificates;
  for (const auto& certificate : verdict.first_violations)
    certificates.append(dictionary(certificate, formula));
  nb::dict result;
  result["rows"] = verdict.rows;
  result["elements"] = verdict.elements;
  result["special_rows"] = verdict.special_rows;
  result["conforming_rows"] = verdict.conforming_rows();
  result["rounding_violations"] = verdict.rounding_violations;
  result["scale_violations"] = verdict.scale_violations;
  result["mismatches"] = verdict.residual_mismatches;
  result["worst_ulp_distance"] = verdict.worst_ulp_distance;
  result["certificates"] = certificates;
  result["random_outputs_accepted"] = wrong_accepted;
  result["doubt"] = wrong_accepted ? says_little_text(*wrong_accepted) : std::string();
  result["first_mismatches"] = list_of(verdict.first_residual_mismatches);
  return result;
}

nb::dict check_canonical(const Call& call, const oracle::Policy& policy, int threads) {
  const Outputs& outputs = outputs_of(call);
  oracle::Verdict verdict;
  {
    const nb::gil_scoped_release unlocked;
    verdict = judge_canonical_rows(call.test_case, call.tensors, outputs, policy, on_threads(threads));
  }
  nb::dict result;
  result["rows"] = verdict.rows;
  result["elements"] = verdict.elements;
  result["special_rows"] = verdict.special_rows;
  result["mismatches"] = verdict.mismatches;
  result["first_mismatches"] = list_of(verdict.first_mismatches);
  return result;
}

nb::dict identified(const Call& call, const oracle::InverseRootModel& inverse_root) {
  const Outputs& outputs = outputs_of(call);
  Identification found;
  std::vector<std::string> names;
  {
    const nb::gil_scoped_release unlocked;
    found = identify(call.test_case, call.tensors, outputs, inverse_root);
    if (found.identified()) names = known_as(found.best, call.test_case);
  }
  std::vector<std::string> survivors;
  for (const oracle::Policy& policy : found.survivors) survivors.push_back(axes_text(policy));
  nb::dict axes;
  for (const AxisFinding& axis : found.axes) {
    nb::dict values;
    for (const AxisValueFinding& value : axis.values)
      values[std::string(value.name).c_str()] = nb::make_tuple(value.survives, value.reason);
    axes[std::string(axis.name).c_str()] = values;
  }
  std::vector<std::tuple<std::string, std::optional<double>, std::string>> loose;
  for (const LoosePolicy& policy : found.loose)
    loose.emplace_back(axes_text(policy.policy), policy.wrong_admitted, reason_of(policy));
  std::vector<std::pair<std::optional<std::string>, std::vector<std::int64_t>>> split;
  for (const RowGroup& group : found.split)
    split.emplace_back(group.policy ? std::optional(axes_text(*group.policy)) : std::nullopt, group.rows);
  nb::dict result;
  result["random_outputs_explained"] =
      found.identified() ? std::optional(found.wrong_explained) : std::nullopt;
  result["loose"] = loose;
  result["split"] = split;
  result["hints"] = found.hints;
  result["rows"] = found.rows;
  result["identified"] = found.identified();
  result["unique"] = found.unique();
  result["policy"] = axes_text(found.best);
  result["policy_rows"] = found.best_rows;
  result["survivors"] = survivors;
  result["names"] = names;
  result["axes"] = axes;
  result["certificate"] = found.best_certificate;
  result["text"] = to_text(found, call.test_case);
  return result;
}

nb::dict explained(const Call& call, std::int64_t row, std::int64_t column, const oracle::Policy& policy) {
  const oracle::Explanation explanation =
      oracle::explain(call.test_case, call.tensors, call.outputs, row, column, policy);
  nb::list outputs;
  for (const oracle::ExplainedOutput& output : explanation.outputs) {
    nb::dict entry;
    entry["tensor"] = output.name;
    entry["dtype"] = std::string(name_of(output.dtype));
    entry["wanted"] = output.wanted;
    entry["got"] = output.got;
    entry["reproduced_by"] = output.reproduced_by;
    outputs.append(entry);
  }
  nb::dict result;
  result["row"] = explanation.row;
  result["column"] = explanation.column;
  result["outputs"] = outputs;
  result["text"] = oracle::to_text(explanation);
  return result;
}

nb::dict arrays(const Call& call, Outputs outputs) {
  nb::dict result;
  for (const Role role : kRoles) {
    if (call.test_case.has_output(role))
      result[std::string(name_of(role)).c_str()] = numpy_bytes(std::move(outputs[role]));
  }
  return result;
}

nb::dict run(const Call& call) {
  if (const std::string what = call.test_case.what_no_target_has(); !what.empty())
    throw std::invalid_argument("the call has " + what + ", which our kernels do not have");
  Outputs outputs;
  {
    const nb::gil_scoped_release unlocked;
    outputs = run_on_host(call);
  }
  return arrays(call, std::move(outputs));
}

nb::dict expected(const Call& call, const oracle::Policy& policy) {
  Outputs outputs;
  {
    const nb::gil_scoped_release unlocked;
    outputs = oracle::expected_outputs(call.test_case, call.tensors, policy);
  }
  return arrays(call, std::move(outputs));
}

// The smallest part of the call that violates, as a call; where it conforms, nothing.
std::optional<Call> smallest_violation(const Call& call, const oracle::Policy& policy) {
  auto minimized = minimize_outputs(whole_case(call), policy);
  if (!minimized) return std::nullopt;
  return call_of(std::move(minimized->test_case));
}

Call with_description(Call call, const std::string& name, const std::string& description) {
  call.test_case.name = name;
  call.test_case.description = description;
  require_valid(whole_case(call));
  return call;
}

// Each operation's tensors by direction, in the order of the call, as Python names them.
nb::list operation_table() {
  nb::list result;
  for (const OperationSpec& spec : operation_specs()) {
    nb::list inputs, outputs;
    for (const TensorSpec& tensor : spec.tensors) {
      const std::string name(tensor.role == Role::input ? "x" : name_of(tensor.role));
      (tensor.direction == Direction::in ? inputs : outputs).append(name);
    }
    nb::dict entry;
    entry["name"] = std::string(spec.name);
    entry["inputs"] = inputs;
    entry["outputs"] = outputs;
    nb::list codes;
    for (const DType dtype : code_dtypes(spec.operation)) codes.append(std::string(name_of(dtype)));
    entry["code_dtypes"] = codes;
    entry["greatest_rank"] = spec.greatest_rank;
    result.append(entry);
  }
  return result;
}

nb::list policy_table() {
  nb::list result;
  for (const oracle::NamedPolicy& policy : oracle::named_policies())
    result.append(
        nb::make_tuple(std::string(policy.name), std::string(policy.text), std::string(policy.source)));
  return result;
}

Call generate_call(const CallKind& kind, std::optional<double> epsilon, std::int64_t max_rows,
                   std::int64_t max_hidden, bool finite, const Takes& takes, std::uint64_t seed,
                   std::int64_t index) {
  CaseDemand demand;
  demand.kind() = kind;
  if (epsilon) demand.epsilon_bits = fp32_bits(*epsilon);
  demand.max_rows = max_rows;
  demand.max_hidden = max_hidden;
  demand.finite = finite;
  demand.takes = takes;
  const nb::gil_scoped_release unlocked;
  return random_call(demand, seed, index);
}

// A limit of what a function takes.
auto limit(std::int64_t CallLimits::* member) {
  return [member](const Takes& takes) { return takes.limits.*member; };
}
auto set_limit(std::int64_t CallLimits::* member) {
  return [member](Takes& takes, std::int64_t value) { takes.limits.*member = value; };
}

}  // namespace

NB_MODULE(_core, module) {
  // What a program keeps until it ends, the cached kernels of normproof.torch for instance, is no leak.
  nb::set_leak_warnings(false);
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const CaseError& refused) {
      PyErr_SetString(PyExc_ValueError, refused.what());
    } catch (const SafetensorsError& refused) {
      PyErr_SetString(PyExc_ValueError, refused.what());
    } catch (const std::system_error& failed) {
      PyErr_SetString(PyExc_OSError, failed.what());
    }
  });
  module.doc() = "Calls of norm operations, and the judges of normproof";
  module.attr("__version__") = NORMPROOF_VERSION;
  nb::class_<oracle::Policy>(module, "Policy").def("__str__", [](const oracle::Policy& policy) {
    return oracle::to_string(policy);
  });
  module.def(
      "policy",
      [](const std::string& text, std::optional<int> inverse_root_ulp, std::optional<std::int64_t> sum_depth,
         bool flush_to_zero) {
        oracle::Policy policy = oracle::parse_policy(text);
        if (inverse_root_ulp) policy.inverse_root.ulp_bound = *inverse_root_ulp;
        if (sum_depth) policy.inverse_root.sum_depth = sum_depth;
        if (flush_to_zero) policy.inverse_root.flush_to_zero = true;
        return policy;
      },
      nb::arg("text"), nb::arg("inverse_root_ulp") = nb::none(), nb::arg("sum_depth") = nb::none(),
      nb::arg("flush_to_zero") = false, kStandardFloats);
  module.def("operation_table", &operation_table);
  module.def("policy_table", &policy_table);
  bind_kernels_library(module);
  bind_bound(module);
  bind_judged(module);
  bind_order(module);

  nb::class_<Takes>(module, "Takes")
      .def(nb::init<>())
      .def(
          "outside",
          [](const Takes& takes, const std::string& operation, const std::vector<std::int64_t>& shape) {
            Call call;
            call.test_case.operation = operation_of(operation);
            call.test_case.shape = shape;
            return what_is_outside(takes, call);
          },
          nb::arg("operation"), nb::arg("shape"))
      .def_rw("subnormals", &Takes::subnormals)
      .def_rw("scale_ub", &Takes::scale_ub)
      .def_rw("least_rank", &Takes::least_rank)
      .def_prop_rw("greatest_rank", limit(&CallLimits::greatest_rank), set_limit(&CallLimits::greatest_rank))
      .def_prop_rw("hidden_multiple", limit(&CallLimits::hidden_multiple),
                   set_limit(&CallLimits::hidden_multiple))
      .def_prop_rw("greatest_hidden", limit(&CallLimits::greatest_hidden),
                   set_limit(&CallLimits::greatest_hidden))
      .def_prop_rw("least_rows", limit(&CallLimits::least_rows), set_limit(&CallLimits::least_rows))
      .def_prop_rw("greatest_rows", limit(&CallLimits::greatest_rows), set_limit(&CallLimits::greatest_rows));

  nb::class_<CallKind>(module, "Kind");
  module.def("kind", &make_kind, nb::arg("operation"), nb::arg("dtype"), nb::arg("weight_dtype").none(),
             nb::arg("codes").none(), kStandardFloats);
  nb::class_<Call>(module, "Call")
      .def("properties", &properties_of, kStandardFloats)
      .def("copy", [](const Call& call) { return call; })
      .def("bits", &bits_of, nb::arg("tensor"))
      .def("set_outputs", &set_outputs, nb::arg("outputs"), kStandardFloats)
      .def("check", &check_witness, nb::arg("policy"), nb::arg("threads") = 0, kStandardFloats)
      .def("check_canonical", &check_canonical, nb::arg("policy"), nb::arg("threads") = 0, kStandardFloats)
      .def(
          "identify",
          [](const Call& call, const oracle::Policy& model) { return identified(call, model.inverse_root); },
          nb::arg("model"), kStandardFloats)
      .def("explain", &explained, nb::arg("row"), nb::arg("column"), nb::arg("policy"), kStandardFloats)
      .def("run", &run, kStandardFloats)
      .def("expected", &expected, nb::arg("policy"), kStandardFloats)
      .def("row", &row_of, nb::arg("row"))
      .def(
          "first_rows",
          [](const Call& call, std::int64_t rows) {
            RowSlice slice = slice_rows(call.test_case, call.tensors, outputs_of(call), 0, rows);
            return Call{std::move(slice.test_case), std::move(slice.tensors), std::move(slice.outputs)};
          },
          nb::arg("rows"))
      .def("smallest_violation", &smallest_violation, nb::arg("policy"), kStandardFloats)
      .def(
          "outside", [](const Call& call, const Takes& takes) { return what_is_outside(takes, call); },
          nb::arg("takes"))
      .def("with_description", &with_description, nb::arg("name"), nb::arg("description"))
      .def(
          "to_json",
          [](const Call& call, const std::optional<std::string>& policy, bool canonical) {
            return case_to_json(whole_case(call), {policy, canonical});
          },
          nb::arg("policy") = nb::none(), nb::arg("canonical") = false, kStandardFloats);
  bind_model(module);
  bind_beside(module);
  module.def("describe", &describe, nb::arg("object").none());
  module.def("make_call", &make_call, nb::arg("kind"), nb::arg("fp32_output"), nb::arg("fp32_residual"),
             nb::arg("shape"), nb::arg("epsilon"), nb::arg("scale"), nb::arg("scale_ub").none(), nb::arg("x"),
             nb::arg("residual").none(), nb::arg("weight").none(), kStandardFloats);
  module.def("random_call", &generate_call, nb::arg("kind"), nb::arg("epsilon").none(), nb::arg("max_rows"),
             nb::arg("max_hidden"), nb::arg("finite"), nb::arg("takes"), nb::arg("seed"), nb::arg("index"),
             kStandardFloats);
  module.def(
      "call_from_json", [](const std::string& text) { return call_of(case_from_json(text)); },
      nb::arg("text"), kStandardFloats);
  module.def(
      "read_call", [](const std::string& file) { return call_of(read_case(file)); }, nb::arg("file"),
      kStandardFloats);
  // Without kStandardFloats: the function is the caller's, and nothing else here computes with floats.
  module.def("minimized", &minimized, nb::arg("failing"), nb::arg("still_fails"), nb::arg("seconds"));
  module.def(
      "write_dump",
      [](const Call& call, const std::string& file, const std::optional<std::string>& policy) {
        write_dump(file, whole_case(call), policy);
      },
      nb::arg("call"), nb::arg("file"), nb::arg("policy") = nb::none(), kStandardFloats);
}

}  // namespace normproof::python
