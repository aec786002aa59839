// The rows of the policy table. A new value of an axis is one enumerator and one row here.
#include "oracle/policy_rows.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

namespace normproof::oracle {
namespace {

Value scaled(Arithmetic& a, const Value& x, const RowUnknown& u) {
  return a.round(Step::scaled, u.divides ? "fl(x / rms)" : "fl(x * r)", DType::fp32, u.applied_to(x));
}

Product native_with(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u,
                    const Value& factor) {
  const Value n =
      round_narrow(a, formats, Step::normalized, "n = rnd_W(fl(x * r))", *formats.weight, scaled(a, x, u));
  return {n * factor, *formats.weight};
}
Value normalized_in_activation(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u) {
  return round_narrow(a, formats, Step::normalized, "n = rnd_T(fl(x * r))", formats.activation,
                      scaled(a, x, u));
}
Value one_plus(Arithmetic& a, const Value& w) {
  return a.round(Step::weight_factor, "fl(1 + w)", DType::fp32, Value::integer(1) + w);
}
Value one_plus_in_activation(Arithmetic& a, const Formats& formats, const Value& w) {
  return round_narrow(a, formats, Step::weight_factor, "rnd_T(fl(1 + w))", formats.activation,
                      one_plus(a, w));
}
Value weighted(Arithmetic& a, const Value& x, const Value& w) {
  return a.round(Step::weighted, "fl(x * w)", DType::fp32, x * w);
}

Product native_weight(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u,
                      const Value& w) {
  return native_with(a, formats, x, u, w);
}
Product activation_weight(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u,
                          const Value& w) {
  const Value n = normalized_in_activation(a, formats, x, u);
  const bool fp32 = formats.activation == DType::fp32 || *formats.weight == DType::fp32;
  return {n * w, fp32 ? DType::fp32 : formats.activation};
}
Product fp32_weight(Arithmetic& a, const Formats&, const Value& x, const RowUnknown& u, const Value& w) {
  return {scaled(a, x, u) * w, DType::fp32};
}
Product fp32_plus_one_weight(Arithmetic& a, const Formats&, const Value& x, const RowUnknown& u,
                             const Value& w) {
  const Value factor = one_plus(a, w);
  return {scaled(a, x, u) * factor, DType::fp32};
}
Product cast_weight(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u,
                    const Value& w) {
  const Value factor = round_narrow(a, formats, Step::weight_factor, "rnd_T(w)", formats.activation, w);
  return {normalized_in_activation(a, formats, x, u) * factor, formats.activation};
}
Product fp32_plus_zero_weight(Arithmetic& a, const Formats&, const Value& x, const RowUnknown& u,
                              const Value& w) {
  const Value factor = a.round(Step::weight_factor, "fl(0 + w)", DType::fp32, Value() + w);
  return {scaled(a, x, u) * factor, DType::fp32};
}
Product plus_one_activation_weight(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u,
                                   const Value& w) {
  const Value factor = one_plus_in_activation(a, formats, w);
  return {scaled(a, x, u) * factor, DType::fp32};
}
Product native_plus_one_weight(Arithmetic& a, const Formats& formats, const Value& x, const RowUnknown& u,
                               const Value& w) {
  const Value factor = one_plus_in_activation(a, formats, w);
  return native_with(a, formats, x, u, factor);
}
Product product_first_weight(Arithmetic& a, const Formats&, const Value& x, const RowUnknown& u,
                             const Value& w) {
  return {u.applied_to(weighted(a, x, w)), DType::fp32};
}
Product product_first_activation_weight(Arithmetic& a, const Formats& formats, const Value& x,
                                        const RowUnknown& u, const Value& w) {
  const Value first =
      round_narrow(a, formats, Step::weighted, "rnd_T(fl(x * w))", formats.activation, weighted(a, x, w));
  return {u.applied_to(first), DType::fp32};
}
Product factor_first_weight(Arithmetic& a, const Formats&, const Value& x, const RowUnknown& u,
                            const Value& w) {
  const Value factor =
      a.round(Step::weighted, u.divides ? "fl(w / rms)" : "fl(r * w)", DType::fp32, u.applied_to(w));
  return {x * factor, DType::fp32};
}

void fp32_accumulate(Arithmetic& a, DType, Accumulator& acc, const Value& x, const Value& y) {
  acc.sum = a.round(Step::accumulate, "fma(x, x, acc)", DType::fp32, x * y + acc.sum);
}
void activation_accumulate(Arithmetic& a, DType activation, Accumulator& acc, const Value& x,
                           const Value& y) {
  const Value square = a.round(Step::accumulate, "rnd_T(x * x)", activation, x * y);
  acc.sum = a.round(Step::accumulate, "rnd_T(acc + square)", activation, acc.sum + square);
}
void fp64_accumulate(Arithmetic& a, DType, Accumulator& acc, const Value& x, const Value& y) {
  acc.sum = a.round(Step::accumulate, "rnd_fp64(x * x + acc)", kFp64, x * y + acc.sum);
}
void kahan_accumulate(Arithmetic& a, DType, Accumulator& acc, const Value& x, const Value& y) {
  const auto fl = [&](std::string_view formula, const Value& exact) {
    return a.round(Step::accumulate, formula, DType::fp32, exact);
  };
  const Value term = fl("fl(square - c)", fl("fl(x * x)", x * y) + -acc.correction);
  const Value sum = fl("fl(acc + term)", acc.sum + term);
  acc.correction = fl("c", fl("fl(sum - acc)", sum + -acc.sum) + -term);
  acc.sum = sum;
}

Value given_epsilon(Arithmetic&, DType, const Value& epsilon) { return epsilon; }
Value epsilon_in_activation(Arithmetic& a, DType activation, const Value& epsilon) {
  return a.round(Step::epsilon, "rnd_T(eps)", activation, epsilon);
}
Value floored_epsilon(Arithmetic& a, DType activation, const Value& epsilon) {
  const Value least = Value::finite(false, 1, format_of(activation).min_exponent());
  return a.round(Step::epsilon, "max(eps, smallest normal T)", DType::fp32,
                 epsilon < least ? least : epsilon);
}

SumParts rounded_sum(Arithmetic& a, const Formats& formats, const Value& x, const Value& residual) {
  const Value s = round_narrow(a, formats, Step::residual_out, "s = rnd_T(x + residual)", formats.residual(),
                               x + residual);
  return {s, s, s};
}
SumParts fp32_sum(Arithmetic& a, const Formats& formats, const Value& x, const Value& residual) {
  const Value s = a.round(Step::residual_sum, "s = fl(x + residual)", DType::fp32, x + residual);
  return {s, s, round_narrow(a, formats, Step::residual_out, "rnd_T(s)", formats.residual(), s)};
}
SumParts mixed_sum(Arithmetic& a, const Formats& formats, const Value& x, const Value& residual) {
  const Value unrounded = a.round(Step::residual_sum, "fl(x + residual)", DType::fp32, x + residual);
  const Value s = round_narrow(a, formats, Step::residual_out, "s = rnd_T(x + residual)", formats.residual(),
                               x + residual);
  return {unrounded, s, s};
}

Value rounded_before_quantization(Arithmetic& a, const Formats& formats, const Product& product) {
  const Value p = round_narrow(a, formats, Step::product, "p = n * w", product.format, product.exact);
  return round_narrow(a, formats, Step::output, "y = rnd_T(p)", formats.activation, p);
}
Value unrounded_before_quantization(Arithmetic& a, const Formats&, const Product& product) {
  return a.round(Step::product, "fl(n * w)", DType::fp32, product.exact);
}

Value inverse_scaling(Arithmetic& a, const Value& y, const Value& scale) {
  const Value inverse =
      a.round(Step::inverse_scale, "inv = fl(1 / scale)", DType::fp32, quotient(Value::integer(1), scale));
  return a.round(Step::scaled_output, "fl(y * inv)", DType::fp32, y * inverse);
}
Value divide_scaling(Arithmetic& a, const Value& y, const Value& scale) {
  return a.round(Step::scaled_output, "fl(y / scale)", DType::fp32, quotient(y, scale));
}

Value clamp(const Value& scaled_output, const Value& maximum) {
  if (scaled_output > maximum) return maximum;
  if (scaled_output < -maximum) return -maximum;
  return scaled_output;
}
Value propagating_clamp(const Value& scaled_output, const Value& maximum) {
  return clamp(scaled_output, maximum);
}
Value saturating_clamp(const Value& scaled_output, const Value& maximum) {
  return scaled_output.is_nan() ? maximum : clamp(scaled_output, maximum);
}

using First = WeightRow::First;
using Intermediate = WeightRow::Intermediate;
using Factor = WeightRow::Factor;
using Precision = VarianceRow::Precision;

constexpr std::array<WeightRow, 11> kWeight = {{
    {{"native", "rnd_T(rnd_W(rnd_W(fl(x*r)) * w))",
      "vLLM IR spec, vLLM CUDA <= 0.19.1, Apex, Liger \"llama\", MLX CUDA and CPU"},
     native_weight,
     First::x_and_unknown,
     Intermediate::weight,
     Factor::weight},
    {{"activation", "rnd_T(w * rnd_T(fl(x*r))), the product in the wider of T and W", "Hugging Face Llama"},
     activation_weight,
     First::x_and_unknown,
     Intermediate::activation,
     Factor::weight},
    {{"fp32", "rnd_T(fl(fl(x*r) * w))",
      "vLLM CUDA (mid 2026), TensorRT-LLM, PyTorch F.rms_norm, QuACK, SGLang, MLX Metal, torch.compile"},
     fp32_weight,
     First::x_and_unknown,
     Intermediate::fp32,
     Factor::weight},
    {{"fp32_plus_one", "rnd_T(fl(fl(x*r) * fl(1 + w)))", "Gemma, QuACK weight_offset, TransformerEngine"},
     fp32_plus_one_weight,
     First::x_and_unknown,
     Intermediate::fp32,
     Factor::one_plus},
    {{"cast", "rnd_T(rnd_T(fl(x*r)) * rnd_T(w)); with root=activation all three are in T",
      "OpenVINO fp16 (bug B43)"},
     cast_weight,
     First::x_and_unknown,
     Intermediate::activation,
     Factor::activation},
    {{"fp32_plus_zero", "rnd_T(fl(fl(x*r) * fl(0 + w))), so a weight of -0 acts as +0", "FlashInfer"},
     fp32_plus_zero_weight,
     First::x_and_unknown,
     Intermediate::fp32,
     Factor::zero_plus},
    {{"plus_one_activation", "rnd_T(fl(fl(x*r) * rnd_T(fl(1 + w))))",
      "TransformerEngine with NVTE_ZERO_CENTERED_GAMMA_IN_WTYPE; bug B10"},
     plus_one_activation_weight,
     First::x_and_unknown,
     Intermediate::fp32,
     Factor::one_plus_activation},
    {{"native_plus_one", "rnd_T(rnd_W(rnd_W(fl(x*r)) * rnd_T(fl(1 + w))))", "Liger (bug B34)"},
     native_plus_one_weight,
     First::x_and_unknown,
     Intermediate::weight,
     Factor::one_plus_activation},
    {{"product_first", "rnd_T(fl(fl(x*w) * r))", "AITER gated quantization (bug B33)"},
     product_first_weight,
     First::x_and_weight,
     Intermediate::fp32,
     Factor::weight},
    {{"product_first_activation", "rnd_T(fl(rnd_T(fl(x*w)) * r))", "FlashInfer NVFP4, cluster path"},
     product_first_activation_weight,
     First::x_and_weight,
     Intermediate::activation,
     Factor::weight},
    {{"factor_first", "rnd_T(fl(x * fl(r*w)))", "vLLM fused q/k norm and rope"},
     factor_first_weight,
     First::weight_and_unknown,
     Intermediate::fp32,
     Factor::weight},
}};
constexpr std::array<VarianceRow, 4> kVariance = {{
    {{"fp32", "squares, sum, mean and eps in fp32", "all but Liger \"none\""},
     fp32_accumulate,
     Precision::fp32,
     false},
    {{"activation", "operands, squares, sum, mean and eps in T, each step rounded to T", "Liger \"none\""},
     activation_accumulate,
     Precision::activation,
     false},
    {{"fp64", "squares, sum, mean, eps and m in fp64, the root rounded once to fp32",
      "references in NumPy and C++ with a double accumulator"},
     fp64_accumulate,
     Precision::fp64,
     false},
    {{"kahan", "fl(x*x) summed in fp32 with Kahan's correction, lanes joined without",
      "compensated accumulators"},
     kahan_accumulate,
     Precision::fp32,
     true},
}};
constexpr std::array<MeanRow, 3> kMean = {{
    {{"of_sum", "v = fl(sum / H), m = fl(v + eps)", "all but those below"}, false, false},
    {{"fma", "m = fma(sum, fl(1/H), eps), one rounding", "compilers that contract"}, false, true},
    {{"of_terms", "the sum of fl(x * fl(x/H)) is v", "ONNX Runtime fp16 (bug B31)"}, true, false},
}};
constexpr std::array<EpsilonRow, 4> kEpsilon = {{
    {{"added", "m = fl(v + eps)", "all but those below"}, given_epsilon, false},
    {{"maximum", "m = max(v, eps), NaN if v is", "norms that clamp the mean square"}, given_epsilon, true},
    {{"activation", "m = fl(v + rnd_T(eps))", "kernels that take eps as a T (bug B8)"},
     epsilon_in_activation,
     false},
    {{"floored", "m = fl(v + max(eps, smallest normal number of T))",
      "kernels that keep eps from vanishing in fp16"},
     floored_epsilon,
     false},
}};
constexpr std::array<RootRow, 3> kRoot = {{
    {{"multiply", "r = fl(1 / sqrt(m)), x*r", "all but those below"}, false, false},
    {{"activation", "r = rnd_T(fl(1 / sqrt(m))), x*r", "DeepSpeed (bug B7)"}, true, false},
    {{"divide", "rms = fl(sqrt(m)), x / rms in the place of x*r", "NumPy, ONNX's definition, tinygrad"},
     false,
     true},
}};
constexpr std::array<RoundingRow, 3> kRounding = {{
    {{"nearest_even", "rnd_T to the nearest number, ties to even", "all but those below"},
     Rounding::nearest_even},
    {{"truncate", "rnd_T(z) cuts bits off fl(z), outside of the variance", "AITER (bug B5)"},
     Rounding::toward_zero},
    {{"ties_away", "rnd_T(z) of fl(z), ties away from zero, outside of the variance",
      "AITER, a build option (bug B45)"},
     Rounding::nearest_away},
}};
constexpr std::array<SumRow, 3> kSum = {{
    {{"rounded", "s = rnd_T(x+res) feeds variance and output", "vLLM CUDA, Liger"}, rounded_sum, true, true},
    {{"fp32", "s = fl(x+res) feeds both, residual out = rnd_T(s)", "vLLM IR, FlashInfer, QuACK"},
     fp32_sum,
     false,
     false},
    {{"mixed", "variance from fl(x+res), output from rnd_T(x+res)", "vLLM CPU"}, mixed_sum, false, true},
}};
constexpr std::array<BeforeQuantizationRow, 2> kBeforeQuantization = {{
    {{"rounded", "y is rounded to T, then quantized", "vLLM"}, rounded_before_quantization},
    {{"unrounded", "fl(n*w) is quantized, the roundings to W and T after the product are skipped",
      "FlashInfer, torch.compile; with native weight bug B4"},
     unrounded_before_quantization},
}};
constexpr std::array<ScalingRow, 4> kScaling = {{
    {{"inverse", "fl(y * fl(1/scale))", "vLLM static FP8"}, inverse_scaling, false, false, false},
    {{"divide", "fl(y / scale)", "vLLM dynamic FP8"}, divide_scaling, true, false, false},
    {{"approximate_inverse", "fl(y * f), f one of the two numbers of fp32 next to 1/scale",
      "rcp.approx: vLLM built with fast math"},
     inverse_scaling,
     false,
     true,
     false},
    {{"range_over_maximum", "fl(y * fl(max_Q / a)) with the a that s is made of; at most fl(1 / least s)",
      "FlashInfer, a scale for each row or block"},
     inverse_scaling,
     false,
     false,
     true},
}};
constexpr std::array<Fp8RoundingRow, 2> kFp8Rounding = {{
    {{"once", "the scaled value is rounded to fp8", "all but those below"}, false},
    {{"through_bf16", "the scaled value is rounded to bf16, then to fp8", "FlashInfer (bug B32)"}, true},
}};
constexpr std::array<Fp8NanRow, 2> kFp8Nan = {{
    {{"propagate", "NaN stays NaN", "this contract"}, propagating_clamp},
    {{"saturate", "the clamp turns NaN into +max", "vLLM, FlashInfer"}, saturating_clamp},
}};

constexpr std::array<RangeRow, 2> kRange = {{
    {{"largest", "max_Q is the largest number of Q", "all but those below"}, false},
    {{"fnuz_224", "max_Q of e4m3fnuz is 224, not 240", "vLLM on ROCm"}, true},
}};
constexpr std::array<RowMaximumRow, 2> kRowMaximum = {{
    {{"of_quantized", "a = max abs(y) of the y that is quantized", "all but those below"}, false},
    {{"of_other", "a of the unrounded y where rnd_T(y) is quantized, and the other way round",
      "FlashInfer generalLayerNorm without shared memory"},
     true},
}};
constexpr std::array<MaximumNanRow, 2> kMaximumNan = {{
    {{"propagate", "a row with a NaN has a NaN scale", "this contract, torch.amax"}, false},
    {{"drop", "a is the largest of what is no NaN, or 0", "fmaxf: vLLM, FlashInfer"}, true},
}};
constexpr std::array<RowScaleRow, 2> kRowScale = {{
    {{"quotient", "s = fl(a / max_Q)", "vLLM, FlashInfer, PyTorch"}, false},
    {{"product", "s = fl(a * fl(1 / max_Q))", "vLLM built with fast math"}, true},
}};
std::uint32_t no_floor(DType, std::uint32_t) { return 0; }
std::uint32_t smallest_step(DType quantized, std::uint32_t range_bits) {
  if (quantized == DType::int8) return 0x34000000u;  // FLT_EPSILON
  const Value range = decode(DType::fp32, range_bits);
  return static_cast<std::uint32_t>(
      round_bits(format_of(DType::fp32), quotient(Value::integer(1), range * Value::integer(512))));
}
std::uint32_t bits_of_1e_10(DType, std::uint32_t) { return 0x2edbe6ffu; }
constexpr std::array<ScaleFloorRow, 4> kScaleFloor = {{
    {{"range_512", "s is at least fl(1 / (512 max_Q)), of int8 2^-23", "vLLM"}, 0, smallest_step, false},
    {{"none", "a row of zeros has scale 0", "PyTorch without a floor"}, 0, no_floor, false},
    {{"maximum_1e-4", "a is at least 1e-4", "FlashInfer, DeepGEMM"}, 0x38d1b717u, no_floor, false},
    {{"scale_1e-10", "s = fl(a / max_Q) where a > 1e-10, else 1e-10", "AITER"}, 0, bits_of_1e_10, true},
}};

constexpr std::array<Int8LowRow, 2> kInt8Low = {{
    {{"minus_128", "int8 codes are -128 to 127", "cvt.rni.sat.s8.f32: vLLM"}, -128},
    {{"minus_127", "int8 codes are -127 to 127", "kernels that keep the range symmetric"}, -127},
}};

template <typename Table, typename Enum>
const auto& at(const Table& table, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  if (index >= table.size())
    throw std::invalid_argument(fmt::format("policy: {} is no value of its axis", index));
  return table[index];
}

}  // namespace

Value round_narrow(Arithmetic& arithmetic, const Formats& formats, Step step, std::string_view formula,
                   DType format, const Value& exact) {
  const Rounding rounding = row_of(formats.rounding).rounding;
  if (format == DType::fp32 || rounding == Rounding::nearest_even)
    return arithmetic.round(step, formula, format, exact);
  return arithmetic.round(step, formula, format, round_to(DType::fp32, exact), rounding);
}

const Format& VarianceRow::format(DType activation) const {
  switch (precision) {
    case Precision::fp64:
      return kFp64;
    case Precision::activation:
      return format_of(activation);
    case Precision::fp32:
      break;
  }
  return format_of(DType::fp32);
}

std::span<const WeightRow> weight_rows() { return kWeight; }
std::span<const VarianceRow> variance_rows() { return kVariance; }
std::span<const MeanRow> mean_rows() { return kMean; }
std::span<const EpsilonRow> epsilon_rows() { return kEpsilon; }
std::span<const RootRow> root_rows() { return kRoot; }
std::span<const RoundingRow> rounding_rows() { return kRounding; }
std::span<const SumRow> sum_rows() { return kSum; }
std::span<const BeforeQuantizationRow> before_quantization_rows() { return kBeforeQuantization; }
std::span<const ScalingRow> scaling_rows() { return kScaling; }
std::span<const Fp8RoundingRow> fp8_rounding_rows() { return kFp8Rounding; }
std::span<const Fp8NanRow> fp8_nan_rows() { return kFp8Nan; }
std::span<const RangeRow> range_rows() { return kRange; }
std::span<const RowMaximumRow> row_maximum_rows() { return kRowMaximum; }
std::span<const MaximumNanRow> maximum_nan_rows() { return kMaximumNan; }
std::span<const RowScaleRow> row_scale_rows() { return kRowScale; }
std::span<const ScaleFloorRow> scale_floor_rows() { return kScaleFloor; }
std::span<const Int8LowRow> int8_low_rows() { return kInt8Low; }

const WeightRow& row_of(WeightPolicy value) { return at(kWeight, value); }
const VarianceRow& row_of(VariancePolicy value) { return at(kVariance, value); }
const MeanRow& row_of(MeanPolicy value) { return at(kMean, value); }
const EpsilonRow& row_of(EpsilonPolicy value) { return at(kEpsilon, value); }
const RootRow& row_of(RootPolicy value) { return at(kRoot, value); }
const RoundingRow& row_of(ActivationRounding value) { return at(kRounding, value); }
const SumRow& row_of(SumPolicy value) { return at(kSum, value); }
const BeforeQuantizationRow& row_of(BeforeQuantization value) { return at(kBeforeQuantization, value); }
const ScalingRow& row_of(ScalingPolicy value) { return at(kScaling, value); }
const Fp8RoundingRow& row_of(Fp8Rounding value) { return at(kFp8Rounding, value); }
const Fp8NanRow& row_of(Fp8NanPolicy value) { return at(kFp8Nan, value); }
const RangeRow& row_of(RangePolicy value) { return at(kRange, value); }
const RowMaximumRow& row_of(RowMaximumPolicy value) { return at(kRowMaximum, value); }
const MaximumNanRow& row_of(MaximumNanPolicy value) { return at(kMaximumNan, value); }
const RowScaleRow& row_of(RowScalePolicy value) { return at(kRowScale, value); }
const ScaleFloorRow& row_of(ScaleFloor value) { return at(kScaleFloor, value); }
const Int8LowRow& row_of(Int8Low value) { return at(kInt8Low, value); }

std::string_view unknown_name(const Policy& policy) { return row_of(policy.root).divides ? "rms" : "r"; }

}  // namespace normproof::oracle
