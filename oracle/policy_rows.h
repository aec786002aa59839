// What each value of an axis does, on exact values and, as data, on the fast path: one row per value.
#pragma once

#include <cstdint>
#include <optional>

#include "oracle/policy.h"
#include "oracle/steps.h"

namespace normproof::oracle {

struct Formats {
  DType activation = DType::bf16;
  std::optional<DType> weight;
  std::optional<DType> quantized;
  ActivationRounding rounding = ActivationRounding::nearest_even;  // to T, from fp32
  bool fp32_output = false;                                        // y is fp32 where T is narrower
  bool fp32_residual = false;                                      // so are the residual and its sum

  DType residual() const { return fp32_residual ? DType::fp32 : activation; }
};
// `exact` rounded to T (or to W = T) as the policy rounds. To anything but the nearest even number it is
// rounded to fp32 first, as kernels do that cut bits off an fp32 number.
Value round_narrow(Arithmetic& arithmetic, const Formats& formats, Step step, std::string_view formula,
                   DType format, const Value& exact);

// The unknown of a row, an fp32 number u >= 0: r = 1 / sqrt(m), by which is multiplied, or rms = sqrt(m), by
// which is divided.
struct RowUnknown {
  Value value;
  bool divides = false;
  // x * r or x / rms, not rounded.
  Value applied_to(const Value& x) const { return divides ? quotient(x, value) : x * value; }
};

struct SumParts {
  Value variance_operand;
  Value output_operand;
  Value residual_out;
};
// The exact product of normalized value and weight, and the format in which the policy computes it.
struct Product {
  Value exact;
  DType format = DType::fp32;
};
// A running sum of terms; the correction is used where the sum is compensated.
struct Accumulator {
  Value sum;
  Value correction;
};

// --- Monotonicity, which the witness judge needs ---
// For fixed operands each row's product is a chain of steps, each monotone in the one before: a product with
// a constant, a quotient by or of a constant, a rounding. So the output rises or falls with u throughout, or
// it has two phases, NaN and one constant (oracle/feasible.h). u enters once:
//   x first        fl(x*u), then rounded, then times w: monotone in fl(x*u)
//   product_first  fl(c*u) with c = fl(x*w)
//   factor_first   fl(x*f) with f = fl(w*u)
// and with root=divide as /u instead of *u, with root=activation behind rnd_T(u).
struct WeightRow {
  PolicyValue text;
  Product (*function)(Arithmetic&, const Formats&, const Value& x, const RowUnknown& u, const Value& w);
  // The same in the terms of the fast path: which two of x, u, w are multiplied first, the format N of that
  // product, and the factor that takes the place of w.
  enum class First : std::uint8_t { x_and_unknown, x_and_weight, weight_and_unknown } first;
  enum class Intermediate : std::uint8_t { weight, activation, fp32 } intermediate;  // N
  enum class Factor : std::uint8_t { weight, activation, zero_plus, one_plus, one_plus_activation } factor;
  bool adds_one() const { return factor == Factor::one_plus || factor == Factor::one_plus_activation; }
  bool rounds_to_activation() const {
    return factor == Factor::activation || factor == Factor::one_plus_activation;
  }
  // The widespread orders, for which there are vectorized loops.
  bool is_plain() const { return first == First::x_and_unknown; }
};
struct VarianceRow {
  PolicyValue text;
  // accumulator + a * b
  void (*accumulate)(Arithmetic&, DType activation, Accumulator&, const Value& a, const Value& b);
  enum class Precision : std::uint8_t { fp32, activation, fp64 } precision;  // of the sum, mean, eps and m
  bool compensated;
  bool in_activation_dtype() const { return precision == Precision::activation; }
  const Format& format(DType activation) const;
};
struct MeanRow {
  PolicyValue text;
  bool of_terms;  // a term is x * (x / H), and their sum is the mean
  bool fused;     // m = fma(sum, 1 / H, eps)
};
struct EpsilonRow {
  PolicyValue text;
  // The epsilon that takes part, from that of the call.
  Value (*operand)(Arithmetic&, DType activation, const Value& epsilon);
  bool takes_maximum;  // m = max(v, eps), NaN if one of them is
};
struct RootRow {
  PolicyValue text;
  bool rounds_to_activation;
  bool divides;
};
struct RoundingRow {
  PolicyValue text;
  Rounding rounding;
};
struct SumRow {
  PolicyValue text;
  SumParts (*function)(Arithmetic&, const Formats&, const Value& x, const Value& residual);
  bool variance_reads_rounded;  // variance from rnd_T(x + residual), else from fl(x + residual)
  bool output_reads_rounded;
};
struct BeforeQuantizationRow {
  PolicyValue text;
  Value (*function)(Arithmetic&, const Formats&, const Product&);
};
struct ScalingRow {
  PolicyValue text;
  // The scaled value where the scale alone says with what it is made; else see code_factor.h.
  Value (*function)(Arithmetic&, const Value& y, const Value& scale);
  bool divides;
  bool approximate;   // the factor is one of the two fp32 numbers next to 1 / scale
  bool from_maximum;  // the factor is max_Q / a, of the maximum that the scale is made of
};
// Of fp8 alone: an int8 code is rounded once, and NaN becomes 0.
struct Fp8RoundingRow {
  PolicyValue text;
  bool through_bf16;
};
struct Fp8NanRow {
  PolicyValue text;
  Value (*clamp)(const Value& scaled, const Value& maximum);
};
struct RangeRow {
  PolicyValue text;
  bool fnuz_ends_at_224;  // the largest number of e4m3fnuz that is used
};
// The row's scale s(r) rises with r, or falls where r is a divisor: |y| does for every element, so its
// largest does, and so does every step from there to s. What NaN does to that is in scale_roots.h.
struct RowMaximumRow {
  PolicyValue text;
  bool of_other;  // of rnd_T(y) where the unrounded y is quantized, and the other way round
};
struct MaximumNanRow {
  PolicyValue text;
  bool drops;
};
struct RowScaleRow {
  PolicyValue text;
  bool multiplies;  // by the rounded inverse of the range
};
struct ScaleFloorRow {
  PolicyValue text;
  // The least maximum that is used, and the least scale of a dtype with this max_Q; fp32 bits, 0 where there
  // is none.
  std::uint32_t least_maximum;
  std::uint32_t (*least_scale)(DType quantized, std::uint32_t range_bits);
  // A maximum up to the least scale gives that scale, whatever its quotient is.
  bool compares_maximum;
};

struct Int8LowRow {
  PolicyValue text;
  std::int64_t least;  // int8 codes end here
};

// Each axis's rows, in the order of its enumeration.
std::span<const WeightRow> weight_rows();
std::span<const VarianceRow> variance_rows();
std::span<const MeanRow> mean_rows();
std::span<const EpsilonRow> epsilon_rows();
std::span<const RootRow> root_rows();
std::span<const RoundingRow> rounding_rows();
std::span<const SumRow> sum_rows();
std::span<const BeforeQuantizationRow> before_quantization_rows();
std::span<const ScalingRow> scaling_rows();
std::span<const Fp8RoundingRow> fp8_rounding_rows();
std::span<const Fp8NanRow> fp8_nan_rows();
std::span<const RangeRow> range_rows();
std::span<const RowMaximumRow> row_maximum_rows();
std::span<const MaximumNanRow> maximum_nan_rows();
std::span<const RowScaleRow> row_scale_rows();
std::span<const ScaleFloorRow> scale_floor_rows();
std::span<const Int8LowRow> int8_low_rows();

// The row of one value. Throws std::invalid_argument for a value outside the enumeration.
const WeightRow& row_of(WeightPolicy value);
const VarianceRow& row_of(VariancePolicy value);
const MeanRow& row_of(MeanPolicy value);
const EpsilonRow& row_of(EpsilonPolicy value);
const RootRow& row_of(RootPolicy value);
const RoundingRow& row_of(ActivationRounding value);
const SumRow& row_of(SumPolicy value);
const BeforeQuantizationRow& row_of(BeforeQuantization value);
const ScalingRow& row_of(ScalingPolicy value);
const Fp8RoundingRow& row_of(Fp8Rounding value);
const Fp8NanRow& row_of(Fp8NanPolicy value);
const RangeRow& row_of(RangePolicy value);
const RowMaximumRow& row_of(RowMaximumPolicy value);
const MaximumNanRow& row_of(MaximumNanPolicy value);
const RowScaleRow& row_of(RowScalePolicy value);
const ScaleFloorRow& row_of(ScaleFloor value);
const Int8LowRow& row_of(Int8Low value);

// "r" or "rms": what the unknown of a row is called.
std::string_view unknown_name(const Policy& policy);

}  // namespace normproof::oracle
