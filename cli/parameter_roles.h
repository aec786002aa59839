// What a parameter of a norm's launcher is, by its type and name, as people call them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/source_functions.h"

namespace normproof {

enum class LauncherRole {
  unknown,
  out,
  residual_out,
  input,
  residual,
  weight,
  scale,
  inverse_rms,  // an output of one number a row, which nobody judges
  absent,       // a tensor that may be left out and is: a bias, a mask
  epsilon,
  gain,  // one number in the place of the weight
  rows,
  columns,
  size_n,  // n: columns or rows, as the others say
  input_stride,
  out_stride,
  residual_stride,
  shape,
  type,
  one,
  zero,
  flag,
  stream,
  scales,  // an output of one number a row, which is judged
  bias,    // of LayerNorm, as the next ones
  mean,
  rstd,
  scale_ub,  // the upper bound of what the scales of rows are made of
};
enum class ParameterForm { number, tensor, tensor_pointer, optional_tensor, pointer };

struct ParameterRole {
  LauncherRole role = LauncherRole::unknown;
  ParameterForm form = ParameterForm::number;
  std::string name, type;
  bool left_out = false;  // it has a value of its own
};

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view name_of(LauncherRole role);
// Set without knowing what it means.
bool is_assumed(LauncherRole role);

// A pointer that int8 codes are written to.
bool is_int8_output(const ParameterRole& parameter);

// What a function says of the scale that it quantizes by.
enum class Quantization { none, by_given_scale, by_row };

// Where it quantizes, a tensor called scale is no weight. LayerNorm has a bias and stores its statistics.
ParameterRole role_of(const SourceParameter& parameter, Quantization quantization, bool layer_norm = false);

// n is the number of rows beside k, d or the like, and that of columns beside m or alone. Parameters with
// values of their own are left out from the last on.
void settle_sizes(std::vector<ParameterRole>& parameters);

}  // namespace normproof
