#include "cli/norm_adapter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <optional>
#include <set>
#include <string>

#include "cli/parameter_roles.h"
#include "kernels/host/source_pass/tokens.h"

namespace normproof {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return result;
}

// --- the argument orders of known projects ---

struct KnownOrder {
  std::string_view project, roles;
};
constexpr std::array kKnownOrders = {
    KnownOrder{"vLLM", "out, input, weight, epsilon"},
    KnownOrder{"vLLM", "input, residual, weight, epsilon"},
    KnownOrder{"vLLM", "out, input, weight, scale, epsilon"},
    KnownOrder{"vLLM", "out, input, residual, weight, scale, epsilon"},
    KnownOrder{"vLLM", "out, input, weight, scales, epsilon, scale_ub, residual"},
    KnownOrder{"FlashInfer", "out, input, weight, epsilon, flag"},
    KnownOrder{"FlashInfer", "input, residual, weight, epsilon, flag"},
    KnownOrder{"FlashInfer",
               "input, weight, out, rows, columns, input_stride, out_stride, epsilon, flag, stream"},
    KnownOrder{
        "FlashInfer",
        "input, residual, weight, rows, columns, input_stride, residual_stride, epsilon, flag, stream"},
    KnownOrder{"Apex", "out, inverse_rms, input, rows, columns, shape, weight, epsilon"},
    KnownOrder{"DeepSpeed", "out, residual_out, input, residual, weight, epsilon, rows, columns, stream"},
};

std::string project_of(const std::string& roles) {
  for (const KnownOrder& known : kKnownOrders) {
    if (roles == known.roles) return std::string(known.project);
  }
  return {};
}

// --- one function ---

struct Candidate {
  const SourceFunction* function = nullptr;
  std::vector<ParameterRole> roles;
  Quantization quantization = Quantization::none;
  bool layer_norm = false;

  bool has(LauncherRole role) const {
    return std::any_of(roles.begin(), roles.end(),
                       [&](const ParameterRole& each) { return each.role == role; });
  }
  bool may_be_null(LauncherRole role) const {
    return std::any_of(roles.begin(), roles.end(), [&](const ParameterRole& each) {
      return each.role == role && each.form != ParameterForm::tensor;
    });
  }
  bool writes_int8() const { return std::any_of(roles.begin(), roles.end(), is_int8_output); }
  bool takes_pointers() const {
    return std::any_of(roles.begin(), roles.end(),
                       [](const ParameterRole& each) { return each.form == ParameterForm::pointer; });
  }
  bool returns_tensor() const {
    return contains(function->result, "Tensor") && function->result.back() != '*';
  }
  // Called with a type of CUDA as its one template argument.
  bool is_template() const { return !function->template_parameters.empty(); }
  std::string signature() const {
    std::vector<std::string_view> names;
    for (const ParameterRole& each : roles) {
      if (!each.left_out) names.push_back(name_of(each.role));
    }
    return fmt::format("{}", fmt::join(names, ", "));
  }
};

// Why a function whose name speaks of a norm is not called; empty where it may be.
std::string another_operation(const std::string& name) {
  for (const std::string_view other : {"group_norm", "groupnorm", "batch_norm", "l2_norm"}) {
    if (contains(name, other) && !contains(name, "rms")) return "another operation";
  }
  for (const std::string_view other :
       {"grad", "backward", "bwd", "_back", "qk", "rope", "gemma", "gated", "silu"}) {
    if (contains(name, other)) return "another operation";
  }
  for (const std::string_view other : {"per_block", "per_group", "group_quant"}) {
    if (contains(name, other)) return "a scale for each part of a row is not judged here";
  }
  return {};
}

bool is_layer_norm(std::string_view name) {
  return !contains(name, "rms") && (contains(name, "layer_norm") || contains(name, "layernorm"));
}

// What stores scales, and has an upper bound of them or writes int8, gives each row a scale, but where it is
// called static.
Quantization quantization_of(std::string_view name, const SourceFunction& function) {
  bool of_rows = false, stores = false;
  for (const SourceParameter& parameter : function.parameters) {
    const ParameterRole each = role_of(parameter, Quantization::by_row);
    of_rows = of_rows || each.role == LauncherRole::scale_ub || is_int8_output(each);
    stores = stores || (each.role == LauncherRole::scales && !contains(parameter.type, "const"));
  }
  of_rows = of_rows && stores && !contains(name, "static");
  if (!contains(name, "quant") && !contains(name, "fp8") && !of_rows) return Quantization::none;
  const bool named = contains(name, "dynamic") || contains(name, "per_token") || contains(name, "per_row");
  return named || of_rows ? Quantization::by_row : Quantization::by_given_scale;
}

// Of LayerNorm the plain one alone is called.
std::string_view unfit_layer_norm(const Candidate& candidate) {
  if (!candidate.layer_norm) return {};
  if (candidate.quantization != Quantization::none) return "a LayerNorm that quantizes is not judged here";
  if (candidate.has(LauncherRole::residual)) return "a LayerNorm of a sum: its call is yours to write";
  return {};
}

// Null with a reason where it is none that can be called.
std::optional<Candidate> candidate_of(const SourceFunction& function, bool kernels, std::string& why_not) {
  const std::string name = lower(function.name);
  if (function.is_kernel != kernels || (!contains(name, "norm") && !contains(name, "rms")))
    return std::nullopt;
  if (why_not = another_operation(name); !why_not.empty()) return std::nullopt;
  Candidate candidate{.function = &function,
                      .roles = {},
                      .quantization = quantization_of(name, function),
                      .layer_norm = is_layer_norm(name)};
  for (const SourceParameter& parameter : function.parameters) {
    candidate.roles.push_back(role_of(parameter, candidate.quantization, candidate.layer_norm));
    if (candidate.roles.back().role == LauncherRole::unknown) {
      why_not =
          fmt::format("what is '{}{}{}'?", parameter.type, parameter.name.empty() ? "" : " ", parameter.name);
      return std::nullopt;
    }
  }
  settle_sizes(candidate.roles);
  const auto types = std::count_if(function.template_parameters.begin(), function.template_parameters.end(),
                                   [](const std::string& parameter) {
                                     return contains(parameter, "typename") || contains(parameter, "class");
                                   });
  const bool one_type = types == 1 && function.template_parameters.size() == 1;
  if (candidate.is_template() && !(one_type && candidate.takes_pointers())) {
    why_not = fmt::format("a template<{}>", fmt::join(function.template_parameters, ", "));
    return std::nullopt;
  }
  if (why_not = unfit_layer_norm(candidate); !why_not.empty()) return std::nullopt;
  if (candidate.writes_int8() && candidate.quantization != Quantization::by_row) {
    why_not = "int8 codes without a scale for each row are not judged here";
    return std::nullopt;
  }
  if (!candidate.has(LauncherRole::input) ||
      (!candidate.has(LauncherRole::out) && !candidate.has(LauncherRole::residual) &&
       !candidate.returns_tensor())) {
    why_not = "no input and output among its parameters";
    return std::nullopt;
  }
  return candidate;
}

// Tensors before pointers, no template before one, with a weight and an epsilon before without.
int merit(const Candidate& candidate) {
  return (candidate.takes_pointers() ? 0 : 8) + (candidate.is_template() ? 0 : 4) +
         (candidate.has(LauncherRole::weight) ? 2 : 0) + (candidate.has(LauncherRole::epsilon) ? 1 : 0);
}

// --- the text of a call ---

std::string tensor_argument(const ParameterRole& parameter, std::string_view member) {
  switch (parameter.form) {
    case ParameterForm::pointer:
      return fmt::format("call.pointer(call.{})", member);
    case ParameterForm::tensor_pointer:
      if (member == "weight" || member == "bias" || member == "scale_ub")
        return fmt::format("call.has_{0}() ? &call.{0} : nullptr", member);
      return fmt::format("&call.{}", member);
    case ParameterForm::optional_tensor:
      if (member == "weight" || member == "residual" || member == "bias" || member == "scale_ub")
        return fmt::format("call.optional_{}()", member);
      return fmt::format("call.{}", member);
    default:
      return fmt::format("call.{}", member);
  }
}

std::string argument(const ParameterRole& parameter, bool adds, Quantization quantization) {
  // In place: what is normalized lies where the input did, the sum where the residual did.
  const std::string_view output = adds && quantization == Quantization::none ? "input" : "out";
  const std::string null = parameter.form == ParameterForm::optional_tensor ? "std::nullopt" : "nullptr";
  switch (parameter.role) {
    case LauncherRole::out:
      return tensor_argument(parameter, output);
    case LauncherRole::input:
      return tensor_argument(parameter, "input");
    case LauncherRole::residual:
    case LauncherRole::residual_out:
      return adds ? tensor_argument(parameter, "residual") : null;
    case LauncherRole::weight:
      return tensor_argument(parameter, "weight");
    case LauncherRole::scale:
      return tensor_argument(parameter, "scale");
    case LauncherRole::scales:
      return tensor_argument(parameter, "scales");
    case LauncherRole::inverse_rms:
      return parameter.form == ParameterForm::pointer          ? "call.pointer(inverse_rms)"
             : parameter.form == ParameterForm::tensor_pointer ? "&inverse_rms"
                                                               : "inverse_rms";
    case LauncherRole::bias:
      return tensor_argument(parameter, "bias");
    case LauncherRole::mean:
    case LauncherRole::rstd:
      return parameter.form == ParameterForm::pointer
                 ? fmt::format("call.pointer({})", name_of(parameter.role))
             : parameter.form == ParameterForm::tensor_pointer ? fmt::format("&{}", name_of(parameter.role))
                                                               : std::string(name_of(parameter.role));
    case LauncherRole::scale_ub:
      if (parameter.form == ParameterForm::tensor) return "call.scale_ub_or_infinity()";
      return tensor_argument(parameter, "scale_ub");
    case LauncherRole::absent:
      return null;
    case LauncherRole::epsilon:
      return "call.epsilon";
    case LauncherRole::gain:
      return "1.0f";
    case LauncherRole::rows:
      return "call.rows()";
    case LauncherRole::columns:
      return "call.columns()";
    case LauncherRole::input_stride:
      return "call.input.stride(-2)";
    case LauncherRole::out_stride:
      return fmt::format("call.{}.stride(-2)", output);
    case LauncherRole::residual_stride:
      return adds ? "call.residual.stride(-2)" : "0";
    case LauncherRole::shape:
      return "{call.columns()}";
    case LauncherRole::type:
      return "call.input.scalar_type()";
    case LauncherRole::one:
      return "1";
    case LauncherRole::zero:
      return "0";
    case LauncherRole::flag:
      return "false";
    default:
      return "nullptr";  // a stream
  }
}

// How a kernel is launched that comes without a function that does.
constexpr const char* kLaunch = "<<<call.rows(), 256>>>";

// Of LayerNorm: what the function must have and does not give, and memory for what it always writes.
std::string demands_text(const Candidate& candidate) {
  std::string text;
  const auto add = [&](const std::string& statement) { text += statement + ";\n      "; };
  const auto must_be_there = [&](LauncherRole role) {
    return std::any_of(candidate.roles.begin(), candidate.roles.end(), [&](const ParameterRole& each) {
      return each.role == role && (each.form == ParameterForm::tensor || each.form == ParameterForm::pointer);
    });
  };
  if (must_be_there(LauncherRole::weight)) add("call.needs(call.weight, \"weight\")");
  if (must_be_there(LauncherRole::bias)) add("call.needs(call.bias, \"bias\")");
  if (!candidate.has(LauncherRole::bias)) add("call.has_no(call.bias, \"it takes no bias\")");
  for (const LauncherRole role : {LauncherRole::mean, LauncherRole::rstd}) {
    const std::string_view name = name_of(role);
    if (candidate.has(role)) {
      add(fmt::format("at::Tensor {0} = call.for_each_row(call.{0})", name));
    } else {
      add(fmt::format("call.has_no(call.{0}, \"it stores no {0}\")", name));
    }
  }
  return text;
}

std::string call_text(const Candidate& candidate, bool adds) {
  std::vector<std::string> arguments;
  for (const ParameterRole& parameter : candidate.roles) {
    if (!parameter.left_out) arguments.push_back(argument(parameter, adds, candidate.quantization));
  }
  const std::string function = candidate.function->name +
                               (candidate.is_template() ? "<decltype(type)>" : "") +
                               (candidate.function->is_kernel ? kLaunch : "");
  std::string call = fmt::format("{}({});", function, fmt::join(arguments, ", "));
  if (candidate.returns_tensor()) {
    // Of several tensors the first.
    const std::string& result = candidate.function->result;
    call.pop_back();
    if (contains(result, "vector<") || contains(result, "array<")) call += "[0]";
    if (contains(result, "tuple<") || contains(result, "pair<")) call = fmt::format("std::get<0>({})", call);
    call = fmt::format("call.{}.copy_({});", adds ? "input" : "out", call);
  }
  if (candidate.has(LauncherRole::inverse_rms))
    call = "at::Tensor inverse_rms = at::empty({call.rows()}, at::kFloat);\n      " + call;
  return candidate.layer_norm ? demands_text(candidate) + call : call;
}

std::string operation_name(bool adds, Quantization quantization) {
  const std::string norm = adds ? "fused_add_rms_norm" : "rms_norm";
  return quantization == Quantization::none             ? norm
         : quantization == Quantization::by_given_scale ? norm + "_static_fp8_quant"
                                                        : norm + "_dynamic_quant";
}

// --- what the source speaks of ---

struct Words {
  std::set<std::string, std::less<>> identifiers;
  std::string epsilon;                                  // the number that a variable of that name is set to
  std::set<std::string, std::less<>> demands_on_codes;  // what stands in a check of the codes' type
};

// if (scale_ub.has_value()) { CHECK(out.dtype() == kFp8); }, or both in one check: the condition under which
// codes must be of some type. A parameter's declaration is no condition.
void take_demand_on_codes(const std::vector<std::string>& statement, Words& words) {
  const auto any = [&](std::initializer_list<std::string_view> parts) {
    return std::any_of(statement.begin(), statement.end(), [&](const std::string& word) {
      return std::any_of(parts.begin(), parts.end(),
                         [&](std::string_view part) { return contains(lower(word), part); });
    });
  };
  if (!any({"check", "assert", "throw", "enforce"}) || !any({"fp8", "float8", "e4m3", "int8", "kchar"}))
    return;
  for (std::size_t i = 1; i < statement.size(); ++i) {
    const std::string& before = statement[i - 1];
    const bool joined = before == "&" && i > 1 && statement[i - 2] == "&";
    if (joined || before == "(" || before == "!" || before == "|")
      words.demands_on_codes.insert(lower(statement[i]));
  }
}

Words words_of(std::string_view source) {
  Words words;
  std::vector<std::string> last, statement;
  for (const source_pass::Token& token : source_pass::tokens_of(source)) {
    if (token.kind == source_pass::TokenKind::space) continue;
    if (token.kind == source_pass::TokenKind::identifier) words.identifiers.insert(lower(token.text));
    if (token.kind == source_pass::TokenKind::number && last.size() >= 2 && last.back() == "=" &&
        contains(lower(last[last.size() - 2]), "eps") && words.epsilon.empty())
      words.epsilon = token.text;
    last.push_back(token.text);
    statement.push_back(token.text);
    if (token.text != ";") continue;
    take_demand_on_codes(statement, words);
    statement.clear();
  }
  return words;
}

bool speaks_of(const Words& words, std::string_view part) {
  return std::any_of(words.identifiers.begin(), words.identifiers.end(),
                     [&](const std::string& word) { return contains(word, part); });
}

// Lines that are longer than a page is wide are broken behind a comma or a bar.
constexpr std::size_t kWidth = 120;
std::string wrapped(const std::string& text) {
  std::string result, line;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1);
    line = text.substr(begin, end + 1 - begin);
    begin = end + 1;
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size()) + 4;
    while (line.size() > kWidth + 1) {
      const std::size_t at = line.find_last_of(",|", kWidth - 1) + 2;  // 1 where there is none
      if (at <= indent + 2 || at >= line.size()) break;
      result += line.substr(0, at - 1) + "\n";
      line = std::string(indent, ' ') + line.substr(at);
    }
    result += line;
  }
  return result;
}

class Writer {
 public:
  Writer(std::string_view source, const std::string& source_name, const std::string& name, bool hip)
      : hip_(hip),
        words_(words_of(source)),
        source_name_(source_name),
        name_(name),
        functions_(functions_of(source)) {}

  NormAdapter run() {
    find_candidates(false);
    // The source of a cupy.RawKernel has kernels alone.
    if (candidates_.empty() && adapter_.not_used.empty()) find_candidates(true);
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
      return merit(a) != merit(b) ? merit(a) > merit(b) : a.function->line < b.function->line;
    });
    // Where some are called rms, the others are norms of another kind.
    const auto is_rms = [](const Candidate& each) { return contains(lower(each.function->name), "rms"); };
    if (std::any_of(candidates_.begin(), candidates_.end(), is_rms))
      std::erase_if(candidates_, [&](const Candidate& each) { return !is_rms(each) && !each.layer_norm; });
    leave_out_other_layer_norms();
    for (const Quantization quantization :
         {Quantization::none, Quantization::by_given_scale, Quantization::by_row}) {
      for (const bool adds : {false, true}) choose(adds, quantization, false);
    }
    choose(false, Quantization::none, true);
    if (!adapter_.operations.empty()) write();
    return std::move(adapter_);
  }

 private:
  void find_candidates(bool kernels) {
    for (const SourceFunction& function : functions_) {
      std::string why_not;
      if (const auto candidate = candidate_of(function, kernels, why_not)) {
        candidates_.push_back(*candidate);
      } else if (!why_not.empty()) {
        adapter_.not_used.push_back(fmt::format("{}, line {}: {}", function.name, function.line, why_not));
      }
    }
  }

  // What is taken and the limits are said once for all: beside an RMSNorm a LayerNorm without a weight or an
  // epsilon would change what is said of that.
  void leave_out_other_layer_norms() {
    const bool alone = std::all_of(candidates_.begin(), candidates_.end(),
                                   [](const Candidate& each) { return each.layer_norm; });
    std::erase_if(candidates_, [&](const Candidate& each) {
      const bool fits =
          alone || !each.layer_norm || (each.has(LauncherRole::weight) && each.has(LauncherRole::epsilon));
      if (!fits)
        adapter_.not_used.push_back(
            fmt::format("{}, line {}: another operation", each.function->name, each.function->line));
      return !fits;
    });
  }

  static bool does(const Candidate& candidate, bool adds, Quantization quantization, bool layer_norm) {
    if (candidate.layer_norm != layer_norm || candidate.quantization != quantization) return false;
    if (quantization == Quantization::by_given_scale && !candidate.has(LauncherRole::scale)) return false;
    if (quantization == Quantization::by_row && !candidate.has(LauncherRole::scales)) return false;
    if (adds) return candidate.has(LauncherRole::residual);
    return !candidate.has(LauncherRole::residual) ||
           (candidate.may_be_null(LauncherRole::residual) && candidate.has(LauncherRole::out));
  }

  void choose(bool adds, Quantization quantization, bool layer_norm) {
    AdaptedOperation operation;
    const Candidate* chosen = nullptr;
    for (const Candidate& candidate : candidates_) {
      if (!does(candidate, adds, quantization, layer_norm)) continue;
      if (chosen == nullptr) {
        chosen = &candidate;
      } else {
        operation.others.push_back(candidate.function->name);
      }
    }
    if (chosen == nullptr) return;
    operation.operation = layer_norm ? "layer_norm" : operation_name(adds, quantization);
    operation.function = chosen->function->name;
    operation.signature = chosen->signature();
    operation.order_of = project_of(operation.signature);
    for (const ParameterRole& parameter : chosen->roles) {
      if (!parameter.left_out && is_assumed(parameter.role))
        operation.assumed.push_back(
            fmt::format("{} = {}", parameter.name, argument(parameter, adds, quantization)));
    }
    if (chosen->function->is_kernel) operation.assumed.push_back(kLaunch);
    if (refuses_bound_of_int8(*chosen)) operation.assumed.emplace_back("scale_ub of int8 = none");
    note(*chosen, adds);
    calls_ += member_text(*chosen, operation.operation, adds);
    adapter_.operations.push_back(std::move(operation));
  }

  // .rms_norm = [](normproof_torch::Call call) { ... }, over several lines where one is too short.
  std::string member_text(const Candidate& chosen, const std::string& operation, bool adds) const {
    const std::string call = codes_demand(chosen) + bound_demand(chosen) + call_text(chosen, adds);
    const std::string begin = fmt::format("    .{} = [](normproof_torch::Call call) {{", operation);
    if (chosen.is_template()) {
      return fmt::format(",\n{} call.with<{}>([&](auto type) {{\n      {}\n    }}); }}", begin,
                         fmt::join(cuda_types(), ", "), call);
    }
    const bool one_line = call.find('\n') == std::string::npos && begin.size() + call.size() < kWidth;
    return one_line ? fmt::format(",\n{} {} }}", begin, call)
                    : fmt::format(",\n{}\n      {}\n    }}", begin, call);
  }

  bool any_candidate(bool (*is)(const Candidate&)) const {
    return std::any_of(candidates_.begin(), candidates_.end(), is);
  }
  // int8 is made where the source names the type of the tensor, or writes it through a pointer.
  bool takes_int8() const {
    return words_.identifiers.contains("kint8") || words_.identifiers.contains("kchar") ||
           any_candidate([](const Candidate& each) { return each.writes_int8(); });
  }
  // A pointer to int8 beside functions that write other codes, what is taken being said once for all.
  std::string codes_demand(const Candidate& chosen) const {
    const bool others = any_candidate(
        [](const Candidate& each) { return each.quantization != Quantization::none && !each.writes_int8(); });
    const bool has_int8 = any_candidate([](const Candidate& each) { return each.writes_int8(); });
    if (chosen.quantization != Quantization::by_row || !chosen.takes_pointers() || !others || !has_int8)
      return {};
    return fmt::format("call.has_codes_of_int8({});\n      ", chosen.writes_int8());
  }
  // vLLM's function checks that codes are fp8 where there is a bound.
  bool refuses_bound_of_int8(const Candidate& chosen) const {
    return takes_int8() &&
           std::any_of(chosen.roles.begin(), chosen.roles.end(), [&](const ParameterRole& each) {
             return each.role == LauncherRole::scale_ub && words_.demands_on_codes.contains(lower(each.name));
           });
  }
  // Of a function by row beside others that take bounds, what is taken being said once for all.
  std::string bound_demand(const Candidate& chosen) const {
    if (chosen.quantization != Quantization::by_row) return {};
    if (refuses_bound_of_int8(chosen)) return "call.has_no_bound_of_int8();\n      ";
    const bool others = any_candidate([](const Candidate& each) { return each.has(LauncherRole::scale_ub); });
    if (!others || chosen.has(LauncherRole::scale_ub)) return {};
    return "call.has_no(call.scale_ub, \"it takes no upper bound of scales\");\n      ";
  }

  // What a chosen function adds to what the plug-in takes and does not.
  void note(const Candidate& chosen, bool adds) {
    const bool pointers = chosen.takes_pointers() || chosen.has(LauncherRole::rows);
    const bool strides =
        chosen.has(LauncherRole::input_stride) && (adds || chosen.has(LauncherRole::out_stride));
    if (pointers && !strides) contiguous_ = true;
    if (pointers && strides) two_dimensions_ = true;
    if (!chosen.has(LauncherRole::epsilon)) adapter_.epsilon_is_fixed = true;
    if (!chosen.has(LauncherRole::weight)) without_weight_ = true;
    if (chosen.has(LauncherRole::weight)) with_weight_ = true;
    if (chosen.may_be_null(LauncherRole::weight) && !chosen.takes_pointers()) without_weight_ = true;
    fp8_ = fp8_ || (chosen.quantization != Quantization::none && !chosen.writes_int8());
    by_row_ = by_row_ || chosen.quantization == Quantization::by_row;
    bounds_ = bounds_ || chosen.has(LauncherRole::scale_ub);
    if (named_type_.empty()) named_type_ = type_in(lower(chosen.function->name));
    for (const ParameterRole& parameter : chosen.roles) {
      if (parameter.role == LauncherRole::input && parameter.form == ParameterForm::pointer &&
          !chosen.is_template())
        pointer_type_ = lower(parameter.type);
    }
  }

  // rms_norm_f16_f32: the first that is named is that of the tensors.
  static std::string type_in(const std::string& name) {
    std::size_t first = std::string::npos;
    std::string found;
    const auto look_for = [&](std::string_view tag, const char* type) {
      const std::size_t at = name.find(tag);
      if (at != std::string::npos && (first == std::string::npos || at <= first)) first = at, found = type;
    };
    for (const std::string_view tag : {"f32", "fp32", "float"}) look_for(tag, "FP32");
    for (const std::string_view tag : {"f16", "fp16", "half"}) look_for(tag, "FP16");
    for (const std::string_view tag : {"bf16", "bfloat"}) look_for(tag, "BF16");
    return found;
  }

  // By the type of a pointer or in a name, else by the words of the source, else all.
  std::vector<std::string> types() const {
    if (contains(pointer_type_, "float*")) return {"FP32"};
    if (contains(pointer_type_, "half")) return {"FP16"};
    if (contains(pointer_type_, "bf") || contains(pointer_type_, "bfloat")) return {"BF16"};
    if (!named_type_.empty()) return {named_type_};
    const bool fp16 =
        speaks_of(words_, "half") || speaks_of(words_, "fp16") || speaks_of(words_, "float16_t");
    const bool bf16 = speaks_of(words_, "bfloat16") || speaks_of(words_, "bf16");
    if (!fp16 && !bf16) return {"BF16", "FP16", "FP32"};
    std::vector<std::string> found;
    if (bf16) found.emplace_back("BF16");
    if (fp16) found.emplace_back("FP16");
    found.emplace_back("FP32");
    return found;
  }
  std::vector<std::string> cuda_types() const {
    std::vector<std::string> found;
    for (const std::string& type : types())
      found.emplace_back(type == "BF16" ? "__nv_bfloat16" : type == "FP16" ? "__half" : "float");
    return found;
  }

  void write() {
    std::vector<std::string> limits;
    if (two_dimensions_ && !contiguous_) limits.emplace_back(".greatest_rank = 2");
    if (contiguous_) limits.emplace_back(".contiguous = true");
    if (adapter_.epsilon_is_fixed)
      limits.push_back(fmt::format(".epsilon = {}", words_.epsilon.empty() ? "1e-6f" : words_.epsilon));
    adapter_.limits = fmt::format("{}", fmt::join(limits, ", "));
    std::vector<std::string> takes = types();
    if (with_weight_) takes.emplace_back("SAME_WEIGHT");
    if (without_weight_) takes.emplace_back("NO_WEIGHT");
    if (fp8_) takes.emplace_back(hip_ ? "E4M3FNUZ" : "E4M3FN");
    if (by_row_ && takes_int8()) takes.emplace_back("ROW_INT8");
    if (bounds_) takes.emplace_back("ROW_SCALE_UB");
    for (std::string& one : takes) one = "NORMPROOF_TAKES_" + one;
    adapter_.text = wrapped(fmt::format(
        "// {0} as a plug-in: how its functions are called. What they do not take goes into .limits.\n"
        "#include \"{0}\"\n\n#include <normproof_torch/adapter.h>\n\n"
        "NORMPROOF_TORCH_PLUGIN(\n    \"{1}\", {2}{3}{4})\n",
        source_name_, name_, fmt::join(takes, " | "), calls_,
        limits.empty() ? "" : fmt::format(",\n    .limits = {{{}}}", adapter_.limits)));
  }

  const bool hip_;
  const Words words_;
  const std::string source_name_, name_;
  const std::vector<SourceFunction> functions_;
  std::vector<Candidate> candidates_;
  NormAdapter adapter_;
  std::string calls_, pointer_type_, named_type_;
  bool contiguous_ = false, two_dimensions_ = false, with_weight_ = false, without_weight_ = false,
       fp8_ = false, by_row_ = false, bounds_ = false;
};

}  // namespace

NormAdapter adapter_of(std::string_view source, const std::string& source_name, const std::string& name,
                       bool hip) {
  return Writer(source, source_name, name, hip).run();
}

}  // namespace normproof
