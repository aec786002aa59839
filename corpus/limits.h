// Limits of a well-formed Case. They bound what reading and running a case may cost.
#pragma once

#include <cstddef>
#include <cstdint>

namespace normproof {

// Logical elements of one tensor, gaps between strided rows not counted.
inline constexpr std::int64_t kMaximumElements = std::int64_t{1} << 28;
inline constexpr std::int64_t kMaximumHiddenSize = std::int64_t{1} << 20;
inline constexpr std::size_t kMinimumRank = 2;
inline constexpr std::size_t kMaximumRank = 4;       // for rms_norm; the other operations take rank 2
inline constexpr std::int64_t kMaximumOffset = 127;  // elements
inline constexpr int kMaximumThreadsPerBlock = 1024;
inline constexpr int kThreadsPerWarp = 32;

inline constexpr std::size_t kMaximumNameBytes = 128;
inline constexpr std::size_t kMaximumDescriptionBytes = 4096;

// A case's JSON text. Longer text is refused unread.
inline constexpr std::size_t kMaximumCaseTextBytes = std::size_t{256} << 20;

}  // namespace normproof
