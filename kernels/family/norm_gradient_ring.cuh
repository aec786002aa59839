// The gradients of RMSNorm and LayerNorm for aligned rows that fit into a block, or a cluster of blocks, by
// as many blocks as a GPU has room for. A block takes one unit of rows after the other; rows stream through
// a ring in shared memory. The sums over rows stay in the registers of the thread that has the column, sums
// of groups wait in shared memory until they have a partner. The same arithmetic and order as
// norm_gradient_kernel.cuh.
#pragma once

#include <cstdint>

#include "kernels/block_reduction.cuh"
#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/dependent_launch.cuh"
#include "kernels/family/cluster_exchange.cuh"
#include "kernels/family/norm_gradient_arguments.h"
#include "kernels/family/norm_gradient_kernel.cuh"
#include "kernels/family/quick_row.cuh"
#include "kernels/family/row_ring.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/register_shape.h"
#include "kernels/row_reduction.cuh"

namespace normproof::kernels {

// A thread has kSlots chunks, and with two rounds as many again, 1024 chunks on.
template <typename T_, bool kCentred_, Team kTeam_, int kSlots_, int kRounds_, int kMaximumThreads_>
struct RingVariant {
  using T = T_;
  static constexpr bool kCentred = kCentred_;
  static constexpr Team kTeam = kTeam_;
  static constexpr int kSlots = kSlots_;
  static constexpr int kRounds = kRounds_;
  static constexpr int kMaximumThreads = kMaximumThreads_;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kPieces = kSlots * kRounds;  // chunks of a thread
  static constexpr int kSums = kCentred ? 2 : 1;    // over a row, and over rows
};

inline constexpr int kMostStages = 8;

// The chunks of a block's threads, piece by piece: those of one round and slot.
template <class V>
class RingChunks {
 public:
  __device__ RingChunks(const NormGradientArguments& arguments, const RowBlocks& blocks)
      : chunks_(static_cast<int>(arguments.shape.chunks)),
        first_(blocks.rank * static_cast<int>(blockDim.x)),
        stride_(blocks.count * static_cast<int>(blockDim.x)) {
    visit([&](int piece, int round, int slot) {
      exists_[piece] = static_cast<int>(threadIdx.x) < count(round, slot);
    });
  }

  // The first chunk of a piece, that of thread 0.
  __device__ int first(int round, int slot) const { return round * kLanes + first_ + slot * stride_; }
  // How many of the row's chunks a piece has.
  __device__ int count(int round, int slot) const {
    const int left = chunks_ - first(round, slot), threads = static_cast<int>(blockDim.x);
    return left < 0 ? 0 : left < threads ? left : threads;
  }
  // The same of all slots of a round: they follow each other, in the row as in shared memory.
  __device__ int count_of_round(int round) const {
    static_assert(V::kTeam != Team::cluster || V::kSlots == 1);
    const int left = chunks_ - first(round, 0), most = V::kSlots * static_cast<int>(blockDim.x);
    return left < 0 ? 0 : left < most ? left : most;
  }
  // Whether the thread has one.
  __device__ bool exists(int piece) const { return exists_[piece]; }
  // The index in the row of its first element.
  __device__ int element(int round, int slot) const {
    return (first(round, slot) + static_cast<int>(threadIdx.x)) * V::kElements;
  }
  // Calls visit_piece(piece, round, slot) for all pieces, rounds outside: a lane's chunks come in order.
  template <class Visit>
  static __device__ void visit(const Visit& visit_piece) {
#pragma unroll
    for (int round = 0; round < V::kRounds; ++round) {
#pragma unroll
      for (int slot = 0; slot < V::kSlots; ++slot) visit_piece(round * V::kSlots + slot, round, slot);
    }
  }

 private:
  int chunks_;
  int first_;
  int stride_;
  bool exists_[V::kPieces];
};

// The rows of a block in their order: those of one unit, then those of the next that it has.
class RowWalk {
 public:
  __device__ RowWalk(const NormGradientArguments& arguments, const RowBlocks& blocks)
      : unit_rows_(1 << arguments.unit_rows_log2),
        to_next_unit_((static_cast<std::int64_t>(gridDim.x) / blocks.count - 1) * unit_rows_ + 1),
        row_((blockIdx.x / static_cast<unsigned>(blocks.count)) * std::int64_t{unit_rows_}) {}

  __device__ std::int64_t row() const { return row_; }
  __device__ int within_unit() const { return within_unit_; }
  __device__ bool is_last_of_unit() const { return within_unit_ + 1 == unit_rows_; }
  __device__ void next() {
    const bool same_unit = ++within_unit_ != unit_rows_;
    row_ += same_unit ? 1 : to_next_unit_;
    within_unit_ = same_unit ? within_unit_ : 0;
  }

 private:
  int unit_rows_;
  std::int64_t to_next_unit_;  // from the last row of a unit to the first of the block's next
  std::int64_t row_;
  int within_unit_ = 0;
};

// The rows in shared memory. A stage has a row of each tensor: dy, x, dresidual.
template <class V>
class GradientRing {
 public:
  using T = typename V::T;

  __device__ GradientRing(const NormGradientArguments& arguments, const RingChunks<V>& chunks,
                          const RowWalk& walk, char* memory, ArrivalBarrier* barriers)
      : arguments_(arguments),
        chunks_(chunks),
        to_fill_(walk),
        tensor_bytes_(V::kPieces * static_cast<int>(blockDim.x) * kChunkBytes),
        stage_bytes_(tensors() * tensor_bytes_),
        policy_(cache_policy(arguments.evicts_last)),
        memory_(memory),
        barriers_(barriers) {}

  // Behind all stages.
  __device__ char* end() const { return memory_ + arguments_.stages * stage_bytes_; }

  // Starts to bring the next row. All threads call it, so that the compiler knows addresses to be the same
  // for all of them; one does it.
  __device__ void fill(int stage) {
    const std::int64_t row = to_fill_.row();
    to_fill_.next();
    if (threadIdx.x != 0 || row >= arguments_.rows.count) return;
    int chunks = 0;
#pragma unroll
    for (int round = 0; round < V::kRounds; ++round) chunks += chunks_.count_of_round(round);
    barriers_[stage].expect(static_cast<std::uint32_t>(tensors() * chunks * kChunkBytes));
    bring(stage, 0, arguments_.dy, row);
    bring(stage, 1, arguments_.x, row);
    if (has_added()) bring(stage, 2, arguments_.dresidual, row);
  }
  // Waits for the row of the present stage.
  __device__ void wait() { barriers_[stage_].wait(phase_); }
  __device__ void next() {
    const bool wraps = ++stage_ == arguments_.stages;
    stage_ = wraps ? 0 : stage_;
    phase_ ^= wraps ? 1u : 0u;
  }
  __device__ int stage() const { return stage_; }
  __device__ bool has_added() const { return arguments_.dresidual.data != nullptr; }

  // The thread's chunk of a tensor; anything where it has none.
  __device__ Chunk<T> chunk(int tensor, int piece) const {
    Chunk<T> result;
    const auto vector =
        load_aligned<uint4>(place(stage_, tensor, piece) + static_cast<int>(threadIdx.x) * kChunkBytes);
    __builtin_memcpy(&result, &vector, sizeof result);
    return result;
  }

 private:
  __device__ int tensors() const { return has_added() ? 3 : 2; }
  __device__ char* place(int stage, int tensor, int piece) const {
    return memory_ + stage * stage_bytes_ + tensor * tensor_bytes_ +
           piece * (static_cast<int>(blockDim.x) * kChunkBytes);
  }
  __device__ void bring(int stage, int tensor, const RowsOf<const void*>& rows, std::int64_t row) {
    const T* from = static_cast<const T*>(rows.data) + row * rows.strides.inner;
#pragma unroll
    for (int round = 0; round < V::kRounds; ++round) {
      const int count = chunks_.count_of_round(round);
      if (round > 0 && count == 0) break;
      barriers_[stage].copy(place(stage, tensor, round * V::kSlots),
                            from + chunks_.first(round, 0) * V::kElements,
                            static_cast<std::uint32_t>(count * kChunkBytes), policy_);
    }
  }

  const NormGradientArguments& arguments_;
  const RingChunks<V>& chunks_;
  RowWalk to_fill_;
  int tensor_bytes_;  // of a stage
  int stage_bytes_;
  CachePolicy policy_;  // of what is read
  char* memory_;
  ArrivalBarrier* barriers_;
  int stage_ = 0;
  std::uint32_t phase_ = 0;
};

// A thread's part of the sums over rows.
template <class V>
class ColumnSums {
 public:
  __device__ ColumnSums() { clear(); }

  __device__ void add(int piece, const float (&dy)[V::kElements], const float (&normalized)[V::kElements]) {
#pragma unroll
    for (int i = 0; i < V::kElements; ++i) {
      sums_[0][piece][i] = __fmaf_rn(dy[i], normalized[i], sums_[0][piece][i]);
      if constexpr (V::kCentred) sums_[1][piece][i] = __fadd_rn(sums_[1][piece][i], dy[i]);
    }
  }

  // Four of those of a piece.
  __device__ float* quad(int which, int piece, int number) { return sums_[which][piece] + 4 * number; }

  // Stores those of a piece from an element on: as fp32 numbers, or rounded once where `out` takes the
  // gradient itself.
  __device__ void store(int which, int piece, void* out, bool in_t, std::int64_t element) const {
    using T = typename V::T;
    if (in_t) {
      store_pack<true>(static_cast<T*>(out), element, 0, round_chunk<T>(sums_[which][piece]));
      return;
    }
#pragma unroll
    for (int quad = 0; quad < V::kElements / 4; ++quad) {
      Pack<float, 4> pack;
#pragma unroll
      for (int i = 0; i < 4; ++i) pack.elements[i] = sums_[which][piece][4 * quad + i];
      store_pack<true>(static_cast<float*>(out), element + 4 * quad, 0, pack);
    }
  }
  __device__ void clear() {
#pragma unroll
    for (int which = 0; which < V::kSums; ++which) {
#pragma unroll
      for (int piece = 0; piece < V::kPieces; ++piece) {
#pragma unroll
        for (int i = 0; i < V::kElements; ++i) sums_[which][piece][i] = 0.0f;
      }
    }
  }

 private:
  float sums_[V::kSums][V::kPieces][V::kElements];
};

// The sums of a thread's groups of rows that wait for their partners in the tree over groups.
template <class V>
class WaitingSums {
 public:
  // `shared` is the block's memory for those that wait there.
  __device__ WaitingSums(const NormGradientArguments& arguments, const RowBlocks& blocks,
                         const RingChunks<V>& chunks, float* shared)
      : arguments_(arguments),
        chunks_(chunks),
        shared_(shared),
        team_(blockIdx.x / static_cast<unsigned>(blocks.count)) {}

  // After the last row of a group, the one with this number in its unit. Leaves +0 unless the unit ends here,
  // and then the unit's sums.
  __device__ void end_group(ColumnSums<V>& columns, int group, bool unit_ends) const {
    int step = 0;
    for (; unit_ends ? group >> step != 0 : (group >> step & 1) != 0; ++step) {
      if ((group >> step & 1) == 0) continue;
      visit(columns, step, [](float* sums, const float* place) {
        const auto waiting = load_pack<true, 4>(place, 0, 0);
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[i] = __fadd_rn(waiting.elements[i], sums[i]);
      });
    }
    if (unit_ends) return;
    visit(columns, step, [](const float* sums, float* place) {
      Pack<float, 4> waiting;
#pragma unroll
      for (int i = 0; i < 4; ++i) waiting.elements[i] = sums[i];
      store_pack<true>(place, 0, 0, waiting);
    });
    columns.clear();
  }

 private:
  // Calls visit_quad(four sums, their place among those that wait for a step of the tree). In shared memory
  // neighbouring threads have neighbouring quads.
  template <class VisitQuad>
  __device__ void visit(ColumnSums<V>& columns, int step, const VisitQuad& visit_quad) const {
    constexpr int kQuads = V::kElements / 4;
    const int threads = static_cast<int>(blockDim.x), index = static_cast<int>(threadIdx.x);
    if (step < arguments_.shared_steps) {
#pragma unroll
      for (int which = 0; which < V::kSums; ++which) {
#pragma unroll
        for (int piece = 0; piece < V::kPieces; ++piece) {
#pragma unroll
          for (int quad = 0; quad < kQuads; ++quad) {
            const int line = ((step * V::kSums + which) * V::kPieces + piece) * kQuads + quad;
            visit_quad(columns.quad(which, piece, quad), shared_ + (line * threads + index) * 4);
          }
        }
      }
      return;
    }
    const int steps = arguments_.unit_rows_log2 - kGroupRowsLog2 - arguments_.shared_steps;
    float* const waiting = arguments_.waiting + (team_ * steps + step - arguments_.shared_steps) * V::kSums *
                                                    arguments_.shape.hidden;
    RingChunks<V>::visit([&](int piece, int round, int slot) {
      if (!chunks_.exists(piece)) return;
#pragma unroll
      for (int which = 0; which < V::kSums; ++which) {
        float* const place = waiting + which * arguments_.shape.hidden + chunks_.element(round, slot);
#pragma unroll
        for (int quad = 0; quad < kQuads; ++quad)
          visit_quad(columns.quad(which, piece, quad), place + 4 * quad);
      }
    });
  }

  const NormGradientArguments& arguments_;
  const RingChunks<V>& chunks_;
  float* shared_;
  std::int64_t team_;  // the number of the block, or cluster
};

template <Team kTeam>
__device__ inline void meet_blocks_of_row() {
  if constexpr (kTeam == Team::cluster) {
    arrive_at_cluster_barrier<kTeam>();
    wait_at_cluster_barrier<kTeam>();
  } else {
    __syncthreads();
  }
}

// The sums over a row, of the threads of its block or blocks. Rows take turns with two places: who writes to
// one has got the sums of the row between, and nobody gives his part of those who has not read the sums
// before. Blocks of a cluster send each other their sums (cluster_exchange.cuh): a barrier of the cluster
// would wait for what was stored of dx.
template <class V>
class SumsOfRow {
 public:
  static constexpr int kPlaces = 2;
  static constexpr int kRowGroupSums = V::kSums * kSharers;  // of a place

  // In shared memory: `group_sums` of kPlaces * kRowGroupSums, `arrivals` of kPlaces. Before all blocks meet.
  __device__ SumsOfRow(const RowBlocks& blocks, GroupSums* group_sums, Arrivals* arrivals)
      : blocks_(blocks), group_sums_(group_sums), arrivals_(arrivals) {
    const int index = static_cast<int>(threadIdx.x);
    if (index < kGroups) {  // also of groups that no warp has
      for (int i = 0; i < kPlaces * V::kSums; ++i) sum_of_group(group_sums + i * kSharers, index) = 0.0f;
    }
    if (V::kTeam == Team::cluster && index == 0) expect_numbers(arrivals, kPlaces, numbers());
  }

  // The sums of a row from those of its lanes, first those of products, then those of wdy. Every thread gets
  // them, and all of the block have read the row then.
  __device__ void add_up(const float (&lane_sums)[V::kSums * V::kSlots], float (&sums)[V::kSums]) {
    constexpr int kAll = V::kSums * V::kSlots;
    const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
    const int warp = blocks_.rank * warps() + static_cast<int>(threadIdx.x / kWarpThreads);
    const float own = tree_sums(lane_sums, thread);
    const int which = slot_of_sum<kAll>(thread) / V::kSlots;
    const int group = warp + slot_of_sum<kAll>(thread) % V::kSlots * blocks_.count * warps();
    // Of the threads that hold the sum, one for each block writes it there.
    const int copy = thread % kThreadsPerSlot<kAll>;
    GroupSums* const place = group_sums_ + turn_ * kRowGroupSums;
    give(copy, &sum_of_group(place + which * kSharers, group), own, copy < blocks_.count && group < kGroups);
#pragma unroll
    for (int i = 0; i < V::kSums; ++i) {
      const GroupSums quarter = place[i * kSharers + thread % kSharers];
      sums[i] = tree_sum(tree_over_own(quarter.elements), kSharers);
    }
    phase_ ^= static_cast<std::uint32_t>(turn_);
    turn_ ^= 1;
  }

 private:
  __device__ static int warps() { return static_cast<int>(blockDim.x / kWarpThreads); }
  // How many sums of groups a block gets of a row.
  __device__ int numbers() const {
    const int groups = blocks_.count * warps() * V::kSlots;
    return V::kSums * (groups < kGroups ? groups : kGroups);
  }
  // Until all numbers of the row are there, and the block has read it.
  __device__ void give([[maybe_unused]] int block, float* place, float number, bool is_given) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    if constexpr (V::kTeam == Team::cluster) {
      if (is_given) send_number(block, place, number, arrivals_ + turn_);
      __syncthreads();
      await_numbers(arrivals_ + turn_, phase_);
      if (threadIdx.x == 0) expect_more_numbers(arrivals_ + turn_, numbers());
      return;
    }
#endif
    if (is_given) *place = number;
    __syncthreads();
  }

  RowBlocks blocks_;
  GroupSums* group_sums_;
  Arrivals* arrivals_;
  int turn_ = 0;
  std::uint32_t phase_ = 0;  // of the present turn's arrivals
};

// rstd and mean of the block's rows, in their order: each thread of a warp reads those of one row, 32 rows
// before the first of these comes.
template <class V>
class FactorsOfRows {
 public:
  __device__ FactorsOfRows(const NormGradientArguments& arguments, const RowBlocks& blocks)
      : arguments_(arguments),
        team_(blockIdx.x / static_cast<unsigned>(blocks.count)),
        teams_(gridDim.x / static_cast<unsigned>(blocks.count)) {}
  // Not before the kernel before has ended.
  __device__ void start() {
    present_ = load(0);
    later_ = load(kWarpThreads);
  }
  // Of the next row.
  __device__ RowFactors<V::kCentred> next() {
    const int thread = static_cast<int>(taken_ % kWarpThreads);
    RowFactors<V::kCentred> factors;
    factors.rstd = __shfl_sync(kWholeWarp, present_.rstd, thread);
    if constexpr (V::kCentred) factors.mean = __shfl_sync(kWholeWarp, present_.mean, thread);
    ++taken_;
    if (taken_ % kWarpThreads == 0) {
      present_ = later_;
      later_ = load(taken_ + kWarpThreads);
    }
    return factors;
  }

 private:
  // Of a thread's row among the 32 from number `first` on.
  __device__ RowFactors<V::kCentred> load(std::int64_t first) const {
    const std::int64_t number = first + threadIdx.x % kWarpThreads;
    const std::int64_t unit = team_ + (number >> arguments_.unit_rows_log2) * teams_;
    const std::int64_t row =
        (unit << arguments_.unit_rows_log2) + (number & ((std::int64_t{1} << arguments_.unit_rows_log2) - 1));
    const std::int64_t existing = row < arguments_.rows.count ? row : 0;
    return factors_of_row<typename V::T, V::kCentred>(
        arguments_, [&](const RowStrides& strides) { return existing * strides.inner; });
  }

  const NormGradientArguments& arguments_;
  std::int64_t team_;
  std::int64_t teams_;
  std::int64_t taken_ = 0;
  RowFactors<V::kCentred> present_;
  RowFactors<V::kCentred> later_;
};

// What a thread does with a row.
template <class V>
class RingRow {
 public:
  using T = typename V::T;

  // Reads the row out of its stage, and adds it to the sums over rows and of the thread's lanes.
  __device__ void take(const GradientRing<V>& ring, const RingChunks<V>& chunks,
                       const RowFactors<V::kCentred>& factors,
                       const float (&weight)[V::kPieces][V::kElements], ColumnSums<V>& columns,
                       float (&lane_sums)[V::kSums * V::kSlots]) {
    RingChunks<V>::visit([&](int piece, int, int slot) {
      float dy[V::kElements];
      unpack<T>(ring.chunk(0, piece), dy);
      unpack<T>(ring.chunk(1, piece), normalized_[piece]);
      if (ring.has_added()) added_[piece] = ring.chunk(2, piece);
      float products = lane_sums[slot], total = lane_sums[(V::kSums - 1) * V::kSlots + slot];
#pragma unroll
      for (int i = 0; i < V::kElements; ++i) {
        normalized_[piece][i] = factors.normalize(normalized_[piece][i]);
        weighted_[piece][i] = __fmul_rn(dy[i], weight[piece][i]);
        products = __fmaf_rn(normalized_[piece][i], weighted_[piece][i], products);
        if constexpr (V::kCentred) total = __fadd_rn(total, weighted_[piece][i]);
      }
      columns.add(piece, dy, normalized_[piece]);
      if constexpr (V::kCentred)
        lane_sums[V::kSlots + slot] = chunks.exists(piece) ? total : lane_sums[V::kSlots + slot];
      lane_sums[slot] = chunks.exists(piece) ? products : lane_sums[slot];
    });
  }

  // Stores dx.
  __device__ void finish(const RingChunks<V>& chunks, const RowFactors<V::kCentred>& factors,
                         const float (&means)[V::kSums], bool has_added, T* dx) {
    RingChunks<V>::visit([&](int piece, int round, int slot) {
      float(&values)[V::kElements] = normalized_[piece];
#pragma unroll
      for (int i = 0; i < V::kElements; ++i)
        values[i] = factors.gradient(values[i], weighted_[piece][i], means[0], means[V::kSums - 1]);
      if (has_added) {
        float added[V::kElements];
        unpack<T>(added_[piece], added);
#pragma unroll
        for (int i = 0; i < V::kElements; ++i) values[i] = __fadd_rn(values[i], added[i]);
      }
      if (chunks.exists(piece)) store_pack<true>(dx, chunks.element(round, slot), 0, round_chunk<T>(values));
    });
  }

 private:
  float normalized_[V::kPieces][V::kElements];  // xh
  float weighted_[V::kPieces][V::kElements];    // wdy
  Chunk<T> added_[V::kPieces];
};

// Stores the sums over the rows of a unit.
template <class V>
__device__ inline void store_unit(const NormGradientArguments& arguments, const RingChunks<V>& chunks,
                                  const ColumnSums<V>& columns, std::int64_t row) {
  const std::int64_t unit = row >> arguments.unit_rows_log2;
  RingChunks<V>::visit([&](int piece, int round, int slot) {
    if (!chunks.exists(piece)) return;
    const std::int64_t at = unit * arguments.shape.hidden + chunks.element(round, slot);
    if (arguments.weight_sums.data != nullptr)
      columns.store(0, piece, arguments.weight_sums.data, arguments.weight_sums.in_t, at);
    if (V::kCentred && arguments.bias_sums.data != nullptr)
      columns.store(V::kSums - 1, piece, arguments.bias_sums.data, arguments.bias_sums.in_t, at);
  });
}

// Of rows whose leading dimensions are one.
template <class V>
__global__ void __launch_bounds__(V::kMaximumThreads, 1)
    ring_gradient_kernel(NormGradientArguments arguments) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  using T = typename V::T;
  NORMPROOF_DYNAMIC_SHARED(char, memory);
  NORMPROOF_SHARED(ArrivalBarrier, barriers, kMostStages);
  NORMPROOF_SHARED(GroupSums, group_sums, SumsOfRow<V>::kPlaces * SumsOfRow<V>::kRowGroupSums);
  NORMPROOF_SHARED(Arrivals, arrivals, SumsOfRow<V>::kPlaces);
  const RowBlocks blocks = row_blocks<V::kTeam>();
  const int index = static_cast<int>(threadIdx.x);
  if (index < arguments.stages) barriers[index].start();
  SumsOfRow<V> row_sums(blocks, group_sums, arrivals);
  meet_blocks_of_row<V::kTeam>();

  const RingChunks<V> chunks(arguments, blocks);
  RowWalk walk(arguments, blocks);
  GradientRing<V> ring(arguments, chunks, walk, memory, barriers);
  ColumnSums<V> columns;
  const WaitingSums<V> waiting(arguments, blocks, chunks, reinterpret_cast<float*>(ring.end()));
  const std::int64_t rows = arguments.rows.count;
  FactorsOfRows<V> factors_of_rows(arguments, blocks);
  wait_with_addresses(static_cast<const T*>(arguments.dy.data) + walk.row() * arguments.dy.strides.inner);
  let_the_next_kernel_start();
  for (int stage = 0; stage < arguments.stages; ++stage) ring.fill(stage);
  factors_of_rows.start();
  float weight[V::kPieces][V::kElements] = {};
  RingChunks<V>::visit([&](int piece, int round, int slot) {
    if (chunks.exists(piece))
      load_affine<true, T>(arguments.weight, kAbsentWeight, chunks.element(round, slot),
                           arguments.shape.hidden, weight[piece]);
  });
#if !defined(__CUDACC__)
  __syncthreads();  // until the first rows are there
#endif

  const bool has_sums = arguments.weight_sums.data != nullptr || arguments.bias_sums.data != nullptr;
  for (; walk.row() < rows; walk.next(), ring.next()) {
    const RowFactors<V::kCentred> factors = factors_of_rows.next();
    RingRow<V> values;
    float lane_sums[V::kSums * V::kSlots] = {}, means[V::kSums];
    ring.wait();
    values.take(ring, chunks, factors, weight, columns, lane_sums);
    row_sums.add_up(lane_sums, means);
    ring.fill(ring.stage());
    if (arguments.dx.data != nullptr) {
#pragma unroll
      for (int i = 0; i < V::kSums; ++i)
        means[i] = row_mean(means[i], arguments.shape.hidden_as_float, arguments.inverse_hidden);
      values.finish(chunks, factors, means, ring.has_added(),
                    static_cast<T*>(arguments.dx.data) + walk.row() * arguments.dx.strides.inner);
    }
    const bool unit_ends = walk.is_last_of_unit() || walk.row() + 1 == rows;
    if (has_sums && (unit_ends || (walk.within_unit() + 1) % kGroupRows == 0)) {
      waiting.end_group(columns, walk.within_unit() >> kGroupRowsLog2, unit_ends);
      if (unit_ends) {
        store_unit(arguments, chunks, columns, walk.row());
        columns.clear();
      }
    }
  }
#endif
}

}  // namespace normproof::kernels
