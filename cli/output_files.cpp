#include "cli/output_files.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <exception>

#include "cli/exit_codes.h"

namespace normproof {

std::string time_text() {
  const std::time_t time = std::time(nullptr);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", std::gmtime(&time));
  return text.data();
}

int exit_code_after_writing(int exit_code, std::initializer_list<OutputFile> files) {
  for (const OutputFile& file : files) {
    if (file.path.empty()) continue;
    try {
      file.write();
    } catch (const std::exception& error) {
      fmt::print(stderr, "normproof: {}\n", error.what());
      if (exit_code == kAllGood) exit_code = kCouldNotRun;
    }
  }
  return exit_code;
}

}  // namespace normproof
