#include "cli/resources.h"

#include <system_error>

namespace normproof {

std::filesystem::path resource(std::string_view name) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const auto path = program.parent_path().parent_path() / "share" / "normproof" / name;
  const auto followed = std::filesystem::weakly_canonical(path, error);
  return error ? path : followed;
}

}  // namespace normproof
