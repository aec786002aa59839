// The part of AmdMachine that reaches memory and other lanes.
#include "kernels/host/amd_memory.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "kernels/host/amd_lanes.h"
#include "kernels/host/amd_machine.h"
#include "kernels/host/block_collectives.h"

namespace normproof::host {
namespace {

struct Width {
  unsigned bytes;
  bool is_signed = false;
};

// Of dwordx4, b128, ushort, ...
std::optional<Width> width_of(std::string_view name) {
  if (name == "ubyte" || name == "u8" || name == "byte" || name == "b8") return Width{1};
  if (name == "sbyte" || name == "i8") return Width{1, true};
  if (name == "ushort" || name == "u16" || name == "short" || name == "b16") return Width{2};
  if (name == "sshort" || name == "i16") return Width{2, true};
  if (name == "dword" || name == "b32") return Width{4};
  if (name == "dwordx2" || name == "b64") return Width{8};
  if (name == "dwordx3" || name == "b96") return Width{12};
  if (name == "dwordx4" || name == "b128") return Width{16};
  return std::nullopt;
}

// Each element of at most four bytes is in or out by itself: in where it begins inside.
template <class Move>
void for_elements_inside(const BufferDescriptor& buffer, std::uint32_t offset, unsigned bytes,
                         const Move& move) {
  const std::uint64_t base = std::uint64_t{buffer[1] & 0xffff} << 32 | buffer[0];
  for (unsigned done = 0; done < bytes; done += 4) {
    const unsigned count = std::min(bytes - done, 4u);
    const std::uint64_t at = std::uint64_t{offset} + done;
    if (at < buffer[2]) move(reinterpret_cast<char*>(base + at), done, count);
  }
}

template <class T>
bool compare(std::string_view how, T a, T b) {
  if (how == "lt") return a < b;
  if (how == "le") return a <= b;
  if (how == "eq") return a == b;
  if (how == "gt") return a > b;
  if (how == "ge") return a >= b;
  if (how == "lg") return a < b || a > b;
  if (how == "ne" || how == "neq") return !(a == b);
  if (how == "nlt") return !(a < b);
  if (how == "nle") return !(a <= b);
  if (how == "ngt") return !(a > b);
  if (how == "nge") return !(a >= b);
  if (how == "nlg") return !(a < b || a > b);
  if (how == "o") return a == a && b == b;
  if (how == "u") return !(a == a && b == b);
  throw std::runtime_error("the comparison " + std::string(how) + " is not known");
}

}  // namespace

void load_from_buffer(const BufferDescriptor& buffer, std::uint32_t offset, void* to, unsigned bytes) {
  std::memset(to, 0, bytes);
  unsigned left = buffer[2] > offset ? buffer[2] - offset : 0;
  for_elements_inside(buffer, offset, bytes, [&](const char* from, unsigned done, unsigned count) {
    // What lies behind the end, in an element that begins before it, is whatever is there.
    const unsigned inside = std::min(count, left);
    std::memset(static_cast<char*>(to) + done, 0xff, count);
    std::memcpy(static_cast<char*>(to) + done, from, inside);
    left -= inside;
  });
}

void store_to_buffer(const BufferDescriptor& buffer, std::uint32_t offset, const void* from, unsigned bytes) {
  for_elements_inside(buffer, offset, bytes, [&](char* to, unsigned done, unsigned count) {
    std::memcpy(to, static_cast<const char*>(from) + done, count);
  });
}

// From the 64 bits of a register pair, or those of a scalar pair and 32 bits of offset.
char* AmdMachine::address(const AmdInstruction& instruction, std::size_t index) {
  const bool has_base = instruction.arguments.size() > 2 && instruction.arguments.back().name != "off" &&
                        instruction.arguments.back().name != "null" &&
                        instruction.name.starts_with("global_");
  std::uint64_t bits = two_words(instruction, index);
  if (has_base) bits = two_words(instruction, instruction.arguments.size() - 1) + word(instruction, index);
  return reinterpret_cast<char*>(
      bits + static_cast<std::uint64_t>(static_cast<std::int64_t>(instruction.modifier("offset", 0))));
}

bool AmdMachine::run_memory(const AmdInstruction& instruction) {
  const std::string& name = instruction.name;
  const bool buffer = name.starts_with("buffer_");
  if (!buffer && !name.starts_with("global_") && !name.starts_with("flat_")) return false;
  const std::size_t verb = name.find('_') + 1;
  const bool loads = name.compare(verb, 5, "load_") == 0, stores = name.compare(verb, 6, "store_") == 0;
  const std::optional<Width> width =
      loads || stores ? width_of(name.substr(verb + (loads ? 5 : 6))) : std::nullopt;
  if (!width) return false;
  AmdWords words{};
  BufferDescriptor descriptor{};
  std::uint32_t offset = 0;
  if (buffer) {
    descriptor = read(instruction.arguments.at(2));
    offset = word(instruction, 1) + word(instruction, 3) +
             static_cast<std::uint32_t>(instruction.modifier("offset", 0));
  }
  if (stores) {
    words = read(instruction.arguments.at(buffer ? 0 : 1));
    if (buffer)
      store_to_buffer(descriptor, offset, words.data(), width->bytes);
    else
      std::memcpy(address(instruction, 0), words.data(), width->bytes);
    return true;
  }
  if (buffer)
    load_from_buffer(descriptor, offset, words.data(), width->bytes);
  else
    std::memcpy(words.data(), address(instruction, 1), width->bytes);
  const unsigned unused = 32 - 8 * std::min(width->bytes, 4u);
  if (width->is_signed)
    words[0] = static_cast<std::uint32_t>(static_cast<std::int32_t>(words[0] << unused) >> unused);
  write(instruction.arguments.at(0), words, std::max(width->bytes, 4u) / 4);
  return true;
}

void AmdMachine::write_lanes(const AmdArgument& argument, bool holds) {
  const LaneBits lanes = vote(Collective::kBallot, kLanesTogether, holds, site_).true_lanes;
  write(argument, {static_cast<std::uint32_t>(lanes), static_cast<std::uint32_t>(lanes >> 32)},
        lanes_per_warp() / 32);
}

// v_cmp_lt_f32 and its siblings, and v_cndmask_b32, which reads the lane's bit.
bool AmdMachine::run_comparison(const AmdInstruction& instruction) {
  const std::string& name = instruction.name;
  if (name == "v_cndmask_b32") {
    AmdArgument carry;
    carry.name = "vcc";
    const AmdWords lanes = read(instruction.arguments.size() > 3 ? instruction.arguments[3] : carry);
    const std::uint64_t mask = std::uint64_t{lanes[1]} << 32 | lanes[0];
    finish(instruction, word(instruction, (mask >> lane_index() & 1) != 0 ? 2 : 1));
    return true;
  }
  if (!name.starts_with("v_cmp_") || name.starts_with("v_cmp_class")) return false;
  const std::size_t end = name.rfind('_');
  const std::string how = name.substr(6, end - 6), type = name.substr(end + 1);
  bool holds = false;
  if (type == "f32")
    holds = compare(how, number(instruction, 1), number(instruction, 2));
  else if (type == "u32")
    holds = compare(how, word(instruction, 1), word(instruction, 2));
  else if (type == "i32")
    holds = compare(how, static_cast<std::int32_t>(word(instruction, 1)),
                    static_cast<std::int32_t>(word(instruction, 2)));
  else if (type == "u64")
    holds = compare(how, two_words(instruction, 1), two_words(instruction, 2));
  else
    return false;
  write_lanes(instruction.arguments.at(0), holds);
  return true;
}

bool AmdMachine::run_lanes(const AmdInstruction& instruction) {
  const std::string& name = instruction.name;
  if (name == "s_barrier") return wait_at_barrier(Collective::kSyncthreads, false, site_), true;
  if (name == "v_readfirstlane_b32")
    return finish(instruction, read_first_lane(word(instruction, 1), site_)), true;
  if (name == "v_readlane_b32")
    return finish(instruction, read_lane(word(instruction, 1), word(instruction, 2), site_)), true;
  if (name == "v_writelane_b32") {
    if (lane_index() == word(instruction, 2) % lanes_per_warp()) finish(instruction, word(instruction, 1));
    return true;
  }
  // Their offset is added to the address.
  const auto offset = static_cast<std::uint32_t>(instruction.modifier("offset", 0));
  if (name == "ds_bpermute_b32")
    return finish(instruction, pull_from_lane(word(instruction, 1) + offset, word(instruction, 2), site_)),
           true;
  if (name == "ds_permute_b32")
    return finish(instruction, push_to_lane(word(instruction, 1) + offset, word(instruction, 2), site_)),
           true;
  if (name == "ds_swizzle_b32")
    return finish(instruction, swizzle_lanes(word(instruction, 1), offset, site_)), true;
  if (name == "v_mbcnt_lo_u32_b32" || name == "v_mbcnt_hi_u32_b32") {
    const std::uint64_t below = (std::uint64_t{1} << lane_index()) - 1;
    const auto half = static_cast<std::uint32_t>(name == "v_mbcnt_lo_u32_b32" ? below : below >> 32);
    return finish(instruction, static_cast<std::uint32_t>(std::popcount(word(instruction, 1) & half)) +
                                   word(instruction, 2)),
           true;
  }
  return false;
}

}  // namespace normproof::host
