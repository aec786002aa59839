// rms_norm_block_quant, rms_norm_mx_quant, rms_norm_nvfp4_quant, each also with a fused add: rows of the
// table. block_quant.cpp has the judge.
#include <array>

#include "oracle/judged/block_quant.h"
#include "oracle/judged/quantization_axes.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

// --- Tensors. ---

constexpr TensorSpec kX = {
    "x", Direction::in, Extent::elements, DTypeRule::activation, Need::always, "the input before the call"};
constexpr TensorSpec kResidual = {"residual",       Direction::in,
                                  Extent::elements, DTypeRule::activation,
                                  Need::always,     "what is added to x, before the call"};
constexpr TensorSpec kResidualOut = {
    "residual_out", Direction::out,          Extent::elements, DTypeRule::activation,
    Need::always,   "the sum, rounded to T", "residual"};
constexpr TensorSpec kNormalized = {"normalized",     Direction::out,
                                    Extent::elements, DTypeRule::activation,
                                    Need::optional,   "y in T, where the kernel stores it beside its codes"};
constexpr TensorSpec kBound = {"scale_ub",      Direction::in,  Extent::one,
                               DTypeRule::fp32, Need::optional, "the upper bound of a block's maximum"};
constexpr TensorSpec kGlobal = {"global_scale",  Direction::in, Extent::one,
                                DTypeRule::fp32, Need::always,  "g, the scale of the whole tensor"};

constexpr std::array kBlockScales = {DType::fp32, DType::uint8};
constexpr std::array kMxCodes = {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::uint8};
constexpr std::array kMxScales = {DType::uint8, DType::fp32};
constexpr std::array kPackedCodes = {DType::uint8};
constexpr std::array kNvScales = {DType::fp8_e4m3fn, DType::uint8};

constexpr TensorSpec kBlockOut = {
    "out", Direction::out, Extent::codes, DTypeRule::listed, Need::always, "the codes", {}, kBlockCodes};
constexpr TensorSpec kBlockScale = {"scales",
                                    Direction::out,
                                    Extent::blocks,
                                    DTypeRule::listed,
                                    Need::always,
                                    "one for each block: fp32, or a power of two as a byte (e8m0)",
                                    {},
                                    kBlockScales};
constexpr TensorSpec kMxOut = {"out",
                               Direction::out,
                               Extent::codes,
                               DTypeRule::listed,
                               Need::always,
                               "the codes; uint8: two of e2m1, the first in the low half",
                               {},
                               kMxCodes};
constexpr TensorSpec kMxScale = {"scales",
                                 Direction::out,
                                 Extent::blocks,
                                 DTypeRule::listed,
                                 Need::always,
                                 "a power of two for each block, as a byte (e8m0) or as fp32",
                                 {},
                                 kMxScales};
constexpr TensorSpec kNvOut = {"out",
                               Direction::out,
                               Extent::codes,
                               DTypeRule::listed,
                               Need::always,
                               "two codes of e2m1 in a byte, the first in the low half",
                               {},
                               kPackedCodes};
constexpr TensorSpec kNvScale = {
    "scales", Direction::out, Extent::blocks, DTypeRule::listed, Need::always, "one of e4m3 for each block",
    {},       kNvScales};

constexpr std::array kBlockTensors = {kX, kWeightSpec, kBound, kBlockOut, kBlockScale, kNormalized};
constexpr std::array kAddBlockTensors = {kX,        kResidual,   kWeightSpec,  kBound,
                                         kBlockOut, kBlockScale, kResidualOut, kNormalized};
constexpr std::array kMxTensors = {kX, kWeightSpec, kMxOut, kMxScale, kNormalized};
constexpr std::array kAddMxTensors = {kX,       kResidual,    kWeightSpec, kMxOut,
                                      kMxScale, kResidualOut, kNormalized};
constexpr std::array kNvTensors = {kX, kWeightSpec, kGlobal, kNvOut, kNvScale, kNormalized};
constexpr std::array kAddNvTensors = {kX,     kResidual, kWeightSpec,  kGlobal,
                                      kNvOut, kNvScale,  kResidualOut, kNormalized};

// --- Axes. Their names and values are those of the policies of rms_norm_dynamic_quant where it has them. ---

bool writes_e2m1(const Call& call) { return call.has("out") && call.at("out").dtype == DType::uint8; }

constexpr std::array<AxisValue, 2> kSum = {{
    {"rounded", "rnd_T(x + residual) is normalized"},
    {"fp32", "fl(x + residual) is normalized; residual_out is rounded from it"},
}};
constexpr std::array<AxisValue, 10> kWeight = {{
    {"native", "rnd_T(rnd_W(rnd_W(fl(x * r)) * w))"},
    {"fp32", "fl(fl(x * r) * w)"},
    {"fp32_plus_one", "fl(fl(x * r) * fl(1 + w))"},
    {"product_first", "fl(fl(x * w) * r)"},
    {"activation", "w * rnd_T(fl(x * r)), the product in the wider of T and W"},
    {"product_first_activation", "fl(rnd_T(fl(x * w)) * r)"},
    {"factor_first", "fl(x * fl(r * w))"},
    {"fp32_plus_zero", "fl(fl(x * r) * fl(0 + w))"},
    {"plus_one_activation", "fl(fl(x * r) * rnd_T(fl(1 + w)))"},
    {"native_plus_one", "native with rnd_T(fl(1 + w)) in the place of w"},
}};
constexpr std::array<AxisValue, 3> kBlockScaleType = {{
    {"fp32", "s as it is"},
    {"ue8m0_ceil", "the least power of two >= s"},
    {"ue8m0_ceil_log2", "exp2(ceil(log2(s))), log2 an approximation: near a power of two either neighbour"},
}};
constexpr std::array<AxisValue, 5> kMxScaleType = {{
    {"ue8m0_ceil", "the least power of two >= fl(a / max_Q)"},
    {"ue8m0_floor", "2^(floor(log2 a) - e), 2^e the largest power of two of the elements (OCP MX)"},
    {"ue8m0_ceil_log2", "ue8m0_ceil by an approximate log2: near a power of two either neighbour"},
    {"ue8m0_ceil_exponent", "2^(ceil(log2 a) - e)"},
    {"ue8m0_even", "2^(floor(log2 a') - e), a' = a rounded half up to as many bits as the elements have"},
}};
constexpr std::array<AxisValue, 2> kNibbles = {
    {{"low_first", "the first of two codes in the low half of the byte"},
     {"high_first", "in the high half"}}};
constexpr std::array<AxisValue, 3> kLayout = {{
    {"as_shaped", "[rows, blocks] by rows, [blocks, rows] by columns, padded to 128 and 4: swizzled"},
    {"column_major", "the scales of one block of all rows lie together, whatever the shape is"},
    {"swizzled_128x4", "tiles of 128 rows and 4 blocks"},
}};
constexpr std::array<AxisValue, 4> kScaleOrder = {{
    {"global_first", "s = e4m3(min(fl(fl(g * a) * fl(1/6)), 448))"},
    {"maximum_first", "s = e4m3(min(fl(g * fl(a * fl(1/6))), 448))"},
    {"global_first_quotient", "s = e4m3(min(fl(fl(g * a) / 6), 448))"},
    {"maximum_first_quotient", "s = e4m3(min(fl(g * fl(a / 6)), 448))"},
}};
constexpr std::array<AxisValue, 3> kNvScaling = {{
    {"inverse_times_global", "fl(y * fl(fl(1/s) * g)); y * 0 where s = 0"},
    {"inverse_of_product", "fl(y * fl(1 / fl(s * fl(1/g)))); y * 0 where s = 0"},
    {"quotient", "fl(y / fl(s / g)); y * 0 where s = 0"},
}};
constexpr std::array<AxisValue, 2> kReciprocals = {{
    {"exact", "1/6, 1/s, 1/g to the nearest fp32 number"},
    {"approximate", "each one of the two fp32 numbers next to it (rcp.approx)"},
}};

constexpr std::size_t kAlone = 1;  // of its values only the first is combined with other axes
constexpr Axis kSumAxis = {"sum", kSum};
constexpr Axis kWeightAxis = {"weight", kWeight, "weight", false, 3};
constexpr Axis kBeforeAxis = {"before_quantization", kBefore};
constexpr Axis kMaximumAxis = {"row_maximum", kMaximum, {}, false, kAlone};
constexpr Axis kNanAxis = {"maximum_nan", kMaximumNan, {}, false, kAlone};
constexpr Axis kFp8NanAxis = {"fp8_nan", kFp8Nan, {}, false, kAlone, writes_fp8};
constexpr Axis kNibblesAxis = {"nibbles", kNibbles, {}, false, kAlone, writes_e2m1};
constexpr Axis kRowScaleAxis = {"row_scale", kRowScale, {}, false, 2};
constexpr Axis kTwoLayoutsAxis = {"scale_layout", std::span(kLayout).first<2>(), {}, false, kAlone};
constexpr Axis kLayoutAxis = {"scale_layout", kLayout, {}, false, kAlone};

constexpr std::array kBlockAxes = {kWeightAxis,
                                   kBeforeAxis,
                                   Axis{"scale_type", kBlockScaleType, {}, false, 2},
                                   kRowScaleAxis,
                                   Axis{"scaling", kScaling},
                                   kMaximumAxis,
                                   kNanAxis,
                                   Axis{"scale_floor", kFloor, {}, false, kAlone},
                                   Axis{"range", kRange, {}, false, 2, writes_e4m3fnuz},
                                   kFp8NanAxis,
                                   Axis{"int8_low", kInt8Low, {}, false, kAlone, writes_int8},
                                   kTwoLayoutsAxis};
constexpr std::array kMxAxes = {kWeightAxis,
                                kBeforeAxis,
                                Axis{"scale_type", kMxScaleType},
                                Axis{"row_scale", kRowScale, {}, false, kAlone},
                                kMaximumAxis,
                                kNanAxis,
                                kFp8NanAxis,
                                kNibblesAxis,
                                kLayoutAxis};
constexpr std::array kNvAxes = {kWeightAxis,
                                kBeforeAxis,
                                Axis{"scale_order", kScaleOrder},
                                Axis{"scaling", kNvScaling},
                                Axis{"reciprocals", kReciprocals},
                                kMaximumAxis,
                                kNanAxis,
                                kNibblesAxis,
                                kLayoutAxis};
constexpr auto kAddBlockAxes = with_sum(kSumAxis, kBlockAxes);
constexpr auto kAddMxAxes = with_sum(kSumAxis, kMxAxes);
constexpr auto kAddNvAxes = with_sum(kSumAxis, kNvAxes);

constexpr std::array kBounds = {kInverseRootUlp, kSumDepth};
constexpr std::array kBlockBounds = {kInverseRootUlp, kSumDepth,
                                     Bound{"group_size", 1, 1 << 24, std::nullopt}};

// --- Named policies. ---

constexpr std::array<NamedPolicy, 9> kBlockPolicies = {{
    {"vllm.rms_norm_block_quant", "scaling=divide,fp8_nan=saturate,maximum_nan=drop",
     "vLLM rms_norm_per_block_quant, fp8, built without fast math: source and outputs of an H200"},
    {"vllm_int8.rms_norm_block_quant", "maximum_nan=drop",
     "vLLM rms_norm_per_block_quant, int8, built without fast math: source and outputs of an H200"},
    {"vllm_fast_math.rms_norm_block_quant",
     "scaling=approximate_inverse,fp8_nan=saturate,maximum_nan=drop,row_scale=product",
     "vLLM rms_norm_per_block_quant, fp8 and int8, built with fast math: outputs of an H200"},
    {"vllm_group_quant.rms_norm_block_quant",
     "weight=fp32,scaling=divide,maximum_nan=drop,fp8_nan=saturate,scale_floor=maximum_1e-10",
     "vLLM and SGLang: a norm, then per_token_group_quant_fp8: source"},
    {"vllm_ue8m0.rms_norm_block_quant",
     "weight=fp32,scaling=divide,maximum_nan=drop,fp8_nan=saturate,scale_type=ue8m0_ceil_log2,"
     "scale_floor=least_scale_1e-10",
     "the same with scale_ue8m0: source"},
    {"flashinfer.rms_norm_block_quant",
     "weight=fp32,scaling=range_over_maximum,maximum_nan=drop,fp8_nan=saturate,scale_floor=maximum_1e-4",
     "FlashInfer FusedAddRMSNormFP8BlockQuant: source"},
    {"aiter.rms_norm_block_quant",
     "weight=product_first,before_quantization=unrounded,maximum_nan=drop,scale_floor=scale_1e-10",
     "AITER's gated group quantization, without the gate: source"},
    {"deepgemm.rms_norm_block_quant", "weight=fp32,scale_floor=maximum_1e-4",
     "F.rms_norm, then DeepGEMM's per_token_cast_to_fp8: source"},
    {"deepgemm_ue8m0.rms_norm_block_quant", "weight=fp32,scale_floor=maximum_1e-4,scale_type=ue8m0_ceil_log2",
     "the same with use_ue8m0: source"},
}};
constexpr std::array<NamedPolicy, 9> kAddBlockPolicies = {{
    {"vllm.fused_add_rms_norm_block_quant", "sum=fp32,scaling=divide,fp8_nan=saturate,maximum_nan=drop",
     "vLLM rms_norm_per_block_quant, fp8, built without fast math: source and outputs of an H200"},
    {"vllm_int8.fused_add_rms_norm_block_quant", "sum=fp32,maximum_nan=drop",
     "vLLM rms_norm_per_block_quant, int8, built without fast math: source and outputs of an H200"},
    {"vllm_fast_math.fused_add_rms_norm_block_quant",
     "sum=fp32,scaling=approximate_inverse,fp8_nan=saturate,maximum_nan=drop,row_scale=product",
     "vLLM rms_norm_per_block_quant, fp8 and int8, built with fast math: outputs of an H200"},
    {"vllm_group_quant.fused_add_rms_norm_block_quant",
     "weight=fp32,scaling=divide,maximum_nan=drop,fp8_nan=saturate,scale_floor=maximum_1e-10",
     "vLLM and SGLang: a norm, then per_token_group_quant_fp8: source"},
    {"vllm_ue8m0.fused_add_rms_norm_block_quant",
     "weight=fp32,scaling=divide,maximum_nan=drop,fp8_nan=saturate,scale_type=ue8m0_ceil_log2,"
     "scale_floor=least_scale_1e-10",
     "the same with scale_ue8m0: source"},
    {"flashinfer.fused_add_rms_norm_block_quant",
     "sum=fp32,weight=fp32,scaling=range_over_maximum,maximum_nan=drop,fp8_nan=saturate,"
     "scale_floor=maximum_1e-4",
     "FlashInfer FusedAddRMSNormFP8BlockQuant: source"},
    {"aiter.fused_add_rms_norm_block_quant",
     "sum=fp32,weight=product_first,before_quantization=unrounded,maximum_nan=drop,scale_floor=scale_1e-10",
     "AITER's gated group quantization, without the gate: source"},
    {"deepgemm.fused_add_rms_norm_block_quant", "weight=fp32,scale_floor=maximum_1e-4",
     "a fused add and norm, then DeepGEMM's per_token_cast_to_fp8: source"},
    {"deepgemm_ue8m0.fused_add_rms_norm_block_quant",
     "weight=fp32,scale_floor=maximum_1e-4,scale_type=ue8m0_ceil_log2", "the same with use_ue8m0: source"},
}};
constexpr std::array<NamedPolicy, 4> kMxPolicies = {{
    {"ocp.rms_norm_mx_quant", "weight=fp32,scale_type=ue8m0_floor",
     "a norm, then the conversion of the OCP MX specification, section 6.3"},
    {"torchao_even.rms_norm_mx_quant", "weight=fp32,scale_type=ue8m0_even",
     "a norm, then torchao's to_mx with ScaleCalculationMode.EVEN: outputs on a CPU"},
    {"transformer_engine.rms_norm_mx_quant",
     "weight=fp32,before_quantization=unrounded,row_scale=product,maximum_nan=drop,fp8_nan=saturate",
     "Transformer Engine MXFP8: cvt.rp of a * fl(1 / max_Q): source"},
    {"flashinfer.rms_norm_mx_quant",
     "weight=fp32,before_quantization=unrounded,scale_type=ue8m0_ceil_log2,row_scale=product,"
     "maximum_nan=drop,fp8_nan=saturate",
     "FlashInfer norm_mxfp8 and norm_mxfp4, lg2.approx: source"},
}};
constexpr std::array<NamedPolicy, 4> kAddMxPolicies = {{
    {"ocp.fused_add_rms_norm_mx_quant", "weight=fp32,scale_type=ue8m0_floor",
     "a norm, then the conversion of the OCP MX specification, section 6.3"},
    {"torchao_even.fused_add_rms_norm_mx_quant", "weight=fp32,scale_type=ue8m0_even",
     "a norm, then torchao's to_mx with ScaleCalculationMode.EVEN: outputs on a CPU"},
    {"transformer_engine.fused_add_rms_norm_mx_quant",
     "sum=fp32,weight=fp32,before_quantization=unrounded,row_scale=product,maximum_nan=drop,fp8_nan=saturate",
     "Transformer Engine MXFP8: cvt.rp of a * fl(1 / max_Q): source"},
    {"flashinfer.fused_add_rms_norm_mx_quant",
     "sum=fp32,weight=fp32,before_quantization=unrounded,scale_type=ue8m0_ceil_log2,row_scale=product,"
     "maximum_nan=drop,fp8_nan=saturate",
     "FlashInfer norm_mxfp8 and norm_mxfp4, lg2.approx: source"},
}};
constexpr std::array<NamedPolicy, 4> kNvPolicies = {{
    {"flashinfer.rms_norm_nvfp4_quant",
     "weight=fp32,before_quantization=unrounded,reciprocals=approximate,maximum_nan=drop",
     "FlashInfer rmsnorm_fp4quant: source"},
    {"flashinfer_cluster.rms_norm_nvfp4_quant",
     "weight=product_first_activation,before_quantization=unrounded,reciprocals=approximate,maximum_nan=drop",
     "FlashInfer rmsnorm_fp4quant, rows spread over a cluster: source"},
    {"vllm.rms_norm_nvfp4_quant",
     "weight=fp32,scale_order=maximum_first,scaling=inverse_of_product,reciprocals=approximate,maximum_nan="
     "drop",
     "vLLM and TensorRT-LLM: a norm, then scaled_fp4_quant: source"},
    {"vllm_reference.rms_norm_nvfp4_quant",
     "weight=fp32,scale_order=maximum_first_quotient,scaling=inverse_of_product",
     "vLLM's reference in PyTorch, ref_nvfp4_quant: source"},
}};
constexpr std::array<NamedPolicy, 4> kAddNvPolicies = {{
    {"flashinfer.fused_add_rms_norm_nvfp4_quant",
     "sum=fp32,weight=fp32,before_quantization=unrounded,reciprocals=approximate,maximum_nan=drop",
     "FlashInfer add_rmsnorm_fp4quant: source"},
    {"flashinfer_cluster.fused_add_rms_norm_nvfp4_quant",
     "sum=fp32,weight=product_first_activation,before_quantization=unrounded,reciprocals=approximate,"
     "maximum_nan=drop",
     "FlashInfer add_rmsnorm_fp4quant, rows spread over a cluster: source"},
    {"vllm.fused_add_rms_norm_nvfp4_quant",
     "weight=fp32,scale_order=maximum_first,scaling=inverse_of_product,reciprocals=approximate,maximum_nan="
     "drop",
     "vLLM and TensorRT-LLM: a fused add and norm, then scaled_fp4_quant: source"},
    {"vllm_reference.fused_add_rms_norm_nvfp4_quant",
     "weight=fp32,scale_order=maximum_first_quotient,scaling=inverse_of_product",
     "vLLM's reference in PyTorch, ref_nvfp4_quant: source"},
}};

constexpr JudgedOperation row(std::string_view name, std::string_view sentence,
                              std::span<const TensorSpec> tensors, std::span<const Axis> axes,
                              std::span<const Bound> bounds, std::span<const NamedPolicy> policies,
                              const JudgedOperation& (*of_sum)() = nullptr) {
  return {name,
          sentence,
          tensors,
          true,
          axes,
          bounds,
          policies,
          block_objection,
          block_policy_objection,
          block_parts,
          block_not_looked_at,
          block_columns,
          nothing_to_complete,
          block_misfit,
          fill_blocks,
          slice_of_blocks,
          of_sum,
          layouts_of_scales};
}

}  // namespace

const JudgedOperation& rms_norm_block_quant() {
  static constexpr JudgedOperation kRow =
      row("rms_norm_block_quant", "normalizes each row, then quantizes it block by block, fp8 or int8",
          kBlockTensors, kBlockAxes, kBlockBounds, kBlockPolicies);
  return kRow;
}
const JudgedOperation& fused_add_rms_norm_block_quant() {
  static constexpr JudgedOperation kRow =
      row("fused_add_rms_norm_block_quant", "rms_norm_block_quant of x + residual, which is kept",
          kAddBlockTensors, kAddBlockAxes, kBlockBounds, kAddBlockPolicies, rms_norm_block_quant);
  return kRow;
}
const JudgedOperation& rms_norm_mx_quant() {
  static constexpr JudgedOperation kRow =
      row("rms_norm_mx_quant",
          "normalizes each row, then quantizes blocks of 32 with scales that are powers of two (MX)",
          kMxTensors, kMxAxes, kBounds, kMxPolicies);
  return kRow;
}
const JudgedOperation& fused_add_rms_norm_mx_quant() {
  static constexpr JudgedOperation kRow =
      row("fused_add_rms_norm_mx_quant", "rms_norm_mx_quant of x + residual, which is kept", kAddMxTensors,
          kAddMxAxes, kBounds, kAddMxPolicies, rms_norm_mx_quant);
  return kRow;
}
const JudgedOperation& rms_norm_nvfp4_quant() {
  static constexpr JudgedOperation kRow =
      row("rms_norm_nvfp4_quant",
          "normalizes each row, then quantizes blocks of 16 to e2m1 with e4m3 scales (NVFP4)", kNvTensors,
          kNvAxes, kBounds, kNvPolicies);
  return kRow;
}
const JudgedOperation& fused_add_rms_norm_nvfp4_quant() {
  static constexpr JudgedOperation kRow =
      row("fused_add_rms_norm_nvfp4_quant", "rms_norm_nvfp4_quant of x + residual, which is kept",
          kAddNvTensors, kAddNvAxes, kBounds, kAddNvPolicies, rms_norm_nvfp4_quant);
  return kRow;
}

}  // namespace normproof::oracle::judged
