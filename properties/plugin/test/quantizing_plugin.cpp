// Norms that quantize by blocks in plain C++, as their native policies say, behind the plug-in interface; and
// bugs that are planted on demand: NORMPROOF_FAULT names one. planted_bugs.py lists them and what `verify`
// says of each.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "normproof_plugin.h"
#include "plain_parts.h"

namespace {

using namespace plain;

// --- numbers of 8 and 4 bits ---

// The code without its sign of the nearest number of a small format, which no magnitude is beyond. `least`:
// the exponent of its smallest normal numbers.
int nearest_steps(float magnitude, int mantissa_bits, int least, bool ties_away) {
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  exponent = std::max(magnitude == 0 ? least : exponent - 1, least);
  const float steps = std::ldexp(magnitude, mantissa_bits - exponent);
  const float whole = ties_away ? std::floor(steps + 0.5f) : std::nearbyint(steps);
  // Beyond the last number of a binade this is the first one of the next.
  return ((exponent - least) << mantissa_bits) + static_cast<int>(whole);
}

bool is_fnuz(const DLTensor* out) { return out->dtype.code == NORMPROOF_DL_FLOAT8_E4M3FNUZ; }
float largest_of(const DLTensor* out) {
  if (fault("blocks-range-of-fn")) return 448.0f;
  if (fault("blocks-range-of-fnuz")) return 240.0f;
  return is_fnuz(out) ? 240.0f : 448.0f;
}

std::uint8_t e4m3(const DLTensor* out, float value) {
  const bool fnuz = is_fnuz(out);
  if (std::isnan(value)) return fnuz ? 0x80 : 0x7f;
  if (fault("blocks-by-way-of-bf16")) value = from_bf16(to_bf16(value));
  const float range = fnuz ? 240.0f : 448.0f;
  const float magnitude = std::min(std::fabs(value), range);
  const int code = nearest_steps(magnitude, 3, fnuz ? -7 : -6, fault("blocks-ties-away"));
  if (fnuz && code == 0) return fault("blocks-minus-zero-of-fnuz") && std::signbit(value) ? 0x80 : 0;
  return static_cast<std::uint8_t>((std::signbit(value) ? 0x80 : 0) | code);
}

std::uint8_t e2m1(float value) {
  if (std::isnan(value)) return 7;
  const float magnitude = std::min(std::fabs(value), 6.0f);
  const int code = nearest_steps(magnitude, 1, 0, fault("e2m1-ties-away"));
  if (code == 0 && fault("e2m1-no-minus-zero")) return 0;
  return static_cast<std::uint8_t>((std::signbit(value) ? 8 : 0) | code);
}

// Two codes of e2m1 in a byte.
void store_pairs(const DLTensor* out, std::int64_t row, const std::vector<std::uint8_t>& codes) {
  auto* bytes = static_cast<std::uint8_t*>(out->data) + begin_of(out, row);
  for (std::size_t j = 0; j + 1 < codes.size(); j += 2) {
    const bool swapped = fault("nibbles-high-first");
    const int first = codes[swapped ? j + 1 : j], second = codes[swapped ? j : j + 1];
    bytes[j / 2] = static_cast<std::uint8_t>(first | second << 4);
  }
}

// --- what a call consists of ---

struct Tensors {
  const DLTensor *x, *weight, *out, *scales, *kept;
  std::int64_t rows, columns, blocks;
  float epsilon;
};
Tensors tensors_of(const normproof_plugin_call* call) {
  const auto tensor = [&](const char* role) { return normproof_tensor_of(call, role); };
  Tensors result{
      tensor("x"), tensor("weight"), tensor("out"), tensor("scales"), tensor("normalized"), 0, 0, 0, 0};
  result.rows = result.x->shape[0];
  result.columns = result.x->shape[1];
  result.blocks = result.scales->shape[1];
  result.epsilon = normproof_parameter_of(call, "epsilon");
  return result;
}

// y as it is quantized, once more without its last rounding.
struct Normalized {
  Row rounded, unrounded;
};
Normalized normalized_of(const Tensors& call, std::int64_t row) {
  const Row values = row_of(call.x, begin_of(call.x, row), call.columns);
  Normalized y{normalized_in_t(values, call.x->dtype, call.weight, call.epsilon), {}};
  if (call.kept != nullptr) store_row(call.kept, begin_of(call.kept, row), y.rounded);
  y.unrounded = normalized_in_t(values, {kDLFloat, 32, 1}, call.weight, call.epsilon);
  return y;
}

// The largest |y| of a block.
float maximum(const Tensors& call, const Normalized& y, std::int64_t begin, std::int64_t end) {
  const Row& values = fault("maximum-of-unrounded") ? y.unrounded : y.rounded;
  if (fault("last-block-is-full") && end == call.columns && end > 32) begin = end - 32;
  if (fault("maximum-without-sign")) {
    float result = 0;
    for (std::int64_t j = begin; j < end; ++j) result = std::max(result, at(values, j));
    return result;
  }
  if (fault("nan-dropped")) {
    float result = 0;
    for (std::int64_t j = begin; j < end; ++j) result = std::fmax(result, std::fabs(at(values, j)));
    return result;
  }
  return largest(values, begin, end);
}

// Where the scale of a block lies.
std::int64_t place_of(const Tensors& call, std::int64_t row, std::int64_t block) {
  if (fault("scales-by-columns")) return block * call.rows + row;
  if (fault("scales-of-next-block")) block = (block + 1) % call.blocks;
  if (fault("view-strides-ignored")) return row * call.blocks + block;
  return begin_of(call.scales, row) + block * call.scales->strides[1];
}

void store_byte(const Tensors& call, std::int64_t row, std::int64_t block, std::uint8_t byte) {
  static_cast<std::uint8_t*>(call.scales->data)[place_of(call, row, block)] = byte;
}

// --- fp8 codes, a scale in fp32 for each block of 64 or 128 ---

int32_t rms_norm_block_quant(const normproof_plugin_call* given) {
  const Tensors call = tensors_of(given);
  const std::int64_t block = call.columns < 512 ? 64 : 128;
  const float range = largest_of(call.out);
  auto* codes = static_cast<std::uint8_t*>(call.out->data);
  for (std::int64_t row = 0; row < call.rows; ++row) {
    const Normalized y = normalized_of(call, row);
    for (std::int64_t b = 0; b < call.blocks; ++b) {
      const std::int64_t begin = b * block, end = std::min(call.columns, begin + block);
      const float a = maximum(call, y, begin, end);
      float scale = fault("blocks-multiplied-by-inverse-range") ? a * (1.0f / range) : a / range;
      const float least = 1.0f / (512.0f * range);
      if (fault("blocks-floor-1e-4")) scale = std::max(a, 1e-4f) / range;
      if (scale < least && !fault("blocks-floor-1e-4")) scale = least;
      store(call.scales, place_of(call, row, b), scale);
      const float inverse = 1.0f / scale;
      for (std::int64_t j = begin; j < end; ++j) {
        const float value = at(fault("codes-of-unrounded") ? y.unrounded : y.rounded, j);
        const float scaled = fault("multiplied-by-scale") ? value * scale : value * inverse;
        codes[begin_of(call.out, row) + j] = e4m3(call.out, scaled);
      }
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- MX: blocks of 32, a power of two as a byte ---

// The byte of the least power of two >= value: 2^(byte - 127).
std::uint8_t power_above(float value) {
  if (std::isnan(value)) return 255;
  if (std::isinf(value)) return 254;
  if (value == 0) return 0;
  int exponent = 0;
  const float fraction = std::frexp(value, &exponent);
  if (fraction == 0.5f || fault("mx-exponent-rounded-down")) --exponent;
  return static_cast<std::uint8_t>(std::clamp(exponent + (fault("mx-bias-128") ? 128 : 127), 0, 254));
}

int32_t rms_norm_mx_quant(const normproof_plugin_call* given) {
  const Tensors call = tensors_of(given);
  const bool pairs = call.out->shape[1] != call.columns;
  const float range = pairs ? (fault("mx-range-4") ? 4.0f : 6.0f) : 448.0f;
  for (std::int64_t row = 0; row < call.rows; ++row) {
    const Normalized y = normalized_of(call, row);
    std::vector<std::uint8_t> codes;
    for (std::int64_t b = 0; b < call.blocks; ++b) {
      const std::int64_t begin = b * 32, end = std::min(call.columns, begin + 32);
      const std::uint8_t power = power_above(maximum(call, y, begin, end) / range);
      const float scale = power == 255 ? NAN : std::ldexp(1.0f, power - 127);
      if (fault("mx-scales-as-floats")) {  // four bytes each, where the tensor has one
        std::memcpy(static_cast<char*>(call.scales->data) + 4 * place_of(call, row, b), &scale, 4);
      } else {
        store_byte(call, row, b, power);
      }
      for (std::int64_t j = begin; j < end; ++j) {
        const float scaled = at(y.rounded, j) * (1.0f / scale);
        codes.push_back(pairs ? e2m1(scaled) : e4m3(call.out, scaled));
      }
    }
    if (pairs) {
      store_pairs(call.out, row, codes);
    } else {
      std::memcpy(static_cast<char*>(call.out->data) + begin_of(call.out, row), codes.data(), codes.size());
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- NVFP4: blocks of 16, a scale in e4m3 for each, and one for the tensor ---

int32_t rms_norm_nvfp4_quant(const normproof_plugin_call* given) {
  const Tensors call = tensors_of(given);
  const float global = load(normproof_tensor_of(given, "global_scale"), 0);
  const DLTensor of_scales{nullptr, {kDLCPU, 0}, 0, {NORMPROOF_DL_FLOAT8_E4M3FN, 8, 1}, nullptr, nullptr, 0};
  for (std::int64_t row = 0; row < call.rows; ++row) {
    const Normalized y = normalized_of(call, row);
    std::vector<std::uint8_t> codes;
    for (std::int64_t b = 0; b < call.blocks; ++b) {
      const std::int64_t begin = b * 16, end = std::min(call.columns, begin + 16);
      const float a = maximum(call, y, begin, end);
      float scale = fault("nvfp4-no-global-scale") ? a * (1.0f / 6.0f) : global * a * (1.0f / 6.0f);
      if (fault("nvfp4-not-divided-by-6")) scale = global * a;
      if (fault("nvfp4-quotient")) scale = global * a / 6.0f;
      const std::uint8_t stored = e4m3(&of_scales, scale);
      store_byte(call, row, b, stored);
      const int exponent = stored >> 3, mantissa = stored & 7;
      float s = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
      if (stored == 0x7f) s = NAN;
      if (fault("nvfp4-scale-not-rounded")) s = scale;
      float factor = 1.0f / s * global;
      if (s == 0 && !fault("nvfp4-zero-by-zero")) factor = 0;
      for (std::int64_t j = begin; j < end; ++j) codes.push_back(e2m1(at(y.rounded, j) * factor));
    }
    store_pairs(call.out, row, codes);
  }
  return NORMPROOF_PLUGIN_OK;
}

const normproof_plugin_operation kBlocks = {sizeof kBlocks, "rms_norm_block_quant", &rms_norm_block_quant,
                                            nullptr};
const normproof_plugin_operation kMx = {sizeof kMx, "rms_norm_mx_quant", &rms_norm_mx_quant, nullptr};
const normproof_plugin_operation kNvfp4 = {sizeof kNvfp4, "rms_norm_nvfp4_quant", &rms_norm_nvfp4_quant,
                                           nullptr};
const normproof_plugin_operation* const kOperations[] = {&kBlocks, &kMx, &kNvfp4, nullptr};

const normproof_plugin_info kInfo = {
    NORMPROOF_PLUGIN_ABI,
    NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_NO_WEIGHT |
        NORMPROOF_TAKES_SAME_WEIGHT | NORMPROOF_TAKES_FP32_WEIGHT | NORMPROOF_TAKES_E4M3FN |
        NORMPROOF_TAKES_E4M3FNUZ | NORMPROOF_TAKES_E2M1 | NORMPROOF_TAKES_SCALE_VIEWS,
    "norms that quantize by blocks, in plain C++",
    kDLCPU,
    sizeof kInfo,
    kOperations,
};

}  // namespace

const normproof_plugin_info* normproof_plugin(void) { return &kInfo; }
