// The gradients of RMSNorm and LayerNorm for rows of any length and alignment. With xh = fl(x * r), or
// fl(fl(x - m) * r), and wdy = fl(dy * w):
//
//   c1 = fl(sum xh * wdy / fl(H)),   c2 = fl(sum wdy / fl(H)),
//   dx = rnd_T(fl(fl(fma(-xh, c1, wdy) - c2) * r) + dresidual),
//   dweight = sum of dy * xh over rows,   dbias = sum of dy over rows
//
// Sums over a row are in the canonical order of row_reduction.cuh, by fma and by addition; c2 is LayerNorm's
// alone. Sums over rows go through groups of kGroupRows rows, as norm_gradient_arguments.h says; any kernel
// may leave the sum of any run of 2^n groups that starts at a multiple of 2^n, and join_kernel adds these up.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cache_hint.cuh"
#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/dependent_launch.cuh"
#include "kernels/family/affine.cuh"
#include "kernels/family/norm_gradient_arguments.h"
#include "kernels/family/row_team.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/row_reduction.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// The numbers of a row that all of its elements are computed with.
template <bool kCentred>
struct RowFactors {
  float rstd = 0;
  float mean = 0;

  // xh.
  __device__ float normalize(float x) const { return __fmul_rn(kCentred ? __fsub_rn(x, mean) : x, rstd); }
  // dx before it is rounded.
  __device__ float gradient(float normalized, float weighted, float c1, float c2) const {
    const float corrected = __fmaf_rn(-normalized, c1, weighted);
    return __fmul_rn(kCentred ? __fsub_rn(corrected, c2) : corrected, rstd);
  }
};

template <typename T>
__device__ inline float read_statistic(const RowStatistic& statistic, std::int64_t offset) {
  if (statistic.is_fp32) return static_cast<const float*>(statistic.data)[offset];
  return to_float(static_cast<const T*>(statistic.data)[offset]);
}

// `offset_of` gives the offset of the row by a tensor's strides.
template <typename T, bool kCentred, class OffsetOf>
__device__ inline RowFactors<kCentred> factors_of_row(const NormGradientArguments& arguments,
                                                      const OffsetOf& offset_of) {
  RowFactors<kCentred> factors;
  factors.rstd = read_statistic<T>(arguments.rstd, offset_of(arguments.rstd.strides));
  if constexpr (kCentred) factors.mean = read_statistic<T>(arguments.mean, offset_of(arguments.mean.strides));
  return factors;
}

template <typename T, bool kCentred>
__device__ inline RowFactors<kCentred> factors_of_row(const NormGradientArguments& arguments,
                                                      std::int64_t row) {
  return factors_of_row<T, kCentred>(
      arguments, [&](const RowStrides& strides) { return row_offset(arguments.rows, strides, row); });
}

template <typename T>
__device__ inline const T* row_of(const LeadingDimensions& rows, const RowsOf<const void*>& tensor,
                                  std::int64_t row) {
  return static_cast<const T*>(tensor.data) + row_offset(rows, tensor.strides, row);
}

// A row of dx in the hands of one thread.
template <typename T, bool kCentred, bool kVectorized>
class RowGradient {
 public:
  static constexpr int kElements = kChunkElements<T>;

  __device__ RowGradient(const NormGradientArguments& arguments, std::int64_t row)
      : arguments_(arguments),
        factors_(factors_of_row<T, kCentred>(arguments, row)),
        dy_(row_of<T>(arguments.rows, arguments.dy, row)),
        x_(row_of<T>(arguments.rows, arguments.x, row)),
        dresidual_(row_of<T>(arguments.rows, arguments.dresidual, row)),
        dx_(static_cast<T*>(arguments.dx.data) + row_offset(arguments.rows, arguments.dx.strides, row)) {}

  // Adds a chunk of xh * wdy to the sum of a lane.
  __device__ float add_products(float lane_sum, std::int64_t chunk) const {
    float normalized[kElements], weighted[kElements];
    factors_of_chunk(chunk, normalized, weighted);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (exists(chunk, i)) lane_sum = __fmaf_rn(normalized[i], weighted[i], lane_sum);
    }
    return lane_sum;
  }
  // Adds a chunk of wdy.
  __device__ float add_weighted(float lane_sum, std::int64_t chunk) const {
    float weighted[kElements];
    weight_chunk(chunk, weighted);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (exists(chunk, i)) lane_sum = __fadd_rn(lane_sum, weighted[i]);
    }
    return lane_sum;
  }

  __device__ void finish(std::int64_t chunk, float c1, float c2) const {
    float normalized[kElements], weighted[kElements], added[kElements];
    factors_of_chunk(chunk, normalized, weighted);
    if (arguments_.dresidual.data != nullptr) unpack<T>(load(dresidual_, chunk), added);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      normalized[i] = factors_.gradient(normalized[i], weighted[i], c1, c2);
      if (arguments_.dresidual.data != nullptr) normalized[i] = __fadd_rn(normalized[i], added[i]);
    }
    store_pack<kVectorized>(dx_, chunk * kElements, arguments_.shape.hidden, round_chunk<T>(normalized));
  }

 private:
  __device__ bool exists(std::int64_t chunk, int i) const {
    return kVectorized || chunk * kElements + i < arguments_.shape.hidden;
  }
  __device__ Chunk<T> load(const T* array, std::int64_t chunk) const {
    return load_pack<kVectorized, kElements>(array, chunk * kElements, arguments_.shape.hidden);
  }
  __device__ void weight_chunk(std::int64_t chunk, float (&weighted)[kElements]) const {
    float weight[kElements];
    unpack<T>(load(dy_, chunk), weighted);
    load_affine<kVectorized, T>(arguments_.weight, kAbsentWeight, chunk * kElements, arguments_.shape.hidden,
                                weight);
#pragma unroll
    for (int i = 0; i < kElements; ++i) weighted[i] = __fmul_rn(weighted[i], weight[i]);
  }
  __device__ void factors_of_chunk(std::int64_t chunk, float (&normalized)[kElements],
                                   float (&weighted)[kElements]) const {
    unpack<T>(load(x_, chunk), normalized);
#pragma unroll
    for (int i = 0; i < kElements; ++i) normalized[i] = factors_.normalize(normalized[i]);
    weight_chunk(chunk, weighted);
  }

  const NormGradientArguments& arguments_;
  RowFactors<kCentred> factors_;
  const T* dy_;
  const T* x_;
  const T* dresidual_;
  T* dx_;
};

// dx, row by row.
template <typename T, bool kCentred, bool kVectorized, bool kBlockPerRow, int kSlots>
__global__ void __launch_bounds__(1024) row_gradient_kernel(NormGradientArguments arguments) {
  for_each_row<kBlockPerRow, kSlots>(
      arguments.shape, arguments.rows.count, [&](auto& team, std::int64_t row) {
        const RowGradient<T, kCentred, kVectorized> gradient(arguments, row);
        // A sum may be -0 where all products underflow, and is not with the +0 of a lane without elements,
        // which `team` leaves out.
        const bool has_empty_lane = arguments.shape.chunks < kLanes;
        const auto mean_of = [&](float sum) {
          return __fdiv_rn(has_empty_lane ? __fadd_rn(sum, 0.0f) : sum, arguments.shape.hidden_as_float);
        };
        const float c1 = mean_of(team.sum(
            [&](float lane_sum, std::int64_t chunk) { return gradient.add_products(lane_sum, chunk); }));
        float c2 = 0.0f;
        if constexpr (kCentred) {
          c2 = mean_of(team.sum(
              [&](float lane_sum, std::int64_t chunk) { return gradient.add_weighted(lane_sum, chunk); }));
        }
        team.visit([&](std::int64_t chunk) { gradient.finish(chunk, c1, c2); });
      });
}

// Sums that come one after the other, added in pairs: the one that comes as number n is first added to as
// many waiting ones as n has ones at its end. Room for 2^kMostJoins sums.
inline constexpr int kMostJoins = 60;
class PairwiseSum {
 public:
  __device__ void add(float sum) {
    int level = 0;
    for (; (count_ >> level & 1) != 0; ++level) sum = __fadd_rn(waiting_[level], sum);
    waiting_[level] = sum;
    ++count_;
  }
  // Of those that have come; +0 of none.
  __device__ float total() const {
    if (count_ == 0) return 0.0f;
    int level = 0;
    while ((count_ >> level & 1) == 0) ++level;
    float sum = waiting_[level];
    for (++level; count_ >> level != 0; ++level) {
      if ((count_ >> level & 1) != 0) sum = __fadd_rn(waiting_[level], sum);
    }
    return sum;
  }

 private:
  std::int64_t count_ = 0;
  float waiting_[kMostJoins];
};

template <typename T>
__device__ inline void store_sum(const NormGradientArguments::Sums& sums, std::int64_t at, float value) {
  if (sums.data == nullptr) return;
  if (sums.in_t) {
    static_cast<T*>(sums.data)[at] = round_to<T>(value);
  } else {
    static_cast<float*>(sums.data)[at] = value;
  }
}

// The sums over the rows of a unit. A thread has one column; a block has blockDim.x columns of one unit after
// the other.
template <typename T, bool kCentred>
__global__ void __launch_bounds__(1024) column_sums_kernel(NormGradientArguments arguments) {
  const std::int64_t hidden = arguments.shape.hidden, rows = arguments.rows.count;
  const std::int64_t unit_rows = std::int64_t{1} << arguments.unit_rows_log2;
  const std::int64_t strips = (hidden + blockDim.x - 1) / blockDim.x;
  const std::int64_t units = (rows + unit_rows - 1) >> arguments.unit_rows_log2;
  for (std::int64_t work = blockIdx.x; work < strips * units; work += gridDim.x) {
    const std::int64_t unit = work / strips, column = work % strips * blockDim.x + threadIdx.x;
    if (column >= hidden) continue;
    PairwiseSum weight_groups, bias_groups;
    const std::int64_t end = (unit + 1) * unit_rows < rows ? (unit + 1) * unit_rows : rows;
    for (std::int64_t first = unit * unit_rows; first < end; first += kGroupRows) {
      float weight_sum = 0.0f, bias_sum = 0.0f;
      for (std::int64_t row = first; row < end && row < first + kGroupRows; ++row) {
        const float dy = to_float(row_of<T>(arguments.rows, arguments.dy, row)[column]);
        const float x = to_float(row_of<T>(arguments.rows, arguments.x, row)[column]);
        const auto factors = factors_of_row<T, kCentred>(arguments, row);
        weight_sum = __fmaf_rn(dy, factors.normalize(x), weight_sum);
        bias_sum = __fadd_rn(bias_sum, dy);
      }
      weight_groups.add(weight_sum);
      bias_groups.add(bias_sum);
    }
    store_sum<T>(arguments.weight_sums, unit * hidden + column, weight_groups.total());
    store_sum<T>(arguments.bias_sums, unit * hidden + column, bias_groups.total());
  }
}

// A block adds the units of kJoinColumns neighbouring columns: up to kJoinRuns runs of 2^run_log2 units, of
// which a thread reads kJoinedAtOnce at the same time, and has kColumns columns: 4 where H is a multiple of
// 4, otherwise 1. How many runs there are changes no bit; on the CPU each costs.
inline constexpr int kJoinColumns = 32, kJoinedAtOnceLog2 = 3, kJoinedAtOnce = 1 << kJoinedAtOnceLog2;
template <int kColumns>
inline constexpr int kJoinThreadsOfRun = kJoinColumns / kColumns;
#if defined(__CUDACC__)
template <int kColumns>
inline constexpr int kJoinRuns = kColumns == 4 ? 64 : 32;
#else
template <int kColumns>
inline constexpr int kJoinRuns = kColumns == 4 ? 16 : 4;
#endif

// The first `count` of these, neighbours added in pairs, again and again, an odd last one as it is.
template <int kCount, int kLeft = kCount / 2>
__device__ inline float join_pairs(float (&sums)[kCount], int count) {
#pragma unroll
  for (int i = 0; i < kLeft; ++i)
    sums[i] = 2 * i + 1 < count ? __fadd_rn(sums[2 * i], sums[2 * i + 1]) : sums[2 * i];
  if constexpr (kLeft > 1) {
    return join_pairs<kCount, kLeft / 2>(sums, (count + 1) / 2);
  } else {
    return sums[0];
  }
}

// The sums of up to kCount units over kColumns neighbouring columns, the first at `from`; without branches,
// so that all loads are in flight at once.
template <int kCount, int kColumns>
__device__ inline void join_units(const float* from, std::int64_t hidden, int count,
                                  float (&joined)[kColumns]) {
  Pack<float, kColumns> units[kCount] = {};
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i < count) units[i] = load_pack<true, kColumns>(from, i * hidden, 0);
  }
#pragma unroll
  for (int column = 0; column < kColumns; ++column) {
    float sums[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums[i] = units[i].elements[column];
    joined[column] = join_pairs(sums, count);
  }
}

// Of a run of any length.
template <int kColumns>
__device__ inline void join_run(const float* from, std::int64_t hidden, std::int64_t count,
                                float (&joined)[kColumns]) {
  constexpr int kAtOnce = kJoinedAtOnce;
  const auto some = [&](std::int64_t left) { return static_cast<int>(left < kAtOnce ? left : kAtOnce); };
  join_units<kAtOnce>(from, hidden, some(count), joined);
  if (count <= kAtOnce) return;
  PairwiseSum parts[kColumns];
  for (std::int64_t unit = 0;;) {
    for (int column = 0; column < kColumns; ++column) parts[column].add(joined[column]);
    unit += kAtOnce;
    if (unit >= count) break;
    join_units<kAtOnce>(from + unit * hidden, hidden, some(count - unit), joined);
  }
  for (int column = 0; column < kColumns; ++column) joined[column] = parts[column].total();
}

// The sum of up to kJoinedAtOnce numbers, each `stride` behind the one before.
__device__ inline float join_numbers(const float* from, int stride, int count) {
  float numbers[kJoinedAtOnce] = {};
#pragma unroll
  for (int i = 0; i < kJoinedAtOnce; ++i) {
    if (i < count) numbers[i] = from[i * stride];
  }
  return join_pairs(numbers, count);
}

// How many of `count` come from `first` on, at most kJoinedAtOnce.
__device__ inline int joined_from(int first, int count) {
  const int left = count - first;
  return left < 0 ? 0 : left < kJoinedAtOnce ? left : kJoinedAtOnce;
}

// As many blocks as strips of columns, and threads for the runs that there are, or for all columns.
template <typename T, int kColumns>
__global__ void __launch_bounds__(kJoinThreadsOfRun<kColumns>* kJoinRuns<kColumns>)
    join_kernel(JoinArguments arguments) {
  using RunSums = Pack<float, kColumns>;
  constexpr int kThreads = kJoinThreadsOfRun<kColumns>;
  constexpr int kMostOctets = (kJoinRuns<kColumns> + kJoinedAtOnce - 1) / kJoinedAtOnce;
  static_assert(kMostOctets <= kJoinedAtOnce);
  NORMPROOF_SHARED(RunSums, runs, kJoinRuns<kColumns> * kThreads);
  NORMPROOF_SHARED(float, octets, kMostOctets* kJoinColumns);
  const auto strips = static_cast<unsigned>((arguments.hidden + kJoinColumns - 1) / kJoinColumns);
  const int which = arguments.of[0].out.data == nullptr || blockIdx.x >= strips ? 1 : 0;
  const float* const sums = which == 0 ? arguments.of[0].sums : arguments.of[1].sums;
  const auto index = static_cast<int>(threadIdx.x);
  const std::int64_t strip = std::int64_t{blockIdx.x % strips} * kJoinColumns;
  const std::int64_t column = strip + index % kThreads * kColumns;
  const std::int64_t run = std::int64_t{1} << arguments.run_log2;
  const std::int64_t first = std::int64_t{index / kThreads} << arguments.run_log2;
  const std::int64_t left =
      column < arguments.hidden && first < arguments.units ? arguments.units - first : 0;
  const auto count = static_cast<int>((arguments.units + run - 1) >> arguments.run_log2);
  const float* const from = sums + (left > 0 ? first * arguments.hidden + column : 0);
  wait_with_addresses(from);
  let_the_next_kernel_start();
  RunSums joined;
  join_run(from, arguments.hidden, left < run ? left : run, joined.elements);
  runs[index] = joined;
  __syncthreads();
  // A thread has one column of eight runs, then of the eights.
  const int octet = index / kJoinColumns, own = index % kJoinColumns;
  float sum = 0.0f;
  if (octet < kMostOctets)
    sum = join_numbers(reinterpret_cast<const float*>(runs) + octet * kJoinedAtOnce * kJoinColumns + own,
                       kJoinColumns, joined_from(octet * kJoinedAtOnce, count));
  if (count > kJoinedAtOnce) {
    if (octet < kMostOctets) octets[index] = sum;
    __syncthreads();
    sum = join_numbers(octets + own, kJoinColumns, (count + kJoinedAtOnce - 1) / kJoinedAtOnce);
  }
  if (octet == 0 && strip + own < arguments.hidden)
    store_sum<T>(which == 0 ? arguments.of[0].out : arguments.of[1].out, strip + own, sum);
  // All have read the sums.
  for (std::int64_t unit = index; arguments.discards && unit < arguments.units; unit += blockDim.x)
    discard(sums + unit * arguments.hidden + strip);
}

}  // namespace normproof::kernels
