// The files that `normproof new-target` writes, from properties/plugin/, with @NAME@ where the name goes, and
// with --from @SOURCE@ and the folders beside it.
#pragma once

#include <span>
#include <string_view>

namespace normproof {

struct NewTargetFile {
  std::string_view name;
  std::string_view text;
};
std::span<const NewTargetFile> new_target_files();
// What takes the place of the adapter's text from its kernel on with --op layer_norm.
std::string_view layer_norm_example();
// With --from: all but the adapter.
std::span<const NewTargetFile> source_target_files();

}  // namespace normproof
