// Calls of the operations that quantize by blocks with what the plain kernel
// makes of them, and their verdict.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "oracle/blocks/scale_layout.h"
#include "oracle/box_search/random_rows.h"
#include "oracle/honest_root.h"
#include "oracle/judged/operation.h"
#include "properties/assess/family/judged_calls.h"
#include "properties/assess/family/plain_blocks.h"
#include "properties/assess/family/rows.h"

namespace normproof::assess::blocks {

using family::tensor_of;
using oracle::row_kernels;
using oracle::ScaleLayout;
using oracle::box_search::RowClass;
using oracle::judged::Call;
using oracle::judged::Policy;
using oracle::judged::Tensor;
namespace box_search = oracle::box_search;
namespace judged = oracle::judged;

// A kind of kernel: the operation without its prefix, how it computes, and the tensors' dtypes.
struct Kind {
  const char* name;
  const char* operation;  // "rms_norm_block_quant"
  Config config;
};

inline Config with(Config config, const std::function<void(Config&)>& change) {
  change(config);
  return config;
}

// Every scale type, factor, floor, code and rounding is in one of them.
inline std::vector<Kind> kinds() {
  const char* block = "rms_norm_block_quant";
  const char* mx = "rms_norm_mx_quant";
  const char* nv = "rms_norm_nvfp4_quant";
  using enum Scale;
  const auto config = [](std::string policy, Code code, Scale scale, std::int64_t size) {
    Config result;
    result.policy = std::move(policy);
    result.code = code;
    result.scale = scale;
    result.block = size;
    result.bytes = scale != fp32 && scale != nvfp4;
    if (scale == nvfp4 || result.bytes) result.floor = Floor::none;
    return result;
  };
  std::vector<Kind> all = {
      {"vllm fp8", block,
       with(config("vllm.rms_norm_block_quant", Code::e4m3fn, fp32, 128),
            [](Config& c) {
              c.factor = Factor::divide;
              c.drops_nan = c.saturates_nan = true;
            })},
      {"vllm int8", block,
       with(config("vllm_int8.rms_norm_block_quant", Code::int8, fp32, 64),
            [](Config& c) { c.drops_nan = true; })},
      {"vllm fast math", block,
       with(config("vllm_fast_math.rms_norm_block_quant", Code::int8, fp32, 128),
            [](Config& c) {
              c.factor = Factor::neighbour;
              c.drops_nan = c.saturates_nan = c.multiplies_range = true;
            })},
      {"flashinfer", block,
       with(config("flashinfer.rms_norm_block_quant", Code::e4m3fn, fp32, 128),
            [](Config& c) {
              c.factor = Factor::range_over_maximum;
              c.floor = Floor::maximum_1e_4;
              c.native_weight = false;
              c.drops_nan = c.saturates_nan = true;
            })},
      {"unrounded fnuz", block,
       with(config("weight=fp32,before_quantization=unrounded,maximum_nan=drop,scale_floor=scale_1e-10",
                   Code::e4m3fnuz, fp32, 64),
            [](Config& c) {
              c.native_weight = c.rounded = c.maximum_rounded = false;
              c.floor = Floor::scale_1e_10;
              c.drops_nan = true;
            })},
      {"native e5m2", block, config("native", Code::e5m2, fp32, 128)},
      {"codes of the unrounded y", block,
       with(config("weight=fp32,before_quantization=unrounded,row_maximum=of_other,scale_floor=maximum_1e-10",
                   Code::e4m3fn, fp32, 128),
            [](Config& c) {
              c.native_weight = c.rounded = false;
              c.floor = Floor::maximum_1e_10;
            })},
      {"power of two", block,
       with(config("weight=fp32,scale_type=ue8m0_ceil,scale_floor=maximum_1e-4", Code::e4m3fn, ceil, 128),
            [](Config& c) {
              c.native_weight = false;
              c.floor = Floor::maximum_1e_4;
            })},
      {"power of two as fp32", block,
       with(config("vllm_ue8m0.rms_norm_block_quant,scale_type=ue8m0_ceil", Code::e4m3fn, ceil, 64),
            [](Config& c) {
              c.native_weight = c.bytes = false;
              c.factor = Factor::divide;
              c.floor = Floor::least_scale_1e_10;
              c.drops_nan = c.saturates_nan = true;
            })},
      {"approximate logarithm", block,
       with(config("deepgemm_ue8m0.rms_norm_block_quant", Code::e4m3fn, ceil, 128),
            [](Config& c) {
              c.native_weight = false;
              c.floor = Floor::maximum_1e_4;
            })},
      {"mxfp8 ceil", mx,
       with(config("transformer_engine.rms_norm_mx_quant", Code::e4m3fn, ceil, 32),
            [](Config& c) {
              c.native_weight = c.rounded = c.maximum_rounded = false;
              c.drops_nan = c.saturates_nan = c.multiplies_range = true;
            })},
      {"mxfp4 floor", mx,
       with(config("ocp.rms_norm_mx_quant", Code::e2m1, floor, 32),
            [](Config& c) { c.native_weight = false; })},
      {"mxfp8 even", mx,
       with(config("torchao_even.rms_norm_mx_quant", Code::e5m2, even, 32),
            [](Config& c) { c.native_weight = false; })},
      {"mxfp4 even", mx, config("scale_type=ue8m0_even", Code::e2m1, even, 32)},
      {"mxfp4 ceil of exponents", mx,
       config("scale_type=ue8m0_ceil_exponent", Code::e2m1, ceil_exponent, 32)},
  };
  for (int form = 0; form < 4; ++form) {
    static constexpr std::array kOrders = {"global_first", "maximum_first", "global_first_quotient",
                                           "maximum_first_quotient"};
    static constexpr std::array kFactors = {"inverse_times_global", "inverse_of_product", "quotient",
                                            "inverse_times_global"};
    static constexpr std::array kNames = {"nvfp4 global first", "nvfp4 maximum first", "nvfp4 quotients",
                                          "nvfp4 quotient of the maximum"};
    const auto at = static_cast<std::size_t>(form);
    const std::string policy = std::string("weight=fp32,scale_order=") + kOrders[at] +
                               ",scaling=" + kFactors[at] +
                               (form % 2 == 0 ? ",before_quantization=unrounded,maximum_nan=drop" : "");
    all.push_back({kNames[at], nv, with(config(policy, Code::e2m1, nvfp4, 16), [&](Config& c) {
                     c.native_weight = false;
                     c.rounded = c.maximum_rounded = form % 2 != 0;
                     c.drops_nan = form % 2 == 0;
                     c.nv_form = form;
                     c.nv_factor = form % 3;
                   })});
  }
  return all;
}

inline SmallFormat format_of_activation(DType dtype) {
  return dtype == DType::bf16 ? kBf16 : dtype == DType::fp16 ? kFp16 : kFp32;
}
inline std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  row_kernels().widen[static_cast<std::size_t>(tensor.dtype)](tensor.bytes.data(), tensor.elements(),
                                                              values.data());
  return values;
}
inline Tensor number_of(float value) { return tensor_of(DType::fp32, {1}, {value}); }

// The inputs of a call, rows of the given class each.
inline Call inputs(const Kind& kind, bool adds, DType dtype, std::int64_t rows, std::int64_t hidden,
                   Random& random, const std::function<RowClass(Random&)>& row_class) {
  Call call;
  call.operation = judged::find_judged_operation((adds ? "fused_add_" : "") + std::string(kind.operation));
  call.epsilon = random.chance(1, 8) ? 0u : 0x358637bdu;
  const auto matrix = [&] {
    std::vector<float> values;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto of_row = box_search::random_row(random, dtype, hidden, row_class(random));
      values.insert(values.end(), of_row.begin(), of_row.end());
    }
    return tensor_of(dtype, {rows, hidden}, std::move(values));
  };
  call.tensors["x"] = matrix();
  if (adds) call.tensors["residual"] = matrix();
  if (random.chance(7, 8)) {
    const DType of_weight = random.chance(1, 4) ? DType::fp32 : dtype;
    call.tensors["weight"] =
        tensor_of(of_weight, {hidden}, box_search::random_weight(random, of_weight, hidden));
  }
  if (kind.config.scale == Scale::nvfp4)
    call.tensors["global_scale"] =
        number_of(std::ldexp(1 + box_search::bell(random) / 64, static_cast<int>(random.between(5, 11))));
  if (std::string_view(kind.operation) == "rms_norm_block_quant" && random.chance(1, 6))
    call.tensors["scale_ub"] = number_of(std::ldexp(1.5f, static_cast<int>(random.between(-3, 1))));
  return call;
}

// What is normalized of a row, and residual_out of all rows.
inline std::vector<std::vector<float>> operands(Call& call, const Config& config) {
  const std::int64_t hidden = call.hidden_size();
  const SmallFormat format = format_of_activation(call.dtype());
  std::vector<float> x = values_of(call.at("x"));
  if (call.has("residual")) {
    const std::vector<float> residual = values_of(call.at("residual"));
    std::vector<float> kept;
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] += residual[i];
      kept.push_back(static_cast<float>(nearest(static_cast<double>(x[i]), format)));
      if (!config.sum_in_fp32) x[i] = kept.back();
    }
    call.tensors["residual_out"] = tensor_of(call.dtype(), call.at("x").shape, std::move(kept));
  }
  std::vector<std::vector<float>> rows;
  for (std::size_t begin = 0; begin < x.size(); begin += static_cast<std::size_t>(hidden))
    rows.emplace_back(x.begin() + static_cast<std::ptrdiff_t>(begin),
                      x.begin() + static_cast<std::ptrdiff_t>(begin) + hidden);
  return rows;
}

// The rows that a kernel wrote as the call's outputs.
inline void set_outputs(Call& call, const Config& config, const std::vector<Row>& rows,
                        ScaleLayout::Kind layout, bool with_normalized, Fault fault = Fault::none) {
  const std::int64_t hidden = call.hidden_size(), count = call.rows();
  const std::int64_t blocks = (hidden + config.block - 1) / config.block;
  const bool packed = config.code == Code::e2m1;
  ScaleLayout where{layout, count, blocks, count};
  ScaleLayout written = where;  // where the kernel puts them
  if (fault == Fault::transposed_scales) written = {ScaleLayout::Kind::column_major, count, blocks, count};
  if (fault == Fault::no_swizzle) written = {ScaleLayout::Kind::row_major, count, blocks, 0};
  if (fault == Fault::unpadded_columns) where.stride = (count + 3) / 4 * 4;
  static constexpr std::array kCodes = {DType::fp8_e4m3fn, DType::fp8_e4m3fnuz, DType::fp8_e5m2, DType::int8,
                                        DType::uint8};
  Tensor codes{kCodes[static_cast<std::size_t>(config.code)], {count, packed ? hidden / 2 : hidden}, {}};
  Tensor scales{config.scale == Scale::nvfp4 ? DType::fp8_e4m3fn
                : config.bytes               ? DType::uint8
                                             : DType::fp32,
                where.shape(),
                {}};
  scales.bytes.resize(static_cast<std::size_t>(scales.elements()) * size_of(scales.dtype));
  std::vector<float> normalized;
  for (std::int64_t row = 0; row < count; ++row) {
    const Row& of_row = rows[static_cast<std::size_t>(row)];
    const std::size_t source = fault == Fault::scale_of_previous_row && row > 0
                                   ? static_cast<std::size_t>(row - 1)
                                   : static_cast<std::size_t>(row);
    for (std::int64_t block = 0; block < blocks; ++block)
      store_bits(scales.bytes, scales.dtype, written.index(row, block),
                 rows[source].scales[static_cast<std::size_t>(block)]);
    for (std::size_t j = 0; j < of_row.codes.size(); j += packed ? 2 : 1) {
      int byte = of_row.codes[j];
      if (packed) {
        byte = of_row.codes[j] | of_row.codes[j + 1] << 4;
        if (fault == Fault::high_nibble_first) byte = of_row.codes[j] << 4 | of_row.codes[j + 1];
      }
      codes.bytes.push_back(static_cast<std::byte>(byte));
    }
    normalized.insert(normalized.end(), of_row.normalized.begin(), of_row.normalized.end());
  }
  call.tensors["out"] = std::move(codes);
  call.tensors["scales"] = std::move(scales);
  if (with_normalized)
    call.tensors["normalized"] = tensor_of(call.dtype(), call.at("x").shape, std::move(normalized));
}

inline Kernel kernel_of(const Call& call, const Config& config, Fault fault = Fault::none) {
  Kernel kernel(config, format_of_activation(call.dtype()), fault);
  kernel.wide_weight = call.has("weight") && call.at("weight").dtype == DType::fp32;
  if (call.has("global_scale")) kernel.global = values_of(call.at("global_scale"))[0];
  if (call.has("scale_ub")) kernel.bound = values_of(call.at("scale_ub"))[0];
  return kernel;
}
inline std::vector<float> weight_of(const Call& call) {
  return call.has("weight") ? values_of(call.at("weight")) : std::vector<float>();
}

// A row that does not conform.
struct Refusal {
  std::int64_t row;
  std::size_t certificate = 0;  // its number of elements
  std::string text = {};
};
// By policy; certificates where asked for.
inline std::vector<Refusal> refused_rows(const Call& call, const Policy& policy, bool with_certificates) {
  require_valid(call, true);
  std::vector<Refusal> refused;
  for (const judged::Part& part : call.operation->parts(call, policy)) {
    const std::unique_ptr<judged::UnitJudge> judge = part.judge();
    for (std::int64_t unit = 0; unit < part.units; ++unit) {
      if (judge->conforms(unit)) continue;
      refused.push_back({unit});
      if (!with_certificates) continue;
      const judged::Violation violation = judge->violation(unit);
      refused.back().certificate = violation.elements.size();
      refused.back().text = violation.text();
    }
  }
  return refused;
}

}  // namespace normproof::assess::blocks
