// Casts between pointers in unmodified CUDA sources: what the source pass makes of reinterpret_cast<T*>(p)
// and (T*)p. A GPU faults where a misaligned pointer is used, not where it is made, and no compiler checks
// the copy of a vector such as float4. So a misaligned pointer comes out with a bit that makes every use of
// it a fault, which ends the launch.
#ifndef NORMPROOF_KERNELS_HOST_POINTER_CAST_H
#define NORMPROOF_KERNELS_HOST_POINTER_CAST_H

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>

namespace normproof::host {

// No address of a program has it, on x86-64: such an address is none.
inline constexpr std::uintptr_t kMisalignedMark = std::uintptr_t{1} << 62;

// `address` with the mark. Remembers the cast for the message of a fault.
std::uintptr_t mark_misaligned(std::uintptr_t address, std::size_t alignment, std::size_t bytes,
                               std::source_location site);

template <class Pointer, class From>
Pointer pointer_cast(From&& from, std::source_location site = std::source_location::current()) {
  using Target = std::remove_pointer_t<Pointer>;
  auto address = (std::uintptr_t)from;  // of a pointer, an array, a number
#if defined(__x86_64__)
  address &= ~kMisalignedMark;
  if constexpr (requires { sizeof(Target); } && !std::is_void_v<Target> && !std::is_function_v<Target>) {
    if (address % alignof(Target) != 0) [[unlikely]]
      address = mark_misaligned(address, alignof(Target), sizeof(Target), site);
  }
#endif
  return reinterpret_cast<Pointer>(address);
}

// (Pointer)p is written PointerCast<Pointer>() ->* p, which binds nearly as tightly; and *(Pointer)p with a *
// in front.
template <class Pointer>
struct PointerCast {
  struct Dereferenced {
    std::source_location site;
    template <class From>
    __attribute__((no_sanitize("alignment")))  // the cast is what has to be named
    friend decltype(auto)
    operator->*(Dereferenced cast, From&& from) {
      return *pointer_cast<Pointer>(from, cast.site);
    }
  };
  std::source_location site;
  PointerCast(std::source_location where = std::source_location::current()) : site(where) {}
  Dereferenced operator*() const { return {site}; }
  template <class From>
  friend Pointer operator->*(PointerCast cast, From&& from) {
    return pointer_cast<Pointer>(from, cast.site);
  }
};

}  // namespace normproof::host

#endif
