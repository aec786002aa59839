// Codes by the row kernels' loops, and e2m1 by comparisons.
#include "oracle/blocks/block_codes.h"

#include <cmath>

#include "oracle/policy_rows.h"
#include "oracle/quantization_scale.h"

namespace normproof::oracle {
namespace {

Value range_of(std::optional<DType> quantized, const Policy& policy) {
  if (!quantized) return Value::integer(6);
  Formula formula;
  formula.formats.quantized = quantized;
  formula.policy = policy;
  return quantized_range(formula);
}

// To nearest, ties to the code with an even last bit; the magnitudes are 0, 0.5, 1, 1.5, 2, 3, 4, 6.
std::uint8_t e2m1_of(float scaled) {
  if (std::isnan(scaled)) return 7;
  const float m = std::fabs(scaled);
  const int code = int{m > 0.25f} + int{m >= 0.75f} + int{m > 1.25f} + int{m >= 1.75f} + int{m > 2.5f} +
                   int{m >= 3.5f} + int{m > 5.0f};
  return static_cast<std::uint8_t>(code | (std::signbit(scaled) ? 8 : 0));
}

}  // namespace

BlockCodes::BlockCodes(std::optional<DType> quantized, const Policy& policy)
    : quantized_(quantized),
      policy_(policy),
      format_(quantized ? format_of(*quantized) : kE2m1),
      range_(range_of(quantized, policy)) {
  if (!quantized) return;
  kernel_ = row_kernels()
                .quantize[static_cast<std::size_t>(*quantized) - static_cast<std::size_t>(DType::fp8_e4m3fn)];
  quantization_ = {1.0f, false, policy.fp8_nan == Fp8NanPolicy::saturate,
                   static_cast<float>(to_double(range_)), static_cast<float>(row_of(policy.int8_low).least)};
}

void BlockCodes::quantize(const float* y, std::int64_t count, float factor, bool divides,
                          std::uint8_t* codes) const {
  if (kernel_ != nullptr) {
    RowKernels::Quantization quantization = quantization_;
    quantization.scale = factor;
    quantization.divides = divides;
    return kernel_(y, count, quantization, reinterpret_cast<std::byte*>(codes));
  }
  for (std::int64_t i = 0; i < count; ++i) codes[i] = e2m1_of(divides ? y[i] / factor : y[i] * factor);
}

std::uint32_t BlockCodes::exact(const Value& y, const Value& factor, bool divides) const {
  const Value scaled = round_to(DType::fp32, divides ? quotient(y, factor) : y * factor);
  const bool is_int8 = quantized_ == DType::int8;
  if (scaled.is_nan() && !is_int8 && (!quantized_ || policy_.fp8_nan == Fp8NanPolicy::saturate))
    return static_cast<std::uint32_t>(round_bits(format_, range_));
  const Value least = is_int8 ? Value::integer(row_of(policy_.int8_low).least) : -range_;
  const Value clamped = scaled < least ? least : scaled > range_ ? range_ : scaled;
  return static_cast<std::uint32_t>(round_bits(format_, clamped));
}

}  // namespace normproof::oracle
