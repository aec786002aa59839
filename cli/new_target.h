// The files that `normproof new-target` writes, from properties/plugin/, with @NAME@ where the name goes.
#pragma once

#include <span>
#include <string_view>

namespace normproof {

struct NewTargetFile {
  std::string_view name;
  std::string_view text;
};
std::span<const NewTargetFile> new_target_files();

}  // namespace normproof
