#include "fuzz/lockstep.h"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "oracle/exact.h"
#include "oracle/formats.h"
#include "oracle/inverse_root.h"

namespace normproof::fuzz {
namespace {

constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kMaximumInstructions = 24;
constexpr std::uint64_t kPoison = ~std::uint64_t{0};  // what shared memory holds at first

// fp32 bits of an intrinsic by exact arithmetic; any NaN is 0x7fc00000.
std::uint32_t exact_intrinsic(unsigned intrinsic, const std::array<std::uint32_t, 3>& operands) {
  const oracle::Value a = oracle::decode(DType::fp32, operands[0]);
  const oracle::Value b = oracle::decode(DType::fp32, operands[1]);
  const oracle::Value c = oracle::decode(DType::fp32, operands[2]);
  const oracle::Value one = oracle::Value::integer(1);
  const auto rounded = [](const oracle::Value& value) {
    if (value.is_nan()) return 0x7fc00000u;
    return static_cast<std::uint32_t>(oracle::round_bits(oracle::format_of(DType::fp32), value));
  };
  switch (intrinsic) {
    case 0:
      return rounded(a * b + c);
    case 1:
      return rounded(a + b);
    case 2:
      return rounded(a + -b);
    case 3:
      return rounded(a * b);
    case 4:
      return rounded(oracle::quotient(a, b));
    case 5:
      return rounded(oracle::quotient(one, a));
    case 6: {
      // sqrt(a) = 1 / sqrt(1 / a); where a is zero or infinite it is a itself.
      if (a.is_zero() || (a.is_infinite() && !a.negative())) return operands[0];
      if (a.is_nan() || a.negative()) return 0x7fc00000u;
      return rounded(oracle::inverse_root(one, a));
    }
    default: {
      const std::uint32_t bits = oracle::inverse_root_bits(a);
      return oracle::is_nan(DType::fp32, bits) ? 0x7fc00000u : bits;
    }
  }
}

std::uint64_t bit_counts(std::uint64_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  const auto first = word == 0 ? 0u : static_cast<unsigned>(std::countr_zero(word)) + 1;
  return static_cast<unsigned>(std::popcount(word)) | static_cast<unsigned>(std::countl_zero(word)) << 8 |
         first << 16;
}

// The lane that a shuffle reads (CUDA C++ Programming Guide, "Warp Shuffle Functions").
unsigned source_lane(unsigned kind, unsigned lane, unsigned operand, unsigned width) {
  const unsigned first = lane / width * width;
  const unsigned last = first + width - 1;
  switch (kind) {
    case 0:
      return first + operand % width;
    case 1:
      return operand > lane || lane - operand < first ? lane : lane - operand;
    case 2:
      return lane + operand > last ? lane : lane + operand;
    default:
      return (lane ^ operand) > last ? lane : lane ^ operand;
  }
}

// One block in lockstep.
class Block {
 public:
  Block(const Program& program, unsigned block)
      : threads_(program.threads()), values_(threads_), live_(threads_, true) {
    for (unsigned thread = 0; thread < threads_; ++thread) values_[thread] = initial_value(block, thread);
    shared_.fill(kPoison);
    counters_.fill(kPoison);
  }

  // False where the instruction breaks a rule.
  bool execute(const Instruction& instruction);
  const std::vector<std::uint64_t>& values() const { return values_; }

 private:
  template <class Visit>
  void for_live(Visit visit) {
    for (unsigned thread = 0; thread < threads_; ++thread) {
      if (live_[thread]) visit(thread);
    }
  }
  template <class Result>
  void absorb(Result result) {
    std::vector<std::uint64_t> next = values_;
    for_live([&](unsigned thread) { next[thread] = absorbed(values_[thread], result(thread)); });
    values_ = std::move(next);
  }
  bool is_live(unsigned thread) const { return thread < threads_ && live_[thread]; }
  bool any_live_chosen(const Instruction& instruction) {
    bool any = false;
    for_live([&](unsigned thread) { any = any || chosen(instruction, thread); });
    return any;
  }
  void barrier(const Instruction& instruction);
  void vote(const Instruction& instruction);
  bool shuffle(const Instruction& instruction);
  void combine(const Instruction& instruction);

  unsigned threads_;
  std::vector<std::uint64_t> values_;
  std::vector<bool> live_;
  std::array<std::uint64_t, kMaximumThreads> shared_{};
  std::array<std::uint64_t, kCounters> counters_{};
};

void Block::barrier(const Instruction& instruction) {
  unsigned arrived = 0, agreeing = 0;
  for_live([&](unsigned thread) {
    ++arrived;
    agreeing += predicate_of(values_[thread], instruction) ? 1 : 0;
  });
  const std::array<std::uint64_t, 4> results = {0, agreeing, agreeing != 0, agreeing == arrived};
  absorb([&](unsigned) { return results[instruction.a % 4]; });
}

void Block::vote(const Instruction& instruction) {
  const bool halves = instruction.c % 2 != 0;
  absorb([&](unsigned thread) -> std::uint64_t {
    const std::uint32_t mask = halves ? half_mask(thread) : ~std::uint32_t{0};
    std::uint32_t lanes = 0, agreeing = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      const unsigned other = thread / 32 * 32 + lane;
      if ((mask >> lane & 1) == 0 || !is_live(other)) continue;
      lanes |= 1u << lane;
      if (predicate_of(values_[other], instruction)) agreeing |= 1u << lane;
    }
    const std::array<std::uint32_t, 3> results = {agreeing, agreeing != 0, agreeing == lanes};
    return results[instruction.a % 3];
  });
}

bool Block::shuffle(const Instruction& instruction) {
  const unsigned width = 1u << instruction.c % 6;
  const bool narrow = instruction.c >= 128;
  bool allowed = true;
  absorb([&](unsigned thread) -> std::uint64_t {
    const unsigned source =
        thread / 32 * 32 + source_lane(instruction.a % 4, thread % 32, instruction.b % 32, width);
    if (!is_live(source)) {
      allowed = false;
      return 0;
    }
    return narrow ? values_[source] & 0xffffffff : values_[source];
  });
  return allowed;
}

void Block::combine(const Instruction& instruction) {
  std::uint64_t& word = counters_[instruction.a % kCounters];
  for_live([&](unsigned thread) {
    const std::uint64_t value = values_[thread];
    switch (instruction.b % 5) {
      case 0:
        word += value;
        break;
      case 1:
        word = std::min(word, value);
        break;
      case 2:
        word = std::max(word, value);
        break;
      case 3:
        word |= value;
        break;
      default:
        word &= value;
    }
  });
  absorb([&](unsigned) { return word; });
}

bool Block::execute(const Instruction& instruction) {
  switch (instruction.opcode) {
    case Opcode::mix:
      for_live([&](unsigned thread) { values_[thread] = mixed(values_[thread], instruction); });
      return true;
    case Opcode::arithmetic:
      absorb([&](unsigned thread) {
        return exact_intrinsic(instruction.a % kIntrinsics, fp32_operands(values_[thread], instruction));
      });
      return true;
    case Opcode::count_bits:
      absorb([&](unsigned thread) {
        return instruction.c % 2 != 0 ? std::uint64_t{1} << thread % 32 : bit_counts(values_[thread]);
      });
      return true;
    case Opcode::barrier:
      barrier(instruction);
      return true;
    case Opcode::vote:
      vote(instruction);
      return true;
    case Opcode::warp_barrier:
      return true;
    case Opcode::shuffle:
      return shuffle(instruction);
    case Opcode::exchange:
      for_live([&](unsigned thread) { shared_[thread] = values_[thread]; });
      absorb([&](unsigned thread) { return shared_[(thread + instruction.a) % threads_]; });
      return true;
    case Opcode::combine:
      combine(instruction);
      return true;
    case Opcode::leave:
      for_live([&](unsigned thread) {
        if (chosen(instruction, thread)) live_[thread] = false;
      });
      return true;
    case Opcode::nested:
      absorb([](unsigned) { return 1; });
      return true;
    case Opcode::strand:
      for (unsigned warp = 0; warp < threads_; warp += 32) {
        bool some_wait = false, some_do_not = false;
        for (unsigned thread = warp; thread < warp + 32; ++thread) {
          if (is_live(thread)) (chosen(instruction, thread) ? some_wait : some_do_not) = true;
        }
        if (some_wait && some_do_not) return false;
      }
      return true;
    case Opcode::diverge: {
      bool some_not = false;
      for_live([&](unsigned thread) { some_not = some_not || !chosen(instruction, thread); });
      return !(some_not && any_live_chosen(instruction));
    }
    case Opcode::foreign_mask:
    case Opcode::invalid_width:
    case Opcode::misaligned:
    case Opcode::raise:
      return !any_live_chosen(instruction);
  }
  return true;
}

}  // namespace

Program program_from_bytes(std::span<const std::uint8_t> bytes) {
  std::array<std::uint8_t, kHeaderBytes> header{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), header.size()), header.begin());
  Program program;
  program.blocks = 1 + header[0] % 3;
  const unsigned threads = 1 + header[1] % kMaximumThreads;
  const unsigned height = header[2] % 4 == 0 ? 2 : 1, depth = header[2] % 8 == 0 ? 3 : 1;
  program.extent = {std::max(threads / (height * depth), 1u), height, depth};
  program.order = header[3] % 3;
  program.seed = header[4] | header[5] << 8;
  bytes = bytes.subspan(std::min(bytes.size(), kHeaderBytes));
  while (bytes.size() >= 4 && program.instructions.size() < kMaximumInstructions) {
    constexpr unsigned kOpcodes = static_cast<unsigned>(Opcode::last) + 1;
    program.instructions.push_back({static_cast<Opcode>(bytes[0] % kOpcodes), bytes[1], bytes[2], bytes[3]});
    bytes = bytes.subspan(4);
  }
  return program;
}

std::uint64_t initial_value(unsigned block, unsigned thread) {
  return (std::uint64_t{block} * 0x9e3779b97f4a7c15u) ^ ((thread + 1) * 0xbf58476d1ce4e5b9u);
}

std::uint64_t mixed(std::uint64_t value, const Instruction& instruction) {
  value ^= std::uint64_t{instruction.a} << 32 | std::uint64_t{instruction.b} << 8 | instruction.c;
  value *= 0x94d049bb133111ebu;
  return value ^ value >> 29;
}

bool chosen(const Instruction& instruction, unsigned thread) {
  return (thread * (instruction.a | 1u) + instruction.b) % 11 < instruction.c % 12;
}

std::array<std::uint32_t, 3> fp32_operands(std::uint64_t value, const Instruction& instruction) {
  const auto low = static_cast<std::uint32_t>(value);
  const auto high = static_cast<std::uint32_t>(value >> 32);
  // Near each other in exponent often enough for cancellation, and special values at times.
  const std::uint32_t near = (low & 0x7f800000) | (high & 0x807fffff);
  const std::array<std::uint32_t, 4> others = {near, high, 0x7f800000u | (high & 0x80000001),
                                               high & 0x807fffff};
  return {low, others[instruction.b % 4], others[instruction.c % 4]};
}

Outcome evaluate_in_lockstep(const Program& program) {
  Outcome outcome;
  for (unsigned index = 0; index < program.blocks; ++index) {
    Block block(program, index);
    for (const Instruction& instruction : program.instructions) {
      if (block.execute(instruction)) continue;
      outcome.rule_broken = true;
      return outcome;
    }
    outcome.values.insert(outcome.values.end(), block.values().begin(), block.values().end());
  }
  return outcome;
}

}  // namespace normproof::fuzz
