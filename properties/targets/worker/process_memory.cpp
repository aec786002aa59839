#include "properties/targets/worker/process_memory.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace normproof {

std::optional<ProcessMemory> memory_of(pid_t process) {
  // In pages: all, resident, resident and shared.
  std::ifstream statistics("/proc/" + std::to_string(process) + "/statm");
  std::int64_t all = 0, resident = 0, shared = 0;
  if (!(statistics >> all >> resident >> shared)) return std::nullopt;
  const std::int64_t page = sysconf(_SC_PAGESIZE);
  return ProcessMemory{resident * page, shared * page};
}

std::vector<pid_t> children_of(pid_t process) {
  std::vector<pid_t> children;
  std::error_code error;  // the process may end meanwhile
  std::filesystem::directory_iterator thread("/proc/" + std::to_string(process) + "/task", error), end;
  for (; !error && thread != end; thread.increment(error)) {
    std::ifstream list(thread->path() / "children");
    for (pid_t child = 0; list >> child;) children.push_back(child);
  }
  return children;
}

std::chrono::milliseconds processor_time_of_tree(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  // Behind the name, which is in brackets and may hold any character: the state, and 10 numbers before the
  // two that are asked for.
  const std::size_t name_end = text.rfind(')');
  std::istringstream fields(name_end == std::string::npos ? "" : text.substr(name_end + 1));
  std::string skipped;
  for (int field = 0; field < 11; ++field) fields >> skipped;
  std::int64_t user = 0, system = 0;
  fields >> user >> system;
  std::chrono::milliseconds sum((user + system) * 1000 / sysconf(_SC_CLK_TCK));
  for (const pid_t child : children_of(process)) sum += processor_time_of_tree(child);
  return sum;
}

std::int64_t own_memory_of_tree(pid_t process) {
  const auto memory = memory_of(process);
  std::int64_t own = memory ? memory->resident - memory->shared : 0;
  for (const pid_t child : children_of(process)) own += own_memory_of_tree(child);
  return own;
}

}  // namespace normproof
