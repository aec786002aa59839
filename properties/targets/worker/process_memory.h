// How much memory and processor time a process has had, and which processes it has begun, as Linux tells it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace normproof {

struct ProcessMemory {
  std::int64_t resident = 0;  // bytes
  std::int64_t shared = 0;    // of these, shared with other processes or files
};

// Nothing where there is no such process any more.
std::optional<ProcessMemory> memory_of(pid_t process);

// The processes that it has begun, or that have fallen to it, and that have not been waited for.
std::vector<pid_t> children_of(pid_t process);

// Of a process and all that it has begun, together: memory that is not shared, in bytes.
std::int64_t own_memory_of_tree(pid_t process);
// Of the same processes: what processors have worked for them.
std::chrono::milliseconds processor_time_of_tree(pid_t process);

}  // namespace normproof
