#include "properties/targets/worker_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "properties/targets/target.h"

namespace normproof {
namespace {

constexpr int kPieces = 8;

// In one go, so that lines of several workers do not mix.
void print_error(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

// Passes what there is to `take`, without waiting. At the end of the file nothing more comes.
template <class Take>
void read_all(int& descriptor, const Take& take) {
  std::array<char, 16384> bytes{};
  // As much as a pipe holds: whoever writes without end does not keep the caller from its other work.
  for (int piece = 0; piece < kPieces && descriptor >= 0; ++piece) {
    const ssize_t count = ::read(descriptor, bytes.data(), bytes.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      ::close(std::exchange(descriptor, -1));
      return;
    }
    take(std::string_view(bytes.data(), static_cast<std::size_t>(count)));
  }
}

}  // namespace

WorkerOutput::Ends WorkerOutput::open() {
  close();
  take_printed();  // it was of the process before
  std::array<int, 2> output{}, error{};
  if (pipe2(output.data(), O_CLOEXEC) != 0)
    throw TargetError(fmt::format("a pipe from the worker: {}", std::strerror(errno)));
  if (pipe2(error.data(), O_CLOEXEC) != 0) {
    const int reason = errno;
    for (const int end : output) ::close(end);
    throw TargetError(fmt::format("a pipe from the worker: {}", std::strerror(reason)));
  }
  output_ = output[0];
  error_ = error[0];
  for (const int end : {output_, error_}) fcntl(end, F_SETFL, O_NONBLOCK);
  return {output[1], error[1]};
}

void WorkerOutput::close() {
  read();
  for (int* end : {&output_, &error_})
    if (*end >= 0) ::close(std::exchange(*end, -1));
}

WorkerOutput::~WorkerOutput() {
  close();
  print_error(filter_.finish());
  if (error_bytes_ > kMostShown) {
    print_error(fmt::format("normproof: {} wrote {} bytes more to standard error, which are not shown\n",
                            title_, error_bytes_ - kMostShown));
  }
}

void WorkerOutput::read() {
  read_all(output_, [&](std::string_view text) {
    printed_ += text.substr(0, kMostPrinted - printed_.size());
    printed_bytes_ += text.size();
  });
  read_all(error_, [&](std::string_view text) { show(text); });
}

void WorkerOutput::show(std::string_view text) {
  const std::uint64_t before = error_bytes_;
  error_bytes_ += text.size();
  if (before > kMostShown) return;
  print_error(filter_.take(text.substr(0, kMostShown - before)));
  if (error_bytes_ > kMostShown) {
    print_error(filter_.finish());
    print_error(
        fmt::format("\nnormproof: {} writes more than {} KiB to standard error; the rest is not shown\n",
                    title_, kMostShown >> 10));
  }
}

std::string WorkerOutput::take_printed() {
  if (printed_bytes_ == 0) return {};
  std::string text = std::exchange(printed_, {});
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text = "\"" + printable_line(text) + "\"";
  const std::uint64_t bytes = std::exchange(printed_bytes_, 0);
  if (bytes > kMostPrinted) text += fmt::format(" and {} bytes more", bytes - kMostPrinted);
  return text;
}

}  // namespace normproof
