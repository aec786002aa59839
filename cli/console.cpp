// Standard output and standard error behind a filter.
#include "cli/console.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "cli/exit_codes.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

// Whether all of it was written; else errno says why not.
bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

struct GuardedStream {
  int descriptor;
  PrintableStream filter = {};
  int error = 0;  // the first
  bool held = false, kept = false;
  std::string text = {};  // of a stream that is held or kept

  void print(std::string_view more) {
    if (held || kept) text += more;
    if (!held) write_through(more);
  }
  void write_through(std::string_view more) {
    if (!write_all(descriptor, more) && error == 0) error = errno;
  }
};

// Never destroyed: a stream is flushed at the very end.
GuardedStream& output = *new GuardedStream{STDOUT_FILENO};
GuardedStream& errors = *new GuardedStream{STDERR_FILENO};

ssize_t write_guarded(void* cookie, const char* text, std::size_t size) {
  auto& stream = *static_cast<GuardedStream*>(cookie);
  // Whoever prints goes on: the verdict, and the files that tell it, are not lost with a line.
  stream.print(stream.filter.take({text, size}));
  return static_cast<ssize_t>(size);
}

// glibc lets a program set these.
void put_before(std::FILE*& stream, GuardedStream& guard, int buffering) {
  cookie_io_functions_t functions{};
  functions.write = &write_guarded;
  std::FILE* guarded = fopencookie(&guard, "w", functions);
  if (guarded == nullptr) return;
  std::setvbuf(guarded, nullptr, buffering, BUFSIZ);
  std::fflush(stream);
  stream = guarded;
}

}  // namespace

void guard_console() {
  // A file that is opened later must not get the number of a stream that is closed.
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0) return;
  put_before(stdout, output, isatty(STDOUT_FILENO) == 1 ? _IOLBF : _IOFBF);
  put_before(stderr, errors, _IONBF);
}

void draw(std::string_view text) { write_all(STDERR_FILENO, text); }

void hold_output() { output.held = true; }
void keep_output() { output.kept = true; }

std::string kept_output() {
  std::fflush(stdout);
  return output.text;
}

int exit_code_after_printing(int exit_code) {
  std::fflush(stdout);
  output.print(output.filter.finish());
  if (output.held && exit_code != kAllGood) output.write_through(output.text);
  if (output.error == 0) return exit_code;
  fmt::print(stderr, "normproof: cannot write to standard output: {}\n", std::strerror(output.error));
  return exit_code == kAllGood ? kCouldNotRun : exit_code;
}

}  // namespace normproof
