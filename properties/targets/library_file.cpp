#include "properties/targets/library_file.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>

namespace normproof {
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return {};
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Whether the file refers to AddressSanitizer's runtime. The name is looked for in two parts: whole, this
// very program would have it among its texts.
bool wants_address_sanitizer(const std::string& file) {
  constexpr std::string_view kFirst = "__asan_version", kSecond = "_mismatch_check";
  for (std::size_t at = file.find(kFirst); at != std::string::npos; at = file.find(kFirst, at + 1)) {
    if (file.compare(at + kFirst.size(), kSecond.size(), kSecond) == 0) return true;
  }
  return false;
}

}  // namespace

bool mentions(const std::filesystem::path& file, std::string_view text) {
  return text_of(file).find(text) != std::string::npos;
}

std::string address_sanitizer_runtime(const std::filesystem::path& library,
                                      const std::filesystem::path& program) {
  constexpr std::string_view kOfGcc = "libasan.so.";
  const std::string text = text_of(library);
  if (!wants_address_sanitizer(text) || wants_address_sanitizer(text_of(program))) return {};
  if (const char* runtime = std::getenv("NORMPROOF_ASAN_RUNTIME")) return runtime;
  const std::size_t needed = text.find(kOfGcc);  // where gcc's linker wrote the name of its runtime
  return needed == std::string::npos ? NORMPROOF_ASAN_RUNTIME : text.c_str() + needed;
}

}  // namespace normproof
