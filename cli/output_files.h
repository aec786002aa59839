// The files that a command writes beside what it prints.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>

namespace normproof {

struct OutputFile {
  const std::string& path;      // empty: not asked for
  std::function<void()> write;  // throws where it cannot
};

// Writes each that is asked for, whatever became of those before it, and says which could not be written.
// Returns the exit code of it all: `exit_code`, or where that is kAllGood and a file is missing kCouldNotRun.
int exit_code_after_writing(int exit_code, std::initializer_list<OutputFile> files);

// The time now, for reports: "2026-11-28 09:05 UTC".
std::string time_text();

}  // namespace normproof
