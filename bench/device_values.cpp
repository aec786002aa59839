#include "bench/device_values.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>

namespace normproof::bench {
namespace {

constexpr std::size_t kValues = std::size_t{1} << 20;

// As bits of a dtype; truncation is good enough for data.
std::vector<std::byte> random_values(normproof_dtype dtype, const Distribution& distribution) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(distribution.center, distribution.deviation);
  std::uniform_real_distribution<float> uniform(distribution.center - distribution.deviation,
                                                distribution.center + distribution.deviation);
  std::vector<std::byte> bytes(kValues * size_of(dtype));
  for (std::size_t i = 0; i < kValues; ++i) {
    const float value = distribution.uniform ? uniform(random) : normal(random);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    if (dtype == NORMPROOF_BF16) bits >>= 16;
    if (dtype == NORMPROOF_FP16) {
      const std::uint32_t sign = bits >> 16 & 0x8000u;
      const float magnitude = std::max(std::fabs(value), 0x1p-14f);
      std::memcpy(&bits, &magnitude, sizeof bits);
      bits = sign | (bits - 0x38000000u) >> 13;
    }
    std::memcpy(bytes.data() + i * size_of(dtype), &bits, size_of(dtype));
  }
  return bytes;
}

// Made once each.
const std::vector<std::byte>& piece_of(normproof_dtype dtype, const Distribution& distribution) {
  struct Piece {
    normproof_dtype dtype;
    Distribution distribution;
    std::vector<std::byte> values;
  };
  static std::vector<std::unique_ptr<Piece>> pieces;
  for (const auto& each : pieces)
    if (each->dtype == dtype && each->distribution == distribution) return each->values;
  pieces.push_back(std::make_unique<Piece>(Piece{dtype, distribution, random_values(dtype, distribution)}));
  return pieces.back()->values;
}

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  const std::string text =
      std::string(what) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  throw std::runtime_error(text);
}

std::size_t size_of(normproof_dtype dtype) {
  return dtype == NORMPROOF_FP32 ? 4 : dtype == NORMPROOF_FP16 || dtype == NORMPROOF_BF16 ? 2 : 1;
}

std::byte* DeviceMemory::reserve(std::size_t bytes) {
  if (bytes > capacity_) {
    cudaFree(data_);
    data_ = nullptr;
    capacity_ = 0;
    check(cudaMalloc(&data_, bytes), "memory for the benchmark");
    capacity_ = bytes;
  }
  return static_cast<std::byte*>(data_);
}

void fill(std::byte* device, std::size_t bytes, normproof_dtype dtype, const Distribution& distribution) {
  const std::vector<std::byte>& piece = piece_of(dtype, distribution);
  const std::size_t first = std::min(bytes, piece.size());
  check(cudaMemcpy(device, piece.data(), first, cudaMemcpyHostToDevice), "filling");
  for (std::size_t done = first; done < bytes;) {
    const std::size_t next = std::min(done, bytes - done);
    check(cudaMemcpy(device + done, device, next, cudaMemcpyDeviceToDevice), "filling");
    done += next;
  }
}

}  // namespace normproof::bench
