// Small programs for blocks of CUDA threads, and what they mean: one instruction after the other over all
// threads, by plain loops. The second opinion on the host execution, of which nothing is used here.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace normproof::fuzz {

// What every thread does to its value, 64 bits. `a`, `b` and `c` are the instruction's operands, any bytes.
enum class Opcode : std::uint8_t {
  mix,           // own arithmetic on the value
  arithmetic,    // one correctly rounded fp32 intrinsic
  count_bits,    // population count, leading zeros, first set bit; or the mask of active lanes
  barrier,       // __syncthreads and its three voting forms
  vote,          // ballot, any, all, of the warp or of its half
  warp_barrier,  // __syncwarp of the warp's half
  shuffle,       // index, up, down, xor; 32 or 64 bits
  exchange,      // through shared memory, between two barriers
  combine,       // by an atomic operation of all threads on one word of dynamic shared memory
  leave,         // some threads are done
  nested,        // a launch from within the kernel, which is refused
  // The rest breaks a rule for the threads that it chooses.
  diverge,        // some wait at one barrier, the others at another
  strand,         // some lanes of a warp wait for the others, which wait at a barrier of the block
  foreign_mask,   // a mask without the calling lane
  invalid_width,  // a shuffle whose width is no power of two
  misaligned,     // a 16-byte access that is not
  raise,          // the kernel throws, or a check within it says that it is wrong
  last = raise
};

struct Instruction {
  Opcode opcode = Opcode::mix;
  std::uint8_t a = 0, b = 0, c = 0;
};

inline constexpr unsigned kMaximumThreads = 96;
inline constexpr unsigned kCounters = 4;

struct Program {
  unsigned blocks = 1;
  std::array<unsigned, 3> extent{1, 1, 1};  // of a block
  unsigned order = 0;                       // forward, reverse, random
  std::uint64_t seed = 0;
  std::vector<Instruction> instructions;
  unsigned threads() const { return extent[0] * extent[1] * extent[2]; }
};

// Any bytes are a program of at most kMaximumThreads threads a block and 24 instructions.
Program program_from_bytes(std::span<const std::uint8_t> bytes);

// --- What an instruction means to one thread, for both evaluations. ---
std::uint64_t initial_value(unsigned block, unsigned thread);
std::uint64_t mixed(std::uint64_t value, const Instruction& instruction);
// Whether an instruction that chooses threads chooses this one.
bool chosen(const Instruction& instruction, unsigned thread);
// Half of the warp: the lanes below or from 16.
inline std::uint32_t half_mask(unsigned thread) { return thread % 32 < 16 ? 0x0000ffffu : 0xffff0000u; }
inline bool predicate_of(std::uint64_t value, const Instruction& instruction) {
  return (value >> instruction.b % 64 & 1) != 0;
}
// The value after an instruction that yields `result`.
inline std::uint64_t absorbed(std::uint64_t value, std::uint64_t result) {
  return (value << 7 | value >> 57) ^ result;
}
// The operands of `arithmetic`, as fp32 bits.
std::array<std::uint32_t, 3> fp32_operands(std::uint64_t value, const Instruction& instruction);
inline constexpr unsigned kIntrinsics =
    8;  // fma, add, subtract, multiply, divide, reciprocal, root, inverse root

struct Outcome {
  bool rule_broken = false;           // the launch must fail; no value counts then
  std::vector<std::uint64_t> values;  // of every thread of every block at its end
};
Outcome evaluate_in_lockstep(const Program& program);

}  // namespace normproof::fuzz
