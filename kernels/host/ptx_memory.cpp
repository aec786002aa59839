// The part of PtxMachine that reaches memory and other threads.
#include <cstring>
#include <stdexcept>

#include "kernels/host/aligned_access.h"
#include "kernels/host/async_copies.h"
#include "kernels/host/block_collectives.h"
#include "kernels/host/ptx_machine.h"
#include "kernels/host/warp_intrinsics.h"

namespace normproof::host {
namespace {

const PtxOperand& element(const PtxOperand& operand, std::size_t index) {
  return operand.kind == PtxOperand::Kind::kVector ? operand.elements.at(index) : operand;
}
std::size_t elements_of(const PtxOperand& operand) {
  return operand.kind == PtxOperand::Kind::kVector ? operand.elements.size() : 1;
}

// The misaligned pointer of a source's own cast carries a mark: it faults here as it would there.
void demand_alignment(const void* address, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) report_misaligned_access(address, bytes, bytes);
}

}  // namespace

bool PtxMachine::run_memory(const PtxInstruction& instruction) {
  const std::string& name = instruction.words[0];
  if (name == "ld" || name == "ldu") return load(instruction), true;
  if (name == "st") return store(instruction), true;
  if (name == "red" || name == "atom") return add_atomically(instruction), true;
  if (name == "cp" && instruction.has("async")) return copy_asynchronously(instruction), true;
  return false;
}

void* PtxMachine::address(const PtxInstruction& instruction, const PtxOperand& operand) {
  if (operand.kind != PtxOperand::Kind::kAddress)
    throw std::runtime_error("an address is wanted: " + instruction.text);
  std::uint64_t bits = read(operand.elements.at(0));
  for (const PtxOperand& offset : operand.also) bits += operand.negated ? -read(offset) : read(offset);
  const bool shared = instruction.has("shared") || instruction.has("shared::cta");
  return shared ? shared_pointer_of(bits) : reinterpret_cast<void*>(bits);
}

void PtxMachine::load(const PtxInstruction& instruction) {
  const PtxType type = ptx_type(instruction.type());
  const PtxOperand& to = instruction.operands.at(0);
  const auto* from = static_cast<const char*>(address(instruction, instruction.operands.at(1)));
  demand_alignment(from, type.bytes() * elements_of(to));
  for (std::size_t i = 0; i < elements_of(to); ++i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, from + i * type.bytes(), type.bytes());
    if (type.is_signed() && type.bits < 64)
      bits =
          static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << (64 - type.bits)) >> (64 - type.bits));
    write(element(to, i), bits, type);
  }
}

void PtxMachine::store(const PtxInstruction& instruction) {
  const PtxType type = ptx_type(instruction.type());
  const PtxOperand& from = instruction.operands.at(1);
  auto* to = static_cast<char*>(address(instruction, instruction.operands.at(0)));
  demand_alignment(to, type.bytes() * elements_of(from));
  for (std::size_t i = 0; i < elements_of(from); ++i) {
    const std::uint64_t bits = read(element(from, i), type);
    std::memcpy(to + i * type.bytes(), &bits, type.bytes());
  }
}

// red and atom: add of one number, which other OS threads see at once.
void PtxMachine::add_atomically(const PtxInstruction& instruction) {
  const PtxType type = ptx_type(instruction.type());
  const bool returns = instruction.words[0] == "atom";
  if (!instruction.has("add") || type.count != 1 || (type.bits != 32 && type.bits != 64))
    throw std::runtime_error("not known: " + instruction.text);
  void* target = address(instruction, instruction.operands.at(returns ? 1 : 0));
  demand_alignment(target, type.bytes());
  PtxInstruction sum{instruction.text, {"add", "rn", instruction.type()}, {}, {}};
  const std::uint64_t value = read(instruction.operands.at(returns ? 2 : 1), type);
  const auto change = [&](auto* bits) {
    using Bits = std::remove_pointer_t<decltype(bits)>;
    std::atomic_ref<Bits> atomic(*bits);
    Bits old = atomic.load();
    while (!atomic.compare_exchange_weak(old, static_cast<Bits>(ptx_compute(sum, {old, value})))) {
    }
    return static_cast<std::uint64_t>(old);
  };
  const std::uint64_t old = type.bits == 32 ? change(static_cast<std::uint32_t*>(target))
                                            : change(static_cast<std::uint64_t*>(target));
  if (returns) write(instruction.operands[0], old, type);
}

// cp.async, not the bulk copies of tensors.
void PtxMachine::copy_asynchronously(const PtxInstruction& instruction) {
  const std::vector<PtxOperand>& operands = instruction.operands;
  if (instruction.has("commit_group")) return end_copy_group();
  if (instruction.has("wait_all")) return wait_for_all_copies();
  if (instruction.has("wait_group")) return wait_for_copies(read(operands.at(0)));
  if (instruction.has("bulk") || instruction.has("mbarrier") || operands.size() < 3)
    throw std::runtime_error("not known: " + instruction.text);
  const std::uint64_t bytes = read(operands[2]);
  const bool has_size = operands.size() > 3 && !instruction.has("L2::cache_hint");
  const std::uint64_t given = has_size ? read(operands[3]) : bytes;
  const auto* from = reinterpret_cast<const void*>(read(operands[1].elements.at(0)));
  PtxInstruction to_shared = instruction;
  to_shared.words = {"cp", "shared"};
  copy_later(address(to_shared, operands[0]), from, bytes, bytes - std::min(bytes, given));
}

// --- other threads ---

bool PtxMachine::run_warp(const PtxInstruction& instruction) {
  const std::string& name = instruction.words[0];
  if (name == "shfl") return shuffle_lanes(instruction), true;
  if (name == "redux") return reduce_lanes(instruction), true;
  if (name == "vote") return vote_of_lanes(instruction), true;
  if (name == "activemask") {
    write(instruction.operands.at(0), __activemask(), PtxType{});
    return true;
  }
  if (name == "trap") throw std::runtime_error("trap");
  if (name != "bar" && name != "barrier") return false;
  if (instruction.has("warp")) {
    sync_lanes(static_cast<std::uint32_t>(read(instruction.operands.at(0))), site_);
    return true;
  }
  // bar.sync 0: the whole block. With a number of threads it is a barrier of some of them.
  const bool arrives = instruction.has("arrive");
  if ((!instruction.has("sync") && !arrives) || instruction.has("red")) return false;
  if (instruction.operands.size() > 1) {
    wait_at_named_barrier(static_cast<unsigned>(read(instruction.operands[0])),
                          static_cast<unsigned>(read(instruction.operands[1])), arrives, site_);
    return true;
  }
  if (arrives) return false;
  wait_at_barrier(Collective::kSyncthreads, false, site_);
  return true;
}

// shfl.sync.mode.b32 d[|p], a, b, c, mask: c has the segments' mask in bits 8 to 12, and a clamp below.
void PtxMachine::shuffle_lanes(const PtxInstruction& instruction) {
  const std::vector<PtxOperand>& operands = instruction.operands;
  if (!instruction.has("sync") || operands.size() != 5)
    throw std::runtime_error("not known: " + instruction.text);
  const bool up = instruction.has("up"), down = instruction.has("down"), xored = instruction.has("bfly");
  const auto amount = static_cast<unsigned>(read(operands[2]));
  const auto control = static_cast<unsigned>(read(operands[3]));
  const auto mask = static_cast<std::uint32_t>(read(operands[4]));
  const unsigned segments = control >> 8 & 0x1f, width = 32 - segments, clamp = control & 0x1f;
  if (clamp != (up ? 0u : 0x1fu) && clamp != (up ? 0u : width - 1))
    throw std::runtime_error("a clamp inside of a segment is not known: " + instruction.text);
  const Collective collective = up      ? Collective::kShuffleUp
                                : down  ? Collective::kShuffleDown
                                : xored ? Collective::kShuffleXor
                                        : Collective::kShuffle;
  const std::uint64_t value = shuffle(collective, mask, read(operands[1]) & 0xffffffffu,
                                      static_cast<int>(amount), static_cast<int>(width), site_);
  write(operands[0], value, PtxType{});
  const unsigned within = lane_index() % width;
  const bool inside = up      ? amount <= within
                      : down  ? within + amount < width
                      : xored ? (within ^ amount) < width
                              : amount < width;
  for (const PtxOperand& predicate : operands[0].also)
    write(predicate, inside, PtxType{PtxType::Kind::kPredicate, 8, 1});
}

void PtxMachine::reduce_lanes(const PtxInstruction& instruction) {
  const bool is_signed = instruction.type() == "s32";
  const Collective collective =
      instruction.has("add")   ? Collective::kReduceAdd
      : instruction.has("and") ? Collective::kReduceAnd
      : instruction.has("or")  ? Collective::kReduceOr
      : instruction.has("xor") ? Collective::kReduceXor
      : instruction.has("min") ? (is_signed ? Collective::kReduceMinSigned : Collective::kReduceMin)
      : instruction.has("max") ? (is_signed ? Collective::kReduceMaxSigned : Collective::kReduceMax)
                               : Collective::kNone;
  if (collective == Collective::kNone || ptx_type(instruction.type()).is_float())
    throw std::runtime_error("not known: " + instruction.text);
  const std::uint64_t value = read(instruction.operands.at(1));
  write(instruction.operands[0],
        combine(collective, static_cast<std::uint32_t>(read(instruction.operands.at(2))), value & 0xffffffffu,
                site_),
        PtxType{});
}

void PtxMachine::vote_of_lanes(const PtxInstruction& instruction) {
  const bool predicate = read(instruction.operands.at(1)) != 0;
  const auto mask = static_cast<std::uint32_t>(read(instruction.operands.at(2)));
  const LaneVote lanes = vote(instruction.has("ballot") ? Collective::kBallot
                              : instruction.has("any")  ? Collective::kAny
                                                        : Collective::kAll,
                              mask, predicate, site_);
  const std::uint64_t result = instruction.has("ballot") ? lanes.true_lanes
                               : instruction.has("any")  ? lanes.true_lanes != 0
                               : instruction.has("uni")
                                   ? lanes.true_lanes == lanes.lanes || lanes.true_lanes == 0
                                   : lanes.true_lanes == lanes.lanes;
  write(instruction.operands[0], result, PtxType{});
}

}  // namespace normproof::host
