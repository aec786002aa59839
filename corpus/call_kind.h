// Which kind of call: an operation, and the dtypes that its description leaves to the caller. A case, a
// question, an order of summation and a cell of a tally are each of one kind; what is asked of all of them
// alike is asked here.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "corpus/operation.h"

namespace normproof {

struct CallKind {
  Operation operation = Operation::rms_norm;
  DType dtype = DType::bf16;             // activation dtype T
  std::optional<DType> weight_dtype;     // W: T or fp32; nothing: no weight
  std::optional<DType> quantized_dtype;  // Q: exactly where the operation quantizes
  friend bool operator==(const CallKind&, const CallKind&) = default;

  // Of what is of a kind and more.
  CallKind& kind() { return *this; }
  const CallKind& kind() const { return *this; }

  // Whether the operation has such a tensor and the call does not do without it. An upper bound of scales is
  // of one case, not of its kind.
  bool has(Role role) const;
  // Whether there are values for the tensor: an input that is more than the place of a parameter.
  bool has_data(Role role) const { return has(role) && is_data(operation, role); }
  bool has_output(Role role) const { return has(role) && is_output(operation, role); }
  // Whether its rows lie where strides say.
  bool has_strides(Role role) const;
  // Inputs with the shape of the call, as x.
  std::vector<Role> inputs_with_rows() const;
  // Whether `out` holds codes: numbers only together with a scale.
  bool has_codes() const { return quantized_dtype.has_value(); }
  DType output_dtype() const { return quantized_dtype.value_or(dtype); }
  // That `out` holds codes of this dtype. Requires an operation that makes codes.
  void set_codes(DType codes) { quantized_dtype = codes; }
};

// The dtypes that a call may do without, by their key in JSON.
struct OptionalDType {
  std::string_view key;
  std::optional<DType> CallKind::* of;
};
inline constexpr std::array kOptionalDTypes = {OptionalDType{"weight_dtype", &CallKind::weight_dtype},
                                               OptionalDType{"quantized_dtype", &CallKind::quantized_dtype}};

// A kind of call of the operation, with that dtype where `out` holds codes.
CallKind call_kind(Operation operation, DType dtype, std::optional<DType> weight_dtype,
                   DType codes = kQuantizedDTypes.front());
// One for each weight that there may be: that of the activations, fp32 where that is another, none.
std::vector<CallKind> call_kinds(Operation operation, DType dtype, DType codes);
// "rms_norm_static_fp8_quant bf16, weight fp32, out fp8_e4m3fn", "rms_norm bf16, no weight"
std::string kind_text(const CallKind& kind);

}  // namespace normproof
