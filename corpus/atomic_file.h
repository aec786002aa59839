// Writing a file as a whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace normproof {

// Replaces `file` by the concatenation of `parts`, also when the machine fails in between: readers see the
// old content or the new one. Throws std::system_error naming the file.
void write_file_atomically(const std::filesystem::path& file,
                           std::span<const std::span<const std::byte>> parts);
void write_text_atomically(const std::filesystem::path& file, std::string_view text);

}  // namespace normproof
