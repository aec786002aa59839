// From an address in a library to the line of the source that it was compiled from,
// by llvm-symbolizer or addr2line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace normproof {

// "norm.cu:53", with the whole path; empty where the library says nothing of its source, or no such program
// is installed. Each of these programs is given three seconds.
std::string source_line_of(const std::filesystem::path& library, std::uint64_t offset);

}  // namespace normproof
