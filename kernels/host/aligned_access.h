// Vector loads and stores that demand the vector's alignment, as the GPU does: a misaligned address is an
// error of the launch in every build, and the compiler may rely on the alignment behind that check.
#ifndef NORMPROOF_KERNELS_HOST_ALIGNED_ACCESS_H
#define NORMPROOF_KERNELS_HOST_ALIGNED_ACCESS_H

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace normproof::host {

// Ends the launch with LaunchError::kMisalignedAddress; outside a launch it throws std::runtime_error.
[[noreturn]] void report_misaligned_access(const void* address, std::size_t alignment, std::size_t bytes);

// Reads one Vector (uint4, float4, ...) at `address`, whatever the type of the elements stored there.
template <class Vector>
Vector load_aligned(const void* address) {
  static_assert(std::is_trivially_copyable_v<Vector>);
  if (reinterpret_cast<std::uintptr_t>(address) % alignof(Vector) != 0) [[unlikely]] {
    report_misaligned_access(address, alignof(Vector), sizeof(Vector));
  }
  Vector value;
  std::memcpy(&value, __builtin_assume_aligned(address, alignof(Vector)), sizeof(Vector));
  return value;
}

// Writes one Vector at `address`.
template <class Vector>
void store_aligned(void* address, const Vector& value) {
  static_assert(std::is_trivially_copyable_v<Vector>);
  if (reinterpret_cast<std::uintptr_t>(address) % alignof(Vector) != 0) [[unlikely]] {
    report_misaligned_access(address, alignof(Vector), sizeof(Vector));
  }
  std::memcpy(__builtin_assume_aligned(address, alignof(Vector)), &value, sizeof(Vector));
}

}  // namespace normproof::host

#endif
