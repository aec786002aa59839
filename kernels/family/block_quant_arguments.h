// BlockQuantArguments: what a kernel is told that normalizes rows and quantizes them block by block. Plain
// data that host and device read alike.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/arguments.h"
#include "kernels/norm_arguments.h"

namespace normproof::kernels {

inline CodeFormat codes_of(DType dtype) {
  if (dtype == DType::uint8) return CodeFormat::e2m1;
  if (dtype == DType::int8) return CodeFormat::int8;
  return static_cast<CodeFormat>(static_cast<int>(dtype) - static_cast<int>(DType::fp8_e4m3fn));
}

// The largest number.
inline float range_of(CodeFormat format) {
  switch (format) {
    case CodeFormat::e4m3fn:
      return 448.0f;
    case CodeFormat::e4m3fnuz:
      return 240.0f;
    case CodeFormat::int8:
      return 127.0f;
    case CodeFormat::e2m1:
      return 6.0f;
    case CodeFormat::e5m2:
    case CodeFormat::e5m2fnuz:
      break;
  }
  return 57344.0f;
}

// Of quotients fl(a / range).
inline float least_scale_of(CodeFormat format) {
  return format == CodeFormat::int8 ? 0x1p-23f : 1.0f / (512.0f * range_of(format));
}

enum class BlockScaleRule : std::int32_t {
  quotient,  // s = fl(a / max_Q), stored in fp32
  power,     // the least power of two >= that
  global     // s = e4m3(min(fl(fl(g * a) * fl(1/6)), 448)), g a scale of the whole tensor (NVFP4)
};
enum class BlockScaleStorage : std::int32_t { fp32, e8m0, e4m3 };

// How a block's scale is made.
struct BlockScaling {
  BlockScaleRule rule = BlockScaleRule::quotient;
  BlockScaleStorage storage = BlockScaleStorage::fp32;
  float range = 0;        // max_Q
  float least_scale = 0;  // of the quotient
};

// How the exponent of a maximum a says the least power of two from a / max_Q on.
struct PowerRule {
  std::uint32_t adder = 0;  // carries into the exponent where a's mantissa is beyond that of max_Q
  int exponent = 0;         // of max_Q
  int least = 0;            // of the least scale, as e8m0
};
constexpr PowerRule power_rule(float range, float least_scale) {
  const auto bits = std::bit_cast<std::uint32_t>(range);
  const auto least = static_cast<int>((std::bit_cast<std::uint32_t>(least_scale) + 0x7fffffu) >> 23);
  return {0x7fffffu - (bits & 0x7fffffu), static_cast<int>(bits >> 23) - 127, least};
}

// From row to row in bytes, where rows step evenly: what the kernel of rows in registers goes by.
struct RowBytes {
  std::uint32_t x = 0, residual = 0, residual_out = 0, out = 0, normalized = 0, scales = 0;
};

struct BlockQuantArguments {
  // Of the row: `residual` is only read here, and `scale` and `scales` are not used.
  NormArguments norm;
  void* residual_out = nullptr;  // may be the residual
  RowStrides residual_out_strides;
  void* normalized = nullptr;  // y in T; null: not wanted
  RowStrides normalized_strides;

  CodeFormat codes = CodeFormat::e4m3fn;
  WeightKind weight = WeightKind::none;
  std::int64_t block = 0;   // elements that share a scale; the last block of a row has what is left
  std::int64_t blocks = 0;  // of a row
  // The kernel of rows in registers: 2 to this power chunks are a block. The general kernel: as many
  // neighbouring threads work on one.
  int block_threads_log2 = 0;

  BlockScaling scaling;
  const float* scale_ub = nullptr;      // the upper bound of a block's maximum; null: none
  const float* global_scale = nullptr;  // of BlockScaleRule::global
  PowerRule power;

  // The scale of a row's block b lies b / 4 * scale_group_bytes + b % 4 * scale_block_bytes behind the row's
  // first, which lies row * scale_row_bytes behind the first of all, or in tiles.
  void* scales = nullptr;
  std::int64_t scale_row_bytes = 0;
  std::int64_t scale_block_bytes = 0;
  std::int64_t scale_group_bytes = 0;
  RowBytes even;
  // Where scales lie in tiles of 128 rows and 4 blocks: so many tiles for a row's blocks; else 0.
  std::int64_t scale_tiles = 0;
};

// Of block_quant_ring.cuh: the rows of a block that lie in shared memory at a time. With three, less of that
// memory is left to cache the weights, and rows take longer.
inline constexpr int kRowStages = 2;

}  // namespace normproof::kernels
