#include "kernels/host/amd_lanes.h"

#include <bit>
#include <stdexcept>
#include <string>

#include "kernels/host/block_collectives.h"

namespace normproof::host {
namespace {

constexpr unsigned kRow = 16;

LaneBits running_lanes(std::source_location site) {
  return vote(Collective::kBallot, kLanesTogether, true, site).lanes;
}

// Of the lanes that run together: what lane `source` gave, `otherwise` where it does not run or there is
// none. All of them call it.
std::uint32_t value_of(std::optional<unsigned> source, std::uint32_t value, std::uint32_t otherwise,
                       LaneBits running, std::source_location site) {
  const bool there = source && (running >> *source & 1) != 0;
  const auto lane = static_cast<int>(there ? *source : lane_index());
  const std::uint64_t got =
      shuffle(Collective::kShuffle, kLanesTogether, value, lane, static_cast<int>(lanes_per_warp()), site);
  return there ? static_cast<std::uint32_t>(got) : otherwise;
}

std::optional<unsigned> within(int lane, unsigned first, unsigned count) {
  const int offset = lane - static_cast<int>(first);
  if (offset < 0 || offset >= static_cast<int>(count)) return std::nullopt;
  return static_cast<unsigned>(lane);
}

// Shifts and rotations of the whole wave, and broadcasts to the next rows.
std::optional<unsigned> wave_source(unsigned control, unsigned lane, unsigned lanes) {
  if (lanes != 64)
    throw std::runtime_error("DPP control " + std::to_string(control) + " is not on GPUs whose waves have " +
                             std::to_string(lanes) + " lanes");
  const unsigned row = lane / kRow;
  switch (control) {
    case 0x130:
      return within(static_cast<int>(lane) + 1, 0, lanes);
    case 0x134:
      return (lane + 1) % lanes;
    case 0x138:
      return within(static_cast<int>(lane) - 1, 0, lanes);
    case 0x13c:
      return (lane + lanes - 1) % lanes;
    case 0x142:
      return row == 0 ? std::nullopt : std::optional<unsigned>(row * kRow - 1);
    case 0x143:
      return row < 2 ? std::nullopt : std::optional<unsigned>(31);
    default:
      throw std::runtime_error("DPP control " + std::to_string(control) + " is not known");
  }
}

}  // namespace

std::optional<unsigned> dpp_source(unsigned control, unsigned lane, unsigned lanes) {
  const unsigned first = lane / kRow * kRow, in_row = lane % kRow, step = control & 0xf;
  const int signed_lane = static_cast<int>(lane), signed_step = static_cast<int>(step);
  switch (control >> 4) {
    case 0x10:  // row_shl
      if (step != 0) return within(signed_lane + signed_step, first, kRow);
      break;
    case 0x11:  // row_shr
      if (step != 0) return within(signed_lane - signed_step, first, kRow);
      break;
    case 0x12:  // row_ror
      if (step != 0) return first + (in_row + kRow - step) % kRow;
      break;
    case 0x15:
      return first + step;  // row_newbcast, row_share
    case 0x16:
      return first + (in_row ^ step);  // row_xmask
    default:
      break;
  }
  if (control < 0x100) return lane / 4 * 4 + (control >> (2 * (lane % 4)) & 3);  // quad_perm
  if (control == 0x140) return first + kRow - 1 - in_row;                        // row_mirror
  if (control == 0x141) return lane / 8 * 8 + 7 - lane % 8;                      // row_half_mirror
  return wave_source(control, lane, lanes);
}

DppMove move_by_dpp(std::uint32_t value, const DppControl& how, std::source_location site) {
  const unsigned lane = lane_index();
  const std::optional<unsigned> source = dpp_source(how.control, lane, lanes_per_warp());
  const LaneBits running = running_lanes(site);
  const bool from_a_lane = source && (running >> *source & 1) != 0;
  const std::uint32_t got = value_of(source, value, 0, running, site);
  const bool enabled = (how.row_mask >> lane / kRow & 1) != 0 && (how.bank_mask >> lane % kRow / 4 & 1) != 0;
  return {got, enabled && (from_a_lane || how.bound_control)};
}

std::uint32_t swizzle_lanes(std::uint32_t value, unsigned pattern, std::source_location site) {
  const unsigned lane = lane_index(), group = lane / 32 * 32;
  // With the highest bit lanes of four, else bits of the lane's number: and, or, xor.
  const unsigned source =
      (pattern & 0x8000) != 0
          ? lane / 4 * 4 + (pattern >> (2 * (lane % 4)) & 3)
          : group + (((lane % 32 & (pattern & 0x1f)) | (pattern >> 5 & 0x1f)) ^ (pattern >> 10 & 0x1f));
  return value_of(source, value, 0, running_lanes(site), site);
}

std::uint32_t pull_from_lane(std::uint32_t address, std::uint32_t value, std::source_location site) {
  return value_of(address / 4 % lanes_per_warp(), value, 0, running_lanes(site), site);
}

std::uint32_t push_to_lane(std::uint32_t address, std::uint32_t value, std::source_location site) {
  const unsigned to = address / 4 % lanes_per_warp(), lane = lane_index();
  const LaneBits running = running_lanes(site);
  std::optional<unsigned> from;
  for (unsigned each = 0; each < lanes_per_warp(); ++each) {
    if ((running >> each & 1) == 0) continue;
    const std::uint32_t target = value_of(each, to, 0, running, site);
    if (target == lane) from = each;
  }
  return value_of(from, value, 0, running, site);
}

std::uint32_t read_first_lane(std::uint32_t value, std::source_location site) {
  const LaneBits running = running_lanes(site);
  return value_of(static_cast<unsigned>(std::countr_zero(running)), value, 0, running, site);
}

std::uint32_t read_lane(std::uint32_t value, unsigned lane, std::source_location site) {
  // A register has every lane's number, whether it runs or not; here one that does not run has given none.
  const LaneBits running = running_lanes(site);
  lane %= lanes_per_warp();
  if ((running >> lane & 1) == 0)
    throw std::runtime_error("readlane of lane " + std::to_string(lane) + ", which does not run here");
  return value_of(lane, value, 0, running, site);
}

}  // namespace normproof::host
