#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace normproof {

Progress::Progress() : is_terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear(); }

void Progress::show(const std::string& stage, std::int64_t cases, std::int64_t elements, double fraction) {
  if (!is_terminal_) return;
  const auto now = Clock::now();
  if (stage != stage_) {
    stage_ = stage;
    stage_start_ = now;
  } else if (now - last_ < std::chrono::milliseconds(100)) {
    return;
  }
  last_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double in_stage = std::chrono::duration<double>(now - stage_start_).count();
  fraction = std::clamp(fraction, 0.0, 1.0);
  const std::string left =
      fraction > 0.01 ? fmt::format("{:.0f} s left", in_stage / fraction * (1 - fraction)) : std::string();
  fmt::print(stderr, "\r\033[K{:<22} {:>9} cases {:>12} elements {:>9.0f} elements/s {:>6.1f} s  {}", stage,
             cases, elements, static_cast<double>(elements) / std::max(elapsed, 1e-3), elapsed, left);
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (!shown_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace normproof
