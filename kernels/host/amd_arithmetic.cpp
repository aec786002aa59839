#include "kernels/host/amd_arithmetic.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/host/approximate_math.h"
#include "kernels/host/rounding.h"
#include "kernels/host/small_floats.h"

namespace normproof::host {
namespace {

using Words = std::span<const std::uint32_t>;

// The number where the other is NaN; -0 lies below +0.
float extreme(float a, float b, bool greater) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? b : a;
  const bool a_below = a < b || (a == b && std::signbit(a) && !std::signbit(b));
  return a_below == greater ? b : a;
}
float least(float a, float b) { return extreme(a, b, false); }
float greatest(float a, float b) { return extreme(a, b, true); }

float approximated(Approximation function, float argument, double exact) {
  return flushed(internal::approximate(function, std::bit_cast<std::uint32_t>(argument), exact, 1));
}

std::optional<float> of_one(std::string_view name, float a) {
  if (name == "v_rcp_f32" || name == "v_rcp_iflag_f32") return amd_reciprocal(a);
  if (name == "v_rsq_f32") return amd_inverse_root(a);
  if (name == "v_sqrt_f32") return amd_root(a);
  if (name == "v_exp_f32") return amd_exp2(a);
  if (name == "v_log_f32") return amd_log2(a);
  if (name == "v_sin_f32") return amd_sine(a);
  if (name == "v_cos_f32") return amd_cosine(a);
  if (name == "v_floor_f32") return std::floor(a);
  if (name == "v_ceil_f32") return std::ceil(a);
  if (name == "v_trunc_f32") return std::trunc(a);
  if (name == "v_rndne_f32") return std::nearbyint(a);
  if (name == "v_fract_f32") return a - std::floor(a);
  return std::nullopt;
}

std::optional<float> of_two(std::string_view name, float a, float b, float old) {
  if (name == "v_add_f32") return a + b;
  if (name == "v_sub_f32") return a - b;
  if (name == "v_subrev_f32") return b - a;
  if (name == "v_mul_f32") return a * b;
  if (name == "v_mul_legacy_f32") return a == 0 || b == 0 ? 0.0f : a * b;
  if (name == "v_max_f32" || name == "v_max_num_f32") return greatest(a, b);
  if (name == "v_min_f32" || name == "v_min_num_f32") return least(a, b);
  if (name == "v_fmac_f32") return std::fma(a, b, old);
  if (name == "v_mac_f32") return flushed(flushed(a * b) + old);
  return std::nullopt;
}

std::optional<float> of_three(std::string_view name, float a, float b, float c) {
  if (name == "v_fma_f32") return std::fma(a, b, c);
  if (name == "v_mad_f32") return flushed(flushed(a * b) + c);
  if (name == "v_med3_f32") return amd_median(a, b, c);
  if (name == "v_max3_f32") return greatest(greatest(a, b), c);
  if (name == "v_min3_f32") return least(least(a, b), c);
  return std::nullopt;
}

std::uint32_t field(std::uint32_t value, std::uint32_t offset, std::uint32_t width) {
  width &= 31;
  return width == 0 ? 0 : value >> (offset & 31) & ((1u << width) - 1);
}

std::int32_t as_signed(std::uint32_t value) { return static_cast<std::int32_t>(value); }

std::optional<std::uint32_t> words_of_two(std::string_view name, std::uint32_t a, std::uint32_t b) {
  const std::uint64_t product = std::uint64_t{a} * b;
  if (name == "v_add_u32" || name == "s_add_u32" || name == "s_add_i32" || name == "v_add_nc_u32")
    return a + b;
  if (name == "v_sub_u32" || name == "s_sub_u32" || name == "s_sub_i32" || name == "v_sub_nc_u32")
    return a - b;
  if (name == "v_subrev_u32") return b - a;
  if (name == "v_and_b32" || name == "s_and_b32") return a & b;
  if (name == "v_or_b32" || name == "s_or_b32") return a | b;
  if (name == "v_xor_b32" || name == "s_xor_b32") return a ^ b;
  if (name == "v_lshlrev_b32") return b << (a & 31);
  if (name == "v_lshrrev_b32") return b >> (a & 31);
  if (name == "v_ashrrev_i32") return static_cast<std::uint32_t>(as_signed(b) >> (a & 31));
  if (name == "s_lshl_b32") return a << (b & 31);
  if (name == "s_lshr_b32") return a >> (b & 31);
  if (name == "v_mul_lo_u32" || name == "s_mul_i32") return static_cast<std::uint32_t>(product);
  if (name == "v_mul_hi_u32") return static_cast<std::uint32_t>(product >> 32);
  if (name == "v_mul_u32_u24") return (a & 0xffffff) * (b & 0xffffff);
  if (name == "v_max_u32") return std::max(a, b);
  if (name == "v_min_u32") return std::min(a, b);
  if (name == "v_max_i32") return static_cast<std::uint32_t>(std::max(as_signed(a), as_signed(b)));
  if (name == "v_min_i32") return static_cast<std::uint32_t>(std::min(as_signed(a), as_signed(b)));
  if (name == "v_bcnt_u32_b32") return static_cast<std::uint32_t>(std::popcount(a)) + b;
  if (name == "v_pack_b32_f16") return (a & 0xffff) | b << 16;
  return std::nullopt;
}

std::optional<std::uint32_t> words_of_three(std::string_view name, std::uint32_t a, std::uint32_t b,
                                            std::uint32_t c) {
  if (name == "v_add3_u32") return a + b + c;
  if (name == "v_lshl_add_u32") return (a << (b & 31)) + c;
  if (name == "v_add_lshl_u32") return (a + b) << (c & 31);
  if (name == "v_lshl_or_b32") return (a << (b & 31)) | c;
  if (name == "v_and_or_b32") return (a & b) | c;
  if (name == "v_or3_b32") return a | b | c;
  if (name == "v_xad_u32") return (a ^ b) + c;
  if (name == "v_bfi_b32") return (a & b) | (~a & c);
  if (name == "v_bfe_u32") return field(a, b, c);
  if (name == "v_bfe_i32") {
    const std::uint32_t width = c & 31, unused = 32 - width;
    return width == 0 ? 0 : static_cast<std::uint32_t>(as_signed(field(a, b, c) << unused) >> unused);
  }
  if (name == "v_perm_b32") return amd_permute_bytes(a, b, c);
  if (name == "v_alignbit_b32") return static_cast<std::uint32_t>((std::uint64_t{a} << 32 | b) >> (c & 31));
  if (name == "v_alignbyte_b32")
    return static_cast<std::uint32_t>((std::uint64_t{a} << 32 | b) >> (8 * (c & 3)));
  if (name == "v_mad_u32_u24") return (a & 0xffffff) * (b & 0xffffff) + c;
  if (name == "v_max3_u32") return std::max({a, b, c});
  if (name == "v_min3_u32") return std::min({a, b, c});
  if (name == "v_med3_u32") return std::max(std::min(a, b), std::min(std::max(a, b), c));
  if (name == "v_med3_i32") {
    const std::int32_t x = as_signed(a), y = as_signed(b), z = as_signed(c);
    return static_cast<std::uint32_t>(std::max(std::min(x, y), std::min(std::max(x, y), z)));
  }
  return std::nullopt;
}

}  // namespace

float amd_reciprocal(float value) {
  const float argument = flushed(value);
  return approximated(Approximation::kReciprocal, argument, 1.0 / static_cast<double>(argument));
}
float amd_inverse_root(float value) {
  const float argument = flushed(value);
  return approximated(Approximation::kRsqrt, argument, 1.0 / std::sqrt(static_cast<double>(argument)));
}
float amd_root(float value) {
  const float argument = flushed(value);
  return approximated(Approximation::kRoot, argument, std::sqrt(static_cast<double>(argument)));
}
float amd_exp2(float value) {
  const float argument = flushed(value);
  return approximated(Approximation::kExp2, argument, std::exp2(static_cast<double>(argument)));
}
float amd_log2(float value) {
  const float argument = flushed(value);
  return approximated(Approximation::kLog2, argument, std::log2(static_cast<double>(argument)));
}
float amd_sine(float revolutions) {
  return static_cast<float>(std::sin(2 * std::numbers::pi * static_cast<double>(revolutions)));
}
float amd_cosine(float revolutions) {
  return static_cast<float>(std::cos(2 * std::numbers::pi * static_cast<double>(revolutions)));
}
float amd_median(float a, float b, float c) {
  if (std::isnan(a) || std::isnan(b) || std::isnan(c)) return least(least(a, b), c);
  return greatest(least(a, b), least(greatest(a, b), c));
}

std::uint32_t amd_to_fp8(float value, bool e5m2) {
  return round_to_bits(static_cast<double>(value), e5m2 ? kE5m2fnuz : kE4m3fnuz, 7);
}
float amd_of_fp8(std::uint32_t bits, bool e5m2) {
  return value_of_bits(bits & 0xff, e5m2 ? kE5m2fnuz : kE4m3fnuz, 7);
}

std::uint32_t amd_permute_bytes(std::uint32_t high, std::uint32_t low, std::uint32_t selectors) {
  const std::uint64_t bytes = std::uint64_t{high} << 32 | low;
  std::uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t select = selectors >> (8 * i) & 0xff;
    std::uint32_t byte = select == 12 ? 0u : 0xffu;
    if (select < 8) byte = static_cast<std::uint32_t>(bytes >> (8 * select)) & 0xff;
    // The sign of one of the halves, in all bits.
    if (select >= 8 && select < 12) byte = (bytes >> (16 * (select - 8) + 15) & 1) != 0 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

std::optional<float> amd_float(std::string_view name, std::span<const float> arguments, float old) {
  switch (arguments.size()) {
    case 1:
      return of_one(name, arguments[0]);
    case 2:
      return of_two(name, arguments[0], arguments[1], old);
    case 3:
      return of_three(name, arguments[0], arguments[1], arguments[2]);
    default:
      return std::nullopt;
  }
}

std::optional<std::uint32_t> amd_integer(std::string_view name, Words arguments) {
  switch (arguments.size()) {
    case 1:
      if (name == "v_mov_b32" || name == "s_mov_b32") return arguments[0];
      if (name == "v_not_b32" || name == "s_not_b32") return ~arguments[0];
      if (name == "v_bfrev_b32") {
        std::uint32_t reversed = 0;
        for (unsigned i = 0; i < 32; ++i) reversed |= (arguments[0] >> i & 1) << (31 - i);
        return reversed;
      }
      return std::nullopt;
    case 2:
      return words_of_two(name, arguments[0], arguments[1]);
    case 3:
      return words_of_three(name, arguments[0], arguments[1], arguments[2]);
    default:
      return std::nullopt;
  }
}

std::optional<std::uint32_t> amd_half(std::string_view name, Words arguments) {
  std::array<float, 3> a{};
  if (arguments.size() > a.size()) return std::nullopt;
  for (std::size_t i = 0; i < arguments.size(); ++i) a[i] = value_of_bits(arguments[i] & 0xffff, kFp16, 15);
  const double x = static_cast<double>(a[0]), y = static_cast<double>(a[1]), z = static_cast<double>(a[2]);
  const auto rounded = [](double value) { return round_to_bits(value, kFp16, 15); };
  if (arguments.size() == 1) {
    if (name == "v_rcp_f16") return rounded(1 / x);
    if (name == "v_rsq_f16") return rounded(1 / std::sqrt(x));
    if (name == "v_sqrt_f16") return rounded(std::sqrt(x));
  } else if (arguments.size() == 2) {
    if (name == "v_add_f16") return rounded(x + y);
    if (name == "v_sub_f16") return rounded(x - y);
    if (name == "v_mul_f16") return rounded(x * y);
    if (name == "v_max_f16") return rounded(static_cast<double>(greatest(a[0], a[1])));
    if (name == "v_min_f16") return rounded(static_cast<double>(least(a[0], a[1])));
  } else if (name == "v_fma_f16") {
    return rounded(sum_to_odd(x * y, z));
  }
  return std::nullopt;
}

}  // namespace normproof::host
