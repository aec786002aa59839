// Decimal numbers that are exactly representable: what people write in a case by hand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "corpus/case.h"

namespace normproof {

struct ExactBits {
  std::uint32_t bits = 0;
  std::string fault;  // empty where there is none
};

// Bits of `text` in `dtype` (fp32, fp16 or bf16): a decimal as JSON writes it, "nan", "inf" or "-inf".
// Nothing is rounded: for a number that `dtype` does not have, `fault` names its two neighbours.
ExactBits exact_bits(std::string_view text, DType dtype);

}  // namespace normproof
