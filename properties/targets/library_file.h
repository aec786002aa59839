// What can be told of a shared library without loading it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace normproof {

// Whether the text, for instance a symbol's name, stands in the file; false where it cannot be read.
bool mentions(const std::filesystem::path& file, std::string_view text);

// The runtime of AddressSanitizer that a program must have loaded first to take this library: that of the
// compiler which built normproof, or the one that the library itself names; NORMPROOF_ASAN_RUNTIME where that
// is set. Empty where the library needs none, or the program has it.
std::string address_sanitizer_runtime(const std::filesystem::path& library,
                                      const std::filesystem::path& program);

}  // namespace normproof
