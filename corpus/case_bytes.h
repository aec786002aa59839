// The binary form of a case, for coverage-guided fuzzers: any bytes are a valid case, so no mutation is
// wasted.
//
// A header, then the listed elements of each tensor in the order of kRoles, packed and little-endian. Missing
// bytes count as zero, surplus ones are ignored, and every field is reduced to what the limits allow; a value
// that is already allowed is never changed. Header fields in order, with their bytes (integers are
// little-endian):
//   1  kBinaryVersion                        1  thread order
//   1  how many roles it describes           1  path
//   1  how many parameters                   1  threads per block / 32
//   1  operation                             8  schedule seed
//   1  dtype                                12  three leading sizes, the last bit of each inverted, so that
//   1  weight: none, activation, fp32           missing bytes mean one row
//   1  quantized dtype                       4  hidden size - 1
//   1  rank - 2                              4  of each parameter: its fp32 bits
//   1  in place                             35  of each role:
//        1  offset                    8  seed of a recipe
//        1  whether it has strides   24  three strides
//        1  data: below 128 listed, else a recipe of data class value - 128
// Roles and parameters that are added later come last, so what was written before still says the same.
//
// Version 1, which has no such first byte, is read as well. It had 144 bytes for input, residual, output and
// weight of the first four operations:
//    0   1  operation                         12   1  weight offset
//    1   1  dtype                             13   3  input, residual, weight data
//    2   1  weight                            16   4  epsilon bits
//    3   1  quantized dtype                   20   4  scale bits
//    4   1  rank - 2                          24   8  schedule seed
//    5   1  bit 0: in place; bits 1, 2, 3:    32  24  input, residual, weight recipe seeds
//           input, residual, output strided   56  12  three leading sizes
//    6   1  thread order                      68   4  hidden size - 1
//    7   1  path                              72  72  strides: three each of input, residual, output
//    8   1  threads per block / 32           144      elements of weight, input, residual
//    9   3  input, residual, output offset
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "corpus/generate.h"

namespace normproof {

inline constexpr std::uint8_t kBinaryVersion = 0xc2;
inline constexpr std::size_t kCaseHeaderBytes = 36 + 4 * kParameters.size() + 35 * kRoles.size();
inline constexpr std::size_t kMaximumCaseBytes = std::size_t{1} << 20;

// A valid case within the limits, whatever the bytes.
Case case_from_bytes(std::span<const std::uint8_t> bytes, const CaseLimits& limits);

// Bytes from which case_from_bytes makes the same case for every limits that it is within; its name,
// description and outputs are left out. Nothing for a case that is not valid,
// or of more than kMaximumCaseBytes.
std::optional<std::vector<std::uint8_t>> case_to_bytes(const Case& test_case);

}  // namespace normproof
