// Asynchronous copies to shared memory (__pipeline_memcpy_async, cuda::memcpy_async, cp.async): a copy
// happens when its thread waits for it, and until then its destination is poison.
// So a wait that is missing shows.
#ifndef NORMPROOF_KERNELS_HOST_ASYNC_COPIES_H
#define NORMPROOF_KERNELS_HOST_ASYNC_COPIES_H

#include <cstddef>

namespace normproof::host {

// Notes a copy of `bytes` bytes for the calling CUDA thread; the last `zeros` of them become zero instead.
// Both addresses must be multiples of `bytes` where that is 4, 8 or 16, as the hardware demands.
void copy_later(void* to, const void* from, std::size_t bytes, std::size_t zeros = 0);
// What was noted since the last time is a group.
void end_copy_group();
// Does all copies but those of the last `groups` groups, and of what has no group yet.
void wait_for_copies(std::size_t groups);
// Does all copies, whether they have a group or not.
void wait_for_all_copies();

}  // namespace normproof::host

#endif
