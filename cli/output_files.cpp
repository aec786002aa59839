#include "cli/output_files.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "cli/exit_codes.h"

namespace normproof {

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
