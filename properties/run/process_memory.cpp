#include "properties/run/process_memory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

namespace normproof {

std::optional<ProcessMemory> memory_of(pid_t process) {
  // In pages: all, resident, resident and shared.
  std::ifstream statistics(fmt::format("/proc/{}/statm", process));
  std::int64_t all = 0, resident = 0, shared = 0;
  if (!(statistics >> all >> resident >> shared)) return std::nullopt;
  const std::int64_t page = sysconf(_SC_PAGESIZE);
  return ProcessMemory{resident * page, shared * page};
}

}  // namespace normproof
