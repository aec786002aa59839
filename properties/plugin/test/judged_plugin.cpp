// Judged operations in plain C++, as their native policies say, behind the plug-in interface; and bugs that
// are planted on demand: NORMPROOF_FAULT names one. planted_bugs.py lists
// them and what `verify` says of each.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "normproof_plugin.h"
#include "plain_parts.h"

namespace {

using namespace plain;

// The elements of a row that a sum reads.
std::int64_t summed(std::int64_t columns) {
  if (fault("tail-not-summed")) return columns >= 8 ? columns / 8 * 8 : columns;
  if (fault("beyond-512-not-summed")) return columns >= 512 ? columns / 512 * 512 : columns;
  return columns;
}

// --- LayerNorm ---

struct Statistics {
  float mean = 0, rstd = 0, variance = 0;
};

Statistics statistics_of(const Row& x, DLDataType type, float epsilon, std::int64_t rows) {
  const auto columns = static_cast<std::int64_t>(x.size());
  const auto count = static_cast<float>(columns);
  float sum = 0, squares = 0, deviations = 0;
  const bool by_sign = fault("order-of-the-sign") && at(x, 0) < 0;
  if (by_sign || fault("summed-backwards") || (fault("order-of-many-rows") && rows >= 32)) {
    for (std::int64_t j = columns; j-- > 0;) sum += at(x, j);
  } else {
    for (std::int64_t j = 0; j < summed(columns); ++j) sum += at(x, j);
  }
  Statistics result;
  result.mean = sum / count;
  if (fault("mean-in-16-bits")) result.mean = from_bf16(to_bf16(result.mean));
  for (std::int64_t j = 0; j < columns; ++j) {
    const float centred = at(x, j) - result.mean;
    squares += at(x, j) * at(x, j);
    deviations += centred * centred;
    if (fault("variance-in-16-bits")) deviations = rounded(type, deviations);
  }
  const bool of_one_less = fault("variance-over-h-minus-1") && columns > 1;
  result.variance = deviations / (of_one_less ? count - 1 : count);
  if (fault("one-pass-absolute")) result.variance = std::fabs(squares / count - result.mean * result.mean);
  if (fault("one-pass-clamped-to-eps"))
    result.variance = std::fmax(squares / count - result.mean * result.mean, epsilon);
  float under_root = result.variance + epsilon;
  if (fault("eps-twice")) under_root += epsilon;
  if (fault("eps-hardcoded")) under_root = result.variance + 1e-5f;
  if (fault("eps-outside-root")) under_root = result.variance;
  result.rstd = 1.0f / std::sqrt(under_root);
  if (fault("eps-outside-root")) result.rstd = 1.0f / (std::sqrt(result.variance) + epsilon);
  if (fault("rstd-in-16-bits")) result.rstd = from_bf16(to_bf16(result.rstd));
  return result;
}

Row normalized(const Row& x, const Statistics& statistics, DLDataType type, const DLTensor* weight,
               const DLTensor* bias) {
  const auto columns = static_cast<std::int64_t>(x.size());
  Row out;
  for (std::int64_t j = 0; j < columns; ++j) {
    float n = (at(x, j) - statistics.mean) * statistics.rstd;
    if (fault("nan-swallowed") && std::isnan(n)) n = 0;
    if (fault("normalized-rounded")) n = rounded(type, n);
    const std::int64_t of_weight = fault("weight-shifted") ? (j + 1) % columns : j;
    const float w = weight == nullptr ? 1.0f : load(weight, of_weight);
    const bool in_last_vector = columns > 8 && j >= (columns - 1) / 8 * 8;
    const bool has_bias = bias != nullptr && !(fault("bias-dropped-in-last-vector") && in_last_vector);
    out.push_back(has_bias ? std::fma(n, w, load(bias, j)) : n * w);
  }
  return out;
}

// Rows of a call, as a kernel with this bug covers them.
std::int64_t covered(std::int64_t rows) {
  if (fault("last-row-skipped") && rows > 1) return rows - 1;
  if (fault("rows-in-16-bits")) return rows & 0xffff;
  if (fault("rows-rounded-up") && rows > 2) return (rows + 3) / 4 * 4;
  return rows;
}

void store_statistics(const normproof_plugin_call* call, std::int64_t row, const Statistics& statistics) {
  const DLTensor *mean = normproof_tensor_of(call, "mean"), *rstd = normproof_tensor_of(call, "rstd");
  if (mean != nullptr && !fault("mean-not-stored")) store(mean, row, statistics.mean);
  if (rstd != nullptr)
    store(rstd, row, fault("rstd-stored-as-variance") ? statistics.variance : statistics.rstd);
}

float epsilon_of(const normproof_plugin_call* call) {
  const float epsilon = normproof_parameter_of(call, "epsilon");
  static const float first = epsilon;
  return fault("eps-of-the-first-call") ? first : epsilon;
}

void crash() {
  std::signal(SIGSEGV, SIG_DFL);
  std::raise(SIGSEGV);
}

int32_t layer_norm(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *out = normproof_tensor_of(call, "out"),
                 *weight = normproof_tensor_of(call, "weight"), *bias = normproof_tensor_of(call, "bias");
  const std::int64_t rows = x->shape[0], columns = x->shape[1];
  const float epsilon = epsilon_of(call);
  if (fault("not-taken")) {
    std::snprintf(call->message, call->message_capacity, "not today");
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  }
  if (fault("crash-at-513") && columns == 513) crash();
  if (fault("hang-at-513") && columns == 513)
    for (volatile bool more = true; more;) continue;
  Statistics statistics;
  for (std::int64_t row = 0; row < covered(rows); ++row) {
    const std::int64_t begin = fault("gaps-ignored") && row > 0 ? row * columns : begin_of(x, row);
    Row values = row_of(x, begin, columns);
    if (fault("scratch-in-out")) {  // the output holds a first pass: in place, that is the input
      for (std::int64_t j = 0; j < columns; ++j) store(out, begin_of(out, row) + j, at(values, j) / 2);
      values = row_of(x, begin, columns);
    }
    const float previous = statistics.mean;
    statistics = statistics_of(values, x->dtype, epsilon, rows);
    if (fault("mean-of-previous-row") && row > 0) statistics.mean = previous;
    store_row(out, begin_of(out, row), normalized(values, statistics, x->dtype, weight, bias));
    if (fault("store-beyond-row")) store(out, begin_of(out, row) + columns, 0);
    store_statistics(call, row, statistics);
  }
  return NORMPROOF_PLUGIN_OK;
}

int32_t fused_add_layer_norm(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *residual = normproof_tensor_of(call, "residual"),
                 *out = normproof_tensor_of(call, "out"), *sum = normproof_tensor_of(call, "residual_out"),
                 *weight = normproof_tensor_of(call, "weight"), *bias = normproof_tensor_of(call, "bias");
  const std::int64_t columns = x->shape[1];
  for (std::int64_t row = 0; row < x->shape[0]; ++row) {
    Row values = row_of(x, begin_of(x, row), columns);
    const Row added = row_of(residual, begin_of(residual, row), columns);
    Row kept;
    for (std::size_t j = 0; j < values.size(); ++j) {
      const float before = values[j];
      values[j] += added[j];
      kept.push_back(values[j]);
      if (!fault("sum-not-rounded")) values[j] = rounded(x->dtype, values[j]);
      if (fault("residual-added-after-norm")) values[j] = before;
    }
    const Statistics statistics = statistics_of(values, x->dtype, epsilon_of(call), x->shape[0]);
    Row result = normalized(values, statistics, x->dtype, weight, bias);
    for (std::size_t j = 0; j < result.size() && fault("residual-added-after-norm"); ++j)
      result[j] += added[j];
    store_row(out, begin_of(out, row), result);
    if (!fault("residual-out-not-written")) store_row(sum, begin_of(sum, row), kept);
    store_statistics(call, row, statistics);
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- gradients of RMSNorm, and of LayerNorm where there is a mean ---

struct GradientCall {
  const DLTensor *dy, *x, *weight, *mean, *rstd, *dresidual, *dx, *dweight, *dbias;
  bool centred;
  float epsilon;  // where the statistics are not given
};

// Those that are given, or those of the forward pass once more.
Statistics gradient_statistics(const GradientCall& call, std::int64_t row, const Row& x) {
  Statistics result;
  if (call.rstd != nullptr) {
    result.rstd = load(call.rstd, row);
    if (call.centred) result.mean = load(call.mean, row);
    return result;
  }
  const float epsilon = fault("own-statistics-without-eps") ? 0 : call.epsilon;
  if (call.centred) {
    result = statistics_of(x, call.x->dtype, epsilon, call.x->shape[0]);
    if (fault("own-mean-in-16-bits")) result.mean = from_bf16(to_bf16(result.mean));
    return result;
  }
  float squares = 0;
  for (const float each : x) squares += each * each;
  const auto count = static_cast<float>(x.size());
  result.rstd = 1 / std::sqrt(squares / count + epsilon);
  if (fault("own-root-in-16-bits")) result.rstd = from_bf16(to_bf16(result.rstd));
  return result;
}

void gradient_row(const GradientCall& call, std::int64_t row, Row& dweight, Row& dbias) {
  const std::int64_t columns = call.x->shape[1];
  const auto count = static_cast<float>(columns);
  const Row dy = row_of(call.dy, begin_of(call.dy, row), columns);
  const Row x = row_of(call.x, begin_of(call.x, row), columns);
  const Statistics statistics = gradient_statistics(call, row, x);
  const float rstd = statistics.rstd;
  Row xh, weighted, dx;
  float first = 0, second = 0;
  for (std::int64_t j = 0; j < columns; ++j) {
    xh.push_back((call.centred ? at(x, j) - statistics.mean : at(x, j)) * rstd);
    weighted.push_back(call.weight == nullptr ? at(dy, j) : load(call.weight, j) * at(dy, j));
    first += xh.back() * weighted.back();
    second += weighted.back();
  }
  const float c1 = fault("c1-dropped") ? 0 : fault("c1-not-a-mean") ? first : first / count;
  for (std::int64_t j = 0; j < columns; ++j) {
    float z = std::fma(-at(xh, j), c1, at(weighted, j));
    if (call.centred && !fault("c2-dropped")) z -= second / count;
    z *= rstd;
    if (call.dresidual != nullptr && !fault("dresidual-dropped"))
      z += load(call.dresidual, begin_of(call.dresidual, row) + j);
    dx.push_back(z);
  }
  if (call.dx != nullptr) store_row(call.dx, begin_of(call.dx, row), dx);
  const bool dropped = fault("row-dropped-in-dweight") && call.x->shape[0] > 1 && row == call.x->shape[0] - 1;
  for (std::size_t j = 0; j < dweight.size() && !dropped; ++j) {
    dweight[j] += fault("dweight-of-x") ? dy[j] * x[j] : dy[j] * xh[j];
    dbias[j] += dy[j];
    if (fault("dweight-in-16-bits")) dweight[j] = rounded(call.x->dtype, dweight[j]);
  }
}

int32_t norm_backward(const normproof_plugin_call* given, bool centred) {
  const auto tensor = [&](const char* role) { return normproof_tensor_of(given, role); };
  const GradientCall call = {tensor("dy"),
                             tensor("x"),
                             tensor("weight"),
                             centred ? tensor("mean") : nullptr,
                             tensor("rstd"),
                             tensor("dresidual"),
                             tensor("dx"),
                             tensor("dweight"),
                             tensor("dbias"),
                             centred,
                             normproof_parameter_of(given, "epsilon")};
  if (fault("statistics-not-taken") && call.rstd != nullptr) {
    std::snprintf(given->message, given->message_capacity, "it computes the statistics itself");
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  }
  const auto columns = static_cast<std::size_t>(call.x->shape[1]);
  Row dweight(columns, 0.0f), dbias(columns, 0.0f);
  for (std::int64_t row = 0; row < call.x->shape[0]; ++row) gradient_row(call, row, dweight, dbias);
  if (call.dweight != nullptr) store_row(call.dweight, 0, dweight);
  if (call.dbias != nullptr) store_row(call.dbias, 0, fault("dbias-is-dweight") ? dweight : dbias);
  return NORMPROOF_PLUGIN_OK;
}
int32_t rms_norm_backward(const normproof_plugin_call* call) { return norm_backward(call, false); }
int32_t layer_norm_backward(const normproof_plugin_call* call) { return norm_backward(call, true); }

// --- q/k norm and rotary embedding ---

void rotate(Row& head, const DLTensor* cosine, const DLTensor* sine, std::int64_t begin, std::int64_t pairs) {
  const std::int64_t rotated = fault("tail-rotated") ? static_cast<std::int64_t>(head.size()) / 2 : pairs;
  for (std::int64_t i = 0; i < rotated && pairs > 0; ++i) {
    const bool interleaved = fault("interleaved");
    const auto one = static_cast<std::size_t>(interleaved ? 2 * i : i);
    const auto other = static_cast<std::size_t>(interleaved ? 2 * i + 1 : i + rotated);
    float c = load(cosine, begin + i % pairs), s = load(sine, begin + i % pairs);
    if (fault("cos-sin-swapped")) std::swap(c, s);
    if (fault("sine-negated")) s = -s;
    const float a = head[one], b = head[other];
    head[one] = a * c - b * s;
    head[other] = b * c + a * s;
  }
}

int32_t qk_norm_rope(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *out = normproof_tensor_of(call, "out"),
                 *weight = normproof_tensor_of(call, "weight"), *cosine = normproof_tensor_of(call, "cos"),
                 *sine = normproof_tensor_of(call, "sin");
  if (x->ndim != 3) {
    std::snprintf(call->message, call->message_capacity, "x that is not [tokens, heads, size]");
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  }
  const std::int64_t heads = x->shape[1], size = x->shape[2], pairs = cosine->shape[1];
  const float epsilon = epsilon_of(call);
  for (std::int64_t token = 0; token < x->shape[0]; ++token) {
    const std::int64_t begin = begin_of(x, token);
    const Row all = row_of(x, begin, heads * size);
    for (std::int64_t h = 0; h < heads; ++h) {
      Row head = row_of(x, begin + h * x->strides[1], size);
      const Row& of_sum = fault("norm-over-all-heads") ? all : head;
      float squares = 0;
      for (const float value : of_sum) squares += value * value;
      const float r = 1.0f / std::sqrt(squares / static_cast<float>(of_sum.size()) + epsilon);
      for (std::int64_t j = 0; j < size; ++j) {
        float& value = head[static_cast<std::size_t>(j)];
        value *= r;
        if (weight != nullptr) value *= load(weight, j);
        if (fault("norm-rounded")) value = rounded(x->dtype, value);
      }
      const std::int64_t position = fault("position-of-first-token") ? 0 : begin_of(cosine, token);
      rotate(head, cosine, sine, position, pairs);
      store_row(out, begin_of(out, token) + h * out->strides[1], head);
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- RMSNorm to int8 and e4m3fn, a scale for each block of 64 or 128 ---

std::int8_t code_of(float scaled) {
  if (std::isnan(scaled)) return 0;
  const float nearest = fault("codes-truncated") ? std::trunc(scaled) : std::nearbyint(scaled);
  return static_cast<std::int8_t>(std::min(std::max(nearest, -128.0f), 127.0f));
}

// Nearest, ties to even; what is beyond the largest number becomes that.
std::uint8_t to_e4m3(float value) {
  if (std::isnan(value)) return fault("nan-code-is-zero") ? 0 : 0x7f;
  if (fault("fp8-by-way-of-bf16")) value = from_bf16(to_bf16(value));
  const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const float largest = fault("fp8-range-240") ? 240.0f : 448.0f;
  float magnitude = std::fabs(value);
  if (magnitude > 464.0f && fault("fp8-not-clamped")) return static_cast<std::uint8_t>(sign | 0x7f);
  magnitude = std::min(magnitude, largest);
  int exponent = -6;
  if (magnitude >= 0x1p-6f) std::frexp(magnitude, &exponent), --exponent;
  const float steps = std::ldexp(magnitude, 3 - exponent);
  const int rounded_steps =
      static_cast<int>(fault("fp8-truncated") ? std::trunc(steps) : std::nearbyint(steps));
  // A carry into the next exponent, and out of the subnormals, is that of the integers.
  return static_cast<std::uint8_t>(sign | (((exponent + 6) << 3) + rounded_steps));
}

float largest_code(const DLTensor* out) {
  return out->dtype.code == kDLInt ? (fault("int8-range-128") ? 128.0f : 127.0f) : 448.0f;
}
void store_code(const DLTensor* out, std::int64_t index, float scaled) {
  if (out->dtype.code == kDLInt) {
    static_cast<std::int8_t*>(out->data)[index] = code_of(scaled);
  } else {
    static_cast<std::uint8_t*>(out->data)[index] = to_e4m3(scaled);
  }
}
float least_scale(const DLTensor* out) {
  if (fault("no-least-scale")) return 0;
  return out->dtype.code == kDLInt ? 0x1p-23f : 1.0f / (512.0f * 448.0f);
}

int32_t rms_norm_block_quant(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *weight = normproof_tensor_of(call, "weight"),
                 *out = normproof_tensor_of(call, "out"), *scales = normproof_tensor_of(call, "scales"),
                 *kept = normproof_tensor_of(call, "normalized");
  const std::int64_t columns = x->shape[1], block = columns < 512 ? 64 : 128;
  for (std::int64_t row = 0; row < x->shape[0]; ++row) {
    const Row values = row_of(x, begin_of(x, row), columns);
    const Row y = normalized_in_t(values, x->dtype, weight, epsilon_of(call));
    if (kept != nullptr) store_row(kept, begin_of(kept, row), y);
    for (std::int64_t b = 0; b < scales->shape[1]; ++b) {
      const std::int64_t begin = b * block, end = std::min(columns, begin + block);
      float a = fault("scale-of-the-row") ? largest(y, 0, columns) : largest(y, begin, end);
      if (fault("last-of-block-not-looked-at")) a = largest(y, begin, std::max(begin + 1, end - 1));
      float scale = a / largest_code(out);
      if (scale < least_scale(out)) scale = least_scale(out);
      store(scales, begin_of(scales, row) + b, scale);
      const float inverse = 1.0f / scale;
      for (std::int64_t j = begin; j < end; ++j) store_code(out, begin_of(out, row) + j, at(y, j) * inverse);
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- LayerNorm to codes ---

// y in T.
Row layer_norm_row(const normproof_plugin_call* call, const DLTensor* x, std::int64_t row) {
  const Row values = row_of(x, begin_of(x, row), x->shape[1]);
  const Statistics statistics = statistics_of(values, x->dtype, epsilon_of(call), x->shape[0]);
  store_statistics(call, row, statistics);
  Row y = normalized(values, statistics, x->dtype, normproof_tensor_of(call, "weight"),
                     fault("bias-after-the-scale") ? nullptr : normproof_tensor_of(call, "bias"));
  for (float& value : y)
    if (!fault("codes-of-unrounded")) value = rounded(x->dtype, value);
  return y;
}

int32_t layer_norm_static_fp8_quant(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *out = normproof_tensor_of(call, "out");
  const float scale = load(normproof_tensor_of(call, "scale"), 0);
  for (std::int64_t row = 0; row < x->shape[0]; ++row) {
    const Row y = layer_norm_row(call, x, row);
    for (std::size_t j = 0; j < y.size(); ++j) {
      const float scaled = fault("multiplied-by-scale") ? y[j] * scale : y[j] * (1.0f / scale);
      store_code(out, begin_of(out, row) + static_cast<std::int64_t>(j), scaled);
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

int32_t layer_norm_dynamic_quant(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *out = normproof_tensor_of(call, "out"),
                 *scales = normproof_tensor_of(call, "scales"), *bias = normproof_tensor_of(call, "bias");
  float of_first_row = 0;
  for (std::int64_t row = 0; row < x->shape[0]; ++row) {
    Row y = layer_norm_row(call, x, row);
    const auto columns = static_cast<std::int64_t>(y.size());
    float a = largest(y, 0, columns);
    if (fault("largest-without-sign")) a = std::max(0.0f, *std::max_element(y.begin(), y.end()));
    if (row == 0) of_first_row = a;
    if (fault("scale-of-the-first-row")) a = of_first_row;
    float scale = a / largest_code(out);
    if (scale < least_scale(out)) scale = least_scale(out);
    store(scales, row * scales->strides[0], fault("inverse-scale-stored") ? 1.0f / scale : scale);
    for (std::int64_t j = 0; j < columns; ++j) {
      if (fault("bias-after-the-scale") && bias != nullptr) y[static_cast<std::size_t>(j)] += load(bias, j);
      store_code(out, begin_of(out, row) + j, at(y, j) * (1.0f / scale));
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- RMSNorm, then a silu gate ---

float gate_of(float z, DLDataType type) {
  if (fault("gate-dropped")) return 1;
  const float sigmoid = 1.0f / (1.0f + std::exp(-z));
  if (fault("sigmoid-for-silu")) return sigmoid;
  if (fault("exp-in-16-bits")) return z / (1.0f + rounded(type, std::exp(-z)));
  return z / (1.0f + std::exp(-z));
}

int32_t gated_rms_norm(const normproof_plugin_call* call) {
  const DLTensor *x = normproof_tensor_of(call, "x"), *gate = normproof_tensor_of(call, "gate"),
                 *out = normproof_tensor_of(call, "out"), *weight = normproof_tensor_of(call, "weight");
  const std::int64_t columns = x->shape[1];
  for (std::int64_t row = 0; row < x->shape[0]; ++row) {
    Row values = row_of(x, begin_of(x, row), columns);
    const Row z = row_of(gate, fault("gate-of-the-first-row") ? 0 : begin_of(gate, row), columns);
    float squares = 0;
    for (std::size_t j = 0; j < values.size(); ++j) {
      if (fault("gated-before-the-norm")) values[j] *= gate_of(z[j], x->dtype);
      squares += values[j] * values[j];
    }
    const float r = 1.0f / std::sqrt(squares / static_cast<float>(columns) + epsilon_of(call));
    for (std::size_t j = 0; j < values.size(); ++j) {
      const float w = weight == nullptr ? 1.0f : load(weight, static_cast<std::int64_t>(j));
      values[j] = values[j] * r * w;
      if (fault("rounded-before-the-gate")) values[j] = rounded(x->dtype, values[j]);
      if (!fault("gated-before-the-norm")) values[j] *= gate_of(z[j], x->dtype);
    }
    store_row(out, begin_of(out, row), values);
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- RMSNorm, as a plug-in may have it beside the others ---

int32_t rms_norm(const normproof_plugin_call* call) {
  const DLTensor *input = normproof_tensor_of(call, "input"), *out = normproof_tensor_of(call, "out"),
                 *weight = normproof_tensor_of(call, "weight");
  if (input->ndim != 2) return NORMPROOF_PLUGIN_NOT_TAKEN;
  for (std::int64_t row = 0; row < input->shape[0]; ++row) {
    const Row values = row_of(input, begin_of(input, row), input->shape[1]);
    store_row(out, begin_of(out, row),
              normalized_in_t(values, input->dtype, weight, normproof_parameter_of(call, "epsilon")));
  }
  return NORMPROOF_PLUGIN_OK;
}

// --- the table ---

const normproof_plugin_limits kLimits = {sizeof kLimits, 8, 1024, 3, 1, 64, 16, 1, 1, 1, 1e-6f};
const normproof_plugin_operation kLayerNorm = {sizeof kLayerNorm, "layer_norm", &layer_norm, nullptr};
const normproof_plugin_operation kLimited = {sizeof kLimited, "layer_norm", &layer_norm, &kLimits};
const normproof_plugin_operation kFusedAdd = {sizeof kFusedAdd, "fused_add_layer_norm", &fused_add_layer_norm,
                                              nullptr};
const normproof_plugin_operation kRmsBackward = {sizeof kRmsBackward, "rms_norm_backward", &rms_norm_backward,
                                                 nullptr};
const normproof_plugin_operation kLayerBackward = {sizeof kLayerBackward, "layer_norm_backward",
                                                   &layer_norm_backward, nullptr};
const normproof_plugin_operation kRope = {sizeof kRope, "qk_norm_rope", &qk_norm_rope, nullptr};
const normproof_plugin_operation kBlocks = {sizeof kBlocks, "rms_norm_block_quant", &rms_norm_block_quant,
                                            nullptr};
const normproof_plugin_operation kStaticCodes = {sizeof kStaticCodes, "layer_norm_static_fp8_quant",
                                                 &layer_norm_static_fp8_quant, nullptr};
const normproof_plugin_operation kDynamicCodes = {sizeof kDynamicCodes, "layer_norm_dynamic_quant",
                                                  &layer_norm_dynamic_quant, nullptr};
const normproof_plugin_operation kGated = {sizeof kGated, "gated_rms_norm", &gated_rms_norm, nullptr};
const normproof_plugin_operation kUnknown = {sizeof kUnknown, "nobody_knows_this_norm", &layer_norm, nullptr};

const normproof_plugin_operation* const kOperations[] = {
    &kLayerNorm, &kFusedAdd,    &kRmsBackward,  &kLayerBackward, &kRope,
    &kBlocks,    &kStaticCodes, &kDynamicCodes, &kGated,         nullptr};
const normproof_plugin_operation kRmsNorm = {sizeof kRmsNorm, "rms_norm", &rms_norm, nullptr};
const normproof_plugin_operation* const kBothKinds[] = {&kRmsNorm, &kLayerNorm, nullptr};
const normproof_plugin_operation* const kLimitedOperations[] = {&kLimited, &kUnknown, nullptr};

normproof_plugin_info info = {
    NORMPROOF_PLUGIN_ABI,
    NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_NO_WEIGHT |
        NORMPROOF_TAKES_SAME_WEIGHT | NORMPROOF_TAKES_FP32_WEIGHT | NORMPROOF_TAKES_INT8 |
        NORMPROOF_TAKES_E4M3FN | NORMPROOF_TAKES_NO_STATISTICS,
    "judged operations in plain C++",
    kDLCPU,
    sizeof info,
    kOperations,
};

}  // namespace

const normproof_plugin_info* normproof_plugin(void) {
  if (fault("both-kinds")) info.operations = kBothKinds;
  if (fault("device")) info.memory = kDLCUDA;
  if (fault("limits")) info.operations = kLimitedOperations;
  return &info;
}
