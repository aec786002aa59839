// How a target and its worker process share rounds of calls. Both map the same memory: a few arenas,
// each with a Round at its beginning and the tensors' bytes behind it. A Message over a socket asks the
// worker to carry out an arena's round, and comes back when it has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "corpus/call_limits.h"
#include "corpus/operation.h"
#include "kernels/device/normproof_device.h"

namespace normproof::worker {

inline constexpr int kMemoryDescriptor = 3;  // in the worker process
inline constexpr int kSocketDescriptor = 4;

inline constexpr std::size_t kArenas = 3;
// Goes to the worker and comes back as it was: a number that nobody else knows tells it from whatever a
// library writes to a descriptor that is not its own.
struct Message {
  std::uint64_t ticket = 0;
  std::uint64_t arena = 0;  // kArenas: the first message, which asks for the greeting
};

inline constexpr std::size_t kMaximumCalls = 128;
inline constexpr std::size_t kMaximumExtents = 8192;
// Tensors of a call. Those of the operations of corpus/operation.h stand by role; those of a named operation,
// one that the worker knows by nothing but its name, in any order.
inline constexpr std::size_t kMaximumTensors = std::max<std::size_t>(16, kRoles.size());
inline constexpr std::size_t kMaximumRegions = kMaximumTensors;
inline constexpr std::size_t kMaximumNumbers = 8;
inline constexpr std::size_t kNameBytes = 48;
inline constexpr std::size_t kMaximumNamedOperations = 32;
inline constexpr std::size_t kMessageBytes = 512;
inline constexpr std::size_t kPlaceBytes = 128;

// Memory around a tensor, guard zones included, on a 256-byte boundary.
struct Region {
  std::uint64_t bytes = 0;         // on the device
  std::uint64_t data_offset = 0;   // dense: where its bytes begin in the arena's data
  std::uint32_t first_extent = 0;  // sparse: which pieces of it exist, else none
  std::uint32_t extents = 0;
};

// A piece of a sparse region, its bytes packed into the arena's data.
struct Extent {
  normproof_device_extent piece{};
  std::uint64_t data_offset = 0;
};

// A pointer argument: an offset into a region, or, where region is negative, `offset` itself as the address.
struct Pointer {
  std::int32_t region = -1;
  std::uint64_t offset = 0;
};

struct Tensor {
  bool present = false;  // whether a description is passed at all
  normproof_tensor description{};
  Pointer data;
  // Of a named operation: what it is to it, and its dtype, of corpus/dtype.h, which the description cannot
  // always say.
  char role[kNameBytes] = {};
  std::int32_t dtype = -1;
};

// A number of a call of a named operation.
struct Number {
  char name[kNameBytes] = {};
  float value = 0;
};

enum class PluginAnswer : std::int32_t { completed, not_taken, failed, not_a_status };

struct Call {
  std::int32_t operation = 0;  // of corpus/case.h, or the place among the plug-in's named operations
  std::uint8_t is_named = 0;
  std::uint32_t numbers = 0;  // of a named operation
  Number number[kMaximumNumbers];
  float parameters[kParameters.size()] = {};
  normproof_launch launch{};
  std::uint64_t stream = 0;   // cudaStream_t, 0 for the default stream; benchmarks and graphs name one
  std::uint8_t in_graph = 0;  // as in corpus/case.h; on a device alone
  // How a kernel whose threads run on the CPU is to order them, as in
  // corpus/case.h; others do not look at it.
  std::int32_t thread_order = 0;
  std::uint64_t thread_order_seed = 0;
  std::uint32_t regions = 0;
  Region region[kMaximumRegions];
  Tensor tensor[kMaximumTensors];
  // The answer.
  normproof_status status = NORMPROOF_OK;  // of the kernels' C interface
  PluginAnswer plugin_answer = PluginAnswer::completed;
  std::int32_t plugin_status = 0;  // what it returned
  normproof_launch_report report{};
  char message[kMessageBytes] = {};
};

struct Round {
  std::uint32_t calls = 0;
  std::uint32_t extents = 0;
  std::uint64_t data_bytes = 0;
  Call call[kMaximumCalls];
  Extent extent[kMaximumExtents];
  // The answer: whether the device carried the round out. If not, no output was
  // copied back and the worker ends.
  std::uint32_t current_call = 0;  // the one that the worker is at, for a post-mortem
  normproof_device_status status = NORMPROOF_DEVICE_OK;
  char message[kMessageBytes] = {};
};

// An operation of a plug-in that only its name tells.
struct NamedOperation {
  char name[kNameBytes] = {};
  CallLimits limits;
};

// A set of operations is the bits of one number.
inline constexpr std::size_t kMostOperations = 32;

// What a plug-in says of itself. Bit i of a set: value i of the enumeration in corpus/case.h.
struct PluginDescription {
  char name[64] = {};
  std::uint32_t operations = 0;
  std::uint32_t dtypes = 0;  // activations, and what it quantizes to
  // Yes or no, in memory where others may write anything. What it takes as weight;
  // its tensors lie in device memory; of operations that make scales, or may have a weight of several rows,
  // what else it takes.
  std::uint8_t no_weight = 0, same_weight = 0, fp32_weight = 0, on_device = 0;
  std::uint8_t scale_ub = 0, scale_layouts = 0, scale_views = 0, weight_rows = 0, no_statistics = 0;
  // Of RMSNorms that give each row a scale.
  std::uint8_t row_int8 = 0, row_scale_ub = 0;
  // Of each operation, and whether it declares them at all.
  CallLimits limits[kMostOperations];
  std::uint8_t has_limits[kMostOperations] = {};
  std::uint32_t named_operations = 0;
  NamedOperation named[kMaximumNamedOperations];
};

// The first thing that a worker sends, at the beginning of the memory; the arenas follow it.
struct Greeting {
  normproof_device_status status = NORMPROOF_DEVICE_OK;
  normproof_device_info device{};
  PluginDescription plugin;
  char message[kMessageBytes] = {};
  char crash_place[kPlaceBytes] = {};  // of a worker that has died of a signal: "libmine.so+0x12ab"
};

inline constexpr std::size_t kDataOffset = (sizeof(Round) + 4095) / 4096 * 4096;
// The tensors of the largest case fit. Pages that are never touched cost nothing.
inline constexpr std::size_t kDataBytes = std::size_t{5} << 30;
inline constexpr std::size_t kArenaBytes = kDataOffset + kDataBytes;
// So much of each arena is pinned; ordinary rounds fit.
inline constexpr std::size_t kPinnedBytes = std::size_t{48} << 20;

inline constexpr std::size_t kGreetingBytes = 8192;
static_assert(sizeof(Greeting) <= kGreetingBytes);
inline constexpr std::size_t kMemoryBytes = kGreetingBytes + kArenas * kArenaBytes;

inline Round* round_of(std::byte* memory, std::size_t arena) {
  return reinterpret_cast<Round*>(memory + kGreetingBytes + arena * kArenaBytes);
}
inline std::byte* data_of(std::byte* memory, std::size_t arena) {
  return memory + kGreetingBytes + arena * kArenaBytes + kDataOffset;
}

}  // namespace normproof::worker
