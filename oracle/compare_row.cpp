#include "oracle/compare_row.h"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>

#include "oracle/formats.h"

namespace normproof::oracle {
namespace {

// As load_bits(), inline.
std::uint32_t packed_bits(std::span<const std::byte> packed, std::size_t size, std::int64_t index) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, packed.data() + static_cast<std::size_t>(index) * size, size);
  return bits;
}

}  // namespace

std::int64_t compare_row(const ComparedRow& compared, std::size_t listed, std::vector<Mismatch>& first,
                         const std::function<std::uint64_t(const Mismatch&)>& exact) {
  const auto& [tensor, dtype, row, got, wanted] = compared;
  if (std::memcmp(got.data(), wanted.data(), wanted.size()) == 0) return 0;
  std::int64_t mismatches = 0;
  const std::size_t size = size_of(dtype);
  const auto columns = static_cast<std::int64_t>(wanted.size() / size);
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::uint32_t a = packed_bits(got, size, column), b = packed_bits(wanted, size, column);
    if (same(dtype, a, b)) continue;
    ++mismatches;
    if (first.size() >= listed) continue;
    const Mismatch mismatch{tensor, row, column, dtype, a, b, ulp_distance(dtype, a, b)};
    const Format& format = format_of(dtype);
    if (const std::uint64_t bits = exact(mismatch); !same(format, bits, b))
      throw std::logic_error(
          fmt::format("oracle: exact and fast path disagree at row {}, column {} ({}): exact {}, fast {}",
                      row, column, name_of(tensor), hex_bits(format, bits), hex_bits(format, b)));
    first.push_back(mismatch);
  }
  return mismatches;
}

}  // namespace normproof::oracle
