// NormArguments: what a norm kernel is told, by value. Plain data that host and device read alike.
#pragma once

#include <cstdint>

namespace normproof::kernels {

inline constexpr int kWarpThreads = 32;
inline constexpr int kChunkBytes = 16;  // of a row, that a thread reads at once

enum class Fp8Format : std::int32_t { e4m3fn, e5m2, e4m3fnuz, e5m2fnuz };

// What a row is quantized to. The first four are those of Fp8Format.
enum class CodeFormat : std::int32_t { e4m3fn, e5m2, e4m3fnuz, e5m2fnuz, int8, e2m1 };

// Whether a GPU converts to it by an instruction.
constexpr bool is_hardware_format(CodeFormat format) {
  return format == CodeFormat::e4m3fn || format == CodeFormat::e5m2;
}

// Strides in elements of up to three leading dimensions; the innermost is the stride from row to row.
struct RowStrides {
  std::int64_t outer = 0;
  std::int64_t middle = 0;
  std::int64_t inner = 0;
};

// Rows are numbered row-major over leading dimensions of sizes count / (middle_size * inner_size),
// middle_size and inner_size.
struct LeadingDimensions {
  std::int64_t count = 0;
  std::int64_t middle_size = 1;
  std::int64_t inner_size = 0;
};

struct NormArguments {
  // Rows are numbered row-major over leading dimensions of sizes rows / (middle * inner), middle and inner.
  std::int64_t rows = 0;
  std::int64_t middle_size = 1;
  std::int64_t inner_size = 0;

  std::int64_t hidden = 0;   // elements per row
  std::int64_t chunks = 0;   // chunks of 16 bytes per row, the last one perhaps partial
  int groups = 0;            // groups of 32 lanes that a row reaches
  int group_tree_width = 0;  // `groups` rounded up to a power of two

  // Neighbouring threads that share a row where a row fits into one warp: 2 to this power.
  int row_threads_log2 = 0;

  const void* input = nullptr;
  void* residual = nullptr;  // read and overwritten with the sum; null unless the operation adds
  void* out = nullptr;       // may be `input`
  const void* weight = nullptr;
  const float* scale = nullptr;
  RowStrides input_strides;
  RowStrides residual_strides;
  RowStrides out_strides;
  float* scales = nullptr;  // written: one for each row, where rows have scales of their own
  std::int64_t scales_stride = 0;
  const float* scale_ub = nullptr;  // upper bound of the maxima that scales are made of; null: none

  float hidden_as_float = 0;
  float inverse_hidden = 0;  // rnd(1 / hidden) where row_numbers.cuh may go its short ways, otherwise 0
  float epsilon = 0;
  CodeFormat codes = CodeFormat::e4m3fn;  // used where the operation quantizes
};

}  // namespace normproof::kernels
