// Stackful coroutines on Boost.Context, with guard pages, announced to AddressSanitizer and ThreadSanitizer.
// Included only by files that are compiled without sanitizers.
#ifndef NORMPROOF_KERNELS_HOST_FIBER_H
#define NORMPROOF_KERNELS_HOST_FIBER_H

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

// Present only where the program is linked with the sanitizer's runtime: a null address says that it is not.
// This works whichever way the flags came in, and lets this file itself stay uninstrumented.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
[[gnu::weak]] void* __tsan_get_current_fiber(void);
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
}

namespace normproof::host::internal {

// boost::context::detail::jump_fcontext, entered without a call instruction. It leaves by a plain jump, so a
// call would put one entry too many on the processor's stack of predicted return addresses, and every return
// that follows a switch would be mispredicted: that costs twice as much as the switch itself.
inline boost::context::detail::transfer_t jump_to(boost::context::detail::fcontext_t next, void* data) {
#if defined(__x86_64__) && defined(__ELF__)
  boost::context::detail::transfer_t received;
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\t"  // steps over the red zone
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp *%[jump]\n"
      "1:\n\t"
      "leaq 128(%%rsp), %%rsp"
      : "=&a"(received.fctx), "=&d"(received.data), "+D"(next), "+S"(data)
      : [jump] "r"(&boost::context::detail::jump_fcontext)
      : "rcx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
  return received;
#else
  return boost::context::detail::jump_fcontext(next, data);
#endif
}

inline bool under_address_sanitizer() { return &__sanitizer_start_switch_fiber != nullptr; }
inline bool under_thread_sanitizer() { return &__tsan_switch_to_fiber != nullptr; }

// Orders what happened before a release of `address` before what follows an
// acquire, in ThreadSanitizer's eyes.
inline void release_order(void* address) {
  if (under_thread_sanitizer()) __tsan_release(address);
}
inline void acquire_order(void* address) {
  if (under_thread_sanitizer()) __tsan_acquire(address);
}

// One flow of control. Default constructed it stands for the flow that is running, to be switched away from.
class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Gives the fiber a stack and the function that it runs at the first switch to it; `entry` must never
  // return. `color` shifts the top of the stack, so that the hot lines of many fibers do not share a cache
  // set. False if there is no memory.
  bool create(void (*entry)(Fiber& self, void* argument), void* argument, unsigned color);
  // Gives up a suspended fiber, whatever it was at; it can be created again.
  void discard();

  // Makes a default constructed object stand for the calling flow of control.
  void adopt_current() {
    if (under_thread_sanitizer()) tsan_fiber_ = __tsan_get_current_fiber();
  }

  // Suspends this fiber, the running one, and resumes `next`; returns when something switches back. A last
  // switch never returns.
  void switch_to(Fiber& next, bool last = false) {
    if (under_address_sanitizer()) {
      __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, next.stack_bottom_, next.stack_size_);
    }
    constexpr unsigned kNoSync = 1;  // a switch orders nothing: only barriers do
    if (under_thread_sanitizer()) __tsan_switch_to_fiber(next.tsan_fiber_, kNoSync);
    next_ = &next;
    resumed(jump_to(next.context_, this));
  }

 private:
  static void start(boost::context::detail::transfer_t transfer);
  void resumed(boost::context::detail::transfer_t transfer) {
    Fiber& previous = *static_cast<Fiber*>(transfer.data);
    previous.context_ = transfer.fctx;
    if (under_address_sanitizer()) {
      __sanitizer_finish_switch_fiber(fake_stack_, &previous.stack_bottom_, &previous.stack_size_);
    }
  }

  boost::context::detail::fcontext_t context_ = nullptr;
  Fiber* next_ = nullptr;  // whom this fiber last switched to: how a new fiber learns who it is
  void* fake_stack_ = nullptr;
  const void* stack_bottom_ = nullptr;
  std::size_t stack_size_ = 0;
  void* tsan_fiber_ = nullptr;
  void* mapping_ = nullptr;
  std::size_t mapping_size_ = 0;
  void (*entry_)(Fiber& self, void* argument) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace normproof::host::internal

#endif
