// WorkerOutput: what a worker writes to its standard output and standard error. Both are pipes that this
// program reads, so that nothing of it steers a terminal and no amount of it fills memory or a disk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "corpus/message_text.h"

namespace normproof {

class WorkerOutput {
 public:
  // Bytes of a worker's standard error that are passed on; of the rest there is the number.
  static constexpr std::size_t kMostShown = std::size_t{64} << 10;
  // Bytes of standard output that are kept of each round.
  static constexpr std::size_t kMostPrinted = 128;

  // `title` says in messages whose output it is.
  explicit WorkerOutput(std::string title) : title_(std::move(title)) {}
  WorkerOutput(const WorkerOutput&) = delete;
  WorkerOutput& operator=(const WorkerOutput&) = delete;
  // Says on standard error how much of the worker's was not shown.
  ~WorkerOutput();

  // The ends that a process gets which is about to start.
  struct Ends {
    int output = -1, error = -1;
  };
  // Fresh pipes. Throws TargetError where they cannot be had. The caller closes the ends.
  Ends open();
  void close();

  // The descriptors that become readable when something was written; negative where there is none.
  std::array<int, 2> descriptors() const { return {output_, error_}; }
  // Takes what was written so far, without waiting: of standard error it is shown at once.
  void read();
  // What came over standard output since the last call, or its beginning; empty where nothing did.
  std::string take_printed();

 private:
  void show(std::string_view text);

  const std::string title_;
  int output_ = -1, error_ = -1;
  std::string printed_;
  std::uint64_t printed_bytes_ = 0;
  PrintableStream filter_;
  std::uint64_t error_bytes_ = 0;
};

}  // namespace normproof
