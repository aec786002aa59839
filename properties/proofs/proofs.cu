// The proofs: what the kernels do with 8 inputs, and what integer arithmetic says of them.
#include "properties/proofs/proofs.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda.h"
#include "kernels/family/block_scale.cuh"
#include "kernels/family/e2m1.cuh"
#include "kernels/norm_kernel.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/quick_operands.h"
#include "kernels/register_kernel.cuh"
#include "kernels/row_numbers.cuh"
#include "kernels/storage_types.cuh"
#include "oracle/integer_arithmetic.h"

namespace {

namespace integer = normproof::oracle::integer;
using normproof::kernels::Bf16;
using normproof::kernels::Chunk;
using normproof::kernels::CodeFormat;
using normproof::kernels::Fp16;
using normproof::kernels::Fp8;
using normproof::kernels::Fp8Format;
using normproof::kernels::Pack;

constexpr int kBlock = 8;
constexpr std::uint64_t kPairs = std::uint64_t{1} << 32;

// What a proof compares for the 8 inputs from `first` on. Where the kernels have two ways to compute
// something, `second` is the other one, which must agree as well.
struct Comparison {
  bool quick_ways;  // whether kernels take the short ways of row_numbers.cuh where this runs
  std::uint32_t got[kBlock];
  std::uint32_t second[kBlock];
  std::uint32_t wanted[kBlock];
};

template <typename T>
struct IntegerOf;
template <>
struct IntegerOf<Bf16> {
  using type = integer::Bf16;
};
template <>
struct IntegerOf<Fp16> {
  using type = integer::Fp16;
};

// Inputs are pairs: the upper 16 bits are the bits of one number, the lower 16 of the other.
template <typename T, bool kMultiplies>
struct PairProof {
  using Format = typename IntegerOf<T>::type;
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    Chunk<T> a, b;
    for (int i = 0; i < kBlock; ++i) {
      a.elements[i].bits = static_cast<std::uint16_t>(first >> 16);
      b.elements[i].bits = static_cast<std::uint16_t>(first + static_cast<unsigned>(i));
    }
    const Chunk<T> packed =
        kMultiplies ? normproof::kernels::rounded_product<T>(a, b) : normproof::kernels::rounded_sum<T>(a, b);
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t x = a.elements[i].bits, y = b.elements[i].bits;
      const float fx = normproof::kernels::to_float(a.elements[i]),
                  fy = normproof::kernels::to_float(b.elements[i]);
      comparison.got[i] = packed.elements[i].bits;
      comparison.second[i] =
          normproof::kernels::round_to<T>(kMultiplies ? __fmul_rn(fx, fy) : __fadd_rn(fx, fy)).bits;
      comparison.wanted[i] = kMultiplies ? integer::multiply<Format>(x, y) : integer::add<Format>(x, y);
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<Format>(bits); }
};

// Inputs are the bits of an fp32 number.
template <typename T>
struct ConversionProof {
  using Format = typename IntegerOf<T>::type;
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    float values[kBlock];
    for (int i = 0; i < kBlock; ++i)
      values[i] = normproof::kernels::float_of(static_cast<std::uint32_t>(first) + static_cast<unsigned>(i));
    const Chunk<T> packed = normproof::kernels::round_chunk<T>(values);
    for (int i = 0; i < kBlock; ++i) {
      comparison.got[i] = packed.elements[i].bits;
      comparison.second[i] = normproof::kernels::round_to<T>(values[i]).bits;
      comparison.wanted[i] = integer::convert<Format>(normproof::kernels::bits_of(values[i]));
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<Format>(bits); }
};

template <Fp8Format kFormat, class Format>
struct QuantizationProof {
  static constexpr bool kInHardware =
      normproof::kernels::is_hardware_format(static_cast<CodeFormat>(kFormat));
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    Pack<float, kBlock> values;
    for (int i = 0; i < kBlock; ++i)
      values.elements[i] =
          normproof::kernels::float_of(static_cast<std::uint32_t>(first) + static_cast<unsigned>(i));
    Pack<Fp8, kBlock> packed{};
    if constexpr (kInHardware) {
      constexpr int kElements = normproof::kernels::kChunkElements<float>;
      for (int i = 0; i < kBlock; i += kElements) {
        Pack<float, kElements> chunk;
        for (int j = 0; j < kElements; ++j) chunk.elements[j] = values.elements[i + j];
        const auto quantized = normproof::kernels::quantize_chunk<kFormat, float>(chunk, 1.0f);
        __builtin_memcpy(&packed.elements[i], &quantized, sizeof quantized);
      }
    }
    for (int i = 0; i < kBlock; ++i) {
      comparison.got[i] = kInHardware ? packed.elements[i].bits
                                      : normproof::kernels::quantize(values.elements[i], 1.0f, kFormat).bits;
      comparison.second[i] = normproof::kernels::quantize(values.elements[i], 1.0f, kFormat).bits;
      comparison.wanted[i] = integer::convert<Format>(normproof::kernels::bits_of(values.elements[i]));
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<Format>(bits); }
};

struct InverseRootProof {
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t bits = static_cast<std::uint32_t>(first) + static_cast<unsigned>(i);
      // A sum of `bits` over one element without epsilon.
      comparison.got[i] = normproof::kernels::bits_of(
          normproof::kernels::inverse_rms(normproof::kernels::float_of(bits), 1.0f, 0.0f));
      comparison.second[i] = comparison.quick_ways
                                 ? normproof::kernels::bits_of(second(normproof::kernels::float_of(bits)))
                                 : comparison.got[i];
      comparison.wanted[i] = integer::inverse_root(bits);
    }
  }
  // The short way for all numbers to which a quick sum, H and epsilon can lead.
  static __device__ float second(float m) {
    using namespace normproof::kernels;
    const float least = kLeastQuickSum / static_cast<float>(2 * kMostQuickHidden);
    return lies_within(m, least, kMostQuickSum * 2.0f) ? quick_inverse_root(m) : __frsqrt_rn(m);
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<integer::Fp32>(bits); }
};

// Inputs are the bits of an fp32 number.
struct InverseProof {
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t bits = static_cast<std::uint32_t>(first) + static_cast<unsigned>(i);
      const float scale = normproof::kernels::float_of(bits);
      const bool quick = comparison.quick_ways && normproof::kernels::has_quick_inverse(scale);
      comparison.got[i] =
          normproof::kernels::bits_of(quick ? normproof::kernels::quick_inverse(scale) : __frcp_rn(scale));
      comparison.second[i] = normproof::kernels::bits_of(__fdiv_rn(1.0f, scale));
      comparison.wanted[i] = integer::divide<integer::Fp32>(0x3f800000u, bits);
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<integer::Fp32>(bits); }
};

// Inputs are the bits of a row's largest |y|.
template <Fp8Format kFormat>
struct RowScaleProof {
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    using namespace normproof::kernels;
    const std::uint32_t range = bits_of(maximum_of(kFormat));
    const std::uint32_t least = integer::divide<integer::Fp32>(bits_of(1.0f), range + (9u << 23));
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t largest = static_cast<std::uint32_t>(first) + static_cast<unsigned>(i);
      comparison.second[i] = bits_of(row_scale(largest, static_cast<CodeFormat>(kFormat)));
      comparison.got[i] = comparison.quick_ways && is_quick_largest(largest)
                              ? bits_of(quick_row_scale<kFormat>(largest).scale)
                              : comparison.second[i];
      // Bits of positive numbers are in the order of the numbers, and those of NaN come last.
      const std::uint32_t quotient = integer::divide<integer::Fp32>(largest, range);
      comparison.wanted[i] = quotient < least ? least : quotient;
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<integer::Fp32>(bits); }
};

// Inputs are the bits of an fp32 number.
struct E2m1Proof {
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    using namespace normproof::kernels;
    constexpr int kElements = kChunkElements<float>;
    for (int i = 0; i < kBlock; i += kElements) {
      Chunk<float> chunk;
      bool quick = true;
      for (int j = 0; j < kElements; ++j) {
        const float value = float_of(static_cast<std::uint32_t>(first) + static_cast<unsigned>(i + j));
        chunk.elements[j] = value;
        quick &= has_quick_e2m1(float_of(bits_of(value) & 0x7fffffffu));
      }
      const std::uint32_t codes =
          quick ? quick_e2m1_chunk<float>(chunk, 1.0f) : e2m1_chunk<float>(chunk, 1.0f);
      for (int j = 0; j < kElements; ++j) {
        comparison.got[i + j] = codes >> (4 * j) & 15u;
        comparison.second[i + j] = e2m1_of(chunk.elements[j]);
        comparison.wanted[i + j] = integer::convert<integer::E2m1>(bits_of(chunk.elements[j]));
      }
    }
  }
  static __device__ bool is_nan(std::uint32_t) { return false; }
};

// The lower 16 bits of an input are those of y in bf16, the upper ones are the scale as e8m0.
struct E2m1ByPowerProof {
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    using namespace normproof::kernels;
    const std::uint32_t byte = static_cast<std::uint32_t>(first >> 16);
    const float factor = __frcp_rn(float_of_e8m0(byte));
    Chunk<Bf16> y;
    bool quick = factor > 0.0f;
    for (int i = 0; i < kBlock; ++i) {
      y.elements[i].bits = static_cast<std::uint16_t>(first + static_cast<unsigned>(i));
      const float magnitude = float_of(magnitude_bits(y.elements[i]));
      quick &= has_quick_e2m1(__fmul_rn(magnitude, factor)) && (factor <= 0x1p120f || magnitude == 0.0f);
    }
    std::uint32_t codes = e2m1_chunk<Bf16>(y, factor);
#if defined(__CUDA_ARCH__) && !defined(NORMPROOF_E2M1_INSTRUCTION)
    if (quick) codes = quick_e2m1_chunk_by_power(y, factor);
#else
    if (quick) codes = quick_e2m1_chunk<Bf16>(y, factor);
#endif
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t scaled = bits_of(__fmul_rn(to_float(y.elements[i]), factor));
      comparison.got[i] = codes >> (4 * i) & 15u;
      comparison.second[i] = e2m1_of(float_of(scaled));
      comparison.wanted[i] = integer::convert<integer::E2m1>(scaled);
    }
  }
  static __device__ bool is_nan(std::uint32_t) { return false; }
};

// Inputs are the bits of a block's largest |y|; kRange is the number of max_Q.
template <int kRange>
struct PowerProof {
  static constexpr normproof::kernels::PowerRule kRule =
      normproof::kernels::power_rule(static_cast<float>(kRange), 0.0f);
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    using namespace normproof::kernels;
    constexpr float kMost = kRange;
    const PowerRule rule{kRule.adder, kRule.exponent, kRule.least};
    const BlockScaling scaling{BlockScaleRule::power, BlockScaleStorage::e8m0, kMost, 0.0f};
    const ScaleParameters unbounded{float_of(0x7f800000u), 1.0f};
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t largest = static_cast<std::uint32_t>(first) + static_cast<unsigned>(i);
      comparison.second[i] = general_block_scale(scaling, unbounded, largest).stored;
      comparison.got[i] = has_quick_power(largest) ? quick_power(rule, largest).stored : comparison.second[i];
      comparison.wanted[i] = power_of(integer::divide<integer::Fp32>(largest, bits_of(kMost)));
    }
  }
  // The least power of two from a quotient on, as e8m0.
  static __device__ std::uint32_t power_of(std::uint32_t quotient) {
    if (quotient > 0x7f800000u) return 255;
    if (quotient <= 0x00400000u) return 0;  // 2^-127
    const std::uint32_t exponent = quotient >> 23;
    const bool is_power = (quotient & 0x7fffffu) == 0 && exponent > 0;
    return exponent + !is_power < 254 ? exponent + !is_power : 254;
  }
  static __device__ bool is_nan(std::uint32_t bits) { return bits == 255; }
};

// The lower 23 bits of an input are those of a sum from 1 to 2, the upper ones are the number of an odd H.
// Other exponents of sums, as long as they are quick, and of H change nothing.
struct MeanProof {
  static constexpr int kSumBits = 23, kHiddenBits = 10;
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    const float hidden = static_cast<float>(2 * (first >> kSumBits) + 1);
    const float inverse_hidden = __fdiv_rn(1.0f, hidden);
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t low = static_cast<std::uint32_t>(first) + static_cast<unsigned>(i);
      const std::uint32_t bits = 0x3f800000u | (low & ((1u << kSumBits) - 1));
      const float sum = normproof::kernels::float_of(bits);
      comparison.got[i] = normproof::kernels::bits_of(
          comparison.quick_ways ? normproof::kernels::quick_mean(sum, hidden, inverse_hidden)
                                : __fdiv_rn(sum, hidden));
      comparison.second[i] = normproof::kernels::bits_of(__fdiv_rn(sum, hidden));
      comparison.wanted[i] = integer::divide<integer::Fp32>(bits, normproof::kernels::bits_of(hidden));
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<integer::Fp32>(bits); }
};

// What the witness judge takes for granted of the roots that kernels use: the approximate one and that of
// two correctly rounded operations. A result within the bound counts as the one that was wanted.
struct NearRootProof {
  static constexpr std::uint32_t kBound = 2;  // representable numbers: policy `inverse_root_ulp`
  static __device__ std::uint32_t within_bound(float root, std::uint32_t wanted) {
    const std::uint32_t bits = normproof::kernels::bits_of(root);
    return bits - wanted + kBound <= 2 * kBound ? wanted : bits;
  }
  static __device__ void compare(std::uint64_t first, Comparison& comparison) {
    for (int i = 0; i < kBlock; ++i) {
      const std::uint32_t bits = static_cast<std::uint32_t>(first) + static_cast<unsigned>(i);
      const float m = normproof::kernels::float_of(bits);
      comparison.wanted[i] = integer::inverse_root(bits);
      comparison.got[i] = within_bound(rsqrtf(m), comparison.wanted[i]);
      comparison.second[i] = within_bound(__fdiv_rn(1.0f, __fsqrt_rn(m)), comparison.wanted[i]);
    }
  }
  static __device__ bool is_nan(std::uint32_t bits) { return integer::is_nan<integer::Fp32>(bits); }
};

// A good mixer of 64 bits (the finalizer of MurmurHash3).
__device__ inline std::uint64_t mixed(std::uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdull;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ull;
  return value ^ value >> 33;
}

// Compares one block of 8 inputs and adds what came of it.
template <class Proof>
__device__ inline void prove_block(std::uint64_t block, bool quick_ways, normproof_proof_result& result) {
  Comparison comparison;
  comparison.quick_ways = quick_ways;
  const std::uint64_t first = block * kBlock;
  Proof::compare(first, comparison);
  for (int i = 0; i < kBlock; ++i) {
    const std::uint32_t got = comparison.got[i], second = comparison.second[i], wanted = comparison.wanted[i];
    const bool nan = Proof::is_nan(wanted);
    const auto right = [&](std::uint32_t bits) { return bits == wanted || (nan && Proof::is_nan(bits)); };
    // All NaNs count as the one that was wanted, so that CPU and device have the same hash.
    result.hash += mixed((first + static_cast<unsigned>(i)) * 0x9e3779b97f4a7c15ull ^
                         (nan && right(got) ? wanted : got));
    ++result.inputs;
    if (right(got) && right(second)) continue;
    if (result.mismatches++ == 0) {
      result.first_mismatch = first + static_cast<unsigned>(i);
      result.got = right(got) ? second : got;
      result.wanted = wanted;
    }
  }
}

void add(normproof_proof_result& sum, const normproof_proof_result& part) {
  sum.inputs += part.inputs;
  sum.hash += part.hash;
  if (part.mismatches > 0 && (sum.mismatches == 0 || part.first_mismatch < sum.first_mismatch)) {
    sum.first_mismatch = part.first_mismatch;
    sum.got = part.got;
    sum.wanted = part.wanted;
  }
  sum.mismatches += part.mismatches;
}

void write(normproof_message message, const std::string& text) {
  if (message.data == nullptr || message.capacity == 0) return;
  const std::size_t length = std::min(text.size(), message.capacity - 1);
  std::memcpy(message.data, text.data(), length);
  message.data[length] = '\0';
}

#if defined(__CUDACC__)
constexpr int kThreads = 256, kBlocks = 132 * 16;

template <class Proof>
__global__ void prove_kernel(std::uint64_t first_block, std::uint64_t blocks, std::uint64_t stride,
                             bool quick_ways, normproof_proof_result* results) {
  const unsigned self = blockIdx.x * blockDim.x + threadIdx.x;
  normproof_proof_result result{};
  for (std::uint64_t i = self; i < blocks; i += gridDim.x * blockDim.x)
    prove_block<Proof>(first_block + i * stride, quick_ways, result);
  results[self] = result;
}

template <class Proof>
normproof_device_status prove(std::uint64_t first_block, std::uint64_t blocks, std::uint64_t stride, int,
                              normproof_proof_result* result, normproof_message message) {
  std::vector<normproof_proof_result> parts(static_cast<std::size_t>(kThreads) * kBlocks);
  const std::size_t bytes = parts.size() * sizeof parts[0];
  normproof_proof_result* results = nullptr;
  int device = 0, generation = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&generation, cudaDevAttrComputeCapabilityMajor, device);
  if (error == cudaSuccess) error = cudaMalloc(&results, bytes);
  if (error == cudaSuccess) {
    const bool quick_ways = normproof::kernels::has_quick_ways(generation);
    prove_kernel<Proof><<<kBlocks, kThreads>>>(first_block, blocks, stride, quick_ways, results);
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) error = cudaMemcpy(parts.data(), results, bytes, cudaMemcpyDeviceToHost);
  cudaFree(results);
  if (error != cudaSuccess) {
    write(message, std::string(cudaGetErrorName(error)) + ", " + cudaGetErrorString(error));
    return error == cudaErrorMemoryAllocation ? NORMPROOF_DEVICE_OUT_OF_MEMORY : NORMPROOF_DEVICE_FAILED;
  }
  *result = {};
  for (const auto& part : parts) add(*result, part);
  return NORMPROOF_DEVICE_OK;
}
#else
template <class Proof>
normproof_device_status prove(std::uint64_t first_block, std::uint64_t blocks, std::uint64_t stride,
                              int threads, normproof_proof_result* result, normproof_message message) {
  const auto workers = static_cast<std::uint64_t>(std::max(threads, 1));
  std::vector<normproof_proof_result> parts(workers);
  std::vector<std::thread> pool;
  for (std::uint64_t worker = 0; worker < workers; ++worker) {
    pool.emplace_back([&, worker] {
      normproof_proof_result part{};
      for (std::uint64_t i = worker; i < blocks; i += workers)
        prove_block<Proof>(first_block + i * stride, true, part);
      parts[worker] = part;
    });
  }
  for (std::thread& thread : pool) thread.join();
  *result = {};
  for (const auto& part : parts) add(*result, part);
  write(message, "");
  return NORMPROOF_DEVICE_OK;
}
#endif

struct Row {
  const char* name;
  const char* sentence;
  std::uint64_t inputs;
  decltype(&prove<InverseRootProof>) run;
};

constexpr Row kProofs[] = {
    {"multiply-bf16", "rnd(n * w) of all pairs of bf16 numbers", kPairs, &prove<PairProof<Bf16, true>>},
    {"multiply-fp16", "rnd(n * w) of all pairs of fp16 numbers", kPairs, &prove<PairProof<Fp16, true>>},
    {"add-bf16", "rnd(x + residual) of all pairs of bf16 numbers", kPairs, &prove<PairProof<Bf16, false>>},
    {"add-fp16", "rnd(x + residual) of all pairs of fp16 numbers", kPairs, &prove<PairProof<Fp16, false>>},
    {"convert-bf16", "rnd_bf16 of all fp32 numbers", kPairs, &prove<ConversionProof<Bf16>>},
    {"convert-fp16", "rnd_fp16 of all fp32 numbers", kPairs, &prove<ConversionProof<Fp16>>},
    {"quantize-e4m3fn", "clamp and rnd_e4m3fn of all fp32 numbers", kPairs,
     &prove<QuantizationProof<Fp8Format::e4m3fn, integer::Fp8E4m3fn>>},
    {"quantize-e5m2", "clamp and rnd_e5m2 of all fp32 numbers", kPairs,
     &prove<QuantizationProof<Fp8Format::e5m2, integer::Fp8E5m2>>},
    {"quantize-e4m3fnuz", "clamp and rnd_e4m3fnuz of all fp32 numbers", kPairs,
     &prove<QuantizationProof<Fp8Format::e4m3fnuz, integer::Fp8E4m3fnuz>>},
    {"quantize-e5m2fnuz", "clamp and rnd_e5m2fnuz of all fp32 numbers", kPairs,
     &prove<QuantizationProof<Fp8Format::e5m2fnuz, integer::Fp8E5m2fnuz>>},
    {"inverse-root", "rnd(1 / sqrt(m)) of all fp32 numbers without a sign", std::uint64_t{1} << 31,
     &prove<InverseRootProof>},
    {"inverse", "rnd(1 / scale) of all fp32 numbers", kPairs, &prove<InverseProof>},
    {"row-scale-e4m3fn", "rnd(a / 448), at least rnd(1 / (512 * 448)), of all fp32 numbers without a sign",
     std::uint64_t{1} << 31, &prove<RowScaleProof<Fp8Format::e4m3fn>>},
    {"row-scale-e5m2", "rnd(a / 57344), at least rnd(1 / (512 * 57344)), of all fp32 numbers without a sign",
     std::uint64_t{1} << 31, &prove<RowScaleProof<Fp8Format::e5m2>>},
    {"e2m1", "clamp and rnd_e2m1 of all fp32 numbers", kPairs, &prove<E2m1Proof>},
    {"e2m1-by-power", "rnd_e2m1 of the products of all bf16 numbers with all powers of two of e8m0",
     std::uint64_t{1} << 24, &prove<E2m1ByPowerProof>},
    {"power-e4m3fn", "the least power of two from rnd(a / 448) on, of all fp32 numbers without a sign",
     std::uint64_t{1} << 31, &prove<PowerProof<448>>},
    {"power-e5m2", "the least power of two from rnd(a / 57344) on, of all fp32 numbers without a sign",
     std::uint64_t{1} << 31, &prove<PowerProof<57344>>},
    {"power-e2m1", "the least power of two from rnd(a / 6) on, of all fp32 numbers without a sign",
     std::uint64_t{1} << 31, &prove<PowerProof<6>>},
    {"mean", "rnd(sum / H) of all sums from 1 to 2 and all odd H below 2048",
     std::uint64_t{1} << (MeanProof::kSumBits + MeanProof::kHiddenBits), &prove<MeanProof>},
    {"near-root", "rsqrt(m) and 1 / sqrt(m), at most 2 numbers from rnd(1 / sqrt(m)), of the same",
     std::uint64_t{1} << 31, &prove<NearRootProof>},
};
constexpr std::int32_t kCount = static_cast<std::int32_t>(sizeof kProofs / sizeof kProofs[0]);

bool is_proof(std::int32_t proof) { return proof >= 0 && proof < kCount; }

}  // namespace

std::int32_t normproof_proof_count(void) { return kCount; }
const char* normproof_proof_name(std::int32_t proof) {
  return is_proof(proof) ? kProofs[proof].name : nullptr;
}
const char* normproof_proof_sentence(std::int32_t proof) {
  return is_proof(proof) ? kProofs[proof].sentence : nullptr;
}
std::uint64_t normproof_proof_inputs(std::int32_t proof) {
  return is_proof(proof) ? kProofs[proof].inputs : 0;
}

normproof_device_status normproof_prove(std::int32_t proof, std::uint64_t first_block, std::uint64_t blocks,
                                        std::uint64_t stride, std::int32_t threads,
                                        normproof_proof_result* result, normproof_message message) {
  if (!is_proof(proof)) {
    write(message, "there is no proof number " + std::to_string(proof));
    return NORMPROOF_DEVICE_FAILED;
  }
  return kProofs[proof].run(first_block, blocks, stride, threads, result, message);
}
