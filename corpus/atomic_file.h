// Writing a file that somebody named: as a whole or not at all, and never another kind of file than it was.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace normproof {

// Makes the concatenation of `parts` the content of `file`, also when the machine fails in between: readers
// see the old content or the new one. A link is followed, and a file that was there keeps its mode. What is
// no regular file (a device, a FIFO, an open descriptor as /dev/stdout and >(command) are) is written
// through, and so is a file in a folder that takes no other, in place. Throws
// std::system_error naming the file.
void write_file_atomically(const std::filesystem::path& file,
                           std::span<const std::span<const std::byte>> parts);
void write_text_atomically(const std::filesystem::path& file, std::string_view text);

// Removes what files under construction have written so far, for who ends the program by a signal; the
// functions above then fail, if they go on at all. May be called by a signal handler.
void remove_unfinished_files();

}  // namespace normproof
