// A tensor in memory the way a kernel meets it: strided, at a chosen alignment, between guard zones. Every
// byte that is not a logical element holds a canary, so a write outside the tensor, or into a gap between
// rows, is seen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "corpus/limits.h"

namespace normproof {

// What every byte outside the logical elements holds, and what outputs hold before a run. As fp32 and bf16
// -2.9e-16, as fp16 -0.022, as fp8 about -0.4: finite, unlike any special value.
inline constexpr std::byte kCanary{0xA5};

// The size of a guard zone.
inline constexpr std::size_t kGuardBytes = 256;

// Memory of somebody else's, handed out piece by piece from its beginning on.
class MemorySpace {
 public:
  MemorySpace(std::byte* begin, std::size_t bytes) : next_(begin), end_(begin + bytes) {}
  // `bytes` bytes on a 256-byte boundary, or null where there are no more so many.
  std::byte* take(std::size_t bytes);

 private:
  std::byte* next_;
  std::byte* end_;
};

// Memory that guarded tensors are placed in; reused from case to case so that no case pays for an allocation.
class TensorMemory {
 public:
  TensorMemory() = default;
  TensorMemory(const TensorMemory&) = delete;
  TensorMemory& operator=(const TensorMemory&) = delete;
  ~TensorMemory();

  // `bytes` bytes on a 256-byte boundary. Valid until the next call. Extents of more than 64 MiB are reserved
  // without being backed, so that strides of billions of elements cost only the pages that are touched.
  // Throws std::bad_alloc, and std::runtime_error naming the size where the address space is not there.
  std::byte* reserve(std::size_t bytes);
  static bool is_sparse(std::size_t bytes);
  // What is reserved from now on comes from the space while it has enough, unless it is sparse; null: from
  // nowhere else. The space must outlive what it gave.
  void draw_from(MemorySpace* space) { space_ = space; }

 private:
  void release();
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
  bool sparse_ = false;
  MemorySpace* space_ = nullptr;
};

class GuardedTensor {
 public:
  // Lays out a tensor of `shape` (one to four dimensions, the last one contiguous) in `memory`, all canary.
  // `name` must outlive the tensor.
  GuardedTensor(TensorMemory& memory, std::string_view name, DType dtype, std::span<const std::int64_t> shape,
                const TensorLayout& layout);

  // Writes the logical elements (packed, row-major). Requires packed.size() == logical size in bytes.
  void scatter(const std::vector<std::byte>& packed);
  // Reads the logical elements.
  std::vector<std::byte> gather() const;

  // Describes the first byte outside the logical elements that lost its canary, or returns an empty string.
  std::string find_stray_write() const;
  // Describes the first logical element that differs from `packed`, or returns an empty string.
  std::string find_change(const std::vector<std::byte>& packed) const;

  std::string_view name() const { return name_; }
  std::byte* data() const { return first_; }
  // The memory of the tensor, guard zones included; begin lies on a 256-byte boundary.
  struct Range {
    std::byte* begin = nullptr;
    std::byte* end = nullptr;
  };
  Range memory() const { return {begin_, end_}; }
  // From the first logical element to the end of the last.
  Range elements() const { return {first_, end_ - kGuardBytes}; }
  // Where only the neighbourhoods of the rows exist: those, ascending and apart.
  // Empty where all of memory() does.
  std::vector<Range> pieces() const;
  DType dtype() const { return dtype_; }
  std::span<const std::int64_t> shape() const { return std::span(shape_).first(rank_); }
  std::span<const std::int64_t> strides() const {
    return std::span(strides_).first(rank_);
  }  // one per dimension, the last is 1

 private:
  template <class Visit>
  void for_each_row(Visit visit) const;  // visit(byte offset of the row from first_, index of the row)

  std::string_view name_;
  DType dtype_;
  std::size_t rank_;
  std::array<std::int64_t, kMaximumRank> shape_{};
  std::array<std::int64_t, kMaximumRank> strides_{};
  std::int64_t rows_ = 1;
  std::size_t row_bytes_ = 0;
  bool ascending_ = true;       // rows lie in memory in the order of their indices
  std::byte* begin_ = nullptr;  // reserved range
  std::byte* end_ = nullptr;
  std::byte* first_ = nullptr;  // first logical element
  bool sparse_ = false;
};

}  // namespace normproof
