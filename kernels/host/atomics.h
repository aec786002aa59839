// CUDA's basic atomics, atomic among OS threads too.
#ifndef NORMPROOF_KERNELS_HOST_ATOMICS_H
#define NORMPROOF_KERNELS_HOST_ATOMICS_H

#include <atomic>
#include <concepts>
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

#endif
