// How many lanes a warp has in the launches of a library: 32, or 64 as on GPUs whose warps are called waves.
// One number for all that is compiled into it.
#ifndef NORMPROOF_KERNELS_HOST_WAVE_LANES_H
#define NORMPROOF_KERNELS_HOST_WAVE_LANES_H

#ifndef NORMPROOF_WAVE_LANES
#define NORMPROOF_WAVE_LANES 32
#endif

namespace normproof::host {

static_assert(NORMPROOF_WAVE_LANES == 32 || NORMPROOF_WAVE_LANES == 64);
// HIP's masks have 64 bits whatever the warp has.
#if defined(NORMPROOF_HIP) || NORMPROOF_WAVE_LANES == 64
using LaneMask = unsigned long long;
#else
using LaneMask = unsigned;
#endif
inline constexpr LaneMask kEveryLane = static_cast<LaneMask>(~0ull >> (64 - NORMPROOF_WAVE_LANES));

}  // namespace normproof::host

#endif
