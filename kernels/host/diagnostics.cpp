// Compiled without sanitizers, as part of the executor.
#include "kernels/host/diagnostics.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace normproof::host::internal {
namespace {

// In the order of Collective.
constexpr std::array<const char*, 24> kCudaNames = {
    "nothing",           "__syncthreads",       "__syncthreads_or",
    "__syncthreads_and", "__syncthreads_count", "bar.sync of some threads",
    "__syncwarp",        "__ballot_sync",       "__any_sync",
    "__all_sync",        "__shfl_sync",         "__shfl_up_sync",
    "__shfl_down_sync",  "__shfl_xor_sync",     "__reduce_add_sync",
    "__reduce_min_sync", "__reduce_max_sync",   "__reduce_min_sync",
    "__reduce_max_sync", "__reduce_and_sync",   "__reduce_or_sync",
    "__reduce_xor_sync", "__match_any_sync",    "__match_all_sync"};
static_assert(kCudaNames.size() == static_cast<std::size_t>(Collective::kMatchAll) + 1);

std::string extent_fault(const char* what, unsigned int value, unsigned int limit) {
  if (value >= 1 && value <= limit) return {};
  return std::string(what) + " is " + std::to_string(value) + ", outside 1.." + std::to_string(limit);
}

}  // namespace

std::string describe(uint3 index) {
  char text[48];
  std::snprintf(text, sizeof text, "(%u,%u,%u)", index.x, index.y, index.z);
  return text;
}

std::string describe(Collective collective, LaneBits mask, std::source_location site) {
  std::string text = kCudaNames[static_cast<std::size_t>(collective)];
  constexpr std::string_view kSync = "_sync";
  if (is_of_warp(collective) && mask == 0 && text.ends_with(kSync)) {
    text.resize(text.size() - kSync.size());
  } else if (is_of_warp(collective)) {
    char digits[48];
    std::snprintf(digits, sizeof digits, mask >> 32 == 0 ? "(mask 0x%08llx)" : "(mask 0x%016llx)",
                  static_cast<unsigned long long>(mask));
    text += digits;
  }
  return text + " at " + site.file_name() + ":" + std::to_string(site.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string configuration_fault(const LaunchConfig& config, unsigned max_threads) {
  const dim3 grid = config.grid, block = config.block;
  std::string fault = extent_fault("grid.x", grid.x, 0x7fffffff);
  if (fault.empty()) fault = extent_fault("grid.y", grid.y, 65535);
  if (fault.empty()) fault = extent_fault("grid.z", grid.z, 65535);
  if (fault.empty()) fault = extent_fault("block.x", block.x, 1024);
  if (fault.empty()) fault = extent_fault("block.y", block.y, 1024);
  if (fault.empty()) fault = extent_fault("block.z", block.z, 64);
  if (fault.empty())
    fault = extent_fault("the number of threads in a block", block.x * block.y * block.z, max_threads);
  if (fault.empty() && config.lanes_per_warp != 32 && config.lanes_per_warp != 64)
    fault = "a warp of " + std::to_string(config.lanes_per_warp) + " lanes, neither 32 nor 64";
  return fault;
}

void WaitSummary::add(Collective collective, LaneBits mask, const std::source_location& site, uint3 thread) {
  for (Place& place : places_) {
    if (place.collective == collective && place.mask == mask && same_site(place.site, site)) {
      ++place.threads;
      return;
    }
  }
  places_.push_back({collective, mask, site, thread, 1});
}

std::string WaitSummary::text() const {
  constexpr std::size_t kMaxPlaces = 8;
  std::string text = "divergent barrier: ";
  for (std::size_t i = 0; i < places_.size() && i < kMaxPlaces; ++i) {
    const Place& place = places_[i];
    text += std::to_string(place.threads) + " threads, first " + describe(place.first_thread) + ", wait at " +
            describe(place.collective, place.mask, place.site) + "; ";
  }
  if (places_.size() > kMaxPlaces) text += std::to_string(places_.size() - kMaxPlaces) + " more places; ";
  return text + std::to_string(exited_threads_) + " threads have exited";
}

}  // namespace normproof::host::internal
