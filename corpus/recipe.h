// Recipes: tensors made from a class of values and a seed, the same bits on every machine (integer arithmetic
// only).
//
// Data classes (a row is `columns` elements; N is a bell curve of mean 0 and variance 1, cut off at 3.46):
//   normal          N
//   model_rows      N times a scale of the row between 2^-13 and 2^13, hardly ever a power of two
//   model_weights   1 + 0.1 N
//   uniform_bits    every bit pattern, NaN and infinity included
//   finite_bits     every finite bit pattern
//   bit_classes     sign x exponent class x mantissa class (see bit_classes.h); infinity and NaN are rare
//   special         model_rows with NaNs, infinities, signed zeros and subnormals sprinkled over most rows
//   subnormal       subnormal numbers of either sign
//   large           numbers whose squares overflow fp32, or in fp16 the largest ones
//   tiny            normal numbers whose squares underflow in fp32, or in fp16 the smallest ones
//   zeros           +0
//   negative_zeros  -0
//   ones            1
//   powers_of_two   +-2^k with k from -8 to 8
//   near_ties       numbers in [1/4, 8) whose mantissas (odd, half, all ones, ...) put products beside
//                   midpoints
//   spike           one element near 2^6 at a random place, the others N / 64
//   alternating     +a, -a, +a, ... with a of the row in [1/4, 8)
//   small_integers  +-1 to +-31: up to 17,458 of their squares add up without rounding in fp32, in any order
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// Names of the data classes, in the order above.
std::span<const std::string_view> data_classes();
bool is_data_class(std::string_view name);
// One line for people; empty for an unknown name.
std::string_view describe_data_class(std::string_view name);

// Writes row `row` of the tensor that `recipe` describes over `data`: columns * size_of(dtype) bytes,
// little-endian. An element depends on (seed, class, dtype, row, column) only, except in `spike`, whose place
// depends on `columns`: more rows or columns extend a tensor and change nothing. Throws std::invalid_argument
// for an unknown class, a dtype that is not fp32, fp16 or bf16, and data of a size that is no multiple of the
// element size.
void generate_row(const Recipe& recipe, DType dtype, std::int64_t row, std::span<std::byte> data);

// Rows 0 to rows - 1, row-major without gaps, in place of what `data` held. Throws as generate_row, and for
// negative sizes.
void generate(const Recipe& recipe, DType dtype, std::int64_t rows, std::int64_t columns,
              std::vector<std::byte>& data);

}  // namespace normproof
