#include "cli/parameter_roles.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <string>

namespace normproof {
namespace {

struct Called {
  LauncherRole role;
  std::string_view names;  // with blanks around each
};
constexpr std::array kTensors = {
    Called{LauncherRole::residual_out,
           " res_output residual_out residual_output res_out added out_residual "},
    Called{LauncherRole::out, " out output outputs y result dst o norm_output output_vals normed ret y_out "},
    Called{LauncherRole::residual, " residual residual_in res resid skip residuals "},
    Called{LauncherRole::input,
           " input inputs in inp x src self vals hidden_states hidden a x_in input_vals "},
    Called{LauncherRole::weight, " weight weights w gamma gain mul g "},
    Called{LauncherRole::inverse_rms, " invvar rstd inv_rms inv_var rrms rsigma inverse_rms invvars "},
    Called{LauncherRole::absent, " bias beta b mask mean "},
    Called{LauncherRole::scale_ub, " scale_ub scales_ub scale_upper_bound scale_bound scaleub "},
};
// What these are to LayerNorm.
constexpr std::array kTensorsOfLayerNorm = {
    Called{LauncherRole::bias, " bias biases beta b shift "},
    Called{LauncherRole::mean, " mean means mu save_mean mean_out out_mean "},
    Called{LauncherRole::rstd,
           " invvar rstd inv_std invstd rsigma rstd_out out_rstd save_rstd save_invstd inverse_deviation "},
};
constexpr std::array kNumbers = {
    Called{
        LauncherRole::rows,
        " rows nrows n_rows num_rows row_count num_tokens ntokens n_tokens tokens batch batch_size bs m n1 "
        "outer outer_size num_vectors "},
    Called{LauncherRole::columns,
           " c hidden_size hidden hidden_dim h cols columns ncols n_cols num_cols n2 dim d k elems_per_row "
           "elements_per_row feature_size features inner inner_size norm_size width row_size vec_size_row "
           "mul_ncols "},
    Called{LauncherRole::size_n, " n "},
    Called{LauncherRole::one, " nchannels channels nsamples samples mul_nrows mul_nchannels mul_nsamples "},
    Called{LauncherRole::zero,
           " device device_id device_idx device_index dev stride_channel stride_sample mul_stride_row "
           "mul_stride_channel mul_stride_sample "},
};

template <std::size_t n>
LauncherRole called(const std::array<Called, n>& table, const std::string& name) {
  for (const Called& row : table) {
    if (contains(row.names, " " + name + " ")) return row.role;
  }
  return LauncherRole::unknown;
}

// d_input, input_ptr, p_out, input_: what is left of them.
std::string plain_name(std::string_view name) {
  std::string plain(name);
  std::transform(plain.begin(), plain.end(), plain.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const std::string_view prefix : {"d_", "p_", "ptr_"}) {
    if (plain.starts_with(prefix) && plain.size() > prefix.size()) plain.erase(0, prefix.size());
  }
  for (const std::string_view suffix : {"_ptr", "_d", "_tensor", "_"}) {
    if (plain.ends_with(suffix) && plain.size() > suffix.size()) plain.erase(plain.size() - suffix.size());
  }
  return plain;
}

ParameterForm form_of(const std::string& type) {
  if (contains(type, "Tensor")) {
    if (contains(type, "ptional<")) return ParameterForm::optional_tensor;
    return type.back() == '*' ? ParameterForm::tensor_pointer : ParameterForm::tensor;
  }
  const bool pointer = type.back() == '*' || type.ends_with("*const");
  return pointer ? ParameterForm::pointer : ParameterForm::number;
}

bool is_integer(const std::string& type) {
  for (const std::string_view word : {"int", "size_t", "long", "unsigned", "uint32_t", "int64_t"}) {
    if (contains(type, word)) return true;
  }
  return false;
}

LauncherRole role_of_stride(const std::string& name) {
  if (contains(name, "res")) return LauncherRole::residual_stride;
  if (contains(name, "out") || name == "stride_y" || name == "y_stride") return LauncherRole::out_stride;
  return LauncherRole::input_stride;
}

LauncherRole role_of_number(const std::string& type, const std::string& name) {
  if (contains(type, "IntArrayRef") || contains(type, "IntList")) return LauncherRole::shape;
  if (contains(type, "ScalarType")) return LauncherRole::type;
  if (contains(type, "bool")) return LauncherRole::flag;
  if (contains(name, "eps")) return LauncherRole::epsilon;
  if (is_integer(type)) {
    const LauncherRole listed = called(kNumbers, name);
    if (listed != LauncherRole::unknown) return listed;
    return contains(name, "stride") ? role_of_stride(name) : LauncherRole::unknown;
  }
  if (contains(type, "float") || contains(type, "double")) {
    if (contains(" g gain gamma weight alpha ", " " + name + " ")) return LauncherRole::gain;
    if (contains(name, "bias")) return LauncherRole::zero;
  }
  return LauncherRole::unknown;
}

}  // namespace

std::string_view name_of(LauncherRole role) {
  constexpr std::array<std::string_view, 28> kNames = {
      "unknown",      "out",        "residual_out",    "input", "residual", "weight",  "scale",
      "inverse_rms",  "absent",     "epsilon",         "gain",  "rows",     "columns", "n",
      "input_stride", "out_stride", "residual_stride", "shape", "type",     "one",     "zero",
      "flag",         "stream",     "scales",          "bias",  "mean",     "rstd",    "scale_ub"};
  return kNames.at(static_cast<std::size_t>(role));
}

bool is_assumed(LauncherRole role) {
  return role == LauncherRole::flag || role == LauncherRole::gain || role == LauncherRole::zero ||
         role == LauncherRole::one || role == LauncherRole::absent;
}

bool is_int8_output(const ParameterRole& parameter) {
  const std::string& type = parameter.type;
  return parameter.role == LauncherRole::out && parameter.form == ParameterForm::pointer &&
         (contains(type, "int8_t") || contains(type, "signed char")) && !contains(type, "uint8_t") &&
         !contains(type, "unsigned");
}

ParameterRole role_of(const SourceParameter& parameter, Quantization quantization, bool layer_norm) {
  ParameterRole result{.role = LauncherRole::unknown,
                       .form = form_of(parameter.type),
                       .name = parameter.name,
                       .type = parameter.type,
                       .left_out = parameter.has_default};
  const std::string name = plain_name(parameter.name);
  if (contains(parameter.type, "tream")) {
    result.role = LauncherRole::stream;
    result.form = ParameterForm::number;
  } else if (result.form == ParameterForm::number) {
    result.role = role_of_number(parameter.type, name);
  } else if (name == "scale" || name == "scales") {
    result.role = quantization == Quantization::by_row           ? LauncherRole::scales
                  : quantization == Quantization::by_given_scale ? LauncherRole::scale
                                                                 : LauncherRole::weight;
  } else {
    if (layer_norm) result.role = called(kTensorsOfLayerNorm, name);
    if (result.role == LauncherRole::unknown) result.role = called(kTensors, name);
    if (result.role == LauncherRole::unknown && result.form == ParameterForm::optional_tensor)
      result.role = LauncherRole::absent;
    if (result.role == LauncherRole::scale_ub && quantization != Quantization::by_row)
      result.role = LauncherRole::absent;
    // A tensor that must be there, and is not. An upper bound of infinity is none.
    if (result.role == LauncherRole::absent && result.form == ParameterForm::tensor)
      result.role = LauncherRole::unknown;
  }
  if (result.role == LauncherRole::unknown && parameter.has_default) result.role = LauncherRole::flag;
  return result;
}

void settle_sizes(std::vector<ParameterRole>& parameters) {
  const auto has = [&](LauncherRole role) {
    return std::any_of(parameters.begin(), parameters.end(),
                       [&](const ParameterRole& each) { return each.role == role; });
  };
  const LauncherRole n = has(LauncherRole::columns) ? LauncherRole::rows : LauncherRole::columns;
  for (ParameterRole& each : parameters) {
    if (each.role == LauncherRole::size_n) each.role = n;
  }
  // Nothing behind what is given can be left out.
  bool last = true;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    ParameterRole& each = parameters[i];
    const bool worth_giving = each.role == LauncherRole::epsilon || each.role == LauncherRole::residual ||
                              each.role == LauncherRole::weight || each.role == LauncherRole::bias ||
                              each.role == LauncherRole::scale_ub;
    if (!each.left_out || worth_giving) last = false;
    each.left_out = each.left_out && last;
  }
}

}  // namespace normproof
