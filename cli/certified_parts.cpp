#include "cli/certified_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "corpus/case.h"
#include "corpus/hash.h"
#include "oracle/formats.h"

namespace normproof {

std::vector<std::string> slice_digests(std::span<const std::byte> packed, DType dtype, std::int64_t slices) {
  const std::size_t size = slices == 0 ? 0 : packed.size() / static_cast<std::size_t>(slices);
  std::vector<std::string> digests;
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    const auto part = packed.subspan(static_cast<std::size_t>(slice) * size, size);
    std::vector<std::byte> bytes(part.begin(), part.end());
    const auto elements = static_cast<std::int64_t>(size / size_of(dtype));
    for (std::int64_t j = 0; j < elements; ++j)
      if (oracle::is_nan(dtype, load_bits(bytes, dtype, j)))
        store_bits(bytes, dtype, j, static_cast<std::uint32_t>(oracle::format_of(dtype).nan_bits()));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    digests.push_back(fmt::format("{:016x}", fnv1a(text)));
  }
  return digests;
}

std::optional<std::string> common_policy(const std::vector<std::string>& one,
                                         const std::vector<std::string>& other) {
  for (const std::string& policy : one)
    if (std::ranges::find(other, policy) != other.end()) return policy;
  return std::nullopt;
}

}  // namespace normproof
