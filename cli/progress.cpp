#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "cli/console.h"
#include "cli/help.h"

namespace normproof {

Progress::Progress() : is_terminal_(isatty(STDERR_FILENO) == 1) {
  // Such a terminal shows control sequences as text.
  const char* terminal = std::getenv("TERM");
  if (terminal == nullptr || std::string_view(terminal) == "dumb") is_terminal_ = false;
}

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
  draw_line({fmt::format("{:<22} {:>9} cases {:>12} elements", stage, cases, elements),
             fmt::format(" {:>9.0f} elements/s", static_cast<double>(elements) / std::max(elapsed, 1e-3)),
             fmt::format(" {:>6.1f} s", elapsed), "  " + time_left(fraction)});
}

void Progress::show(const std::string& stage, double fraction) {
  if (!due(stage)) return;
  const double elapsed = std::chrono::duration<double>(last_ - start_).count();
  draw_line({fmt::format("{:<22} {:>3.0f} %", stage, 100 * fraction), fmt::format(" {:>6.1f} s", elapsed),
             "  " + time_left(fraction)});
}

void Progress::draw_line(const std::vector<std::string>& parts) {
  // A line that reaches the last column may wrap, and then \r does not lead back to its beginning.
  const auto columns = static_cast<std::size_t>(std::max(columns_of(STDERR_FILENO) - 1, 1));
  std::string line;
  for (const std::string& part : parts)
    if (line.empty() || line.size() + part.size() <= columns) line += part;
  draw("\r\033[K" + line.substr(0, columns));
}

void Progress::clear() {
  if (!shown_) return;
  draw("\r\033[K");
  shown_ = false;
}

}  // namespace normproof
