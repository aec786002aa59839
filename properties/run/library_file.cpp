#include "properties/run/library_file.h"

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

}  // namespace

bool mentions(const std::filesystem::path& file, std::string_view text) {
  return text_of(file).find(text) != std::string::npos;
}

std::string address_sanitizer_runtime(const std::filesystem::path& library,
                                      const std::filesystem::path& program) {
  constexpr std::string_view kSymbol = "__asan_init", kOfGcc = "libasan.so.";
  const std::string text = text_of(library);
  if (text.find(kSymbol) == std::string::npos || mentions(program, kSymbol)) return {};
  if (const char* runtime = std::getenv("NORMPROOF_ASAN_RUNTIME")) return runtime;
  const std::size_t needed = text.find(kOfGcc);  // where gcc's linker wrote the name of its runtime
  return needed == std::string::npos ? NORMPROOF_ASAN_RUNTIME : text.c_str() + needed;
}

}  // namespace normproof
