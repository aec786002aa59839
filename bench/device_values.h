// Numbers in device memory for measurements: random values of a dtype, as long as the memory is.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "bench/measure.h"

namespace normproof::bench {

struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws std::runtime_error, or OutOfMemory, saying what went wrong where.
void check(cudaError_t error, const char* what);

std::size_t size_of(normproof_dtype dtype);

inline constexpr std::size_t kAlignment = 256;
inline std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Device memory that is kept from one measurement to the next.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { cudaFree(data_); }
  std::size_t capacity() const { return capacity_; }
  std::byte* reserve(std::size_t bytes);

 private:
  void* data_ = nullptr;
  std::size_t capacity_ = 0;
};

// How numbers are distributed.
struct Distribution {
  bool uniform = false;  // from center - deviation to center + deviation, else normally
  float center = 0;
  float deviation = 1;
  friend bool operator==(const Distribution&, const Distribution&) = default;
};

// Fills device memory with random numbers of fp32, fp16 or bf16; a piece of them again and again.
void fill(std::byte* device, std::size_t bytes, normproof_dtype dtype, const Distribution& distribution);

}  // namespace normproof::bench
