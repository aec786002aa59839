// What certificates of both kinds of operations are made of: digests of outputs, policies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "corpus/dtype.h"

namespace normproof {

// FNV-1a of 64 bits, as 16 hexadecimal digits, of each of `slices` equal parts of a packed tensor; any NaN
// counts as the same.
std::vector<std::string> slice_digests(std::span<const std::byte> packed, DType dtype, std::int64_t slices);

// A policy that both may have; nothing where there is none.
std::optional<std::string> common_policy(const std::vector<std::string>& one,
                                         const std::vector<std::string>& other);

}  // namespace normproof
