// Drawing thread priorities and block orders from a schedule.
#include "kernels/host/schedule.h"

#include <algorithm>
#include <numeric>

namespace normproof::host {
namespace {

__extension__ using Unsigned128 = unsigned __int128;

constexpr unsigned kMostWarps = 1024 / 32;

constinit thread_local Schedule current_schedule{};

// SplitMix64 (Steele, Lea, Flood 2014): a few nanoseconds, good enough to choose an order.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    std::uint64_t bits = state_ += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
  }
  // A number below `bound`, which is at most 2^32.
  std::uint64_t below(std::uint64_t bound) { return ((*this)() >> 32) * bound >> 32; }

 private:
  std::uint64_t state_;
};

void shuffle(std::span<std::uint16_t> items, Random& random) {
  for (std::size_t remaining = items.size(); remaining > 1; --remaining) {
    std::swap(items[remaining - 1], items[random.below(remaining)]);
  }
}

// Warps in random order; their lanes forward, in reverse, or in random order.
enum class LaneOrder { kForward, kReverse, kRandom };

void draw_by_warp(LaneOrder lane_order, unsigned lanes_per_warp, Random& random,
                  std::span<std::uint16_t> threads) {
  std::uint16_t warps[kMostWarps];
  const std::size_t warp_count = (threads.size() + lanes_per_warp - 1) / lanes_per_warp;
  std::iota(warps, warps + warp_count, std::uint16_t{0});
  shuffle({warps, warp_count}, random);
  std::size_t filled = 0;
  for (std::size_t i = 0; i < warp_count; ++i) {
    const std::size_t first = std::size_t{warps[i]} * lanes_per_warp;
    const std::size_t lanes = std::min<std::size_t>(lanes_per_warp, threads.size() - first);
    const auto warp = threads.subspan(filled, lanes);
    std::iota(warp.begin(), warp.end(), static_cast<std::uint16_t>(first));
    if (lane_order == LaneOrder::kReverse) std::reverse(warp.begin(), warp.end());
    if (lane_order == LaneOrder::kRandom) shuffle(warp, random);
    filled += lanes;
  }
}

}  // namespace

void set_thread_schedule(Schedule schedule) { current_schedule = schedule; }
Schedule thread_schedule() { return current_schedule; }

void draw_priorities(Schedule schedule, std::uint64_t block, std::span<std::uint16_t> threads,
                     unsigned lanes_per_warp) {
  if (schedule.order != ThreadOrder::kRandomPriorities) {
    std::iota(threads.begin(), threads.end(), std::uint16_t{0});
    if (schedule.order == ThreadOrder::kReverse) std::reverse(threads.begin(), threads.end());
    return;
  }
  Random mixer(schedule.seed);
  Random random(mixer() ^ (block * 0xd1342543de82ef95u));
  switch (random.below(4)) {
    case 0:
      return draw_by_warp(LaneOrder::kForward, lanes_per_warp, random, threads);
    case 1:
      return draw_by_warp(LaneOrder::kReverse, lanes_per_warp, random, threads);
    case 2:
      return draw_by_warp(LaneOrder::kRandom, lanes_per_warp, random, threads);
    default:
      std::iota(threads.begin(), threads.end(), std::uint16_t{0});
      return shuffle(threads, random);
  }
}

BlockOrder::BlockOrder(Schedule schedule, std::uint64_t count) : count_(count), multiplier_(1), offset_(0) {
  if (schedule.order == ThreadOrder::kReverse) {
    multiplier_ = count - 1;
    offset_ = count - 1;
  } else if (schedule.order == ThreadOrder::kRandomPriorities) {
    Random random(~schedule.seed);
    const std::uint64_t range = std::min<std::uint64_t>(count, std::uint64_t{1} << 31);
    offset_ = random.below(range);
    do {
      multiplier_ = 1 + random.below(range);
    } while (std::gcd(multiplier_, count) != 1);
  }
}

std::uint64_t BlockOrder::operator[](std::uint64_t position) const {
  if (multiplier_ == 1) return offset_ == 0 ? position : (position + offset_) % count_;
  return static_cast<std::uint64_t>((static_cast<Unsigned128>(multiplier_) * position + offset_) % count_);
}

}  // namespace normproof::host
