// A call that is measured: what its tensors take, what is in them, and how it is enqueued.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "bench/measure.h"
#include "bench/traffic.h"

namespace normproof::bench {

class MeasuredCall {
 public:
  MeasuredCall() = default;
  MeasuredCall(const MeasuredCall&) = delete;
  MeasuredCall& operator=(const MeasuredCall&) = delete;
  virtual ~MeasuredCall() = default;

  // Calls go through sets of tensors in turn. Weights, and what else many calls have in common, lie
  // elsewhere.
  virtual std::size_t set_bytes() const = 0;
  virtual std::size_t weight_bytes() const = 0;
  // What a call must read and write.
  virtual std::size_t moved_bytes() const = 0;
  // Sets that were filled by a call of the same number, not below 0, are good for this one, too.
  virtual int values() const { return -1; }
  // So many sets, each `stride` bytes behind the one before.
  virtual void fill_sets(std::byte* first, std::size_t stride, std::int64_t sets) const = 0;
  virtual void fill_weights(std::byte* weights) const = 0;
  virtual void enqueue(std::byte* set, std::byte* weights, cudaStream_t stream,
                       normproof_launch_report* report) const = 0;
  // Its reads and writes alone; nothing where that is not measured.
  virtual std::optional<Traffic> traffic(std::byte*) const { return std::nullopt; }
};

// One of the six operations that have a function of their own. The request must outlive it.
std::unique_ptr<MeasuredCall> norm_call(const normproof_measure_request& request);
// A call by name, which must outlive it.
std::unique_ptr<MeasuredCall> named_call(const normproof_measured_call& call);

}  // namespace normproof::bench
