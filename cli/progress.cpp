#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "cli/console.h"

namespace normproof {

Progress::Progress() : is_terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear(); }

bool Progress::due(const std::string& stage) {
  if (!is_terminal_) return false;
  const auto now = Clock::now();
  if (stage != stage_) {
    stage_ = stage;
    stage_start_ = now;
  } else if (now - last_ < std::chrono::milliseconds(100)) {
    return false;
  }
  last_ = now;
  shown_ = true;
  return true;
}

std::string Progress::time_left(double fraction) const {
  fraction = std::clamp(fraction, 0.0, 1.0);
  if (fraction <= 0.01) return {};
  const double in_stage = std::chrono::duration<double>(last_ - stage_start_).count();
  return fmt::format("{:.0f} s left", in_stage / fraction * (1 - fraction));
}

void Progress::show(const std::string& stage, std::int64_t cases, std::int64_t elements, double fraction) {
  if (!due(stage)) return;
  const double elapsed = std::chrono::duration<double>(last_ - start_).count();
  draw(fmt::format("\r\033[K{:<22} {:>9} cases {:>12} elements {:>9.0f} elements/s {:>6.1f} s  {}", stage,
                   cases, elements, static_cast<double>(elements) / std::max(elapsed, 1e-3), elapsed,
                   time_left(fraction)));
}

void Progress::show(const std::string& stage, double fraction) {
  if (!due(stage)) return;
  const double elapsed = std::chrono::duration<double>(last_ - start_).count();
  draw(fmt::format("\r\033[K{:<22} {:>3.0f} % {:>6.1f} s  {}", stage, 100 * fraction, elapsed,
                   time_left(fraction)));
}

void Progress::clear() {
  if (!shown_) return;
  draw("\r\033[K");
  shown_ = false;
}

}  // namespace normproof
