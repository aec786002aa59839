// FNV-1a, 64 bits (Fowler, Noll, Vo): tells texts and inputs apart, the same on every machine. Not for
// untrusted keys.
#pragma once

#include <cstdint>
#include <string_view>

namespace normproof {

// Goes on from `hash` where several pieces are hashed as one.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = 0xcbf29ce484222325) {
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return hash;
}

}  // namespace normproof
