// What the program's exit status says. Every command uses these four and no other; who is stopped by a signal
// ends with 128 and its number, as shells have it (stop_signals.h), or by the signal itself.
#pragma once

namespace normproof {

inline constexpr int kAllGood = 0;
inline constexpr int kViolationFound = 1;
inline constexpr int kUsageError = 2;
inline constexpr int kCouldNotRun = 3;

}  // namespace normproof
