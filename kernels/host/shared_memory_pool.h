// The shared memory of a block: one heap block per declaration, so that AddressSanitizer guards its ends,
// kept from block to block, and filled with 0xFF anew in each. Without AddressSanitizer a few bytes behind it
// are looked at when a block has ended.
#ifndef NORMPROOF_KERNELS_HOST_SHARED_MEMORY_POOL_H
#define NORMPROOF_KERNELS_HOST_SHARED_MEMORY_POOL_H

#include <cstddef>
#include <vector>

namespace normproof::host::internal {

class SharedMemoryPool {
 public:
  SharedMemoryPool() = default;
  ~SharedMemoryPool();
  SharedMemoryPool(const SharedMemoryPool&) = delete;
  SharedMemoryPool& operator=(const SharedMemoryPool&) = delete;

  void begin_block() { in_use_ = 0; }
  // The memory of a declaration in the current block, poisoned when first asked for.
  void* get(const void* declaration, std::size_t bytes, std::size_t alignment);
  // The bytes of a declaration behind which something was written in the
  // current block; 0 where there is none.
  std::size_t overrun() const;

 private:
  struct Entry {
    const void* declaration;
    std::size_t bytes;
    std::size_t alignment;
    void* memory;
  };
  std::vector<Entry> entries_;  // first those of the current block
  std::size_t in_use_ = 0;
};

}  // namespace normproof::host::internal

#endif
