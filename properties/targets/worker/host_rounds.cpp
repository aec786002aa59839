#include "properties/targets/worker/host_rounds.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace normproof::worker {
namespace {

// Only the pieces of a sparse region are shared. They are copied into a range of their own, and back.
class SparseRange {
 public:
  SparseRange(const Round& round, std::byte* data, const Region& region)
      : round_(round), data_(data), region_(region) {
    void* range = mmap(nullptr, region.bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return;
    begin_ = static_cast<std::byte*>(range);
    for_each_piece(
        [](std::byte* shared, std::byte* own, std::size_t bytes) { std::memcpy(own, shared, bytes); });
  }
  ~SparseRange() {
    if (begin_ == nullptr) return;
    for_each_piece(
        [](std::byte* shared, std::byte* own, std::size_t bytes) { std::memcpy(shared, own, bytes); });
    munmap(begin_, region_.bytes);
  }
  SparseRange(const SparseRange&) = delete;
  SparseRange& operator=(const SparseRange&) = delete;

  std::byte* begin() const { return begin_; }  // null: there is no such range of addresses

 private:
  template <class Visit>
  void for_each_piece(const Visit& visit) const {
    for (std::uint32_t i = 0; i < region_.extents; ++i) {
      const Extent& extent = round_.extent[region_.first_extent + i];
      visit(data_ + extent.data_offset, begin_ + extent.piece.offset, extent.piece.bytes);
    }
  }

  const Round& round_;
  std::byte* data_;
  const Region region_;  // a copy: the callee could write over it
  std::byte* begin_ = nullptr;
};

class HostRounds final : public Rounds {
 public:
  explicit HostRounds(Callee& callee) : callee_(callee) {}

  normproof_device_status carry_out(Round& round, std::byte* data) override {
    const std::uint32_t calls = round.calls;
    for (std::uint32_t index = 0; index < calls; ++index) {
      round.current_call = index;
      Call& call = round.call[index];
      Addresses addresses{};
      std::array<std::unique_ptr<SparseRange>, kMaximumRegions> sparse;
      for (std::uint32_t i = 0; i < call.regions; ++i) {
        addresses[i] = data + call.region[i].data_offset;
        if (call.region[i].extents == 0) continue;
        sparse[i] = std::make_unique<SparseRange>(round, data, call.region[i]);
        addresses[i] = sparse[i]->begin();
        if (addresses[i] != nullptr) continue;
        std::snprintf(round.message, sizeof round.message,
                      "no %llu bytes of address space for a strided tensor: %s",
                      static_cast<unsigned long long>(call.region[i].bytes), std::strerror(errno));
        return NORMPROOF_DEVICE_OUT_OF_MEMORY;
      }
      callee_.invoke(call, addresses);
    }
    return NORMPROOF_DEVICE_OK;
  }

 private:
  Callee& callee_;
};

}  // namespace

std::unique_ptr<Rounds> make_host_rounds(Callee& callee) { return std::make_unique<HostRounds>(callee); }

}  // namespace normproof::worker
