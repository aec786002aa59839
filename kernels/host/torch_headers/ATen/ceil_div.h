// Stands in for torch's division that rounds up.
#pragma once

namespace at {
template <class T>
constexpr T ceil_div(T a, T b) {
  return a / b + static_cast<T>(a % b != 0);
}
template <class T>
constexpr T round_up(T a, T base) {
  return ceil_div(a, base) * base;
}
}  // namespace at
