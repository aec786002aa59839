// Worker: who carries out the rounds of calls of a target, in memory that both reach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "properties/targets/worker/protocol.h"

namespace normproof {

class Worker {
 public:
  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  virtual ~Worker() = default;

  // As worker/protocol.h lays it out.
  virtual std::byte* memory() const = 0;
  // Makes it ready unless it is. Throws TargetError saying why it cannot work.
  virtual const worker::Greeting& start() = 0;
  // Has the round of an arena carried out. Returns what went wrong, or an empty string.
  virtual std::string carry_out(std::size_t arena) = 0;
  // Rounds carried out since it was started last; 0 where it has to be started.
  virtual std::int64_t rounds() const = 0;
  // What the last round printed to standard output, in quotes and printable, or its beginning; empty where it
  // printed nothing.
  virtual std::string printed() = 0;
  // Whether the last failure was that there was no answer.
  virtual bool hung() const = 0;
  // Whether the last failure was that this program is to stop, and did not wait for the answer.
  virtual bool stopped() const = 0;
};

}  // namespace normproof
