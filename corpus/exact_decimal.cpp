// Decimal numbers that are exactly representable.
#include "corpus/exact_decimal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <compare>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>

#include "corpus/float_format.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

// More than any number of the dtypes has: the longest, a subnormal fp32, has 112.
constexpr int kSignificantDigits = 160;
constexpr std::size_t kMaximumExponentDigits = 4;

// A magnitude 0.d1d2d3... * 10^exponent with neither leading nor trailing zeros; zero has no digits and the
// least exponent. Larger magnitudes compare greater.
struct Decimal {
  int exponent = std::numeric_limits<int>::min();
  std::string digits;
  friend auto operator<=>(const Decimal&, const Decimal&) = default;
};

std::string_view take_digits(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

// The grammar of JSON numbers, without the sign.
std::optional<Decimal> parse_magnitude(std::string_view text) {
  const std::string_view whole = take_digits(text);
  if (whole.empty() || (whole.size() > 1 && whole.front() == '0')) return std::nullopt;
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = take_digits(text);
    if (fraction.empty()) return std::nullopt;
  }
  int exponent = 0;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    const std::string_view digits = take_digits(text);
    if (digits.empty() || digits.size() > kMaximumExponentDigits) return std::nullopt;
    std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (negative) exponent = -exponent;
  }
  if (!text.empty()) return std::nullopt;

  Decimal decimal;
  decimal.digits = std::string(whole) + std::string(fraction);
  decimal.digits.erase(decimal.digits.find_last_not_of('0') + 1);
  const std::size_t leading_zeros = std::min(decimal.digits.find_first_not_of('0'), decimal.digits.size());
  decimal.digits.erase(0, leading_zeros);
  if (!decimal.digits.empty()) {
    decimal.exponent = exponent + static_cast<int>(whole.size()) - static_cast<int>(leading_zeros);
  }
  return decimal;
}

Decimal exact_decimal(std::uint32_t magnitude, const FloatFormat& format) {
  std::array<char, kSignificantDigits + 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value_of(format, magnitude),
                                 std::chars_format::scientific, kSignificantDigits);
  return *parse_magnitude({text.data(), end.ptr});
}

// A neighbour as people read it, with its bits.
std::string neighbour(bool negative, std::uint32_t magnitude, const FloatFormat& format) {
  std::array<char, 64> text{};
  const int digits = (format.exponent_bits + format.mantissa_bits + 1) / 4;
  const double value = value_of(format, magnitude);
  std::snprintf(text.data(), text.size(), "%.17g (%0*x)", negative ? -value : value, digits,
                static_cast<unsigned>(magnitude | (negative ? format.sign_bit() : 0)));
  return text.data();
}

}  // namespace

ExactBits exact_bits(std::string_view text, DType dtype) {
  const FloatFormat format = format_of(dtype);
  if (text == "nan") return {format.quiet_nan(), {}};
  const bool negative = text.starts_with('-');
  const std::uint32_t sign = negative ? format.sign_bit() : 0;
  const std::string magnitude_text(text.substr(negative ? 1 : 0));
  if (magnitude_text == "inf") return {sign | format.infinity(), {}};
  const std::optional<Decimal> wanted = parse_magnitude(magnitude_text);
  if (!wanted) return {0, "a decimal number, nan, inf or -inf, got " + in_quotes(text)};

  // double has all numbers of the dtypes, so that a wrong guess is only
  // possible for a number that is not exact.
  const std::uint32_t guess =
      std::min(rounded(format, std::strtod(magnitude_text.c_str(), nullptr)), format.infinity() - 1);
  const Decimal guessed = exact_decimal(guess, format);
  if (guessed == *wanted) return {sign | guess, {}};
  const std::uint32_t lower = guessed < *wanted ? guess : guess - 1;
  return {0, "a number that " + std::string(name_of(dtype)) + " has, got " + in_quotes(text) + " between " +
                 neighbour(negative, lower, format) + " and " + neighbour(negative, lower + 1, format)};
}

}  // namespace normproof
