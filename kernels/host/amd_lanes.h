// How lanes of a wave exchange numbers on AMD's GPUs beside shuffles: data-parallel moves (DPP), swizzles,
// permutations. For HIP's compiler functions and inline assembly.
#ifndef NORMPROOF_KERNELS_HOST_AMD_LANES_H
#define NORMPROOF_KERNELS_HOST_AMD_LANES_H

#include <cstdint>
#include <optional>
#include <source_location>

namespace normproof::host {

// What a move by DPP says. Rows have 16 lanes, banks four.
struct DppControl {
  unsigned control = 0;  // 0xb1: quad_perm:[1,0,3,2]; 0x111: row_shr:1; 0x142: row_bcast:15; ...
  unsigned row_mask = 0xf, bank_mask = 0xf;
  bool bound_control = false;  // a lane that would read from none, or from one that does not run, gets 0
};

// The lane that `lane` of a wave of `lanes` reads; nothing where it lies outside the row or the wave. Throws
// std::runtime_error for a control that is not known, or is not on GPUs with such waves.
std::optional<unsigned> dpp_source(unsigned control, unsigned lane, unsigned lanes);
// What a lane is given, and whether it is: a lane that would read from none is left out, as are those that
// the masks leave out.
struct DppMove {
  std::uint32_t value;
  bool given;
};
DppMove move_by_dpp(std::uint32_t value, const DppControl& how, std::source_location site);

// ds_swizzle_b32 by its pattern: in groups of 32 lanes, 0 from a lane that does not run.
std::uint32_t swizzle_lanes(std::uint32_t value, unsigned pattern, std::source_location site);
// The value of lane address / 4, 0 where it does not run; and the one that pushed its value here, 0 where
// none did. Of several the last lane's stays.
std::uint32_t pull_from_lane(std::uint32_t address, std::uint32_t value, std::source_location site);
std::uint32_t push_to_lane(std::uint32_t address, std::uint32_t value, std::source_location site);
// The value of the first lane that runs, and of one lane by number, which a scalar register has.
std::uint32_t read_first_lane(std::uint32_t value, std::source_location site);
std::uint32_t read_lane(std::uint32_t value, unsigned lane, std::source_location site);

}  // namespace normproof::host

#endif
