// The loops of the fast path over one row, in hardware arithmetic: one table of functions per instruction
// set. fp32 buffers hold values of the format named; packed data may be unaligned and is little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof::oracle {

inline constexpr std::size_t kActivationFormats = 3;  // fp32, fp16, bf16: the first rows of kFormats

struct RowKernels {
  const char* name;
  // Packed T to fp32.
  using Widen = void (*)(const std::byte* packed, std::int64_t count, float* values);
  std::array<Widen, kActivationFormats> widen;
  // Whether any packed T is NaN, infinite, -0 or subnormal.
  using AnySpecial = bool (*)(const std::byte* packed, std::int64_t count);
  std::array<AnySpecial, kActivationFormats> any_special;
  // sum = fl(x + residual); rounded = rnd_T(sum), as fp32 and packed.
  using AddResidual = void (*)(const float* x, const float* residual, std::int64_t count, float* sum,
                               float* rounded, std::byte* packed);
  std::array<AddResidual, kActivationFormats> add_residual;
  // The canonical sum of squares in fp32; per chunk elements go to one lane.
  float (*sum_fp32)(const float* values, std::int64_t count, std::int64_t per_chunk);
  // The same with every step rounded to T, operands included.
  using SumActivation = float (*)(const float* values, std::int64_t count, std::int64_t per_chunk);
  std::array<SumActivation, kActivationFormats> sum_activation;
  // Sum of squares in fp64, in some order: |result - exact| <= count * 2^-52 * exact unless it overflows.
  double (*sum_fp64)(const float* values, std::int64_t count);

  struct Scaling {
    float r;
    const float* factor;     // nullptr: no weight
    bool rounds_normalized;  // n = rnd_T(fl(x * r)), else fl(x * r)
  };
  // y = rnd_T(n * factor), packed.
  using Normalize = void (*)(const float* values, std::int64_t count, const Scaling& scaling,
                             std::byte* packed);
  std::array<Normalize, kActivationFormats> normalize;
  // The same for a quantized output: rounded to T (or, unrounded, as fl(n * factor)) in fp32.
  using NormalizeToFp32 = void (*)(const float* values, std::int64_t count, const Scaling& scaling,
                                   bool rounds_output, float* result);
  std::array<NormalizeToFp32, kActivationFormats> normalize_to_fp32;

  // Any order of the two products, one element after the other: `first` is the product (or, where `divides`,
  // the quotient) of two of x, u and factor, the third follows. Rounded to T
  // where said, in the way that is said.
  struct AnyOrder {
    float unknown;
    const float* factor;  // nullptr: no weight
    enum class First : std::uint8_t { x_and_unknown, x_and_factor, factor_and_unknown } first;
    bool divides;
    bool rounds_first;
    bool rounds_output;
    ActivationRounding rounding;
  };
  using InAnyOrder = void (*)(const float* values, std::int64_t count, const AnyOrder& order, float* result);
  std::array<InAnyOrder, kActivationFormats> in_any_order;
  // In place, to T.
  using RoundValues = void (*)(float* values, std::int64_t count, ActivationRounding rounding);
  std::array<RoundValues, kActivationFormats> round_values;
  // Numbers of T.
  using Pack = void (*)(const float* values, std::int64_t count, std::byte* packed);
  std::array<Pack, kActivationFormats> pack;

  struct Quantization {
    float scale;  // y * scale, or y / scale
    bool divides;
    bool saturates_nan;
    float maximum;      // scaled values are clamped to it
    float minimum = 0;  // of int8; else -maximum
  };
  using Quantize = void (*)(const float* values, std::int64_t count, const Quantization& quantization,
                            std::byte* packed);
  std::array<Quantize, 5> quantize;  // in the order of kQuantizedDTypes, then int8
  // In place: y * scale or y / scale, rounded to bf16.
  void (*scale_to_bf16)(float* values, std::int64_t count, const Quantization& quantization);
  // The canonical sum of squares in fp64.
  double (*canonical_sum_fp64)(const float* values, std::int64_t count, std::int64_t per_chunk);
  // The fp32 bits of the largest magnitude, those of a NaN if there is one; where `drops_nan`, of the others.
  std::uint32_t (*largest_magnitude)(const float* values, std::int64_t count, bool drops_nan);
};

// The fastest table that this processor can run.
const RowKernels& row_kernels();
const RowKernels& baseline_row_kernels();
// nullptr where the build or the processor lacks AVX2, FMA or F16C.
const RowKernels* avx2_row_kernels();

// For the duration of a scope: round to nearest even, no flush to zero, whatever the caller had set.
class StandardFloatEnvironment {
 public:
  StandardFloatEnvironment();
  ~StandardFloatEnvironment();
  StandardFloatEnvironment(const StandardFloatEnvironment&) = delete;
  StandardFloatEnvironment& operator=(const StandardFloatEnvironment&) = delete;

 private:
  int rounding_;
  unsigned control_ = 0;  // of the SSE unit, where there is one
};

}  // namespace normproof::oracle
