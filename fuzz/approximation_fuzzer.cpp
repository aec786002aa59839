// CUDA's approximate functions on the CPU keep to the errors that CUDA documents, whatever is chosen within
// them.
// 1. Read the bytes as a seed, a function and its arguments.
// 2. Call it under the seed, twice: the choice is the same.
// 3. Compare with the value in long double: within the documented error, and under seed 0 correctly rounded.
#include "kernels/host/approximate_math.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace normproof::fuzz {
namespace {

struct Input {
  std::uint64_t seed = 0;
  float a = 0, b = 0;
  std::uint8_t function = 0;
};

// The table of the CUDA C++ Programming Guide, "Mathematical Functions": errors in units in the last place.
struct Function {
  std::string_view name;
  float (*call)(float a, float b);
  long double (*exact)(long double a, long double b);
  double (*units)(double a);
};

double two(double) { return 2; }
double three(double) { return 3; }

constexpr std::array<Function, 9> kFunctions = {{
    {"rsqrtf", [](float a, float) { return rsqrtf(a); },
     [](long double a, long double) { return 1 / std::sqrt(a); }, two},
    {"__fdividef", [](float a, float b) { return __fdividef(a, b); },
     [](long double a, long double b) { return a / b; }, two},
    {"__expf", [](float a, float) { return __expf(a); },
     [](long double a, long double) { return std::exp(a); },
     [](double a) { return 2 + std::floor(std::fabs(1.173 * a)); }},
    {"__exp10f", [](float a, float) { return __exp10f(a); },
     [](long double a, long double) { return std::pow(10.0L, a); },
     [](double a) { return 2 + std::floor(std::fabs(2.97 * a)); }},
    {"__logf", [](float a, float) { return __logf(a); },
     [](long double a, long double) { return std::log(a); }, three},
    {"__log2f", [](float a, float) { return __log2f(a); },
     [](long double a, long double) { return std::log2(a); }, two},
    {"__log10f", [](float a, float) { return __log10f(a); },
     [](long double a, long double) { return std::log10(a); }, three},
    {"__sinf", [](float a, float) { return __sinf(a); },
     [](long double a, long double) { return std::sin(a); }, two},
    {"__cosf", [](float a, float) { return __cosf(a); },
     [](long double a, long double) { return std::cos(a); }, two},
}};

float called(const Function& function, const Input& input, std::uint64_t seed) {
  host::set_approximation_seed(seed);
  const float result = function.call(input.a, input.b);
  host::set_approximation_seed(0);
  return result;
}

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

[[noreturn]] void fail(std::string_view name, const Input& input, float result, const char* what) {
  fmt::print(stderr, "{}({:a}, {:a}) under seed {} gave {:a}: {}\n", name, input.a, input.b, input.seed,
             result, what);
  std::abort();
}

void check(const Input& input) {
  const Function& function = kFunctions[input.function % kFunctions.size()];
  const auto require = [&](bool holds, float result, const char* what) {
    if (!holds) fail(function.name, input, result, what);
  };
  const float chosen = called(function, input, input.seed), rounded = called(function, input, 0);
  require(same(chosen, called(function, input, input.seed)), chosen, "another time it gave something else");
  // A quotient by a large number is zero, and NaN where the dividend is infinite.
  const float divisor = std::fabs(input.b);
  if (function.name == "__fdividef" && divisor > 0x1p126f && std::isfinite(divisor)) {
    require(std::isfinite(input.a) ? chosen == 0 : std::isnan(chosen), chosen, "the divisor is beyond 2^126");
    return;
  }
  const long double exact = function.exact(input.a, input.b);
  if (!std::isfinite(rounded) || rounded == 0) {
    require(same(chosen, rounded), chosen, "it was to be zero, infinite or NaN");
    require(!(std::fabs(exact) > 0x1p-149L && std::fabs(exact) < 0x1p127L), rounded,
            "it is an ordinary number");
    return;
  }
  // Double rounding and the library's own error are far below a ten thousandth of a unit.
  const double unit =
      std::fabs(static_cast<double>(rounded) - static_cast<double>(std::nextafter(rounded, 0.0f)));
  const auto distance = [&](float result) {
    return static_cast<double>(std::fabs(static_cast<long double>(result) - exact)) / unit;
  };
  require(distance(chosen) <= function.units(static_cast<double>(input.a)) + 1e-4, chosen,
          "it is too far off");
  // Just below a power of two, numbers are twice as dense as above.
  require(distance(rounded) <= 1 + 1e-4 &&
              distance(rounded) <= distance(std::nextafter(rounded, HUGE_VALF)) + 1e-4 &&
              distance(rounded) <= distance(std::nextafter(rounded, -HUGE_VALF)) + 1e-4,
          rounded, "it is not the nearest number");
}

// The two that are made of others.
void check_derived(const Input& input) {
  const float power = __powf(input.a, input.b), logarithm = __log2f(input.a);
  const auto wanted =
      static_cast<float>(std::exp2(static_cast<double>(input.b) * static_cast<double>(logarithm)));
  if (!same(power, wanted)) fail("__powf", input, power, "it is not exp2(b * __log2f(a))");
  const double root = rsqrt(static_cast<double>(input.a));
  const bool ordinary = input.a > 0 && std::isfinite(input.a);
  const double limit = input.a == 0 ? std::copysign(HUGE_VAL, input.a) : input.a > 0 ? 0 : std::nan("");
  const bool right = ordinary ? std::fabs(root * root * static_cast<double>(input.a) - 1) < 1e-14
                              : root == limit || (std::isnan(root) && std::isnan(limit));
  if (!right) fail("rsqrt", input, static_cast<float>(root), "of fp64, it is no inverse root");
}

}  // namespace
}  // namespace normproof::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  normproof::fuzz::Input input;
  if (size > 0) std::memcpy(static_cast<void*>(&input), data, std::min(size, sizeof input));
  normproof::fuzz::check(input);
  normproof::fuzz::check_derived(input);
  return 0;
}
