// Memory that a call needs while it runs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/rms_norm.h"

namespace normproof::kernels {

// On the GPU it is taken and given back in the order of the stream, so that the call returns at once, and can
// be recorded in a graph.
class Workspace {
 public:
  explicit Workspace(Stream stream) : stream_(stream) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Once. launch_failed where there is not as much memory.
  Status allocate(std::size_t bytes);
  void* data() const { return data_; }

 private:
  [[maybe_unused]] Stream stream_;
  void* data_ = nullptr;
};

}  // namespace normproof::kernels
