// Whether somebody has asked this program to stop. Long work looks at it now
// and then, ends early, and says so.
#pragma once

#include <atomic>

namespace normproof {

// The signal that asked for it; 0: none did. Signal handlers set it.
inline std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

inline bool stop_is_requested() { return stop_signal.load(std::memory_order_relaxed) != 0; }

}  // namespace normproof
