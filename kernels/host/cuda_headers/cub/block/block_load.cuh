// Stands in for CUB's BlockLoad and BlockStore: which thread has which items. Threads have neighbouring
// items, with STRIPED those that lie a block apart. A vectorized access demands its alignment.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

namespace cub {

enum BlockLoadAlgorithm {
  BLOCK_LOAD_DIRECT,
  BLOCK_LOAD_STRIPED,
  BLOCK_LOAD_VECTORIZE,
  BLOCK_LOAD_TRANSPOSE,
  BLOCK_LOAD_WARP_TRANSPOSE,
  BLOCK_LOAD_WARP_TRANSPOSE_TIMESLICED,
};
enum BlockStoreAlgorithm {
  BLOCK_STORE_DIRECT,
  BLOCK_STORE_STRIPED,
  BLOCK_STORE_VECTORIZE,
  BLOCK_STORE_TRANSPOSE,
  BLOCK_STORE_WARP_TRANSPOSE,
  BLOCK_STORE_WARP_TRANSPOSE_TIMESLICED,
};

namespace internal {
template <int THREADS, int ITEMS>
int item_of_block(int item, bool striped) {
  const int thread = static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  return striped ? thread + item * THREADS : thread * ITEMS + item;
}
// What a vectorized access of ITEMS items at once demands: the largest power of
// two bytes up to 16 that they fill.
template <class T, int ITEMS>
void demand_vector(const void* pointer, bool vectorized) {
  constexpr std::size_t kBytes = ITEMS % 4 == 0 ? 4 * sizeof(T) : ITEMS % 2 == 0 ? 2 * sizeof(T) : sizeof(T);
  constexpr std::size_t kAlignment = kBytes < 16 ? kBytes : 16;
  if (vectorized && reinterpret_cast<std::uintptr_t>(pointer) % kAlignment != 0)
    normproof::host::report_misaligned_access(pointer, kAlignment, kBytes);
}
}  // namespace internal

template <class T, int BLOCK_DIM_X, int ITEMS, BlockLoadAlgorithm ALGORITHM = BLOCK_LOAD_DIRECT,
          int BLOCK_DIM_Y = 1, int BLOCK_DIM_Z = 1>
class BlockLoad {
  static constexpr int kThreads = BLOCK_DIM_X * BLOCK_DIM_Y * BLOCK_DIM_Z;
  static int index(int item) {
    return internal::item_of_block<kThreads, ITEMS>(item, ALGORITHM == BLOCK_LOAD_STRIPED);
  }

 public:
  struct TempStorage {
    char unused;
  };
  BlockLoad() = default;
  explicit BlockLoad(TempStorage&) {}

  template <class Iterator>
  void Load(Iterator from, T (&items)[ITEMS]) {
    if constexpr (std::is_pointer_v<Iterator>)
      internal::demand_vector<T, ITEMS>(from, ALGORITHM == BLOCK_LOAD_VECTORIZE);
    for (int i = 0; i < ITEMS; ++i) items[i] = from[index(i)];
  }
  template <class Iterator>
  void Load(Iterator from, T (&items)[ITEMS], int valid_items) {
    for (int i = 0; i < ITEMS; ++i) {
      if (index(i) < valid_items) items[i] = from[index(i)];
    }
  }
  template <class Iterator, class Default>
  void Load(Iterator from, T (&items)[ITEMS], int valid_items, Default otherwise) {
    for (int i = 0; i < ITEMS; ++i) items[i] = index(i) < valid_items ? T(from[index(i)]) : T(otherwise);
  }
};

template <class T, int BLOCK_DIM_X, int ITEMS, BlockStoreAlgorithm ALGORITHM = BLOCK_STORE_DIRECT,
          int BLOCK_DIM_Y = 1, int BLOCK_DIM_Z = 1>
class BlockStore {
  static constexpr int kThreads = BLOCK_DIM_X * BLOCK_DIM_Y * BLOCK_DIM_Z;
  static int index(int item) {
    return internal::item_of_block<kThreads, ITEMS>(item, ALGORITHM == BLOCK_STORE_STRIPED);
  }

 public:
  struct TempStorage {
    char unused;
  };
  BlockStore() = default;
  explicit BlockStore(TempStorage&) {}

  template <class Iterator>
  void Store(Iterator to, T (&items)[ITEMS]) {
    if constexpr (std::is_pointer_v<Iterator>)
      internal::demand_vector<T, ITEMS>(to, ALGORITHM == BLOCK_STORE_VECTORIZE);
    for (int i = 0; i < ITEMS; ++i) to[index(i)] = items[i];
  }
  template <class Iterator>
  void Store(Iterator to, T (&items)[ITEMS], int valid_items) {
    for (int i = 0; i < ITEMS; ++i) {
      if (index(i) < valid_items) to[index(i)] = items[i];
    }
  }
};

}  // namespace cub
