// Compiled without sanitizers, as part of the executor.
#include "kernels/host/shared_memory_pool.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "kernels/host/fiber.h"

namespace normproof::host::internal {
namespace {

constexpr std::size_t kMinimumAlignment = 16;

// AddressSanitizer has guards of its own, which these bytes would keep it from.
std::size_t guard_bytes() {
  decltype(&__asan_unpoison_memory_region) volatile sanitized = &__asan_unpoison_memory_region;
  return sanitized != nullptr ? 0 : 256;
}

}  // namespace

SharedMemoryPool::~SharedMemoryPool() {
  for (const Entry& entry : entries_) ::operator delete(entry.memory, std::align_val_t{entry.alignment});
}

void* SharedMemoryPool::get(const void* declaration, std::size_t bytes, std::size_t alignment) {
  for (std::size_t i = 0; i < in_use_; ++i) {
    if (entries_[i].declaration == declaration) {
      acquire_order(entries_[i].memory);
      return entries_[i].memory;
    }
  }
  const auto found = std::find_if(
      entries_.begin() + static_cast<std::ptrdiff_t>(in_use_), entries_.end(),
      [&](const Entry& entry) { return entry.declaration == declaration && entry.bytes == bytes; });
  auto index = static_cast<std::size_t>(found - entries_.begin());
  if (found == entries_.end()) {
    alignment = std::max(alignment, kMinimumAlignment);
    entries_.push_back({declaration, bytes, alignment, nullptr});
    entries_.back().memory = ::operator new(bytes + guard_bytes(), std::align_val_t{alignment});
  }
  std::swap(entries_[index], entries_[in_use_]);
  const Entry& entry = entries_[in_use_++];
  std::memset(entry.memory, 0xFF, bytes + guard_bytes());
  release_order(entry.memory);  // the threads that are handed this memory come after its filling
  return entry.memory;
}

std::size_t SharedMemoryPool::overrun() const {
  const std::size_t guard = guard_bytes();
  for (std::size_t i = 0; i < in_use_; ++i) {
    const auto* behind = static_cast<const unsigned char*>(entries_[i].memory) + entries_[i].bytes;
    if (std::any_of(behind, behind + guard, [](unsigned char byte) { return byte != 0xFF; }))
      return entries_[i].bytes;
  }
  return 0;
}

}  // namespace normproof::host::internal
