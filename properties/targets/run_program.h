// Programs that are run to their end.
#pragma once

#include <string>
#include <vector>

namespace normproof {

// What came of a program.
struct ProgramResult {
  int exit_code = 0;   // negative: the signal that ended it
  std::string output;  // standard output and error
};
// Runs a program with additional environment variables ("NAME=value") and waits for it. Throws
// std::system_error where it cannot be started.
ProgramResult run_program(const std::vector<std::string>& command,
                          const std::vector<std::string>& environment);

// Appends what a pipe that does not block has; false at its end.
bool read_available(int descriptor, std::string& text);

}  // namespace normproof
