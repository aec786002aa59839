// CUDA's basic atomics, atomic among OS threads too.
#ifndef NORMPROOF_KERNELS_HOST_ATOMICS_H
#define NORMPROOF_KERNELS_HOST_ATOMICS_H

#include <atomic>
#include <concepts>
#include <cstring>
#include <type_traits>

namespace normproof::host::internal {
template <class T>
concept Atomic = std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8);

// Replaces *address by change(old value); returns the old value.
template <Atomic T, class Change>
T change_atomically(T* address, Change change) {
  const std::atomic_ref<T> target(*address);
  T old = target.load();
  while (!target.compare_exchange_weak(old, change(old))) {
  }
  return old;
}
}  // namespace normproof::host::internal

template <normproof::host::internal::Atomic T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return normproof::host::internal::change_atomically(address,
                                                      [&](T old) { return static_cast<T>(old + value); });
}
template <normproof::host::internal::Atomic T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return normproof::host::internal::change_atomically(address,
                                                      [&](T old) { return value < old ? value : old; });
}
template <normproof::host::internal::Atomic T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return normproof::host::internal::change_atomically(address,
                                                      [&](T old) { return old < value ? value : old; });
}
template <normproof::host::internal::Atomic T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).exchange(value);
}
template <std::integral T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  std::atomic_ref<T>(*address).compare_exchange_strong(expected, value);
  return expected;
}
template <std::integral T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_or(value);
}
template <std::integral T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_and(value);
}

template <std::integral T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_xor(value);
}
template <std::integral T>
T atomicSub(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_sub(value);
}
// Counts up to the bound and then from 0 again, or down to 0 and then from the bound.
inline unsigned int atomicInc(unsigned int* address, unsigned int bound) {
  return normproof::host::internal::change_atomically(
      address, [&](unsigned old) { return old >= bound ? 0 : old + 1; });
}
inline unsigned int atomicDec(unsigned int* address, unsigned int bound) {
  return normproof::host::internal::change_atomically(
      address, [&](unsigned old) { return old == 0 || old > bound ? bound : old - 1; });
}

namespace normproof::host::internal {
// 16 bytes that are copied as they are and lie at a multiple of 16.
template <class T>
concept WideAtomic = sizeof(T) == 16 && alignof(T) >= 16 && std::is_trivially_copyable_v<T>;

// Processors that cannot change 16 bytes at once do it behind a lock, all OS threads the same.
class WideLock {
 public:
  WideLock() {
    while (taken_.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~WideLock() { taken_.clear(std::memory_order_release); }
  WideLock(const WideLock&) = delete;
  WideLock& operator=(const WideLock&) = delete;

 private:
  static inline std::atomic_flag taken_;
};
}  // namespace normproof::host::internal

template <normproof::host::internal::WideAtomic T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  const normproof::host::internal::WideLock lock;
  const T old = *address;
  *address = value;
  return old;
}
// By the bits, whatever the numbers are.
template <normproof::host::internal::WideAtomic T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const normproof::host::internal::WideLock lock;
  const T old = *address;
  if (std::memcmp(&old, &expected, sizeof old) == 0) *address = value;
  return old;
}

// Among the threads of a block, or of all devices: the same.
#define NORMPROOF_HOST_SCOPES(name)                  \
  template <class T, class... Values>                \
  auto name##_block(T* address, Values... values) {  \
    return name(address, values...);                 \
  }                                                  \
  template <class T, class... Values>                \
  auto name##_system(T* address, Values... values) { \
    return name(address, values...);                 \
  }
NORMPROOF_HOST_SCOPES(atomicAdd)
NORMPROOF_HOST_SCOPES(atomicSub)
NORMPROOF_HOST_SCOPES(atomicMin)
NORMPROOF_HOST_SCOPES(atomicMax)
NORMPROOF_HOST_SCOPES(atomicInc)
NORMPROOF_HOST_SCOPES(atomicDec)
NORMPROOF_HOST_SCOPES(atomicExch)
NORMPROOF_HOST_SCOPES(atomicCAS)
NORMPROOF_HOST_SCOPES(atomicAnd)
NORMPROOF_HOST_SCOPES(atomicOr)
NORMPROOF_HOST_SCOPES(atomicXor)
#undef NORMPROOF_HOST_SCOPES

#endif
