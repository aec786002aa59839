// PrintedText: what a library prints to standard output, kept away from the output of the program that judges
// it.
#pragma once

#include <cstddef>

namespace normproof::worker {

class PrintedText {
 public:
  // From now on standard output goes into memory. Ends the process where that is not possible.
  PrintedText();
  PrintedText(const PrintedText&) = delete;
  PrintedText& operator=(const PrintedText&) = delete;

  // Moves what was printed since the last call into `text`, NUL-terminated, cut off where there is no more
  // room, and with every control character replaced by a space. Empty where nothing was.
  void take(char* text, std::size_t capacity);
};

}  // namespace normproof::worker
