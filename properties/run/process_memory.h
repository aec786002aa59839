// What memory another process holds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace normproof {

// In bytes, of what has been touched: giant strides reserve far more.
struct ProcessMemory {
  std::int64_t resident = 0;
  std::int64_t shared = 0;  // part of it
};

// Nothing where there is no such process.
std::optional<ProcessMemory> memory_of(pid_t process);

}  // namespace normproof
