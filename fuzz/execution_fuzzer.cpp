// The host execution runs kernels as CUDA describes it, under any schedule, and reports misuse instead of
// hanging.
// 1. Read the bytes as a small program: blocks, schedule, instructions that every thread executes.
// 2. Evaluate it in lockstep, without the host execution.
// 3. Run it as a kernel: every thread ends with the same value, and the launch
// fails exactly where a rule is broken.
#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

#include "fuzz/lockstep.h"
#include "kernels/host/block_collectives.h"
#include "kernels/host/launch.h"
#include "kernels/host/pointer_cast.h"
#include "kernels/host/schedule.h"

#include "kernels/host/cuda_on_host.h"

namespace normproof::fuzz {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

std::uint32_t intrinsic(unsigned which, const std::array<std::uint32_t, 3>& operands) {
  const float a = __uint_as_float(operands[0]);
  const float b = __int_as_float(std::bit_cast<int>(operands[1]));
  const float c = std::bit_cast<float>(operands[2]);
  float result = 0;
  switch (which) {
    case 0:
      result = __fmaf_rn(a, b, c);
      break;
    case 1:
      result = __fadd_rn(a, b);
      break;
    case 2:
      result = __fsub_rn(a, b);
      break;
    case 3:
      result = __fmul_rn(a, b);
      break;
    case 4:
      result = __fdiv_rn(a, b);
      break;
    case 5:
      result = __frcp_rn(a);
      break;
    case 6:
      result = __fsqrt_rn(a);
      break;
    default:
      result = rsqrtf(a);
  }
  return result != result ? 0x7fc00000u : static_cast<std::uint32_t>(__float_as_int(result));
}

std::uint64_t barrier(const Instruction& instruction, int predicate) {
  switch (instruction.a % 4) {
    case 0:
      __syncthreads();
      return 0;
    case 1:
      return static_cast<std::uint64_t>(__syncthreads_count(predicate));
    case 2:
      return static_cast<std::uint64_t>(__syncthreads_or(predicate));
    default:
      return static_cast<std::uint64_t>(__syncthreads_and(predicate));
  }
}

std::uint64_t vote(const Instruction& instruction, unsigned thread, int predicate) {
  const unsigned mask = instruction.c % 2 != 0 ? half_mask(thread) : kAllLanes;
  switch (instruction.a % 3) {
    case 0:
      return __ballot_sync(mask, predicate);
    case 1:
      return static_cast<std::uint64_t>(__any_sync(mask, predicate));
    default:
      return static_cast<std::uint64_t>(__all_sync(mask, predicate));
  }
}

template <class T>
T shuffle(const Instruction& instruction, T value) {
  const int operand = instruction.b % 32, width = 1 << instruction.c % 6;
  switch (instruction.a % 4) {
    case 0:
      return __shfl_sync(kAllLanes, value, operand, width);
    case 1:
      return __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(operand), width);
    case 2:
      return __shfl_down_sync(kAllLanes, value, static_cast<unsigned>(operand), width);
    default:
      return __shfl_xor_sync(kAllLanes, value, operand, width);
  }
}

void combine(const Instruction& instruction, std::uint64_t* word, std::uint64_t value) {
  switch (instruction.b % 5) {
    case 0:
      atomicAdd(word, value);
      break;
    case 1:
      atomicMin(word, value);
      break;
    case 2:
      atomicMax(word, value);
      break;
    case 3:
      atomicOr(word, value);
      break;
    default:
      atomicAnd(word, value);
  }
}

// Any operation of a warp.
void warp_operation(unsigned which, unsigned mask) {
  switch (which % 8) {
    case 0:
      __syncwarp(mask);
      break;
    case 1:
      __ballot_sync(mask, 1);
      break;
    case 2:
      __any_sync(mask, 1);
      break;
    case 3:
      __all_sync(mask, 1);
      break;
    case 4:
      __shfl_sync(mask, which, 0);
      break;
    case 5:
      __shfl_up_sync(mask, which, 1u);
      break;
    case 6:
      __shfl_down_sync(mask, which, 1u);
      break;
    default:
      __shfl_xor_sync(mask, which, 1);
  }
}

#if defined(__clang__)
__attribute__((no_sanitize("alignment")))  // the executor is who has to report it
#endif
void use_misaligned(unsigned way, unsigned char* address) {
  switch (way % 3) {
    case 0:
      host::store_aligned(address, make_uint4(1, 2, 3, 4));
      break;
#if defined(__x86_64__)
    case 1:  // as the source pass writes the casts of unmodified sources, whose use then ends the launch
      (void)host::pointer_cast<const volatile uint4*>(address)->x;
      break;
#endif
    default:
      (void)host::load_aligned<uint4>(address);
  }
}

// Breaks a rule where the instruction chooses the thread.
void misuse(const Instruction& instruction, unsigned thread) {
  alignas(16) static unsigned char bytes[32] = {};
  const bool is_chosen = chosen(instruction, thread);
  switch (instruction.opcode) {
    case Opcode::diverge:
      if (is_chosen) {  // NOLINT(bugprone-branch-clone): one barrier, but not the same
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case Opcode::foreign_mask:
      if (is_chosen) warp_operation(instruction.b, kAllLanes ^ 1u << thread % 32);
      break;
    case Opcode::invalid_width:
      if (is_chosen) __shfl_sync(kAllLanes, thread, 0, 3 + 2 * (instruction.b % 16));
      break;
    case Opcode::misaligned:
      if (!is_chosen) break;
      use_misaligned(instruction.a, bytes + 1 + instruction.b % 15);
      break;
    case Opcode::strand:
      if (is_chosen) __syncwarp();
      __syncthreads();
      break;
    default:
      if (!is_chosen) break;
      if (instruction.a % 4 == 0) throw thread;
      if (instruction.a % 4 == 1) throw std::runtime_error("raised");
      host::note_bad_access("noted", instruction.a % 4 == 2);
  }
}

unsigned linear_block() { return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z); }

std::uint64_t run_thread(const Program& program) {
  NORMPROOF_SHARED(std::uint64_t, shared, kMaximumThreads);
  NORMPROOF_DYNAMIC_SHARED(std::uint64_t, counters);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  std::uint64_t value = initial_value(linear_block(), thread);
  for (const Instruction& instruction : program.instructions) {
    switch (instruction.opcode) {
      case Opcode::mix:
        // Neither fences nor copies of the bits change anything.
        __threadfence_block();
        value = mixed(value, instruction);
        __threadfence();
        value = std::bit_cast<std::uint64_t>(
            __double_as_longlong(__longlong_as_double(std::bit_cast<long long>(value))));
        break;
      case Opcode::arithmetic:
        value = absorbed(value, intrinsic(instruction.a % kIntrinsics, fp32_operands(value, instruction)));
        break;
      case Opcode::count_bits: {
        if (instruction.c % 2 != 0) {
          value = absorbed(value, __activemask());
          break;
        }
        const auto word = static_cast<unsigned>(value);
        const int counts =
            __popc(word) | __clz(static_cast<int>(word)) << 8 | __ffs(static_cast<int>(word)) << 16;
        value = absorbed(value, static_cast<std::uint64_t>(counts));
        break;
      }
      case Opcode::barrier:
        value = absorbed(value, barrier(instruction, predicate_of(value, instruction)));
        break;
      case Opcode::vote:
        value = absorbed(value, vote(instruction, thread, predicate_of(value, instruction)));
        break;
      case Opcode::warp_barrier:
        __syncwarp(half_mask(thread));
        break;
      case Opcode::shuffle:
        value = absorbed(value, instruction.c >= 128 ? shuffle(instruction, static_cast<std::uint32_t>(value))
                                                     : shuffle(instruction, value));
        break;
      case Opcode::exchange:
        shared[thread] = value;
        __syncthreads();
        value = absorbed(value, shared[(thread + instruction.a) % program.threads()]);
        __syncthreads();
        break;
      case Opcode::combine:
        combine(instruction, &counters[instruction.a % kCounters], value);
        __syncthreads();
        value = absorbed(value, counters[instruction.a % kCounters]);
        __syncthreads();
        break;
      case Opcode::leave:
        if (chosen(instruction, thread)) return value;
        break;
      case Opcode::nested: {
        const host::LaunchResult result = host::launch({.grid = 1, .block = 1}, [] { std::abort(); });
        value = absorbed(value, result.error == host::LaunchError::kInvalidConfiguration ? 1 : 0);
        break;
      }
      default:
        misuse(instruction, thread);
    }
  }
  return value;
}

[[noreturn]] void fail(const Program& program, const std::string& what) {
  fmt::print(stderr, "{}\n{} blocks of {}x{}x{} threads, order {}, seed {}\n", what, program.blocks,
             program.extent[0], program.extent[1], program.extent[2], program.order, program.seed);
  for (const Instruction& instruction : program.instructions) {
    fmt::print(stderr, "  opcode {:2} operands {:3} {:3} {:3}\n", static_cast<int>(instruction.opcode),
               instruction.a, instruction.b, instruction.c);
  }
  std::abort();
}

void check(const Program& program) {
  const Outcome wanted = evaluate_in_lockstep(program);
  std::vector<std::uint64_t> values(program.blocks * program.threads());
  const std::array<dim3, 3> grids = {dim3(program.blocks), dim3(1, program.blocks),
                                     dim3(1, 1, program.blocks)};
  host::LaunchConfig config{.grid = grids[program.seed % grids.size()],
                            .block = {program.extent[0], program.extent[1], program.extent[2]},
                            .dynamic_shared_bytes = kCounters * sizeof(std::uint64_t)};
  // Demanded by the launch or by its surroundings.
  const host::Schedule schedule{static_cast<host::ThreadOrder>(program.order), program.seed};
  if (program.seed % 2 != 0) config.schedule = schedule;
  const host::ScopedSchedule surroundings(config.schedule ? host::Schedule{} : schedule);
  const host::LaunchResult result = host::launch(config, [&] {
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    values[linear_block() * program.threads() + thread] = run_thread(program);
  });
  if (wanted.rule_broken) {
    if (result) fail(program, "a broken rule was not reported");
    if (result.message.empty()) fail(program, "an error without a message");
    return;
  }
  if (!result) fail(program, "a valid program failed: " + result.message);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == wanted.values[i]) continue;
    fail(program, fmt::format("block {}, thread {}: {:016x} instead of {:016x}", i / program.threads(),
                              i % program.threads(), values[i], wanted.values[i]));
  }
}

// A launch that CUDA refuses is refused, by the name of what is wrong, and no thread runs.
void check_refused_launch(std::uint8_t choice) {
  struct Refused {
    dim3 grid, block;
    const char* named;
  };
  static const std::array<Refused, 8> kRefused = {{{0, 32, "grid.x"},
                                                   {{1, 65536}, 32, "grid.y"},
                                                   {{1, 1, 65536}, 32, "grid.z"},
                                                   {1, 0, "block.x"},
                                                   {1, 1025, "block.x"},
                                                   {1, {1, 1025}, "block.y"},
                                                   {1, {1, 1, 65}, "block.z"},
                                                   {1, {1024, 2}, "threads in a block"}}};
  const Refused& refused = kRefused[choice % kRefused.size()];
  const host::LaunchResult result =
      host::launch({.grid = refused.grid, .block = refused.block}, [] { std::abort(); });
  const bool by_name = result.message.find(refused.named) != std::string::npos;
  if (result.error == host::LaunchError::kInvalidConfiguration && by_name) return;
  fmt::print(stderr, "a launch with a bad {} gave the message \"{}\"\n", refused.named, result.message);
  std::abort();
}

// Outside a launch there is no thread that could wait.
void check_outside_a_launch() {
  try {
    __syncthreads();
  } catch (const std::logic_error&) {
    return;
  }
  fmt::print(stderr, "a barrier outside a launch was not refused\n");
  std::abort();
}

}  // namespace
}  // namespace normproof::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof::fuzz;
  check(program_from_bytes({data, size}));
  if (size > 0) check_refused_launch(data[0]);
  check_outside_a_launch();
  return 0;
}
