#include "properties/targets/guarded_tensor.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

namespace normproof {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kSparseThreshold = std::size_t{64} << 20;

const std::array<std::byte, 4096>& canary_page() {
  static const auto page = [] {
    std::array<std::byte, 4096> bytes;
    bytes.fill(kCanary);
    return bytes;
  }();
  return page;
}

// First byte in [begin, end) that is no canary, or nullptr.
const std::byte* first_lost_canary(const std::byte* begin, const std::byte* end) {
  const auto& page = canary_page();
  while (begin < end) {
    const std::size_t size = std::min<std::size_t>(page.size(), static_cast<std::size_t>(end - begin));
    if (std::memcmp(begin, page.data(), size) != 0) {
      return std::find_if(begin, end, [](std::byte value) { return value != kCanary; });
    }
    begin += size;
  }
  return nullptr;
}

}  // namespace

std::byte* MemorySpace::take(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded > static_cast<std::size_t>(end_ - next_)) return nullptr;
  next_ += rounded;
  return next_ - rounded;
}

TensorMemory::~TensorMemory() { release(); }

void TensorMemory::release() {
  if (data_ == nullptr) return;
  if (sparse_) {
    munmap(data_, capacity_);
  } else {
    std::free(data_);
  }
  data_ = nullptr;
  capacity_ = 0;
}

bool TensorMemory::is_sparse(std::size_t bytes) { return bytes > kSparseThreshold; }

std::byte* TensorMemory::reserve(std::size_t bytes) {
  const bool sparse = is_sparse(bytes);
  if (space_ != nullptr && !sparse) {
    if (std::byte* taken = space_->take(bytes)) return taken;
  }
  // A sparse range is always mapped anew: its untouched pages must be fresh.
  if (data_ != nullptr && !sparse && !sparse_ && bytes <= capacity_) return data_;
  release();
  sparse_ = sparse;
  if (sparse) {
    void* range =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) {
      throw std::runtime_error(
          fmt::format("cannot reserve {} bytes of address space for one strided tensor", bytes));
    }
    data_ = static_cast<std::byte*>(range);
    capacity_ = bytes;
  } else {
    const std::size_t rounded =
        (std::max(bytes, std::size_t{64} << 10) + kAlignment - 1) / kAlignment * kAlignment;
    data_ = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
    if (data_ == nullptr) throw std::bad_alloc();
    capacity_ = rounded;
  }
  return data_;
}

GuardedTensor::GuardedTensor(TensorMemory& memory, std::string_view name, DType dtype,
                             std::span<const std::int64_t> shape, const TensorLayout& layout)
    : name_(name), dtype_(dtype), rank_(shape.size()) {
  std::copy(shape.begin(), shape.end(), shape_.begin());
  const std::size_t leading = rank_ - 1;
  if (layout.strides.empty()) {
    std::int64_t stride = shape.back();
    for (std::size_t dim = leading; dim-- > 0;) {
      strides_[dim] = stride;
      stride *= std::max<std::int64_t>(shape_[dim], 1);
    }
  } else {
    std::copy(layout.strides.begin(), layout.strides.end(), strides_.begin());
  }
  strides_[leading] = 1;
  std::int64_t last_row = 0;
  for (std::size_t dim = 0; dim < leading; ++dim) {
    rows_ *= shape_[dim];
    last_row += std::max<std::int64_t>(shape_[dim] - 1, 0) * strides_[dim];
    if (dim > 0 && strides_[dim - 1] < strides_[dim]) ascending_ = false;
  }
  row_bytes_ = static_cast<std::size_t>(shape.back()) * size_of(dtype_);
  const std::size_t span = rows_ == 0 ? 0 : static_cast<std::size_t>(last_row) * size_of(dtype_) + row_bytes_;
  const std::size_t offset = kGuardBytes + static_cast<std::size_t>(layout.offset) * size_of(dtype_);
  const std::size_t total = offset + span + kGuardBytes;
  sparse_ = TensorMemory::is_sparse(total);
  begin_ = memory.reserve(total);
  end_ = begin_ + total;
  first_ = begin_ + offset;
  if (sparse_) {
    // Only the neighbourhood of each row is looked at.
    std::fill(begin_, first_, kCanary);
    for_each_row([&](std::size_t row, std::int64_t) {
      std::fill(first_ + row - kGuardBytes, first_ + row + row_bytes_ + kGuardBytes, kCanary);
    });
  } else {
    std::memset(begin_, static_cast<int>(kCanary), total);
  }
}

template <class Visit>
void GuardedTensor::for_each_row(Visit visit) const {
  if (rows_ == 0) return;
  const std::size_t leading = rank_ - 1;
  std::array<std::int64_t, kMaximumRank> index{};
  for (std::int64_t row = 0; row < rows_; ++row) {
    std::int64_t element = 0;
    for (std::size_t dim = 0; dim < leading; ++dim) element += index[dim] * strides_[dim];
    visit(static_cast<std::size_t>(element) * size_of(dtype_), row);
    for (std::size_t dim = leading; dim-- > 0;) {
      if (++index[dim] < shape_[dim]) break;
      index[dim] = 0;
    }
  }
}

std::vector<GuardedTensor::Range> GuardedTensor::pieces() const {
  std::vector<Range> rows;
  if (!sparse_) return rows;
  for_each_row([&](std::size_t row, std::int64_t) {
    rows.push_back({first_ + row - kGuardBytes, first_ + row + row_bytes_ + kGuardBytes});
  });
  std::sort(rows.begin(), rows.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> merged;
  for (const Range& row : rows) {
    if (!merged.empty() && row.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, row.end);
    } else {
      merged.push_back(row);
    }
  }
  return merged;
}

void GuardedTensor::scatter(const std::vector<std::byte>& packed) {
  for_each_row([&](std::size_t row, std::int64_t index) {
    std::copy_n(packed.data() + static_cast<std::size_t>(index) * row_bytes_, row_bytes_, first_ + row);
  });
}

std::vector<std::byte> GuardedTensor::gather() const {
  std::vector<std::byte> packed(static_cast<std::size_t>(rows_) * row_bytes_);
  for_each_row([&](std::size_t row, std::int64_t index) {
    std::copy_n(first_ + row, row_bytes_, packed.data() + static_cast<std::size_t>(index) * row_bytes_);
  });
  return packed;
}

std::string GuardedTensor::find_stray_write() const {
  const std::byte* lost = nullptr;
  const std::byte* position = begin_;
  // Everything up to `next` must be canary. In a sparse range only the neighbourhood of the rows is: the rest
  // may not even be there.
  const auto check_until = [&](const std::byte* next) {
    if (lost != nullptr) return;
    if (!sparse_ || next - position <= static_cast<std::ptrdiff_t>(2 * kGuardBytes)) {
      lost = first_lost_canary(position, next);
      return;
    }
    lost = first_lost_canary(position, position + kGuardBytes);
    if (lost == nullptr) lost = first_lost_canary(next - kGuardBytes, next);
  };
  const auto skip = [&](std::size_t start, std::size_t bytes) {
    check_until(first_ + start);
    position = first_ + start + bytes;
  };
  const bool dense = ascending_ && static_cast<std::size_t>(rows_) * row_bytes_ + kGuardBytes ==
                                       static_cast<std::size_t>(end_ - first_);
  if (dense) {
    skip(0, static_cast<std::size_t>(rows_) * row_bytes_);
  } else if (ascending_) {
    for_each_row([&](std::size_t row, std::int64_t) { skip(row, row_bytes_); });
  } else {
    std::vector<std::size_t> starts;
    starts.reserve(static_cast<std::size_t>(rows_));
    for_each_row([&](std::size_t row, std::int64_t) { starts.push_back(row); });
    std::sort(starts.begin(), starts.end());
    for (const std::size_t start : starts) skip(start, row_bytes_);
  }
  check_until(end_);
  if (lost == nullptr) return {};
  return fmt::format(
      "{}: byte {} from the first element was overwritten with 0x{:02x}, outside the tensor's elements",
      name_, lost - first_, std::to_integer<unsigned>(*lost));
}

std::string GuardedTensor::find_change(const std::vector<std::byte>& packed) const {
  std::string found;
  for_each_row([&](std::size_t row, std::int64_t index) {
    const std::byte* wanted = packed.data() + static_cast<std::size_t>(index) * row_bytes_;
    if (!found.empty() || row_bytes_ == 0 || std::memcmp(first_ + row, wanted, row_bytes_) == 0) return;
    const auto difference = std::mismatch(wanted, wanted + row_bytes_, first_ + row).first - wanted;
    found = fmt::format("{}: an input was modified at row {}, column {}", name_, index,
                        static_cast<std::size_t>(difference) / size_of(dtype_));
  });
  return found;
}

}  // namespace normproof
