// A GuardedCall, or a NamedCall, as a call of a worker's round: its tensors go into the memory shared with
// the worker, and come back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "properties/targets/guarded_call.h"
#include "properties/targets/named_call.h"
#include "properties/targets/worker/protocol.h"

namespace normproof {

// What a call takes of a round, whose data begin at `data`: tensors that lie there already take nothing; null
// where none can.
struct Need {
  std::size_t bytes = 0;
  std::uint32_t extents = 0;
};
Need need_of(const std::vector<const GuardedTensor*>& tensors, const std::byte* data);
// Says so where it is more than a whole round has; otherwise empty.
std::string too_large(const Need& need);

// Where a call stands in a round.
struct Slot {
  std::uint32_t call = 0;
  std::size_t data_offset = 0;
  std::uint32_t first_extent = 0;
};
// Writes the call and its tensors, unless they lie there already. `as_is`: pointers are passed on as they
// are, not translated.
void put_call(const GuardedCall& call, bool as_is, worker::Round& round, std::byte* data, Slot slot);
// `operation`: its place among the plug-in's named operations.
void put_call(const NamedCall& call, std::size_t operation, worker::Round& round, std::byte* data, Slot slot);

// Copies the tensors of a call back over them, which but for those that lie there are somewhere else.
void take_tensors(const std::vector<const GuardedTensor*>& tensors, const std::byte* data,
                  std::size_t data_offset);

}  // namespace normproof
