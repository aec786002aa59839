// The gate that our own kernels compute: one of the fp32 numbers next to the exact one, the same everywhere.
// CONTRACT.md, "The canonical gate", states its steps.
#pragma once

namespace normproof::oracle::box_search {

// At most so many fp32 numbers from the correctly rounded one, but for z < -89, where it may be 0.
inline constexpr int kCanonicalGateError = 4;

// silu(z), or sigmoid(z); NaN where z is. Within a StandardFloatEnvironment.
float canonical_gate(float z, bool sigmoid);

}  // namespace normproof::oracle::box_search
