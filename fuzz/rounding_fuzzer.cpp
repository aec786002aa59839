// Rounding is what IEEE 754 says, for every format and direction, and the inverse root is the nearest number
// to the root.
// 1. Read the bytes as an exact number and a format.
// 2. Its roundings down and up enclose it and are neighbours; to nearest takes the nearer, or the even one of
// two.
// 3. No representable number lies closer to 1 / sqrt(number) than the inverse root, by comparisons of
// integers alone.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "oracle/exact.h"
#include "oracle/formats.h"
#include "oracle/inverse_root.h"

namespace normproof::oracle {
namespace {

constexpr std::array kFormats = {DType::fp32,     DType::fp16,         DType::bf16,        DType::fp8_e4m3fn,
                                 DType::fp8_e5m2, DType::fp8_e4m3fnuz, DType::fp8_e5m2fnuz};

struct Input {
  std::uint8_t format = 0, negative = 0;
  std::int16_t exponent = 0;
  std::array<std::uint32_t, 4> magnitude{};
};

[[noreturn]] void fail(const char* what, const Format& format, const Value& value) {
  fmt::print(stderr, "{}: {} ({} * 2^{}), format {}\n", what, to_decimal(value), value.magnitude().str(),
             value.exponent(), format.name);
  std::abort();
}

// `bits` are a number of the format; its neighbours lie where they should.
void check_neighbours(const Format& format, std::uint64_t bits, const Value& value) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds) fail(what, format, value);
  };
  const Value number = decode(format, bits);
  require(is_zero(format, bits) == number.is_zero(), "is_zero");
  const std::uint64_t up = next_up(format, bits), down = next_down(format, bits);
  require(up == bits || decode(format, up) > number, "next_up does not go up");
  require(down == bits || decode(format, down) < number, "next_down does not go down");
  if (up != bits && !number.is_zero()) {
    require(decode(format, next_down(format, up)) == number, "next_down does not undo next_up");
  }
  if (is_subnormal(format, bits)) {
    const Value beyond = decode(format, next_up(format, bits)) + -number;
    require(beyond == decode(format, 1), "a subnormal number is not one smallest step from the next");
  }
}

void check_rounding(const Format& format, const Value& value) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds) fail(what, format, value);
  };
  const std::uint64_t down = round_bits(format, value, Rounding::down);
  const std::uint64_t up = round_bits(format, value, Rounding::up);
  const std::uint64_t nearest = round_bits(format, value);
  const std::uint64_t toward_zero = round_bits(format, value, Rounding::toward_zero);
  // Beyond the largest number a format without infinities has nothing: the contract clamps before.
  if (is_nan(format, down) || is_nan(format, up)) return;
  const Value below = decode(format, down), above = decode(format, up);
  require(below <= value && value <= above, "the roundings do not enclose the number");
  require(same(format, toward_zero, value.negative() ? up : down), "toward zero is neither up nor down");
  check_neighbours(format, down, value);
  check_neighbours(format, up, value);
  if (below == above) return require(decode(format, nearest) == value, "a representable number was rounded");
  if (below.is_infinite() || above.is_infinite())
    return;  // half a step beyond the largest decides; no neighbour does
  require(decode(format, next_up(format, down)) == above, "the roundings are no neighbours");
  const std::partial_ordering middle = value + value <=> below + above;
  const bool takes_above = same(format, nearest, up);
  require(takes_above || same(format, nearest, down), "to nearest is neither of the neighbours");
  if (middle == std::partial_ordering::less) require(!takes_above, "to nearest took the farther one");
  if (middle == std::partial_ordering::greater) require(takes_above, "to nearest took the farther one");
  if (middle == std::partial_ordering::equivalent) require((nearest & 1) == 0, "a tie did not go to even");
}

void check_inverse_root(const Value& value) {
  const Format& format = format_of(DType::fp32);
  const std::uint64_t root = inverse_root_bits(value);
  if (value.is_zero() || value.negative()) {
    const bool right = value.is_zero() ? decode(format, root).is_infinite() : is_nan(format, root);
    if (!right) fail("inverse root of zero or a negative number", format, value);
    if (value.is_zero() && (compare_with_inverse_root(Value::infinity(false), value, Value::integer(1)) !=
                                std::partial_ordering::equivalent ||
                            compare_with_inverse_root(Value::integer(1), value, Value::integer(1)) !=
                                std::partial_ordering::less)) {
      fail("comparison with an infinite inverse root", format, value);
    }
    return;
  }
  const Value one = Value::integer(1);
  const Value number = decode(format, root);
  if (compare_with_inverse_root(Value::nan(), value, one) != std::partial_ordering::unordered ||
      compare_with_inverse_root(Value::infinity(false), value, one) != std::partial_ordering::greater) {
    fail("comparison with an inverse root", format, value);
  }
  if (number.is_infinite() || number.is_zero()) return;
  // The midpoints to both neighbours enclose the root.
  const Value half = Value::finite(false, 1, -1);
  const Value low = (number + decode(format, next_down(format, root))) * half;
  const Value above = decode(format, next_up(format, root));
  if (compare_with_inverse_root(low, value, one) == std::partial_ordering::greater) {
    fail("the inverse root is too large", format, value);
  }
  if (above.is_infinite()) return;
  if (compare_with_inverse_root((number + above) * half, value, one) == std::partial_ordering::less) {
    fail("the inverse root is too small", format, value);
  }
}

void check(const Input& input) {
  cpp_int magnitude = 0;
  for (const std::uint32_t word : input.magnitude) magnitude = (magnitude << 32) + word;
  const Value value = Value::finite(input.negative % 2 != 0, magnitude, input.exponent % 320);
  check_rounding(format_of(kFormats[input.format % kFormats.size()]), value);
  check_inverse_root(value);
}

}  // namespace
}  // namespace normproof::oracle

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  normproof::oracle::Input input;
  if (size > 0) std::memcpy(static_cast<void*>(&input), data, std::min(size, sizeof input));
  normproof::oracle::check(input);
  return 0;
}
