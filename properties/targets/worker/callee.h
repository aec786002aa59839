// Callee: who carries out the calls of a round in the worker process, once their tensors lie where it can
// reach them.
#pragma once

#include <array>
#include <cstddef>

#include "properties/targets/worker/protocol.h"

namespace normproof::worker {

// Of one call: where its regions lie for the callee.
using Addresses = std::array<std::byte*, kMaximumRegions>;

inline void* address_of(const Pointer& pointer, const Addresses& addresses) {
  // A foreign address, a null pointer for one, travels as a number. NOLINTNEXTLINE(performance-no-int-to-ptr)
  if (pointer.region < 0) return reinterpret_cast<void*>(pointer.offset);
  return addresses[static_cast<std::size_t>(pointer.region)] + pointer.offset;
}

class Callee {
 public:
  Callee() = default;
  Callee(const Callee&) = delete;
  Callee& operator=(const Callee&) = delete;
  virtual ~Callee() = default;
  // Carries out the call and fills its answer.
  virtual void invoke(Call& call, const Addresses& addresses) = 0;
};

// Carries out rounds: brings the tensors of each call to where the callee can reach them, and back.
class Rounds {
 public:
  Rounds() = default;
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;
  virtual ~Rounds() = default;
  // After a failure, which writes a message, this process is of no more use.
  virtual normproof_device_status carry_out(Round& round, std::byte* data) = 0;
};

}  // namespace normproof::worker
