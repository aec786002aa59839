// `threads` of the Python functions: 0 for one per core.
#pragma once

#include <algorithm>
#include <thread>

namespace normproof::python {

inline int thread_count(int threads) {
  return threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace normproof::python
