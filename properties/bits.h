// What properties need to know about the bits of every dtype: NaN, zero, sign, order, exact value, exact
// powers of two. Integers only, and on purpose not the oracle's code: properties
// state the contract a second time.
#pragma once

#include <cstdint>
#include <optional>

#include "corpus/case.h"

namespace normproof::bits {

bool is_nan(DType dtype, std::uint32_t bits);
bool is_infinite(DType dtype, std::uint32_t bits);  // fp8_e4m3fn and the fnuz dtypes have no infinity
bool is_zero(DType dtype, std::uint32_t bits);
bool is_negative(DType dtype, std::uint32_t bits);  // the sign bit; true for -0

// Any NaN equals any NaN; otherwise the bits must be the same.
bool equal(DType dtype, std::uint32_t left, std::uint32_t right);

// The number with the other sign. NaN stays NaN; the fnuz dtypes have one zero, which is its own negative.
std::uint32_t negated(DType dtype, std::uint32_t bits);

// +1.0, a quiet NaN, zero of either sign (the fnuz dtypes have only +0).
std::uint32_t one(DType dtype);
std::uint32_t nan(DType dtype);
std::uint32_t zero(DType dtype, bool negative);
std::uint32_t infinity(DType dtype, bool negative);  // fp32, fp16, bf16
// The largest finite number: 448, 57344, 240, 57344 for the fp8 dtypes.
std::uint32_t largest(DType dtype, bool negative);

// Position on the line of numbers: adjacent values differ by one, -0 lies one below +0. Not for NaN.
std::int64_t ordinal(DType dtype, std::uint32_t bits);
// Values between the two, as oracle::Mismatch::ulp_distance; max uint64 where one is NaN.
std::uint64_t ulp_distance(DType dtype, std::uint32_t left, std::uint32_t right);

// The exact value; every dtype here fits in a double.
double value(DType dtype, std::uint32_t bits);
// Bits of `number` in fp32, fp16 or bf16 if it is exactly representable; NaN and infinity are.
std::optional<std::uint32_t> exactly(DType dtype, double number);
// bits * 2^power if that is exactly representable. NaN, infinity and zero stay what they are.
std::optional<std::uint32_t> times_power_of_two(DType dtype, std::uint32_t bits, int power);

}  // namespace normproof::bits
