// The binary form of a case, for coverage-guided fuzzers: any bytes are a valid case, so no mutation is
// wasted.
//
// A header of fixed size, then the listed elements of weight, input and residual, packed and little-endian.
// Missing bytes count as zero, surplus ones are ignored, and every field is reduced to what the limits allow;
// a value that is already allowed is never changed. Header fields (offset, bytes, meaning; integers are
// little-endian):
//    0   1  operation                         12   1  weight offset
//    1   1  dtype                             13   3  input, residual, weight data: below 128 listed, else
//    2   1  weight: none, activation, fp32               a recipe of data class value - 128
//    3   1  quantized dtype                   16   4  epsilon bits
//    4   1  rank - 2                          20   4  scale bits
//    5   1  bit 0: in place; bits 1, 2, 3:    24   8  schedule seed
//           input, residual, output strided   32  24  input, residual, weight recipe seeds
//    6   1  thread order                      56  12  three leading sizes, the last bit of each inverted, so
//    7   1  path                                      that missing bytes mean one row
//    8   1  threads per block / 32            68   4  hidden size - 1
//    9   3  input, residual, output offset    72  72  strides: three each of input, residual, output
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "corpus/generate.h"

namespace normproof {

inline constexpr std::size_t kCaseHeaderBytes = 144;
inline constexpr std::size_t kMaximumCaseBytes = std::size_t{1} << 20;

// A valid case within the limits, whatever the bytes.
Case case_from_bytes(std::span<const std::uint8_t> bytes, const CaseLimits& limits);

// Bytes from which case_from_bytes makes the same case for every limits that it is within; its name,
// description and outputs are left out. Nothing for a case that is not valid, or of more than
// kMaximumCaseBytes.
std::optional<std::vector<std::uint8_t>> case_to_bytes(const Case& test_case);

}  // namespace normproof
