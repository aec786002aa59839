#include "properties/worker/printed_text.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace normproof::worker {

PrintedText::PrintedText() {
  const int memory = memfd_create("normproof-printed", MFD_CLOEXEC);
  if (memory < 0 || dup2(memory, STDOUT_FILENO) < 0) std::_Exit(3);
  close(memory);
}

void PrintedText::take(char* text, std::size_t capacity) {
  *text = '\0';
  std::fflush(stdout);
  if (lseek(STDOUT_FILENO, 0, SEEK_END) <= 0) return;
  const ssize_t count = pread(STDOUT_FILENO, text, capacity - 1, 0);
  text[count < 0 ? 0 : count] = '\0';
  for (char* character = text; *character != '\0'; ++character) {
    if (static_cast<unsigned char>(*character) < ' ') *character = ' ';
  }
  if (*text == '\0') *text = ' ';  // something was printed, be it only a NUL
  if (ftruncate(STDOUT_FILENO, 0) == 0) lseek(STDOUT_FILENO, 0, SEEK_SET);
}

}  // namespace normproof::worker
