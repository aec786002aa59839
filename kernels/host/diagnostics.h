// Words for what went wrong in a launch.
#ifndef NORMPROOF_KERNELS_HOST_DIAGNOSTICS_H
#define NORMPROOF_KERNELS_HOST_DIAGNOSTICS_H

#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>
#include <vector>

#include "kernels/host/block_collectives.h"
#include "kernels/host/launch.h"

namespace normproof::host::internal {

inline bool is_vote(Collective collective) {
  return collective >= Collective::kBallot && collective <= Collective::kAll;
}
inline bool is_combination(Collective collective) { return collective >= Collective::kReduceAdd; }
inline bool is_of_warp(Collective collective) { return collective >= Collective::kSyncwarp; }

// "(x,y,z)"
std::string describe(uint3 index);
// "__shfl_sync(mask 0x0000ffff) at file:line"; "__shfl at file:line" of lanes that run together.
std::string describe(Collective collective, LaneBits mask, std::source_location site);
bool same_place(const std::source_location& a, const std::source_location& b);
inline bool same_site(const std::source_location& a, const std::source_location& b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || same_place(a, b);
}

// What is wrong with a launch configuration, or nothing.
std::string configuration_fault(const LaunchConfig& config, unsigned max_threads);

// Who waits where in a block that is stuck.
class WaitSummary {
 public:
  explicit WaitSummary(unsigned exited_threads) : exited_threads_(exited_threads) {}
  void add(Collective collective, LaneBits mask, const std::source_location& site, uint3 thread);
  std::string text() const;

 private:
  struct Place {
    Collective collective;
    LaneBits mask;
    std::source_location site;
    uint3 first_thread;
    unsigned threads;
  };
  unsigned exited_threads_;
  std::vector<Place> places_;
};

}  // namespace normproof::host::internal

#endif
